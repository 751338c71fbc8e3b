"""Buckets in DynamoDB: exact whoever counts at the same time, and cheap when somebody floods.

Every test runs on moto and on MiniStack.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatehouse.gcra import Rate, decide
from gatehouse.stores import limits
from gatehouse.stores.aws_json import AwsError
from gatehouse.stores.limits import ContentionError, Limits, Outcome
from gatehouse.stores.places import AGAIN_S, KEPT_S, LoginPlaces
from tests.unit.counting_store import Store

T = 1_800_000_000_000_000
S = 1_000_000
TEN = Rate(10, 300, 10)
THREADS = 8


@pytest.fixture(scope="module")
def table(store: Store) -> str:
    """One table for many keys."""
    return store.table()


# ---------------------------------------------------------------------------------------------------- one after another


def test_ten_of_eleven_are_let_through_and_the_last_one_hears_when(store: Store) -> None:
    here = Limits(store.table())
    outcomes = [here.take("k", TEN, T) for _ in range(11)]
    assert outcomes == [*(Outcome(True, 0, left) for left in range(9, -1, -1)), Outcome(False, 30.0, 0)]


def test_it_is_let_through_again_at_that_moment_and_not_before(store: Store) -> None:
    here = Limits(store.table())
    for _ in range(11):
        here.take("k", TEN, T)
    assert here.take("k", TEN, T + 30 * S - 1) == Outcome(False, 1 / S, 0)
    assert here.take("k", TEN, T + 30 * S) == Outcome(True, 0, 0)
    assert not here.take("k", TEN, T + 30 * S).allowed


def test_keys_have_a_bucket_each(store: Store) -> None:
    here = Limits(store.table())
    for _ in range(11):
        here.take("a", TEN, T)
    assert here.take("b", TEN, T) == Outcome(True, 0, 9)


def test_a_request_is_one_write_and_the_first_one_two(store: Store) -> None:
    here = Limits(store.table())
    here.take("k", TEN, T)
    assert store.asked == ["UpdateItem"] * 2
    here.take("k", TEN, T + S)
    assert store.asked == ["UpdateItem"] * 3


def test_a_refused_flood_costs_one_write(store: Store) -> None:
    here = Limits(store.table())
    for _ in range(10):
        here.take("k", TEN, T)
    store.asked.clear()
    for step in range(100):
        outcome = here.take("k", TEN, T + step * S // 10)
        assert not outcome.allowed
        assert math.isclose(outcome.retry_after_s, 30 - step / 10)
    assert store.asked == ["UpdateItem"]
    assert here.take("k", TEN, T + 30 * S).allowed


def test_another_process_refuses_by_the_same_bucket(store: Store) -> None:
    table = store.table()
    for _ in range(10):
        Limits(table).take("k", TEN, T)
    assert Limits(table).take("k", TEN, T + 10 * S) == Outcome(False, 20.0, 0)


def test_a_process_whose_clock_is_two_seconds_behind_lets_no_more_through(store: Store) -> None:
    table = store.table()
    for _ in range(10):
        Limits(table).take("k", TEN, T)
    assert Limits(table).take("k", TEN, T - 2 * S) == Outcome(False, 32.0, 0)


@pytest.mark.parametrize("later_s", [30, 31, 3600, 90 * 86_400])
def test_a_bucket_that_time_has_drained_is_as_good_as_none_although_ttl_has_not_deleted_it(
    store: Store, later_s: int
) -> None:
    here = Limits(store.table())
    here.take("k", TEN, T)
    assert here.take("k", TEN, T + later_s * S) == Outcome(True, 0, 9)


def test_a_bucket_may_be_deleted_as_soon_as_it_has_drained_everywhere(store: Store) -> None:
    table = store.table()
    here = Limits(table)
    for _ in range(10):
        here.take("k", TEN, T)
        (item,) = store.items(table)
        assert set(item) == {"pk", "tat", "expires_at"}
        assert int(item["tat"]["N"]) / S < int(item["expires_at"]["N"]) <= T / S + 300 + 60


def test_a_rate_that_was_changed_starts_anew(store: Store) -> None:
    """Moments of a bucket that drains in a month would lock everybody out of one that drains in minutes."""
    here = Limits(store.table())
    while here.take("k", Rate(10, 31 * 86_400, 10), T).allowed:
        pass
    assert here.take("k", TEN, T) == Outcome(True, 0, 9)


# ------------------------------------------------------------------------------------------------------ giving back


def test_what_is_given_back_can_be_taken_again_at_once(store: Store) -> None:
    here = Limits(store.table())
    for _ in range(11):
        here.take("k", TEN, T)
    here.give_back("k", TEN, T)
    assert here.take("k", TEN, T) == Outcome(True, 0, 0)
    assert not here.take("k", TEN, T).allowed


def test_taking_and_giving_back_leaves_a_bucket_as_it_was(store: Store) -> None:
    here = Limits(store.table())
    for _ in range(100):
        assert here.take("k", TEN, T) == Outcome(True, 0, 9)
        here.give_back("k", TEN, T)


def test_nothing_is_given_back_to_a_bucket_that_has_drained_or_never_was(store: Store) -> None:
    table = store.table()
    here = Limits(table)
    here.give_back("k", TEN, T)
    assert store.items(table) == []
    here.take("k", TEN, T)
    here.give_back("k", TEN, T + 30 * S)
    assert [int(item["tat"]["N"]) for item in store.items(table)] == [T + 30 * S]


# -------------------------------------------------------------------------------------------------- at the same time


def in_threads(work: Callable[[int], list[bool]]) -> list[bool]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [one for many in pool.map(work, range(THREADS)) for one in many]


@pytest.mark.parametrize("shared", [True, False], ids=["one process", "a process each"])
def test_eight_at_once_get_exactly_what_there_is(store: Store, shared: bool) -> None:
    table, rate = store.table(), Rate(60, 60, 25)
    one = Limits(table)

    def hammer(_: int) -> list[bool]:
        mine = one if shared else Limits(table)
        return [mine.take("k", rate, T).allowed for _ in range(6)]

    assert sum(in_threads(hammer)) == 25


@pytest.mark.parametrize("attempt", range(5))
def test_one_of_eight_gets_the_only_one_of_an_unused_bucket(store: Store, attempt: int) -> None:
    table, rate = store.table(), Rate(1, 1, 1)
    assert sum(in_threads(lambda _: [Limits(table).take("k", rate, T).allowed])) == 1


def test_takes_and_returns_at_once_lose_nothing(store: Store) -> None:
    table, rate = store.table(), Rate(60, 60, 40)

    def log_in(_: int) -> list[bool]:
        mine = Limits(table)
        allowed = []
        for _ in range(5):
            allowed.append(mine.take("k", rate, T).allowed)
            mine.give_back("k", rate, T)
        return allowed

    assert all(in_threads(log_in))
    assert Limits(table).take("k", rate, T) == Outcome(True, 0, 39)


@settings(max_examples=15)
@given(
    st.builds(Rate, requests=st.integers(1, 20), per_s=st.integers(1, 30), burst=st.integers(1, 4)),
    st.lists(st.integers(0, 4_000_000), min_size=1, max_size=12),
)
def test_the_table_decides_as_the_arithmetic_does(table: str, rate: Rate, steps: list[int]) -> None:
    key, now, tat = str(uuid4()), T, None
    for step in steps:
        now += step
        expected = decide(tat, now, rate)
        tat = expected.tat
        outcome = Limits(table).take(key, rate, now)
        assert (outcome.allowed, outcome.remaining) == (expected.allowed, expected.remaining)
        assert outcome.retry_after_s == expected.retry_after_us / S


# ---------------------------------------------------------------------------------------------------------- failures


class Restless:
    """A DynamoDB in which somebody else is always faster: no condition holds, and what is there is long past."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, *_: Any) -> Any:
        self.asked += 1
        raise AwsError("ConditionalCheckFailedException", {"Item": {"tat": {"N": "1"}}})


def test_a_bucket_that_is_never_the_same_twice_is_given_up_after_a_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    restless = Restless()
    monkeypatch.setattr(limits, "call", restless)
    with pytest.raises(ContentionError):
        Limits("t").take("k", TEN, T)
    assert restless.asked == 2 * limits.ATTEMPTS


def test_a_table_that_is_not_there_is_no_permission(store: Store) -> None:
    for name in ("no-such-table", ""):
        with pytest.raises(AwsError):
            Limits(name).take("k", TEN, T)
        with pytest.raises(AwsError):
            Limits(name).give_back("k", TEN, T)


def test_a_flood_of_keys_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Limits("t")
    full = decide(T + TEN.tolerance_us, T, TEN)
    monkeypatch.setattr(limits, "decided", lambda *_: full)
    for number in range(limits.REMEMBERED + 100):
        here.take(str(number), TEN, T)
    assert len(here._refusals._until_us) == limits.REMEMBERED


def test_a_refusal_that_is_over_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Limits("t")
    monkeypatch.setattr(limits, "decided", lambda _, __, rate, now: decide(T + rate.tolerance_us, now, rate))
    here.take("k", TEN, T)
    assert here.take("k", TEN, T + 60 * S).allowed
    assert not here._refusals._until_us


# ------------------------------------------------------------------------------------------------- places of logins


def test_a_place_is_known_for_thirty_days_after_a_login(store: Store) -> None:
    here, now = LoginPlaces(store.table()), T / S
    assert not here.knows("p", now)
    here.remember("p", now)
    assert here.knows("p", now)
    assert here.knows("p", now + KEPT_S - 1)
    assert not here.knows("p", now + KEPT_S)  # TTL may not have deleted it
    assert not here.knows("q", now)


def test_a_place_is_written_again_only_after_a_day(store: Store) -> None:
    table, now = store.table(), T / S
    here = LoginPlaces(table)
    for later_s, written_s in [(0, 0), (60, 0), (AGAIN_S - 1, 0), (AGAIN_S, AGAIN_S), (AGAIN_S + 60, AGAIN_S)]:
        here.remember("p", now + later_s)
        (item,) = store.items(table)
        assert int(item["expires_at"]["N"]) == now + written_s + KEPT_S
