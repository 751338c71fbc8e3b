"""Limits on the way of a request: who is counted when, what a refusal says, and what happens without the table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from gatehouse.build import gateway
from gatehouse.call import Call, Count, Handler, Identity, Reply
from gatehouse.comfort import QUIET_S
from gatehouse.counting import RouteLimit
from gatehouse.gcra import Decision, Rate
from gatehouse.projects import load
from gatehouse.rate_fields import policies, state
from gatehouse.route_limits import BUDGET_S, MOST_WAITING, RouteLimits
from gatehouse.stores.route_buckets import RouteBuckets
from tests.unit.fakes import FakeClock, FakeKit, FakeOrganizations, FakeUpstream, a_call, body_of, ok, run, write
from tests.unit.project_files import TOKENS, a_file

PROVIDERS = {
    "s": {"type": "session", "cookie": "sid", "url": "http://auth.test/s"},
    "k": {"type": "api_key", "prefix": "k_", "url": "http://auth.test/k"},
}
ORGANIZATION = {f"{name}": "http://org.test/{organization}/{user}" for name in ("session", "api_key", "membership")}
ONE = {"requests": 1, "per": "1m"}


class Doors:
    """A gateway with one route, whose callers say in `x-user` and `x-organization` who they are."""

    def __init__(
        self, folder: Path, limits: dict[str, Any], upstream: FakeUpstream | None = None, **route: Any
    ) -> None:
        text = a_file(
            limits=limits,
            route={"auth": "required", "accept": ["s"], "limit": list(limits), **route},
            providers=PROVIDERS,
            organization=ORGANIZATION,
            tokens=TOKENS,
            cors={"origins": ["https://app.test"]},
        )
        self.kit = FakeKit(upstream)
        self.kit.credentials = {"s": self._look, "k": self._look}
        self.kit.confirming = FakeOrganizations({"o1": "own-1", "o2": "own-2"})  # type: ignore[assignment]
        self.notes: dict[str, object] = {}
        self.handle: Handler = gateway(load(write(folder, text), {}), self.kit)

    async def _look(self, call: Call) -> Identity | None:
        user = call.headers.get("x-user")
        if not user:
            return None
        return Identity(kind="session", subject=user, organization=call.headers.get("x-organization"))

    def __call__(self, user: str = "", organization: str = "", path: str = "/a/x", **changes: Any) -> Reply:
        headers = [pair for pair in (("x-user", user), ("x-organization", organization)) if pair[1]]
        call = a_call(path, changes.pop("method", "GET"), *headers, ("origin", "https://app.test"), **changes)
        reply = run(self.handle(call))
        self.notes = call.notes
        return reply


def limited(reply: Reply, retry_after_s: int) -> None:
    assert (reply.status, body_of(reply)["code"]) == (429, "RATE_LIMITED")
    assert reply.headers.get("retry-after") == str(retry_after_s)


def test_what_is_left_is_on_every_answer_and_a_refusal_says_when(tmp_path: Path) -> None:
    doors = Doors(tmp_path, {"standard": {"requests": 2, "per": "1m"}}, auth="optional")
    for left in (1, 0):
        reply = doors()
        assert reply.status == 200
        assert reply.headers.get_all("ratelimit-policy") == ('"standard";q=2;w=60',)
        assert reply.headers.get_all("ratelimit") == (f'"standard";r={left};t=30',)
    doors.kit.clock.now += 0.5
    reply = doors()
    limited(reply, 30)  # 29.5, rounded up
    assert reply.headers.get_all("ratelimit") == ('"standard";r=0;t=30',)
    assert reply.headers.get("cache-control") == "no-store"
    assert doors.notes["limitedBy"] == "standard"
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(
        reply.headers.get("access-control-expose-headers").split(", ")
    )
    assert len(doors.kit.upstream.sent) == 2
    doors.kit.clock.now += 29.5
    assert doors().status == 200


@pytest.fixture(params=["authentication", "method", "upstream", "crash"])
def failing(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Reply]:
    upstream = FakeUpstream(ValueError()) if request.param == "crash" else FakeUpstream(ok(status=503))
    route = {"auth": "required" if request.param == "authentication" else "optional", "methods": ["GET"]}
    doors = Doors(tmp_path, {"x": ONE}, upstream, **route)
    return lambda: doors(method="POST" if request.param == "method" else "GET")


def test_failures_count_by_address_and_say_what_is_left(failing: Callable[[], Reply]) -> None:
    reply = failing()
    assert reply.status in {401, 405, 500, 503}
    assert reply.headers.get("ratelimit") == '"x";r=0;t=60'
    limited(failing(), 60)


def test_a_preflight_is_answered_and_not_counted(tmp_path: Path) -> None:
    doors = Doors(tmp_path, {"x": ONE}, auth="optional")
    for _ in range(3):
        assert doors(method="OPTIONS").status == 204
    assert doors().status == 200


def test_an_address_is_stopped_before_anybody_looks_at_its_credentials(tmp_path: Path) -> None:
    doors = Doors(tmp_path, {"x": ONE})
    looks: list[str] = []

    async def look(call: Call) -> Identity | None:
        looks.append(call.headers.get("x-user"))
        return Identity(kind="session", subject="ada")

    doors.kit.credentials["s"] = look
    doors.handle = gateway(load(tmp_path, {}), doors.kit)
    assert doors("ada").status == 200
    limited(doors("kim"), 60)
    assert looks == ["ada"]


def test_what_a_client_says_its_address_is_changes_nothing(tmp_path: Path) -> None:
    doors = Doors(tmp_path, {"x": ONE}, auth="optional")
    assert doors().status == 200
    call = a_call("/a/x", "GET", ("x-forwarded-for", "198.51.100.1"), ("x-real-ip", "198.51.100.1"))
    limited(run(doors.handle(call)), 60)
    assert doors(client_ip="198.51.100.1").status == 200


def test_a_caller_is_counted_wherever_they_call_from(tmp_path: Path) -> None:
    doors = Doors(tmp_path, {"x": {**ONE, "by": "subject"}})
    assert doors("ada", client_ip="192.0.2.1").status == 200
    limited(doors("ada", client_ip="192.0.2.2"), 60)
    assert doors("kim", client_ip="192.0.2.1").status == 200
    assert [doors(client_ip="192.0.2.1").status for _ in range(3)] == [401] * 3  # who is nobody here is not counted


def test_on_an_optional_route_nobody_is_counted_by_address(tmp_path: Path) -> None:
    doors = Doors(tmp_path, {"x": {**ONE, "by": "subject"}}, auth="optional")
    assert [doors().status, doors("ada").status, doors().status] == [200, 200, 429]
    assert doors(client_ip="192.0.2.8").status == 200


def test_two_organizations_are_two_by_the_ids_that_are_confirmed(tmp_path: Path) -> None:
    doors = Doors(tmp_path, {"x": {**ONE, "by": "organization"}}, organization="required")
    assert doors("ada", "o1").status == 200
    limited(doors("kim", "o1"), 60)
    assert doors("ada", "o2").status == 200
    assert [doors("kim", "not-theirs").status for _ in range(2)] == [403, 403]  # nobody uses up what is another's


def test_limits_of_all_kinds_are_kept_in_their_order_and_the_tightest_is_said(tmp_path: Path) -> None:
    limits = {
        "org": {"requests": 4, "per": "1m", "by": "organization"}, "me": {"requests": 2, "per": "1h", "by": "subject"},
        "here": {"requests": 3, "per": "1s"},
    }  # fmt: skip
    doors = Doors(tmp_path, limits, organization="optional")
    reply = doors("ada", "o1")
    assert reply.headers.get("ratelimit-policy") == '"org";q=4;w=60, "me";q=2;w=3600, "here";q=3;w=1'
    assert reply.headers.get("ratelimit") == '"me";r=1;t=1800'
    assert doors("kim", "o1").status == doors("ada", "o1").status == 200
    reply = doors("ada", "o1")
    limited(reply, 1)  # by address: the others were not asked
    assert reply.headers.get("ratelimit") == '"here";r=0;t=1'
    doors.kit.clock.now += 1
    limited(doors("ada", "o1"), 1799)
    assert doors("sue", "o1").headers.get("ratelimit") == '"org";r=0;t=14'


def test_what_is_public_is_counted_by_address_alone(tmp_path: Path) -> None:
    limits = {"me": {**ONE, "by": "subject"}, "here": {"requests": 2, "per": "1m"}}
    doors = Doors(tmp_path, limits, public=["GET /health"])
    for _ in range(2):
        reply = doors(path="/a/health")
        assert (reply.status, reply.headers.get("ratelimit-policy")) == (200, '"here";q=2;w=60')
    limited(doors(path="/a/health"), 30)


def test_two_routes_of_one_limit_share_it_and_those_of_others_do_not(tmp_path: Path) -> None:
    routes = [
        {"name": name, "path": f"/{name}", "upstream": "http://a.test", "auth": "none", "limit": limit}
        for name, limit in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    kit = FakeKit()
    handle = gateway(load(write(tmp_path, a_file(routes=routes, limits={"x": ONE, "y": ONE})), {}), kit)
    assert [run(handle(a_call(path))).status for path in ("/a", "/b", "/c")] == [200, 429, 200]


def test_a_limit_in_the_shadow_refuses_nothing_and_is_said_to_operators_alone(tmp_path: Path) -> None:
    limits = {"first": {**ONE, "shadow": True}, "second": {**ONE, "shadow": True}, "real": {"requests": 3, "per": "1m"}}
    doors = Doors(tmp_path, limits, auth="optional")
    assert doors().status == 200
    assert "shadowLimits" not in doors.notes
    reply = doors()
    assert (reply.status, doors.notes["shadowLimits"]) == (200, ["first", "second"])
    assert reply.headers.get("ratelimit-policy") == '"real";q=3;w=60'
    assert reply.headers.get("ratelimit") == '"real";r=1;t=20'


def test_with_limits_in_the_shadow_alone_answers_say_nothing(tmp_path: Path) -> None:
    reply = Doors(tmp_path, {"x": {**ONE, "shadow": True}}, auth="optional")()
    assert "ratelimit" not in reply.headers
    assert "ratelimit-policy" not in reply.headers


def test_a_route_without_limits_says_nothing_and_passes_on_what_an_upstream_says(tmp_path: Path) -> None:
    theirs = ("ratelimit", '"theirs";r=5;t=1')
    without = Doors(tmp_path, {}, FakeUpstream(ok(b"", theirs)), auth="optional")
    assert without().headers.get_all("ratelimit") == (theirs[1],)
    beside = Doors(tmp_path, {"x": ONE}, FakeUpstream(ok(b"", theirs)), auth="optional")
    assert beside().headers.get_all("ratelimit") == (theirs[1], '"x";r=0;t=60')


def test_a_route_without_an_upstream_counts_nothing(tmp_path: Path) -> None:
    routes = [{"name": "a", "path": "/a", "upstream": "${UNSET}", "auth": "none", "limit": "x"}]
    handle = gateway(load(write(tmp_path, a_file(routes=routes, limits={"x": ONE})), {}), FakeKit())
    assert [run(handle(a_call("/a"))).status for _ in range(2)] == [502, 502]


# ----------------------------------------------------------------------------------------------------------- fields


@pytest.mark.parametrize(("per_s", "w"), [(0.001, 1), (0.5, 1), (1, 1), (1.5, 2), (60, 60), (86_400, 86_400)])
def test_windows_are_whole_seconds(per_s: float, w: int) -> None:
    limit = RouteLimit(project="p", name="n", rate=Rate(7, per_s, 3), by="ip")
    assert policies([limit]) == (("ratelimit-policy", f'"n";q=7;w={w}'),)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], ()),
        ([(True, 3, 0.2), (True, 2, 0.1)], '"1";r=2;t=1'), ([(True, 0, 5.0), (True, 0, 9.0)], '"1";r=0;t=9'),
        ([(True, 0, 99.0), (False, 0, 1.2)], '"1";r=0;t=2'), ([(False, 0, 0.000001)], '"0";r=0;t=1'),
    ],
)  # fmt: skip
def test_the_tightest_is_the_refusal_then_what_has_least_left_then_what_lasts_longest(
    counts: list[tuple[bool, int, float]], expected: str | tuple[()]
) -> None:
    made = [
        Count(limit=str(number), allowed=allowed, remaining=left, more_after_s=after)
        for number, (allowed, left, after) in enumerate(counts)
    ]
    assert state(made) == ((("ratelimit", expected),) if expected else ())


# ------------------------------------------------------------------------------------------------- without the table


class Table(RouteBuckets):
    """A table that fails, hangs or works."""

    def __init__(self) -> None:
        super().__init__("")
        self.error: Exception | None = None
        self.hang: Event | None = None
        self.asked = 0

    def take(self, key: str, rate: Rate, now_us: int) -> Decision:
        self.asked += 1
        if self.hang:
            self.hang.wait(10)
        if self.error:
            raise self.error
        return self.take_here(key, rate, now_us)


LIMIT = RouteLimit(project="p", name="x", rate=Rate(2, 60, 2), by="ip")


class Counting:
    def __init__(self) -> None:
        self.table, self.wall, self.steady = Table(), FakeClock(), FakeClock(1000.0)
        self.limits = RouteLimits(self.table, self.wall, self.steady, shared=True)

    async def one(self, call: Call | None = None) -> Count:
        return await self.limits.count(LIMIT, call or a_call())

    def passes(self, seconds: float) -> None:
        self.wall.now += seconds
        self.steady.now += seconds


@pytest.mark.parametrize("error", [OSError(), ValueError(), KeyError("x"), TimeoutError(), RuntimeError()])
def test_without_the_table_a_process_keeps_the_limit_by_itself(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Counting()
    here.table.error = error
    call = a_call()
    allowed = [run(here.one(call)).allowed for _ in range(3)]
    assert (allowed, call.notes["limitedHere"]) == ([True, True, False], True)
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["message"], line["level"], line["reason"]) == ("limits not reached", "ERROR", type(error).__name__)


def test_that_the_table_is_away_is_said_once_whatever_the_number_of_requests(
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = Counting()
    here.table.error = OSError()

    async def five() -> None:
        await asyncio.gather(*(here.one(a_call(client_ip=f"192.0.2.{number}")) for number in range(5)))

    run(five())
    assert here.table.asked == 5
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_table_that_failed_is_left_alone_for_a_while_and_then_asked_again() -> None:
    here = Counting()
    here.table.error = OSError()
    run(here.one())
    for later_s in (0, QUIET_S - 0.001):
        here.passes(later_s)
        run(here.one(a_call(client_ip=str(later_s))))
    assert here.table.asked == 1
    here.passes(0.001)
    here.table.error = None
    call = a_call(client_ip="192.0.2.9")
    assert run(here.one(call)).allowed
    assert (here.table.asked, call.notes) == (2, {})


def test_what_the_table_has_refused_stays_refused_while_it_is_away() -> None:
    here = Counting()
    for _ in range(3):
        count = run(here.one())
    assert (count.allowed, here.table.asked) == (False, 2)  # the third was known to be too many
    here.table.error = OSError()
    run(here.one(a_call(client_ip="192.0.2.9")))
    assert not run(here.one()).allowed


def test_a_table_that_hangs_costs_a_request_its_budget_and_the_next_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatehouse.route_limits.BUDGET_S", 0.01)
    here = Counting()
    here.table.hang = Event()

    async def two() -> list[bool]:
        first = await here.one()
        return [first.allowed, (await here.one(a_call(client_ip="192.0.2.9"))).allowed]

    try:
        assert run(two()) == [True, True]
        assert here.table.asked == 1
    finally:
        here.table.hang.set()


def test_all_limits_of_a_request_wait_no_longer_than_one() -> None:
    here = Counting()
    call = a_call()
    call.counts.append(Count(limit="a", allowed=True, remaining=1, more_after_s=1, waited_s=BUDGET_S - 0.2))
    run(here.one(call))
    assert here.table.asked == 1
    call.counts.append(Count(limit="b", allowed=True, remaining=1, more_after_s=1, waited_s=0.2))
    assert run(here.one(call)).allowed
    assert here.table.asked == 1
    assert not here.limits._table.is_quiet  # who has no time left says nothing of the table


def test_requests_that_wait_for_the_table_are_bounded() -> None:
    here = Counting()
    here.table.hang = Event()

    async def flood() -> None:
        calls = [a_call(client_ip=f"192.0.{n // 256}.{n % 256}") for n in range(MOST_WAITING + 20)]
        waiting = [asyncio.create_task(here.one(call)) for call in calls]
        await asyncio.sleep(0)
        assert sum("limitedHere" in call.notes for call in calls) == 20
        assert here.table.hang
        here.table.hang.set()
        assert all(count.allowed for count in await asyncio.gather(*waiting))

    run(flood())


def test_a_client_that_hangs_up_takes_nothing_from_the_others() -> None:
    here = Counting()
    here.table.hang = Event()

    async def hang_up() -> None:
        leaving = asyncio.create_task(here.one())
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert here.table.hang
        here.table.hang.set()
        assert (await here.one(a_call(client_ip="192.0.2.9"))).allowed

    run(hang_up())
    assert not here.limits._table.is_quiet


def test_without_a_name_of_a_table_nobody_asks_one_and_nobody_complains(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table()
    limits = RouteLimits(table, FakeClock(), FakeClock(), shared=False)
    call = a_call()
    assert [run(limits.count(LIMIT, call)).allowed for _ in range(3)] == [True, True, False]
    assert (table.asked, call.notes, capsys.readouterr().out) == (0, {}, "")
