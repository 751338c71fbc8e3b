"""`/ping`, `/ready` and `/metrics` through both hosts, on stores that answer like AWS, and on some that do not."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from gatehouse.clock import Elapsed
from gatehouse.kept import Kept
from gatehouse.status import upstream_health
from gatehouse.status.upstream_health import UnwellError
from local.house import House
from tests.contract.conftest import Answer, Send, bearer, check_error, invoke
from tests.contract.rest_event import rest_event
from tests.unit.fakes import FakeUpstream

REFUSING = "http://127.0.0.1:9"


@pytest.fixture
def status(functions: dict[str, Any]) -> Iterator[Any]:
    """The function as Lambda loads it, looking anew whenever it is asked."""
    module = functions["functions/status"]
    with pytest.MonkeyPatch.context() as patch:
        for remembers in (module.inspection, module.fleet):
            patch.setattr(remembers, "fresh_s", 0)
            patch.setattr(remembers, "_kept", Kept(Elapsed(time.time, time.monotonic)))
        yield module


def ask(module: Any, target: str, **headers: str) -> Answer:
    pairs = [("Host", "gateway.example"), *((name.capitalize(), value) for name, value in headers.items())]
    return invoke(module, rest_event("GET", target, pairs, b""))


def reasons(module: Any, token: str, project: str) -> dict[str, str]:
    """What an administrator is told is wrong with *project*."""
    (said,) = ask(module, f"/ready?project={project}", authorization=f"Bearer {token}").json["projects"]
    return {one["name"]: one["reason"] for one in said["checks"] if one["ok"] is False}


# ------------------------------------------------------------------------------------------------------ as it should be


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ping_answers(send: Send, method: str):
    answer = send(method, "/ping")
    assert (answer.status, answer.body) == (200, b"OK" if method == "GET" else b"")
    assert answer.get("content-type") == "text/plain; charset=utf-8"
    assert answer.get("cache-control") == "no-store"
    assert answer.get("x-request-id")


@pytest.mark.parametrize("path", ["/ping", "/ready", "/metrics"])
def test_only_get_and_head_are_taken(send: Send, path: str):
    answer = send("POST", path, {"Content-Type": "application/json"}, b"{}")
    check_error(answer, 405, "METHOD_NOT_ALLOWED", "STATUS")
    assert answer.get("allow") == "GET, HEAD"


def test_everybody_hears_that_the_gateway_is_ready(send: Send):
    answer = send("GET", "/ready")
    assert (answer.status, answer.json) == (200, {"status": "ready"})
    assert answer.get("cache-control") == "no-store"


def test_an_administrator_hears_what_was_looked_at(send: Send, admin_token: str):
    said = send("GET", "/ready", bearer(admin_token)).json
    checks = {one["project"]: [check["name"] for check in one["checks"]] for one in said["projects"]}
    assert checks["metacogna"] == ["configuration", "secret", "revocation log", "admins bucket", "cache table"]
    assert checks["captionacc"] == ["configuration", "secret", "revocation log", "upstream prefect"]
    assert "upstream UNSET" in checks["lab"]
    assert checks["crow"][:2] == ["configuration", "secret"]
    assert {check["ok"] for one in said["projects"] for check in one["checks"]} == {True, None}
    for hidden in ("127.0.0.1", "localhost", "gatehouse-local"):
        assert hidden not in json.dumps(said)


@pytest.mark.parametrize("path", ["/ready", "/metrics"])
def test_a_guest_is_no_administrator(send: Send, guest_token: str, path: str):
    check_error(send("GET", path, bearer(guest_token)), 403, "FORBIDDEN", "STATUS")


def test_the_metrics_are_for_who_has_the_token(send: Send, house: House):
    check_error(send("GET", "/metrics"), 401, "MISSING_TOKEN", "STATUS")
    wrong = send("GET", "/metrics", bearer(house.metrics_token[::-1]))
    check_error(wrong, 403, "INVALID_TOKEN", "STATUS")
    answer = send("GET", "/metrics", bearer(house.metrics_token))
    assert answer.status == 200
    assert answer.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    assert b"gatehouse_scrape_age_seconds" in answer.body
    assert house.metrics_token not in wrong.body.decode()


# -------------------------------------------------------------------------------------------------------- and as not


def test_the_revocation_log_is_missed_by_all_who_ask_for_tokens_of_ours(
    status: Any, admin_token: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", REFUSING)
    answer = ask(status, "/ready")
    assert (answer.status, answer.json) == (503, {"status": "unavailable"})
    assert answer.get("retry-after") == "10"
    assert ask(status, "/ready?project=shelf").json == {"status": "degraded"}
    assert ask(status, "/ready", authorization=f"Bearer {admin_token}").json == {"status": "unavailable"}


@pytest.mark.parametrize(
    ("store", "name", "project", "word"),
    [
        ("cache_table", "cache table", "crow", "degraded"),
        ("usage_table", "usage table", "ai-proxy", "degraded"),
        ("admins_bucket", "admins bucket", "metacogna", "unavailable"),
        ("tokens_table", "revocation log", "captionacc", "unavailable"),
        ("secret_arn", "secret", "lab", "unavailable"),
    ],
)
def test_a_store_that_is_not_there_is_found_by_its_name_and_said_to_those_who_use_it(
    status: Any, admin_token: str, monkeypatch: pytest.MonkeyPatch, store: str, name: str, project: str, word: str
):
    monkeypatch.setattr(status.inspection, "_stores", replace(status.stores, **{store: "there-is-no-such"}))
    assert ask(status, f"/ready?project={project}").json == {"status": word}
    found = reasons(status, admin_token, project)
    assert set(found) == {name}
    assert "It refused" in found[name]
    assert "there-is-no-such" not in found[name]


def test_ping_needs_no_store(status: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", REFUSING)
    assert ask(status, "/ping").status == 200


def test_metrics_that_cannot_be_read_are_503_in_our_words(
    status: Any, house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", REFUSING)
    monkeypatch.setattr(status.fleet, "_last", None)
    answer = ask(status, "/metrics", authorization=f"Bearer {house.metrics_token}")
    check_error(answer, 503, "METRICS_UNAVAILABLE", "STATUS")
    assert house.metrics_token not in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------- services' health


@contextmanager
def answering(*chunks: bytes) -> Iterator[str]:
    """A service that says *chunks* to whoever asks, and then no more."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                for chunk in chunks:
                    connection.sendall(chunk)
                connection.settimeout(5)
                while connection.recv(1024):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/health"
        thread.join(5)


def health(url: str, within_s: float = 5.0) -> None:
    asyncio.run(upstream_health.ask(url, FakeUpstream(), within_s))


@pytest.mark.parametrize("status_line", ["200 OK", "204 No Content", "299 x"])
def test_a_service_is_well_that_says_so(status_line: str):
    with answering(f"HTTP/1.1 {status_line}\r\ncontent-length: 0\r\n\r\n".encode()) as url:
        health(url)


@pytest.mark.parametrize("status_line", ["302 Found", "404 Not Found", "500 x", "503 x"])
def test_a_service_is_not_well_that_says_anything_else(status_line: str):
    with (
        answering(f"HTTP/1.1 {status_line}\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n".encode()) as url,
        pytest.raises(UnwellError, match=status_line[:3]),
    ):
        health(url)


@pytest.mark.parametrize("chunks", [(b"hello\r\n\r\n",), (b"HTTP/1.1 200 OK\r\nx",), ()], ids=["other", "half", "none"])
def test_a_service_that_does_not_answer_in_http_or_in_time_is_not_well(chunks: tuple[bytes, ...]):
    with answering(*chunks) as url, pytest.raises(Exception) as raised:  # noqa: PT011  # whatever it is, it has words
        health(url, 0.2)
    assert "look at the service" in upstream_health.words(raised.value)  # type: ignore[arg-type]


def test_a_service_that_is_not_there_is_not_well():
    with pytest.raises(OSError, match="refused") as raised:
        health(REFUSING + "/health")
    assert "cannot be reached" in upstream_health.words(raised.value)


def test_a_function_is_asked_by_being_invoked():
    function = FakeUpstream()
    asyncio.run(upstream_health.ask("lambda://worker/health", function, 2.0))
    assert (function.only.method, function.only.url) == ("GET", "lambda://worker/health")
