"""What a process knows of what happened to kept answers: changes and purges, and when it has to ask."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching.keying import key_of
from gatehouse.caching.marks import LOOK_EVERY_S, MOST_PATHS, Marks
from gatehouse.caching.purges import Purges
from gatehouse.clock import Elapsed
from tests.unit.caching_fakes import RULES, a_stored, somebody
from tests.unit.fakes import NOW, FakeClock, a_call

KEY = key_of(RULES, a_call("/a/x"))
OTHER = key_of(RULES, a_call("/a/y"))


class Known:
    """The marks of a process whose clocks a test drives."""

    def __init__(self) -> None:
        self.wall, self.steady = FakeClock(), FakeClock(1000.0)
        self.elapsed = Elapsed(self.wall, self.steady)
        self.marks = Marks(self.elapsed)

    def stands(self, asked_at: float, generation: int = 0) -> bool:
        return self.marks.stands(a_stored(asked_at=asked_at, generation=generation), RULES, KEY)

    def purge(self, purges: Purges) -> None:
        self.marks.purge("p", purges, self.elapsed.now())

    def passes(self, seconds: float) -> None:
        self.wall.now += seconds
        self.steady.now += seconds


# ------------------------------------------------------------------------------------------------------------ moments


@given(st.lists(st.one_of(st.floats(-3600, 3600), st.just(0.0), st.just(-2.0)), min_size=2, max_size=30))
def test_of_two_moments_one_is_always_the_later_whatever_the_clock_does(steps: list[float]) -> None:
    known = Known()
    moments = []
    for step in steps:
        known.wall.now += step
        moments.append(known.marks.moment())
    assert all(one < other for one, other in pairwise(moments))
    assert all(moment >= NOW - 3600 * len(steps) for moment in moments)


def test_a_moment_is_what_the_clock_says_where_it_goes_on() -> None:
    known = Known()
    assert known.marks.moment() == NOW
    known.wall.now += 0.5
    assert known.marks.moment() == NOW + 0.5
    known.wall.now -= 2.0
    assert NOW + 0.5 < known.marks.moment() < NOW + 0.501
    known.wall.now += 3.0
    assert known.marks.moment() == NOW + 1.5


@pytest.mark.parametrize("step", [0.0, -2.0, 2.0])
def test_what_is_asked_for_before_a_change_is_gone_and_what_is_asked_for_after_it_stands(step: float) -> None:
    known = Known()
    before = known.marks.moment()
    known.wall.now += step
    known.marks.change("p", KEY.gone, known.marks.moment())
    known.wall.now += step
    after = known.marks.moment()
    assert not known.stands(before)
    assert known.stands(after)


# ------------------------------------------------------------------------------------------------------------ changes


@pytest.mark.parametrize(("asked_at", "stands"), [(99.999, False), (100.0, True), (100.001, True)])
def test_a_change_is_one_of_what_was_asked_for_before(asked_at: float, stands: bool) -> None:
    known = Known()
    assert known.stands(asked_at)
    known.marks.change("p", KEY.gone, 100.0)
    assert known.stands(asked_at) is stands


def test_a_change_of_another_path_is_none() -> None:
    known = Known()
    known.marks.change("p", OTHER.gone, 100.0)
    assert known.stands(1.0)


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0, 1000))
def test_only_the_last_change_counts_in_whatever_order_they_are_heard_of(moments: list[float], asked_at: float) -> None:
    known = Known()
    for moment in moments:
        known.marks.change("p", KEY.gone, moment)
    assert known.stands(asked_at) is (asked_at >= max(moments))


def test_never_is_no_change_and_takes_no_room() -> None:
    known = Known()
    known.marks.change("p", KEY.gone, 0.0)
    assert known.stands(0.0)
    assert not known.marks._changed["p"]._gone


def forget(known: Known, last: float) -> None:
    """Have so many other paths changed at *last* that every one before is forgotten."""
    for number in range(MOST_PATHS):
        known.marks.change("p", f"path {number}", last)


def test_what_is_forgotten_counts_as_changed_until_then() -> None:
    known = Known()
    known.marks.change("p", KEY.gone, 100.0)
    forget(known, 50.0)
    assert len(known.marks._changed["p"]._gone) == MOST_PATHS
    assert not known.stands(99.9)
    assert known.stands(100.0)


def test_what_is_forgotten_of_one_project_says_nothing_of_another() -> None:
    known = Known()
    for number in range(5000):
        known.marks.change("another", f"path {number}", 200.0 + number)
    known.marks.change("another", KEY.gone, 9000.0)
    assert known.stands(1.0)
    assert not known.marks.stands(a_stored(asked_at=200.0), replace(RULES, project="another"), OTHER)


def test_so_does_every_path_of_which_nothing_is_known() -> None:
    known = Known()
    known.marks.change("p", OTHER.gone, 100.0)
    assert known.stands(99.9)
    forget(known, 200.0)
    assert not known.stands(99.9)
    assert known.stands(100.0)


def test_an_earlier_change_of_a_forgotten_path_takes_nothing_back() -> None:
    known = Known()
    known.marks.change("p", KEY.gone, 100.0)
    forget(known, 200.0)
    known.marks.change("p", KEY.gone, 50.0)  # as the table has it, which was not told of the later one
    assert not known.stands(70.0)
    known.marks.change("p", KEY.gone, 150.0)
    assert not known.stands(149.0)
    assert known.stands(150.0)


def test_what_was_changed_last_is_remembered_longest() -> None:
    known = Known()
    for moment in (1.0, 2.0):
        known.marks.change("p", KEY.gone if moment == 1.0 else OTHER.gone, moment)
    known.marks.change("p", KEY.gone, 3.0)
    for number in range(MOST_PATHS - 1):
        known.marks.change("p", f"path {number}", 4.0)
    assert KEY.gone in known.marks._changed["p"]._gone
    assert OTHER.gone not in known.marks._changed["p"]._gone


# ------------------------------------------------------------------------------------------------------------- purges


@pytest.mark.parametrize(
    ("passed_s", "due"), [(0.0, False), (LOOK_EVERY_S - 0.001, False), (LOOK_EVERY_S, True), (3600.0, True)]
)
def test_purges_are_read_again_after_five_seconds(passed_s: float, due: bool) -> None:
    known = Known()
    assert known.marks.due("p")
    known.purge(Purges())
    known.passes(passed_s)
    assert known.marks.due("p") is due
    assert known.marks.due("q")


@pytest.mark.parametrize("clock", ["wall", "steady"])
def test_the_faster_of_two_clocks_counts(clock: str) -> None:
    known = Known()
    known.purge(Purges())
    getattr(known, clock).now += LOOK_EVERY_S
    assert known.marks.due("p")


def test_what_was_read_counts_from_when_it_was_asked_for() -> None:
    known = Known()
    asked = known.elapsed.now()
    known.passes(1.0)
    known.marks.purge("p", Purges(), asked)
    known.passes(LOOK_EVERY_S - 1.0)
    assert known.marks.due("p")


def test_what_was_asked_for_earlier_and_came_later_takes_nothing_back() -> None:
    known = Known()
    asked = known.elapsed.now()
    known.passes(0.1)
    known.purge(Purges().adding())
    known.marks.purge("p", Purges(), asked)
    assert known.marks.generation("p") == 1
    assert not known.stands(NOW, generation=0)


def test_a_steady_clock_that_starts_anew_hides_no_purge() -> None:
    known = Known()
    known.purge(Purges())
    known.steady.now = 1.0
    known.wall.now += 60.0
    assert known.marks.due("p")
    known.purge(Purges().adding())
    assert not known.marks.due("p")
    assert not known.stands(NOW, generation=0)


def test_a_log_of_purges_that_starts_anew_is_believed() -> None:
    known = Known()
    known.purge(Purges(7, 7))
    known.passes(5.0)
    known.purge(Purges(1, 1))
    assert known.marks.generation("p") == 1


def test_an_answer_carries_the_number_of_the_last_purge_that_was_known() -> None:
    known = Known()
    assert known.marks.generation("p") == 0
    known.purge(Purges().adding().adding(route="r"))
    assert (known.marks.generation("p"), known.marks.generation("q")) == (2, 0)


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ({}, True), ({"route": "r"}, True), ({"route": "q"}, False), ({"path": "/a/x"}, True), ({"path": "/a/*"}, True),
        ({"path": "/a/y"}, False), ({"organization": "o1"}, False), ({"route": "r", "path": "/a/x"}, True),
    ],
)  # fmt: skip
def test_a_purge_takes_what_it_says(what: dict[str, str], gone: bool) -> None:
    known = Known()
    known.purge(Purges().adding(**what))
    assert known.stands(NOW, generation=0) is not gone
    assert known.stands(NOW, generation=1)


@pytest.mark.parametrize(("organization", "gone"), [("o1", True), ("o2", False), ("", False)])
def test_a_purge_of_an_organization_takes_what_is_kept_for_its_members(organization: str, gone: bool) -> None:
    known = Known()
    known.purge(Purges().adding(organization="o1"))
    rules = replace(RULES, by="organization")
    key = key_of(rules, a_call("/a/x", identity=somebody("ada", organization)))
    assert known.marks.stands(a_stored(), rules, key) is not gone
