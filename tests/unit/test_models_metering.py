"""Accounts of model calls: whose budget, in which window, what is written down, and what if it cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from threading import Event, Lock
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import metrics
from gatehouse.call import Call, Identity, Reply
from gatehouse.comfort import QUIET_S, Comfort
from gatehouse.errors import BudgetExceededError
from gatehouse.headers import Headers
from gatehouse.models import metered, metering
from gatehouse.models.budgets import Hold, Outcome, TokenBudget, account_of, refusal
from gatehouse.models.metered import Metered, Terms, user_of
from gatehouse.models.metering import Meter
from gatehouse.models.requests import ModelRequest
from gatehouse.models.usage import Row, Usage
from tests.unit.fakes import NOW, FakeClock, a_call, an_identity, run

DAY = 86_400
SAID = Usage(prompt=3, completion=4, total=7, model="m-1")
ANSWER = b'{"model":"m-1","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'


def a_budget(**changes: Any) -> TokenBudget:
    fields: dict[str, Any] = {"project": "p", "route": "ai", "tokens": 100, "per_s": DAY, "by": "subject"}
    return TokenBudget(**{**fields, **changes})


def a_request(reserved: int = 40, given: int = 5, model: str = "m") -> ModelRequest:
    return ModelRequest(model=model, given=given, reserved=reserved, body=b"{}")


# ----------------------------------------------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    ("per_s", "now", "start"),
    [
        (DAY, 1_799_971_200, 1_799_971_200), (DAY, 1_800_057_599.999, 1_799_971_200),
        (DAY, 1_800_057_600, 1_800_057_600),
        (3600, 1_800_000_000, 1_800_000_000), (3600, 1_799_999_999.5, 1_799_996_400), (1, 5.9, 5), (7, 20, 14),
    ],
)  # fmt: skip
def test_windows_begin_at_the_epoch_and_days_are_those_of_utc(per_s: int, now: float, start: int) -> None:
    account = account_of(a_budget(per_s=per_s), a_call(), now)
    assert (account.window, account.ends_at) == (f"{start}+{per_s}", start + per_s)


@given(st.integers(1, 31 * DAY), st.floats(0, 4e9))
def test_every_moment_is_in_one_window(per_s: int, now: float) -> None:
    account = account_of(a_budget(per_s=per_s), a_call(), now)
    assert account.ends_at - per_s <= now < account.ends_at
    assert account.ends_at % per_s == 0


@pytest.mark.parametrize(("tokens", "per_s"), [(0, 60), (-1, 60), (1, 0), (1, 31 * DAY + 1)])
def test_a_budget_has_tokens_and_a_window(tokens: int, per_s: int) -> None:
    with pytest.raises(ValueError, match="budget"):
        a_budget(tokens=tokens, per_s=per_s)


def someone(subject: str = "ada", organization: str = "o1", key: str = "") -> Call:
    claims = {"key": {"id": key}} if key else {}
    identity = Identity(kind="api_key", subject=subject, organization=organization, claims=claims)
    return a_call(identity=identity)


@pytest.mark.parametrize(
    ("by", "same", "other"),
    [
        ("subject", someone("ada", "o2", "k2"), someone("kim", "o1", "k1")),
        ("organization", someone("kim", "o1", "k2"), someone("ada", "o2", "k1")),
        ("key", someone("ada", "o2", "k1"), someone("ada", "o1", "k2")),
    ],
)
def test_calls_are_counted_together_by_whom_the_budget_says(by: str, same: Call, other: Call) -> None:
    budget = a_budget(by=by)
    owner, of_same, of_other = (
        account_of(budget, call, NOW).owner for call in (someone("ada", "o1", "k1"), same, other)
    )
    assert owner == of_same != of_other
    assert owner.startswith(f"p#ai#{by}#")
    assert "ada" not in owner.removeprefix(f"p#ai#{by}#")


@pytest.mark.parametrize(("wanted", "word"), [(101, "whole budget"), (50, "Retry-After")])
def test_a_refusal_says_what_to_do(wanted: int, word: str) -> None:
    message = refusal(a_budget(), wanted, -3)
    assert word in message
    assert "max_tokens" in message
    assert "-3" not in message


# ------------------------------------------------------------------------------------------------------------- meter


class FakeLedger:
    """A ledger in memory that may fail, or hang."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        self.spent = 0
        self.rows: list[Row] = []
        self.failing = 0
        self.hang: Event | None = None
        self.reserved = Event()
        self.tried = 0
        self._lock = Lock()

    def _work(self) -> None:
        self.tried += 1
        if self.hang:
            self.hang.wait(10)
        if self.failing:
            self.failing -= 1
            raise OSError

    def reserve(self, hold: Hold, most: int, now_s: float) -> Outcome:
        self._work()
        with self._lock:
            left = most - self.spent - sum(one.tokens for one in self.holds.values())
            if hold.tokens <= left:
                self.holds[hold.id] = hold
        self.reserved.set()
        return Outcome(hold.tokens <= left, left)

    def settle(self, hold: Hold, actual: int) -> None:
        self._work()
        with self._lock:
            self.spent += actual if self.holds.pop(hold.id, None) else 0

    def spend(self, hold: Hold) -> None:
        self._work()
        self.spent += hold.tokens

    def add(self, row: Row) -> None:
        self._work()
        self.rows.append(row)


class World:
    def __init__(self, budget: TokenBudget | None = None, *, shared: bool = True) -> None:
        self.ledger, self.wall, self.steady = FakeLedger(), FakeClock(NOW + 0.5), FakeClock(1000.0)
        self.meter = Meter(self.ledger, self.wall, self.steady, shared=shared)
        self.terms = Terms(project="p", route="ai", budget=budget, longest_s=300)

    async def begin(self, request: ModelRequest | None = None, call: Call | None = None) -> Metered:
        return await self.meter.begin(self.terms, request or a_request(), call or a_call(identity=an_identity()))

    async def whole(self, body: bytes = ANSWER, status: int = 200, kind: str = "application/json", **begin: Any) -> Row:
        """One call with an answer in one piece; return its row."""
        account = await self.begin(**begin)
        account.answered(Reply(status=status, headers=Headers((("content-type", kind),))))
        account.saw(body)
        await account.end()
        return self.ledger.rows[-1]


def logged(capsys: pytest.CaptureFixture[str], event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["message"] == event]


def test_what_a_call_may_take_is_held_and_what_it_took_is_settled() -> None:
    world = World(a_budget())

    async def one() -> None:
        account = await world.begin()
        (hold,) = world.ledger.holds.values()
        assert (hold.tokens, hold.until) == (40, NOW + 0.5 + 300 + 60 + 0.5)
        account.answered(Reply(status=200, headers=Headers((("content-type", "application/json"),))))
        account.saw(ANSWER)
        for _ in range(2):
            await account.end()

    run(one())
    assert (world.ledger.holds, world.ledger.spent, len(world.ledger.rows)) == ({}, 7, 1)


def test_where_there_is_no_room_the_refusal_says_when_there_will_be(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(a_budget(tokens=50, per_s=60))
    run(world.begin())
    with pytest.raises(BudgetExceededError) as caught:
        run(world.begin(a_request(11)))
    assert ("retry-after", "60") in caught.value.headers
    assert (caught.value.status, caught.value.code) == (429, "BUDGET_EXCEEDED")
    assert "11 tokens, and 10 of 50" in str(caught.value)
    assert world.ledger.rows == []
    assert capsys.readouterr().out == ""


def test_what_no_window_has_room_for_is_refused_without_asking() -> None:
    world = World(a_budget(tokens=39))
    with pytest.raises(BudgetExceededError, match="whole budget is 39"):
        run(world.begin())
    assert world.ledger.tried == 0


def test_without_a_budget_only_the_row_is_written() -> None:
    world = World()
    row = run(world.whole())
    assert row.usage == SAID
    assert (row.project, row.user, row.day, row.failed) == ("p", "ada", "2027-01-15", False)
    assert row.expires_at == NOW + 400 * DAY
    assert world.ledger.tried == 1


def test_without_a_table_there_is_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(a_budget(tokens=1), shared=False)

    async def one() -> None:
        account = await world.begin()
        account.answered(Reply(status=200, headers=Headers((("content-type", "application/json"),))))
        world.steady.now += 0.25
        account.saw(b"")
        account.saw(ANSWER[:9])
        world.steady.now += 1
        account.saw(ANSWER[9:])
        await account.end()

    run(one())
    assert world.ledger.tried == 0
    (line,) = logged(capsys, "model call")
    expected = {
        "project": "p", "route": "ai", "model": "m-1", "promptTokens": 3, "completionTokens": 4, "totalTokens": 7,
        "estimated": False, "durationMs": 1250, "firstByteMs": 250, "status": 200, "requestId": "request-0001",
    }  # fmt: skip
    assert {
        name: value for name, value in line.items() if name not in {"level", "timestamp", "message", "service"}
    } == expected


def test_tokens_are_metrics_where_metrics_are_published(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(a_budget(tokens=1), shared=False)

    async def one() -> None:
        account = await world.begin()
        account.answered(Reply(status=200, headers=Headers((("content-type", "application/json"),))))
        account.saw(ANSWER)
        await account.end()

    with metrics.published("Gatehouse/test", "prod"):
        run(one())
    (line,) = logged(capsys, "model call")
    assert (line["project"], line["route"], line["PromptTokens"], line["CompletionTokens"]) == ("p", "ai", 3, 4)
    (told,) = line["_aws"]["CloudWatchMetrics"]
    assert (told["Namespace"], told["Dimensions"]) == ("Gatehouse/test", [["project", "route"]])


@pytest.mark.parametrize(
    ("body", "status", "kind", "expected"),
    [
        (ANSWER, 200, "application/json", SAID),
        (ANSWER, 500, "application/json", SAID),  # it failed, and took that all the same
        (b"{}", 400, "application/json", Usage(prompt=0, completion=0, total=0, model="m")),
        (b"no", 502, "text/plain", Usage(prompt=0, completion=0, total=0, model="m")),
        (b"x" * 41, 200, "text/plain", Usage(prompt=5, completion=11, total=16, model="m", estimated=True)),
        (b"x" * 4000, 200, "audio/mpeg", Usage(prompt=5, completion=35, total=40, model="m", estimated=True)),
        (b"", 200, "text/event-stream", Usage(prompt=5, completion=0, total=5, model="m", estimated=True)),
        (b'data: {"choices":[{"delta":{"content":"12345"}}]}\n\n', 200, "text/event-stream",
         Usage(prompt=5, completion=2, total=7, model="m", estimated=True)),
        (b'data: {"choices":[{"delta":{"content":"12345"}}]}\n\n', 500, "text/event-stream",
         Usage(prompt=0, completion=0, total=0, model="m")),
    ],
)  # fmt: skip
def test_what_an_answer_does_not_say_is_estimated_and_a_failure_costs_nothing(
    body: bytes, status: int, kind: str, expected: Usage
) -> None:
    world = World(a_budget())
    row = run(world.whole(body, status, kind))
    assert row.usage == expected
    assert row.failed is (status >= 400)
    assert (world.ledger.spent, world.ledger.holds) == (expected.total, {})


@pytest.mark.parametrize(("heard", "spent"), [(False, 0), (True, 40)])
def test_without_any_answer_all_returns_unless_the_model_may_have_heard_of_it(heard: bool, spent: int) -> None:
    """It works on when the client has left: who hangs up each time would have it for nothing."""
    world = World(a_budget())

    async def one() -> None:
        await (await world.begin()).end(failed=True, heard=heard)

    run(one())
    assert (world.ledger.spent, world.ledger.holds, world.ledger.rows[0].failed) == (spent, {}, True)


def test_a_model_without_a_name_has_a_row_too() -> None:
    assert run(World().whole(b"", request=a_request(model=""))).usage.model == "unknown"


@pytest.mark.parametrize(
    ("identity", "user"),
    [
        (None, "anonymous"), (Identity(kind="anonymous", subject="v1"), "anonymous"),
        (Identity(kind="jwks", subject="s", user="u", email="a@b.c"), "a@b.c"),
        (Identity(kind="session", subject="s", user="u"), "u"), (Identity(kind="gateway", subject="s"), "s"),
        (Identity(kind="gateway", subject=""), "anonymous"), (Identity(kind="jwks", subject="x" * 256), "x" * 256),
    ],
)  # fmt: skip
def test_a_row_is_the_users(identity: Identity | None, user: str) -> None:
    assert user_of(identity) == user


def test_a_user_with_a_very_long_name_has_a_row_by_its_digest() -> None:
    names = {user_of(Identity(kind="jwks", subject="x" * 257 + end)) for end in ("a", "b", "\ud800")}
    assert {len(name) for name in names} == {64}
    assert len(names) == 3


# -------------------------------------------------------------------------------------------------- without the table


def test_a_call_passes_if_its_budget_cannot_be_asked_and_is_counted_if_the_table_is_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World(a_budget())
    world.ledger.failing = 1
    call = a_call(identity=an_identity())
    run(world.whole(call=call))
    assert call.notes["budget"] == "not asked"
    assert (world.ledger.spent, world.ledger.holds) == (7, {})
    assert len(logged(capsys, "budgets not reached")) == 1
    world.wall.now += QUIET_S
    world.steady.now += QUIET_S
    again = a_call(identity=an_identity())
    run(world.whole(call=again))
    assert "budget" not in again.notes


def test_what_could_not_be_asked_and_took_nothing_is_not_counted() -> None:
    world = World(a_budget())
    world.ledger.failing = 1
    run(world.whole(b"", 500))
    assert world.ledger.tried == 2  # the question and the row


def test_a_table_that_hangs_is_not_waited_for_and_holds_nothing_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "ASKING_S", 0.01)
    world = World(a_budget())
    world.ledger.hang = Event()
    call = a_call(identity=an_identity())

    async def one() -> Metered:
        return await world.begin(call=call)

    account = run(one())
    assert call.notes["budget"] == "not asked"
    world.ledger.hang.set()
    assert world.ledger.reserved.wait(10)
    world.meter._asking._threads.shutdown()
    assert world.ledger.holds == {}
    account.answered(Reply(status=200, headers=Headers((("content-type", "application/json"),))))
    account.saw(ANSWER)
    run(account.end())
    world.meter._threads.shutdown()
    assert world.ledger.spent == 7


def test_a_client_that_hangs_up_while_its_budget_is_asked_holds_nothing() -> None:
    world = World(a_budget())
    world.ledger.hang = Event()

    async def hang_up() -> None:
        leaving = asyncio.create_task(world.begin())
        while not world.ledger.tried:  # noqa: ASYNC110  # a thread sets it
            await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert world.ledger.hang
        world.ledger.hang.set()

    run(hang_up())
    world.meter._asking._threads.shutdown()
    world.meter._threads.shutdown()
    assert (world.ledger.holds, world.ledger.spent) == ({}, 0)


@pytest.mark.parametrize("tokens", [100, 40])
def test_an_answer_that_came_as_the_client_hung_up_holds_nothing(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_late(_: object, work: Callable[[], Outcome], __: float) -> None:
        assert work().allowed is (tokens == 100)
        raise asyncio.CancelledError

    world = World(a_budget(tokens=tokens))
    world.ledger.spent = 1
    monkeypatch.setattr(Comfort, "get", too_late)

    async def hung_up() -> None:
        with pytest.raises(asyncio.CancelledError):
            await world.begin()

    run(hung_up())
    world.meter._threads.shutdown()
    assert (world.ledger.holds, world.ledger.spent) == ({}, 1)


@pytest.mark.parametrize(("failing", "lines"), [(1, 0), (2, 1), (4, 2)])
def test_what_cannot_be_written_is_tried_again_and_then_logged_with_its_numbers(
    failing: int, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        metering, "THREADS", 1
    )  # one after the other: each write has the failures that are meant for it
    world = World(a_budget())

    async def one() -> None:
        account = await world.begin()
        account.answered(Reply(status=200, headers=Headers((("content-type", "application/json"),))))
        account.saw(ANSWER)
        world.ledger.failing = failing
        await account.end()

    run(one())
    out = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lost = {line["message"]: line for line in out if line["level"] == "ERROR"}
    if failing == 4:
        assert lost["usage not written"]["totalTokens"] == 7
        assert (lost["budget not settled"]["held"], lost["budget not settled"]["tokens"]) == (40, 7)
        assert not any("ada" in json.dumps(line) for line in out)
    assert len(lost) == lines


def test_the_end_of_an_answer_waits_for_the_writes_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metered, "WRITING_S", 0.01)
    world = World()
    account = run(world.begin())
    world.ledger.hang = Event()
    run(account.end())
    assert world.ledger.rows == []
    world.ledger.hang.set()
    world.meter._threads.shutdown()
    assert len(world.ledger.rows) == 1


def test_writes_that_wait_are_bounded_and_the_rest_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metering, "MOST_WRITING", 3)
    world = World()
    world.ledger.hang = Event()
    row = Row(
        project="p", user="ada", day="d", usage=SAID, failed=False, ms=1, first_byte_ms=1, expires_at=1, call_id="c"
    )
    for _ in range(5):
        world.meter.write(None, 7, row)
    assert [line["reason"] for line in logged(capsys, "usage not written")] == ["too many are waiting"] * 2
    world.ledger.hang.set()
    world.meter._threads.shutdown()
    assert len(world.ledger.rows) == 3
    assert world.meter._writing == 0
