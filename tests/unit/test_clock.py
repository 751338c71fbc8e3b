"""How much time has passed is told by the clock that saw more of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.clock import Elapsed, Instant, iso
from tests.unit.fakes import NOW, FakeClock

SECONDS = st.floats(min_value=-1e9, max_value=1e9)


@pytest.mark.parametrize(
    ("wall_s", "steady_s", "elapsed_s"),
    [(0, 0, 0), (5, 5, 5), (3600, 1, 3600), (1, 3600, 3600), (-3600, 5, 5), (5, -3600, 5), (-3600, -1, 0)],
)
def test_the_larger_difference_counts_and_time_never_runs_backwards(
    wall_s: float, steady_s: float, elapsed_s: float
) -> None:
    """Frozen, thawed, set forward, set back, restored from a snapshot."""
    wall, steady = FakeClock(), FakeClock(1000.0)
    elapsed = Elapsed(wall, steady)
    began = elapsed.now()
    wall.now, steady.now = NOW + wall_s, 1000.0 + steady_s
    assert elapsed.since(began) == elapsed_s


def test_an_instant_is_what_both_clocks_said() -> None:
    assert Elapsed(FakeClock(), FakeClock(7.0)).now() == Instant(wall=NOW, monotonic=7.0)


@given(SECONDS, SECONDS, SECONDS, SECONDS)
def test_no_less_has_passed_than_either_clock_says(wall: float, steady: float, wall_s: float, steady_s: float) -> None:
    since = Elapsed(FakeClock(wall + wall_s), FakeClock(steady + steady_s)).since(Instant(wall, steady))
    assert since >= max(0.0, wall + wall_s - wall, steady + steady_s - steady)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (0.25, "1970-01-01T00:00:00.250Z"),
        (NOW, "2027-01-15T08:00:00.000Z"),
        (None, None),
    ],
)
def test_a_moment_is_said_in_utc(moment: float | None, text: str | None) -> None:
    assert iso(moment) == text
