"""Buckets of routes: exact for whoever counts at the same time, one write for each request that is let through.

Those tests that take a `store` run on moto and on MiniStack.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.gcra import Decision, Rate, decide, until_more_us
from gatehouse.stores import limits, route_buckets
from gatehouse.stores.route_buckets import RouteBuckets
from tests.unit.counting_store import Store

T = 1_800_000_000_000_000
S = 1_000_000
TEN = Rate(10, 300, 10)
THREADS = 8


def in_threads(work: Any) -> int:
    """How many were let through in all, by threads that each do *work*, which says how many of its own were."""
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(work, range(THREADS)))


@pytest.mark.parametrize("one_process", [True, False], ids=["one process", "a process each"])
def test_twice_as_many_as_are_allowed_get_what_the_arithmetic_says_and_no_more(store: Store, one_process: bool) -> None:
    """Time is the order in which requests come, so that a slow machine changes nothing."""
    each = (2000 if store.is_quick else 200) if one_process else 50
    table, rate = store.table(), Rate(100, 1, 20)
    step = rate.increment_us // 2
    moments, shared = count(T, step), RouteBuckets(table)

    def hammer(_: int) -> int:
        buckets = shared if one_process else RouteBuckets(table)
        return sum(buckets.take("k", rate, next(moments)).allowed for _ in range(each))

    admitted = in_threads(hammer)
    legal = rate.burst + (THREADS * each - 1) * step // rate.increment_us
    assert legal * 0.99 <= admitted <= legal + 1
    if one_process:
        assert len(store.asked) / admitted <= 1.05


def test_a_request_is_one_write_and_a_refused_one_none(store: Store) -> None:
    buckets = RouteBuckets(store.table())
    assert [buckets.take("k", TEN, T).remaining for _ in range(10)] == list(range(9, -1, -1))
    assert len(store.asked) == 11  # the first needs a second look
    for step in range(1000):
        assert not buckets.take("k", TEN, T + step * S // 100).allowed
    assert len(store.asked) == 11
    assert buckets.take("k", TEN, T + 30 * S).allowed
    assert len(store.asked) == 12


def test_what_another_process_has_taken_costs_one_write_to_learn(store: Store) -> None:
    table = store.table()
    for _ in range(10):
        RouteBuckets(table).take("k", TEN, T)
    store.asked.clear()
    here = RouteBuckets(table)
    assert here.refused("k", TEN, T) is None
    refusals = [here.take("k", TEN, T + step) for step in range(100)]
    assert [one.retry_after_us for one in refusals] == [30 * S - step for step in range(100)]
    assert here.refused("k", TEN, T + 100) == Decision(False, T + 300 * S, 30 * S - 100, 0)
    assert store.asked == ["UpdateItem"]


@pytest.mark.parametrize(
    ("rate", "later_us", "allowed"),
    [
        (Rate(1, 1, 1), 0, False), (Rate(1, 1, 1), S - 1, False), (Rate(1, 1, 1), S, True),
        (Rate(100, 1, 1), 9_999, False), (Rate(100, 1, 1), 10_000, True),
        (Rate(3, 1, 1), 333_333, False), (Rate(3, 1, 1), 333_334, True),
    ],
)  # fmt: skip
def test_at_its_edge_a_bucket_is_exact(store: Store, rate: Rate, later_us: int, allowed: bool) -> None:
    buckets = RouteBuckets(store.table())
    assert buckets.take("k", rate, T).allowed
    assert buckets.take("k", rate, T + later_us).allowed is allowed


def test_a_clock_that_steps_back_two_seconds_lets_no_more_through(store: Store) -> None:
    table = store.table()
    buckets, rate = RouteBuckets(table), Rate(10, 10, 10)
    assert sum(buckets.take("k", rate, T).allowed for _ in range(20)) == 10
    for here in (buckets, RouteBuckets(table)):
        assert here.take("k", rate, T - 2 * S).retry_after_us == 3 * S
    assert sum(buckets.take("k", rate, T + S).allowed for _ in range(5)) == 1


def test_any_text_is_a_key(store: Store) -> None:
    buckets = RouteBuckets(store.table())
    for key in ("é", "日本語", "a#b", "🦀" * 50, " ", "\u2028", "x" * 1900):
        assert [buckets.take(key, Rate(1, 60, 1), T).allowed for _ in range(2)] == [True, False]


def test_ten_thousand_keys_have_a_bucket_each_and_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_buckets, "decided", lambda _, __, rate, now: decide(None, now, rate))
    buckets = RouteBuckets("t")
    for number in range(10_000):
        assert buckets.take(str(number), Rate(1, 60, 1), T).allowed
    assert len(buckets._known) == limits.REMEMBERED
    assert buckets.refused("9999", Rate(1, 60, 1), T)
    assert buckets.refused("0", Rate(1, 60, 1), T) is None


# --------------------------------------------------------------------------------------------- without the table


@given(
    st.builds(Rate, requests=st.integers(1, 20), per_s=st.integers(1, 30), burst=st.integers(1, 4)),
    st.lists(st.integers(0, 4_000_000), min_size=1, max_size=30),
)
def test_memory_decides_as_the_arithmetic_does(rate: Rate, steps: list[int]) -> None:
    buckets, now, tat = RouteBuckets(""), T, None
    for step in steps:
        now += step
        expected = decide(tat, now, rate)
        tat = expected.tat
        assert (buckets.refused("k", rate, now) is None) is expected.allowed
        assert buckets.take_here("k", rate, now) == expected


@given(
    st.builds(Rate, requests=st.integers(1, 1000), per_s=st.integers(1, 3600), burst=st.integers(1, 50)),
    st.integers(0, 10**9),
)
def test_when_there_is_one_more_there_is_and_not_a_microsecond_earlier(rate: Rate, ahead: int) -> None:
    decision = decide(T + ahead % rate.tolerance_us, T, rate)
    then = T + until_more_us(decision, T, rate)

    def left(now: int) -> int:  # how many could be taken at that moment
        return (now + rate.tolerance_us - decision.tat) // rate.increment_us

    assert left(then - 1) == decision.remaining
    assert left(then) == decision.remaining + 1


def test_what_was_taken_without_the_table_counts_when_it_is_back(store: Store) -> None:
    buckets = RouteBuckets(store.table())
    assert sum(buckets.take_here("k", TEN, T).allowed for _ in range(11)) == 10
    assert not buckets.take("k", TEN, T).allowed
    assert store.asked == []


# ------------------------------------------------------------------------------------------------ near the edge


class Held:
    """A table that answers when it is told to."""

    def __init__(self) -> None:
        self.asked, self.answer, self.twice = 0, Event(), Event()

    def __call__(self, _: str, __: str, rate: Rate, now_us: int) -> Decision:
        self.asked += 1
        if self.asked > 1:
            self.twice.set()
        assert self.answer.wait(10)
        return decide(None, now_us, rate)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    table = Held()
    monkeypatch.setattr(route_buckets, "decided", table)
    yield table
    table.answer.set()


def test_near_the_edge_a_request_waits_for_those_that_are_asked_about(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route_buckets, "WAIT_S", 10)
    buckets, rate = RouteBuckets("t"), Rate(1, 60, 1)
    taken: list[bool] = []
    threads = [Thread(target=lambda: taken.append(buckets.take("k", rate, T).allowed)) for _ in range(4)]
    for thread in threads:
        thread.start()
    held.answer.set()
    for thread in threads:
        thread.join(10)
    assert (sorted(taken), held.asked) == ([False, False, False, True], 1)


def test_nobody_waits_long_for_a_table_that_hangs(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second asks although the first has not heard yet: else this test would not end."""
    monkeypatch.setattr(route_buckets, "WAIT_S", 0.01)
    buckets, rate = RouteBuckets("t"), Rate(1, 60, 1)
    threads = [Thread(target=lambda: buckets.take("k", rate, T)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert held.twice.wait(10)
    held.answer.set()
    for thread in threads:
        thread.join(10)


def test_a_table_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Decision:
        raise OSError

    monkeypatch.setattr(route_buckets, "decided", fail)
    buckets = RouteBuckets("t")
    with pytest.raises(OSError):  # noqa: PT011  # that one
        buckets.take("k", TEN, T)
    (bucket,) = buckets._known.values()
    assert (bucket.tat, bucket.asked) == (None, [])
