"""What the whole gateway writes of requests, behind each of its hosts: who, by which route, decided how, in what time.

`tests/log_watch.py` holds every line of every test to the schema, and looks for secrets in it. Here is what they say.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gatehouse import logs, metrics
from local.demo_callers import KEY, SESSION
from local.house import House
from tests.contract.callers import on_uvicorn
from tests.contract.conftest import PASSWORD, Answer, Send, bearer
from tests.contract.test_streams import END, FIRST, PROJECT, SSE, Upstream, asking, chunk, read_out, read_until
from tests.log_lines import problems
from tests.unit.scripted import Connection, serving

PATIENCE_S = 5.0
NAMESPACE = "Gatehouse/the-tests"
XRAY = "1-67891233-abcdef012345678912345678"
QUERY = "what-only-a-query-says"
ROUTE = {"Duration", "Auth"}
"""The metrics of every request."""


@dataclass
class Heard:
    """What the gateway has written meanwhile."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def take(self, line: str) -> None:
        self.lines.append(json.loads(line))

    def of(self, request_id: str, message: str = "request") -> dict[str, Any]:
        """Wait for the line that says *message* of a request: it is written when all is over."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            for line in self.lines:
                if (line["message"], line.get("requestId")) == (message, request_id):
                    assert problems(line) == []
                    return line
            threading.Event().wait(0.005)
        raise AssertionError(f"there is no line {message} in {self.lines}")


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard = Heard()
    with metrics.published(NAMESPACE, "local"), logs.also_to(heard.take):
        yield heard


def published(line: Mapping[str, Any]) -> set[str]:
    directives = line["_aws"]["CloudWatchMetrics"]
    assert {directive["Namespace"] for directive in directives} == {NAMESPACE}
    return {metric["Name"] for directive in directives for metric in directive["Metrics"]}


@dataclass(frozen=True)
class Tokens:
    guest: str
    admin: str
    access: str


@pytest.fixture
def tokens(guest_token: str, admin_token: str, house: House) -> Tokens:
    return Tokens(guest_token, admin_token, house.callers.access_token())


@dataclass(frozen=True)
class Case:
    """One request, what its line says, and which metrics are published beside those of every request."""

    name: str
    method: str
    path: str
    status: int
    says: dict[str, Any]
    more: set[str] = field(default_factory=set)
    fields: Callable[[Tokens], Mapping[str, str]] = lambda _: {}
    body: bytes = b""


def one(name: str, method: str, path: str, status: int, /, *more: str, **says: Any) -> Case:
    fields, body = says.pop("fields", lambda _: {}), says.pop("body", b"")
    return Case(name, method, path, status, says, set(more), fields, body)


NOBODY = {"credential": "none"}
OURS = {"project": "gatehouse", "route": "gatehouse"}
UP, LAG, REFUSED, COUNTED = "UpstreamDuration", "RevocationLag", "AuthFailures", "Limits"
CHAT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}).encode()
JSON = {"content-type": "application/json"}
CASES = [
    one("nobody has to say", "GET", "/lab/echo", 200, UP, project="lab", route="ECHO", auth="anonymous", **NOBODY),
    one("a head", "HEAD", "/lab/read/x", 200, UP, project="lab", route="READ", bytes=0),
    one("a guest", "GET", "/build/get", 200, UP, LAG, project="metacogna", route="BUILD", auth="accepted",
        credential="gateway", subject="guest", fields=lambda tokens: bearer(tokens.guest)),
    one("an administrator", "GET", "/kv/get", 200, UP, LAG, route="KV", auth="accepted", subject="ada",
        fields=lambda tokens: bearer(tokens.admin)),
    one("no token", "GET", "/build/get", 401, route="BUILD", auth="missing", error="MISSING_TOKEN", **NOBODY),
    one("a forged token", "GET", "/build/get", 403, REFUSED, auth="refused", error="INVALID_TOKEN",
        fields=lambda tokens: bearer(f"{tokens.guest[:-6]}forged")),
    one("another route's token", "GET", "/kv/get", 403, REFUSED, LAG, auth="refused", subject="guest",
        fields=lambda tokens: bearer(tokens.guest)),
    one("no such route", "GET", "/lab/nothing/here", 404, auth="anonymous", error="NOT_FOUND", **OURS, **NOBODY),
    one("no such method", "POST", "/lab/read/x", 405, route="READ", error="METHOD_NOT_ALLOWED"),
    one("a path with dots", "GET", "/lab/echo/%2e%2e/x", 400, error="BAD_PATH", path="/lab/echo/%2e%2e/x", **OURS),
    one("an upstream that is down", "GET", "/lab/gone/x", 502, UP, route="GONE", error="UPSTREAM_UNREACHABLE"),
    one("an upstream that nobody has set", "GET", "/lab/unset/x", 502, route="UNSET", error="MISSING_TARGET"),
    one("an upstream that is slow", "GET", "/lab/slow/x", 504, UP, route="SLOW", error="UPSTREAM_TIMEOUT"),
    one("what changes something", "POST", "/shelf/open/x", 200, UP, "Cache", cache="method", route="OPEN"),
    one("a part of what is kept", "GET", "/shelf/open/x", 200, UP, "Cache", cache="bypass",
        fields=lambda _: {"Range": "bytes=0-1"}),
    one("a session", "GET", "/api/v1/products/1", 200, UP, COUNTED, "Cache", project="crow", route="products",
        auth="accepted", credential="session", subject="demo-user", limit="allowed",
        fields=lambda _: {"Cookie": f"better-auth.session_token={SESSION}"}),
    one("an API key", "GET", "/api/v1/products/2", 200, UP, COUNTED, "Cache", credential="api_key",
        fields=lambda _: {"X-API-Key": f"crow_{KEY}"}),
    one("a wrong API key", "GET", "/api/v1/products/2", 401, COUNTED, REFUSED, auth="refused", limit="allowed",
        error="INVALID_CREDENTIALS", fields=lambda _: {"X-API-Key": "crow_of-nobody-we-know"}),
    one("a public address", "GET", "/api/v1/billing/health", 200, UP, COUNTED, auth="anonymous", **NOBODY),
    one("a person of another issuer", "POST", "/ai", 200, UP, COUNTED, project="ai-proxy", credential="jwks",
        fields=lambda tokens: {"cf-access-token": tokens.access, **JSON}, body=CHAT),
    one("a login", "POST", "/auth/login", 200, project="metacogna", route="AUTH", credential="login", subject="ada",
        auth="accepted", fields=lambda _: JSON, body=json.dumps({"username": "ada", "password": PASSWORD}).encode()),
    one("a wrong login", "POST", "/auth/login", 401, REFUSED, project="metacogna", route="AUTH", auth="refused",
        error="INVALID_CREDENTIALS", fields=lambda _: JSON,
        body=json.dumps({"username": "grace", "password": "not hers, and long enough"}).encode()),
    one("a body that is none", "POST", "/auth/login", 400, error="INVALID_REQUEST", fields=lambda _: JSON, body=b"{"),
    one("a guest that comes", "POST", "/auth/guest", 200, project="metacogna", route="AUTH"),
    one("an administrator at work", "GET", "/auth/tokens", 200, route="AUTH", project="metacogna", subject="ada",
        auth="accepted", fields=lambda tokens: bearer(tokens.admin)),
    one("a guest who is no administrator", "GET", "/auth/tokens", 403, auth="forbidden", subject="guest",
        error="FORBIDDEN", fields=lambda tokens: bearer(tokens.guest)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_request_leaves_a_line_that_says_what_became_of_it(
    send: Send, heard: Heard, tokens: Tokens, case: Case
) -> None:
    fields = {**case.fields(tokens), "X-Amzn-Trace-Id": f"Root={XRAY};Sampled=1"}
    asked = case.path if case.path.startswith("/auth/") else f"{case.path}?q={QUERY}"  # these take no such query
    answer = send(case.method, asked, fields, case.body)
    assert answer.status == case.status, answer.body
    line = heard.of(answer.get("x-request-id"))
    assert line["path"] == case.path
    assert (line["method"], line["status"], line["code"]) == (case.method, case.status, str(case.status))
    assert line["bytes"] == len(answer.body)
    assert line["traceId"] == XRAY
    assert line["ip"]
    assert {name: line.get(name) for name in case.says} == case.says
    assert published(line) == {*ROUTE, *case.more, "Failures" if "error" in line else "Requests"}
    assert line["gatewayMs"] + line.get("upstreamMs", 0) <= line["ms"] + 0.2  # each is rounded
    assert QUERY not in json.dumps(heard.lines)


def test_each_request_is_told_apart_by_the_hosts_it_came_through(send: Send, heard: Heard) -> None:
    ids = [send("GET", f"/lab/echo/{number}").get("x-request-id") for number in range(3)]
    assert [heard.of(one)["path"] for one in ids] == [f"/lab/echo/{number}" for number in range(3)]


def test_a_kept_answer_is_a_hit_and_nobody_asks_the_upstream(send: Send, heard: Heard) -> None:
    path = f"/shelf/open/for-the-log-{time.monotonic_ns()}"
    first, second = (heard.of(send("GET", path).get("x-request-id")) for _ in range(2))
    assert [line["cache"] for line in (first, second)] == ["miss", "hit"]
    assert ["upstreamMs" in line for line in (first, second)] == [True, False]
    assert published(first) - published(second) == {"UpstreamDuration"}


def test_a_token_that_was_taken_back_is_a_failure_of_its_own(send: Send, heard: Heard) -> None:
    token = send("POST", "/auth/guest").json["token"]
    assert send("POST", "/auth/logout", bearer(token)).status == 200
    again: Answer = send("GET", "/auth/session", bearer(token))
    line = heard.of(again.get("x-request-id"))
    assert (line["auth"], line["error"], line["AuthFailures"]) == ("revoked", "TOKEN_REVOKED", 1)


def test_an_audit_line_and_the_line_of_its_request_have_one_id(send: Send, heard: Heard, admin_token: str) -> None:
    order = json.dumps({"project": "lab", "service": "worker"}).encode()
    answer = send("POST", "/auth/tokens", {**bearer(admin_token), **JSON}, order)
    audit, request = (heard.of(answer.get("x-request-id"), message) for message in ("audit", "request"))
    assert (audit["action"], audit["who"], audit["result"]) == ("token issue", "ada", "ok")
    assert (audit["project"], audit["forService"], audit["service"]) == ("lab", "worker", "gatehouse")
    assert (audit["jti"], audit["from"]) == (answer.json["jti"], request["ip"])


def test_a_call_of_a_model_has_a_line_of_its_own(send: Send, heard: Heard, tokens: Tokens) -> None:
    answer = send("POST", "/ai", {"cf-access-token": tokens.access, **JSON}, CHAT)
    call = heard.of(answer.get("x-request-id"), "model call")
    assert (call["project"], call["route"], call["status"]) == ("ai-proxy", "AI", 200)
    assert published(call) == {"PromptTokens", "CompletionTokens"}
    assert (call["PromptTokens"], call["CompletionTokens"]) == (call["promptTokens"], call["completionTokens"])
    assert call["promptTokens"] > 0


# ----------------------------------------------------------------------------------------------------------- streams


def streams(connection: Connection) -> None:
    connection.say(SSE + chunk(FIRST) + END)


def breaks_off(connection: Connection) -> None:
    connection.say(SSE + chunk(FIRST))
    time.sleep(0.05)  # the head and the first event leave before
    connection.reset()


@pytest.mark.parametrize(("plays", "cut"), [(streams, None), (breaks_off, True)], ids=["whole", "cut"])
def test_a_stream_has_a_line_when_it_is_over(
    heard: Heard, tmp_path: Path, plays: Callable[[Connection], None], cut: bool | None
) -> None:
    (tmp_path / "streams.yaml").write_text(PROJECT)
    with serving(Upstream(plays)) as server, on_uvicorn(tmp_path, {"UP_URL": server.address}) as gate:
        with asking(gate.port, request_id="a-stream") as client:
            read_out(client) if cut else read_until(client, FIRST + b"\r\n" + END)
        line = heard.of("a-stream")
    assert (line["route"], line["status"], line.get("cut")) == ("FLOW", 200, cut)
    assert line["bytes"] >= len(FIRST)
    assert published(line) == {*ROUTE, "Requests", "UpstreamDuration"}
