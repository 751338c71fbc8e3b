"""The arithmetic of rate limits: never one more than the rate allows, and never a wait that is too short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.gcra import LONGEST_S, MOST, Decision, Rate, decide, parse

T = 1_800_000_000_000_000
TEN_IN_FIVE_MINUTES = Rate(10, 300, 10)
ONE_A_SECOND = Rate(1, 1, 1)

rates = st.builds(
    Rate, requests=st.integers(1, 50), per_s=st.integers(1, 600).map(lambda n: n / 10), burst=st.integers(1, 20)
)


# --------------------------------------------------------------------------------------------------------- one step


@pytest.mark.parametrize(
    ("tat", "expected"),
    [
        (None, Decision(True, T + 30_000_000, 0, 9)),  # never used
        (0, Decision(True, T + 30_000_000, 0, 9)),  # not used for long, and not deleted
        (T - 1, Decision(True, T + 30_000_000, 0, 9)),
        (T, Decision(True, T + 30_000_000, 0, 9)),
        (T + 1, Decision(True, T + 30_000_001, 0, 8)),
        (T + 30_000_000, Decision(True, T + 60_000_000, 0, 8)),
        (T + 269_999_999, Decision(True, T + 299_999_999, 0, 0)),
        (T + 270_000_000, Decision(True, T + 300_000_000, 0, 0)),  # the last one
        (T + 270_000_001, Decision(False, T + 270_000_001, 1, 0)),
        (T + 300_000_000, Decision(False, T + 300_000_000, 30_000_000, 0)),
        (T + 302_000_000, Decision(False, T + 302_000_000, 32_000_000, 0)),  # somebody's clock is two seconds ahead
    ],
)
def test_a_bucket_is_decided_by_how_far_ahead_it_is(tat: int | None, expected: Decision) -> None:
    assert decide(tat, T, TEN_IN_FIVE_MINUTES) == expected


@pytest.mark.parametrize(
    ("tat", "allowed", "retry_after_us"),
    [(None, True, 0), (T - 1, True, 0), (T, True, 0), (T + 1, False, 1), (T + 1_000_000, False, 1_000_000)],
)
def test_with_a_burst_of_one_requests_come_one_increment_apart(
    tat: int | None, allowed: bool, retry_after_us: int
) -> None:
    decision = decide(tat, T, ONE_A_SECOND)
    assert (decision.allowed, decision.retry_after_us, decision.remaining) == (allowed, retry_after_us, 0)


def test_eleven_at_once_are_ten_and_the_eleventh_waits_for_one_to_drain() -> None:
    tat, allowed = None, []
    for _ in range(11):
        decision = decide(tat, T, TEN_IN_FIVE_MINUTES)
        tat = decision.tat
        allowed.append(decision.allowed)
    assert allowed == [True] * 10 + [False]
    assert decision.retry_after_us == 30_000_000
    assert not decide(tat, T + 29_999_999, TEN_IN_FIVE_MINUTES).allowed
    assert decide(tat, T + 30_000_000, TEN_IN_FIVE_MINUTES).allowed


# -------------------------------------------------------------------------------------------------- whole histories


def admitted(steps: list[int], rate: Rate) -> list[int]:
    """The moments at which requests were let through, of requests that come *steps* µs after each other."""
    now, tat, moments = T, None, []
    for step in steps:
        now += step
        decision = decide(tat, now, rate)
        tat = decision.tat
        if decision.allowed:
            moments.append(now)
    return moments


@given(rates, st.lists(st.integers(0, 3_000_000), max_size=80))
def test_no_window_admits_more_than_the_burst_and_what_drains_in_it(rate: Rate, steps: list[int]) -> None:
    moments = admitted(steps, rate)
    for first, start in enumerate(moments):
        for last in range(first, len(moments)):
            drained = (moments[last] - start) * rate.requests // round(rate.per_s * 1_000_000)
            assert last - first + 1 <= rate.burst + drained


@given(rates, st.lists(st.integers(-2_000_000, 3_000_000), max_size=80))
def test_a_clock_that_steps_back_lets_no_more_through_than_its_furthest_moments_allow(
    rate: Rate, steps: list[int]
) -> None:
    moments = admitted(steps, rate)
    if moments:
        assert len(moments) <= rate.burst + (max(moments) - min(moments)) // rate.increment_us


@pytest.mark.parametrize("burst", [1, 10])
def test_a_clock_two_seconds_back_refuses_and_says_two_seconds_more(burst: int) -> None:
    rate = Rate(1, 1, burst)
    tat = decide(T - 1_000_000 + rate.tolerance_us, T, rate).tat
    before, after = decide(tat, T, rate), decide(tat, T - 2_000_000, rate)
    assert (before.allowed, after.allowed) == (False, False)
    assert after.retry_after_us == before.retry_after_us + 2_000_000


@given(rates, st.integers(-10_000_000, 10_000_000))
def test_the_wait_that_is_said_is_enough_and_not_too_long(rate: Rate, ahead: int) -> None:
    decision = decide(T + ahead + rate.tolerance_us, T, rate)
    if decision.allowed:
        assert decision.retry_after_us == 0
    else:
        assert decide(decision.tat, T + decision.retry_after_us, rate).allowed
        assert not decide(decision.tat, T + decision.retry_after_us - 1, rate).allowed


@given(rates, st.integers(-10_000_000, 10_000_000))
def test_as_many_remain_as_are_let_through(rate: Rate, ahead: int) -> None:
    decision = decide(T + ahead, T, rate)
    remaining = decision.remaining
    for _ in range(remaining):
        decision = decide(decision.tat, T, rate)
        assert decision.allowed
    assert not decide(decision.tat, T, rate).allowed


@given(rates, st.lists(st.integers(0, 3_000_000), max_size=40))
def test_a_refusal_changes_nothing(rate: Rate, steps: list[int]) -> None:
    now, tat = T, None
    for step in steps:
        now += step
        decision = decide(tat, now, rate)
        if not decision.allowed:
            assert decision.tat == tat
        tat = decision.tat


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_no_rounding_makes_a_rate_faster(requests: int, per_s: int) -> None:
    rate = Rate(requests, per_s, 1)
    assert rate.increment_us * requests >= per_s * 1_000_000
    assert (rate.increment_us - 1) * requests < per_s * 1_000_000


# ------------------------------------------------------------------------------------------------------ as text


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/5m", Rate(10, 300, 10)),
        ("50/5m", Rate(50, 300, 50)),
        ("1/1ms", Rate(1, 0.001, 1)),
        ("1000000/31d", Rate(MOST, LONGEST_S, MOST)),
        ("5/1s", Rate(5, 1, 5)),
    ],
)
def test_a_rate_is_requests_per_duration_and_may_all_come_at_once(text: str, rate: Rate) -> None:
    assert parse(text) == rate


def test_a_burst_can_be_said_apart() -> None:
    assert parse("100/1m", burst=20) == Rate(100, 60, 20)


@pytest.mark.parametrize(
    "text",
    [
        "", "10", "10/", "/5m", "0/5m", "-1/5m", "+1/5m", "010/5m", "1.5/5m", "10/5", "10/0m", "10/m", "10 / 5m",
        " 10/5m", "10/5m ", "10/5m\n", "10/5M", "ten/5m", "\u0661/5m", "10/5m/1", "10:5m", "1e3/5m", "10/5w",
        "9" * 5000 + "/1s", "9999999/1s", "1000001/1s", "10/32d", "10/999999999d", "10/744h1s",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match=r"10/5m|from 1") as caught:
        parse(text)
    assert len(str(caught.value)) < 5200


@pytest.mark.parametrize(("requests", "per_s", "burst"), [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, MOST + 1), (1, -1, 1),
    (1, float("nan"), 1), (1, float("inf"), 1), (MOST + 1, 1, 1), (1, 0.0009, 1)])  # fmt: skip
def test_a_rate_out_of_bounds_cannot_be_made(requests: int, per_s: float, burst: int) -> None:
    with pytest.raises(ValueError, match="from 1"):
        Rate(requests, per_s, burst)


@given(st.text(alphabet="0123456789/msdh. ", max_size=10))
def test_any_text_is_a_rate_or_refused(text: str) -> None:
    try:
        rate = parse(text)
    except ValueError:
        return
    assert rate.increment_us >= 1
    assert decide(None, T, rate).allowed
