"""A service that fails again and again is left alone, and one that answers again is asked again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gatehouse.circuit import MOST_FAILURES, MOST_SERVICES, OPEN_S, TRIAL_S, Circuit, Circuits, CutShortError
from gatehouse.clock import Elapsed
from gatehouse.errors import AuthUnavailableError
from tests.unit.fakes import FakeClock


class DownError(Exception):
    """What an attempt raises in these tests."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def circuit(clock: FakeClock) -> Circuit:
    return Circuit(Elapsed(clock, clock))


def fail(circuit: Circuit, error: type[BaseException] = DownError, times: int = 1) -> None:
    for _ in range(times):
        with suppress(error), circuit.attempt():
            raise error


def is_open(circuit: Circuit) -> bool:
    """Say whether an attempt is refused; one that is not says nothing, and changes nothing."""
    with suppress(CutShortError):
        try:
            fail(circuit, CutShortError)
        except AuthUnavailableError:
            return True
    return False


@pytest.mark.parametrize(("failures", "left_alone"), [(0, False), (1, False), (2, False), (3, True)])
def test_the_third_failure_in_a_row_opens_it(circuit: Circuit, failures: int, left_alone: bool) -> None:
    fail(circuit, times=failures)
    assert is_open(circuit) == left_alone


def test_an_answer_in_between_starts_the_count_anew(circuit: Circuit) -> None:
    for _ in range(5):
        fail(circuit, times=MOST_FAILURES - 1)
        with circuit.attempt():
            pass
    assert not is_open(circuit)


@pytest.mark.parametrize("later_s", [0.0, 1.0, OPEN_S - 0.001])
def test_while_it_is_open_nothing_begins(circuit: Circuit, clock: FakeClock, later_s: float) -> None:
    fail(circuit, times=MOST_FAILURES)
    clock.now += later_s
    with pytest.raises(AuthUnavailableError), circuit.attempt():
        pytest.fail("the service was asked")


def test_after_a_while_one_may_try_at_a_time_and_an_answer_closes_it(circuit: Circuit, clock: FakeClock) -> None:
    fail(circuit, times=MOST_FAILURES)
    clock.now += OPEN_S
    with circuit.attempt():
        assert is_open(circuit)
    assert not is_open(circuit)
    fail(circuit, times=MOST_FAILURES - 1)
    assert not is_open(circuit)


def test_a_trial_that_fails_opens_it_for_as_long_again(circuit: Circuit, clock: FakeClock) -> None:
    fail(circuit, times=MOST_FAILURES)
    clock.now += OPEN_S
    fail(circuit)
    clock.now += OPEN_S - 0.001
    assert is_open(circuit)
    clock.now += 0.001
    assert not is_open(circuit)


@pytest.mark.parametrize("error", [asyncio.CancelledError, CutShortError])
def test_a_trial_that_was_given_up_decides_nothing_and_makes_room_for_the_next(
    circuit: Circuit, clock: FakeClock, error: type[BaseException]
) -> None:
    fail(circuit, times=MOST_FAILURES)
    clock.now += OPEN_S
    fail(circuit, error)
    assert not is_open(circuit)
    fail(circuit)
    assert is_open(circuit)


@pytest.mark.parametrize("error", [asyncio.CancelledError, CutShortError])
def test_an_attempt_that_was_given_up_is_no_failure(circuit: Circuit, error: type[BaseException]) -> None:
    fail(circuit, times=MOST_FAILURES - 1)
    fail(circuit, error, times=5)
    assert not is_open(circuit)
    fail(circuit)
    assert is_open(circuit)


def test_a_trial_whose_loop_is_gone_does_not_keep_it_open_for_ever(circuit: Circuit, clock: FakeClock) -> None:
    fail(circuit, times=MOST_FAILURES)
    clock.now += OPEN_S
    lost = circuit.attempt()
    lost.__enter__()
    clock.now += TRIAL_S - 0.001
    assert is_open(circuit)
    clock.now += 0.001
    with circuit.attempt():
        lost.__exit__(CutShortError, CutShortError(), None)  # ends after all, and not the trial of somebody else
        assert is_open(circuit)


def test_what_was_asked_before_it_opened_and_fails_late_opens_it_no_longer(circuit: Circuit, clock: FakeClock) -> None:
    late = circuit.attempt()
    late.__enter__()
    fail(circuit, times=MOST_FAILURES)
    clock.now += OPEN_S - 1
    assert not late.__exit__(DownError, DownError(), None)
    clock.now += 1
    assert not is_open(circuit)


def test_an_answer_that_comes_late_closes_it_too(circuit: Circuit) -> None:
    with circuit.attempt():
        fail(circuit, times=MOST_FAILURES)
        assert is_open(circuit)
    assert not is_open(circuit)


def test_a_process_that_was_frozen_tries_again_by_the_wall_clock() -> None:
    wall, steady = FakeClock(), FakeClock(0)
    circuit = Circuit(Elapsed(wall, steady))
    fail(circuit, times=MOST_FAILURES)
    wall.now += OPEN_S
    assert not is_open(circuit)


def test_each_service_has_a_circuit_of_its_own(clock: FakeClock) -> None:
    circuits = Circuits(Elapsed(clock, clock))
    fail(circuits.of("http://a.test"), times=MOST_FAILURES)
    assert is_open(circuits.of("http://a.test"))
    assert not is_open(circuits.of("http://b.test"))


def test_the_service_asked_longest_ago_makes_room(clock: FakeClock) -> None:
    circuits = Circuits(Elapsed(clock, clock))
    first, second = circuits.of("http://0.test"), circuits.of("http://1.test")
    for number in range(2, MOST_SERVICES):
        circuits.of(f"http://{number}.test")
    assert circuits.of("http://0.test") is first
    circuits.of("http://one-more.test")
    assert circuits.of("http://0.test") is first
    assert circuits.of("http://1.test") is not second
