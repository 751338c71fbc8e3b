"""How soon a gateway that had let a token in refuses it: with real stores, both hosts, and time that is driven."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gatehouse import edge, lambda_http, registry
from gatehouse.build import gateway
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.revocation_watch import RevocationWatch
from gatehouse.settings import read
from gatehouse.stores import aws_json
from gatehouse.usage import EVERY_S, LastUse
from local.house import House
from local.servers import listen, served
from tests.contract.conftest import Answer, invoke
from tests.contract.rest_event import rest_event
from tests.unit.fakes import FakeClock

NORMAL, STRICT = "/lab/opened/echo", "/lab/sealed/echo"


@dataclass
class Driven:
    """A gateway on real stores, whose clocks for revocations and uses a test turns."""

    kit: Kit
    wall: FakeClock
    steady: FakeClock
    get: Callable[[str, str], Answer]
    calls: list[str]

    def passes(self, seconds: float) -> None:
        self.wall.now += seconds
        self.steady.now += seconds

    def code(self, path: str, token: str) -> str:
        answer = self.get(path, token)
        return "ok" if answer.status == 200 else str(answer.json["code"])

    def issue(self) -> tuple[str, registry.Record]:
        order = registry.Order(project="lab", service="worker", days=1)
        project = registry.check(order, self.kit.projects.all)
        ring = lambda_http.event_loop().run_until_complete(self.kit.keys.current())
        token, record = registry.issue(ring, project, order, by="ada", now=time.time())
        self.kit.registry.put(record)
        return token, record

    def revoke(self, record: registry.Record) -> None:
        self.kit.registry.revoke(record, by="ada", reason="a test", now=time.time())


def over_uvicorn(app: Any) -> Iterator[Callable[[str, str], Answer]]:
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]

    def get(path: str, token: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        answer = Answer(response.status, response.getheaders(), response.read())
        connection.close()
        return answer

    with served(app, [listening]):
        yield get


def over_mangum(app: Any) -> Iterator[Callable[[str, str], Answer]]:
    class Function:
        handler = staticmethod(lambda_function(app))

    def get(path: str, token: str) -> Answer:
        pairs = [("Host", "gateway.example"), ("Authorization", f"Bearer {token}")]
        return invoke(Function, rest_event("GET", path, pairs, b""))

    yield get


@pytest.fixture(params=["uvicorn", "mangum"])
def driven(request: pytest.FixtureRequest, house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driven]:
    if request.param == "mangum":
        monkeypatch.setenv("UPSTREAM_CLIENT", "buffered")
    kit = Kit(read(os.environ))
    wall, steady = FakeClock(time.time()), FakeClock(1000.0)
    watch = RevocationWatch(kit.revocation_log, 5.0, wall, steady)
    uses = LastUse(kit.last_use._write, wall)
    kit.__dict__.update(revocations=watch, last_use=uses)
    app = edge.application(gateway(kit.projects, kit), most_bytes=1024, close=kit.close)
    calls: list[str] = []
    asked = aws_json._asked

    def counted(url: Any, post: Any) -> Any:
        calls.append(post.headers["x-amz-target"].rpartition(".")[2])
        return asked(url, post)

    monkeypatch.setattr(aws_json, "_asked", counted)
    for get in over_uvicorn(app) if request.param == "uvicorn" else over_mangum(app):
        yield Driven(kit, wall, steady, get, calls)
    if request.param == "mangum":
        lambda_http.event_loop().run_until_complete(kit.close())


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Turn DynamoDB off and on, for those who only read the log: nothing listens where they are sent."""

    def turn(down: bool) -> None:
        if down:
            monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
        else:
            monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)

    yield turn
    turn(down=False)


def test_a_revoked_token_is_refused_within_five_seconds_and_at_once_where_the_route_is_strict(driven: Driven):
    token, record = driven.issue()
    assert [driven.code(path, token) for path in (NORMAL, STRICT)] == ["ok", "ok"]
    assert driven.code(NORMAL, token) == "ok"
    driven.revoke(record)
    driven.passes(4.9)
    assert driven.code(NORMAL, token) == "ok"  # what the process knows is younger than five seconds
    assert driven.code(STRICT, token) == "TOKEN_REVOKED"
    other, another = driven.issue()
    assert driven.code(NORMAL, other) == "ok"
    driven.revoke(another)
    driven.passes(5.0)
    assert driven.code(NORMAL, other) == "TOKEN_REVOKED"


def test_without_dynamodb_a_known_token_passes_for_a_minute_then_nobody_then_all_again(
    driven: Driven, outage: Callable[[bool], None]
):
    token, _ = driven.issue()
    assert driven.code(NORMAL, token) == "ok"
    outage(True)
    for seconds, expected in ((30.0, "ok"), (29.9, "ok"), (0.2, "AUTH_UNAVAILABLE"), (3600.0, "AUTH_UNAVAILABLE")):
        driven.passes(seconds)
        assert driven.code(NORMAL, token) == expected
        assert driven.code(STRICT, token) == "AUTH_UNAVAILABLE"
    outage(False)
    driven.passes(1.0)
    assert driven.code(NORMAL, token) == "ok"
    assert driven.code(STRICT, token) == "ok"


def test_a_request_costs_no_call_to_aws_between_looks(driven: Driven):
    token, _ = driven.issue()
    assert driven.code(NORMAL, token) == "ok"
    driven.calls.clear()
    for _ in range(100):
        assert driven.code(NORMAL, token) == "ok"
        driven.passes(0.049)
    assert driven.calls == []
    driven.passes(0.2)
    assert driven.code(NORMAL, token) == "ok"
    assert driven.calls == ["Query"]


def test_a_look_does_not_take_what_dynamodb_has_not_settled_yet(driven: Driven, monkeypatch: pytest.MonkeyPatch):
    """No emulator lags, so that it asks for a consistent read is looked up in what it sends."""
    sent: list[Any] = []
    asked = aws_json._asked

    def kept(url: Any, post: Any) -> Any:
        sent.append((post.headers["x-amz-target"], json.loads(post.body)))
        return asked(url, post)

    monkeypatch.setattr(aws_json, "_asked", kept)
    token, _ = driven.issue()
    driven.code(STRICT, token)
    looks = [document for target, document in sent if target.endswith(".Query")]
    assert looks
    assert all(document["ConsistentRead"] is True for document in looks)


def test_the_last_use_is_noted_once_in_a_quarter_of_an_hour(driven: Driven):
    token, record = driven.issue()
    used: list[int | None] = []
    for seconds in (0.0, 1.0, EVERY_S - 2.0, 1.0):
        driven.passes(seconds)
        assert driven.code(NORMAL, token) == "ok"
        kept = driven.kit.registry.get(record.jti)
        assert kept
        used.append(kept.last_used_at)
    start = int(driven.wall.now) - EVERY_S
    assert used == [start, start, start, start + EVERY_S]
    assert driven.calls.count("UpdateItem") == 2


def test_a_request_does_not_fail_because_its_use_cannot_be_noted(driven: Driven, monkeypatch: pytest.MonkeyPatch):
    async def broken(jti: str, now: int) -> None:
        raise ConnectionError

    monkeypatch.setattr(driven.kit.last_use, "_write", broken)
    token, _ = driven.issue()
    assert driven.code(NORMAL, token) == "ok"


def test_a_token_whose_claims_do_not_open_the_route_was_not_used(driven: Driven):
    order = registry.Order(project="captionacc", service="billing", days=1)
    ring = lambda_http.event_loop().run_until_complete(driven.kit.keys.current())
    token, record = registry.issue(
        ring, registry.check(order, driven.kit.projects.all), order, by="ada", now=time.time()
    )
    driven.kit.registry.put(record)
    assert driven.code("/captionacc/prefect/x", token) == "FORBIDDEN"
    kept = driven.kit.registry.get(record.jti)
    assert kept
    assert kept.last_used_at is None


def test_a_token_that_the_registry_does_not_have_is_no_row_afterwards(driven: Driven):
    """The original gateways' service tokens have none; noting their use must not make half a record."""
    token, record = driven.issue()
    table = driven.kit.settings.tokens_table
    from gatehouse.stores.clients import client

    client("dynamodb").delete_item(TableName=table, Key={"pk": {"S": f"token#{record.jti}"}, "sk": {"S": "token"}})
    assert driven.code(NORMAL, token) == "ok"
    assert driven.kit.registry.get(record.jti) is None


def test_what_is_logged_holds_no_token(driven: Driven, capsys: pytest.CaptureFixture[str]):
    token, record = driven.issue()
    driven.code(NORMAL, token)
    driven.revoke(record)
    driven.code(STRICT, token)
    logged = ""
    for _ in range(500):  # the line of a request is written after its answer has left
        logged += capsys.readouterr().out
        events = [json.loads(line)["message"] for line in logged.splitlines()]
        if events.count("request") == 2:
            break
        time.sleep(0.01)
    assert events.count("request") == 2
    assert not [part for part in token.split(".")[1:] if part in logged]
    assert record.sha256 not in logged
