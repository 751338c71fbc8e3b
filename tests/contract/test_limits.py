"""Limits on routes as clients meet them, through both hosts, counted in the table that processes share."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest

from gatehouse import edge, lambda_http
from gatehouse.build import gateway
from gatehouse.call import Identity
from gatehouse.kit import Kit
from gatehouse.projects import load
from gatehouse.route_limits import RouteLimits
from gatehouse.settings import read
from gatehouse.stores import aws_json
from gatehouse.stores.route_buckets import RouteBuckets
from local.house import House
from local.servers import listen, served
from local.template import ROOT
from tests.contract.callers import sender
from tests.contract.conftest import Answer, check_error, invoke
from tests.contract.rest_event import rest_event
from tests.unit.fakes import FakeClock, FakeOrganizations

ORIGIN = "https://app.example.com"
PROJECT = """
project: counted
cors: {origins: [https://app.example.com]}
providers:
  s: {type: session, cookie: sid, url: "http://127.0.0.1:9/s"}
organization: {session: "http://127.0.0.1:9/{organization}", membership: "http://127.0.0.1:9/{user}"}
limits:
  few: {requests: 3, per: 1m}
  org: {requests: 2, per: 1m, by: organization}
  quiet: {requests: 1, per: 1m, shadow: true}
defaults: {upstream: "${LAB_URL}", auth: none, limit: few}
routes:
  - {name: one, path: /one}
  - {name: two, path: /two}
  - {name: free, path: /free, limit: []}
  - {name: gone, path: /gone, upstream: "http://127.0.0.1:9"}
  - {name: shadow, path: /shadow, limit: quiet}
  - {name: org, path: /org, auth: required, accept: [s], organization: required, limit: org}
"""
PEOPLE = {"ada": ("ada", "o1"), "kim": ("kim", "o1"), "rook": ("rook", "o2")}
Get = Callable[..., Answer]


@dataclass
class Counted:
    """Gateways as two processes would run them, with one table and one clock."""

    gets: tuple[Get, Get]
    clock: FakeClock
    calls: list[str]
    table: str

    def get(self, path: str, process: int = 0, **headers: str) -> Answer:
        return self.gets[process](path, {"Origin": ORIGIN, **headers})


@pytest.fixture
def table(house: House) -> Iterator[str]:
    """A CacheTable that no other test has counted in."""
    dynamodb = boto3.client("dynamodb", endpoint_url=house.environment()["AWS_ENDPOINT_URL"])
    name = f"counts-{uuid4()}"
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield name
    dynamodb.delete_table(TableName=name)
    dynamodb.close()


def over_uvicorn(app: Any) -> Iterator[Get]:
    listening = listen("127.0.0.1", 0)
    send = sender(listening.getsockname()[1])
    with served(app, [listening]):
        yield lambda path, headers: send("GET", path, headers)


def over_mangum(app: Any) -> Iterator[Get]:
    function = SimpleNamespace(handler=lambda_http.lambda_function(app))

    def get(path: str, headers: Mapping[str, str]) -> Answer:
        return invoke(function, rest_event("GET", path, [("Host", "gateway.example"), *headers.items()], b""))

    yield get


async def who(call: Any) -> Any:
    subject, organization = PEOPLE[call.headers.get("x-user")]
    return Identity(kind="session", subject=subject, organization=organization)


@pytest.fixture(params=["uvicorn", "mangum"])
def counted(
    request: pytest.FixtureRequest, house: House, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Counted]:
    monkeypatch.setenv("UPSTREAM_CLIENT", "streaming" if request.param == "uvicorn" else "buffered")
    monkeypatch.setenv("CACHE_TABLE", table)
    (tmp_path / "counted.yaml").write_text(PROJECT)
    clock, calls, asked = FakeClock(time.time()), [], aws_json._asked

    def noted(url: Any, post: Any) -> Any:
        calls.append(post.headers["x-amz-target"].rpartition(".")[2])
        return asked(url, post)

    monkeypatch.setattr(aws_json, "_asked", noted)
    kits = [Kit(read(os.environ)), Kit(read(os.environ))]
    hosts, gets = [], []
    for kit in kits:
        limits = RouteLimits(RouteBuckets(table), clock, time.monotonic, shared=True)
        kit.__dict__["limits"] = limits
        kit._credentials["counted", "s"] = who
        monkeypatch.setattr(Kit, "organizations", lambda *_: FakeOrganizations({"o1": "own-1", "o2": "own-2"}))
        app = edge.application(gateway(load(tmp_path, os.environ), kit), most_bytes=1024, close=kit.close)
        hosts.append(over_uvicorn(app) if request.param == "uvicorn" else over_mangum(app))
        gets.append(next(hosts[-1]))
    yield Counted((gets[0], gets[1]), clock, calls, table)
    for host in hosts:
        next(host, None)
    if request.param == "mangum":
        for kit in kits:
            lambda_http.event_loop().run_until_complete(kit.close())


def test_the_fourth_of_three_is_refused_in_our_words_and_hears_when(counted: Counted):
    for left in (2, 1, 0):
        answer = counted.get("/one")
        assert (answer.status, answer.all("ratelimit")) == (200, [f'"few";r={left};t=20'])
        assert answer.all("ratelimit-policy") == ['"few";q=3;w=60']
    counted.clock.now += 0.5
    refused = counted.get("/one", Accept="*/*")
    check_error(refused, 429, "RATE_LIMITED", "one")
    assert (refused.get("retry-after"), refused.get("ratelimit")) == ("20", '"few";r=0;t=20')
    assert refused.get("access-control-allow-origin") == ORIGIN
    exposed = refused.get("access-control-expose-headers").split(", ")
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(exposed)
    counted.clock.now += 19.5
    assert counted.get("/one").status == 200


def test_two_routes_and_two_processes_share_a_limit_of_one_name(counted: Counted):
    assert [counted.get(path, process).status for path, process in (("/one", 0), ("/two", 1), ("/one", 1))] == [200] * 3
    for process in (0, 1):
        check_error(counted.get("/two", process), 429, "RATE_LIMITED", "two")
    assert counted.get("/free").status == 200


def test_what_a_client_says_its_address_is_gets_it_no_bucket_of_its_own(counted: Counted):
    statuses = [counted.get("/one", **{"X-Forwarded-For": f"198.51.100.{n}"}).status for n in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_two_organizations_have_a_limit_each_and_share_it_among_their_members(counted: Counted):
    statuses = [counted.get("/org", **{"X-User": user}).status for user in ("ada", "kim", "ada", "rook", "kim")]
    assert statuses == [200, 200, 429, 200, 429]


def test_an_upstream_that_is_gone_counts_and_says_so(counted: Counted):
    answer = counted.get("/gone")
    check_error(answer, 502, "UPSTREAM_UNREACHABLE")
    assert answer.get("ratelimit") == '"few";r=2;t=20'


def test_a_limit_in_the_shadow_refuses_nobody_and_answers_do_not_speak_of_it(counted: Counted):
    answers = [counted.get("/shadow") for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert counted.calls == ["UpdateItem"] * 2  # it counts: the first is two writes, and then it is known to be full
    assert not any(answer.get("ratelimit") or answer.get("ratelimit-policy") for answer in answers)


def test_a_request_is_one_write_and_a_flood_none(counted: Counted):
    counted.get("/one")
    counted.calls.clear()
    assert [counted.get("/one").status for _ in range(2)] == [200, 200]
    assert counted.calls == ["UpdateItem"] * 2
    assert {counted.get("/one").status for _ in range(30)} == {429}
    assert counted.calls == ["UpdateItem"] * 2
    counted.get("/free")
    assert counted.calls == ["UpdateItem"] * 2


def test_a_table_that_is_away_lets_each_process_keep_the_limit_by_itself(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    for process in (0, 1):
        answers = [counted.get("/one", process) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert [answer.get("ratelimit") for answer in answers] == [f'"few";r={left};t=20' for left in (2, 1, 0, 0)]


def test_what_stands_in_the_table_names_nobody(counted: Counted, house: House):
    counted.get("/one")
    counted.get("/org", **{"X-User": "ada"})
    dynamodb = boto3.client("dynamodb", endpoint_url=house.environment()["AWS_ENDPOINT_URL"])
    items = dynamodb.scan(TableName=counted.table)["Items"]
    dynamodb.close()
    assert len(items) == 2
    for item in items:
        assert item["pk"]["S"].startswith("limit#route-counted#")  # what the proxy may write, by its role
        assert not any(word in json.dumps(item) for word in ("127.0.0.1", "ada", "own-1", '"o1'))


def test_the_shipped_crow_keeps_the_limits_it_always_had():
    projects = load(ROOT / "layers/config/projects", {"PREFECT_SERVICE_URL": "http://prefect.test"})
    (crow,) = [project for project in projects.all if project.project == "crow"]
    assert {route.name: route.limit for route in crow.routes} == {
        route.name: ("auth",) if route.name == "auth" else ("standard",) for route in crow.routes
    }
    assert [(name, limit.requests, limit.per, limit.by) for name, limit in crow.limits.items()] == [
        ("standard", 100, 60, "ip"), ("auth", 10, 60, "ip"),
    ]  # fmt: skip
