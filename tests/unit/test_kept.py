"""What is kept for a while: found out once for all who ask, and never for longer than it is good."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable

import pytest

from gatehouse.clock import Elapsed
from gatehouse.errors import AuthUnavailableError
from gatehouse.kept import Kept
from tests.unit.fakes import FakeClock, run


class Source:
    """Finds numbers out, one after another, and counts how often it was asked; `gate` holds it up."""

    def __init__(self, seconds: float = 30.0, error: Exception | None = None) -> None:
        self.asked = 0
        self.seconds = seconds
        self.error = error
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> tuple[int, float]:
        self.asked += 1
        number = self.asked
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        return number, self.seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def kept(clock: FakeClock) -> Kept:
    return Kept(Elapsed(clock, clock))


async def turns(count: int = 5) -> None:
    """Let everything else that is ready go on."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("later_s", "asked"), [(0.0, 1), (29.999, 1), (30.0, 2), (31.0, 2)])
def test_a_value_is_kept_for_its_seconds_and_not_longer(
    kept: Kept, clock: FakeClock, later_s: float, asked: int
) -> None:
    source = Source(30)
    assert run(kept.get("k", source)) == 1
    clock.now += later_s
    assert run(kept.get("k", source)) == asked
    assert source.asked == asked


@pytest.mark.parametrize("moved", ["wall", "steady"])
def test_the_clock_that_says_more_has_passed_counts(moved: str) -> None:
    """A frozen process's steady clock stands still; a wall clock is set back."""
    clocks = {"wall": FakeClock(), "steady": FakeClock(0)}
    kept, source = Kept(Elapsed(clocks["wall"], clocks["steady"])), Source(30)
    run(kept.get("k", source))
    clocks[moved].now += 30
    run(kept.get("k", source))
    assert source.asked == 2


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_value_that_is_good_for_no_time_is_found_out_each_time(kept: Kept, seconds: float) -> None:
    source = Source(seconds)
    assert [run(kept.get("k", source)) for _ in range(3)] == [1, 2, 3]


def test_none_is_a_value_like_any_other(kept: Kept) -> None:
    asked = []

    async def nothing() -> tuple[None, float]:
        asked.append(1)
        return None, 5

    assert run(kept.get("k", nothing)) is run(kept.get("k", nothing)) is None
    assert asked == [1]


def test_keys_are_told_apart_by_all_they_hold(kept: Kept) -> None:
    source = Source()
    keys = [("a", "bc"), ("ab", "c"), ("a", b"bc"), ("a", "bc", "")]
    assert [run(kept.get(key, source)) for key in keys] == [1, 2, 3, 4]
    assert [run(kept.get(key, source)) for key in keys] == [1, 2, 3, 4]


def test_five_hundred_at_once_have_it_found_out_once(kept: Kept) -> None:
    source = Source()

    async def work() -> list[int]:
        source.gate = asyncio.Event()
        asking = [asyncio.create_task(kept.get("k", source)) for _ in range(500)]
        await turns()
        source.gate.set()
        return await asyncio.gather(*asking)

    assert run(work()) == [1] * 500
    assert source.asked == 1


def test_a_failure_reaches_all_who_wait_and_is_not_kept(kept: Kept) -> None:
    source = Source(error=AuthUnavailableError())

    async def work() -> list[object]:
        source.gate = asyncio.Event()
        asking = [asyncio.create_task(kept.get("k", source)) for _ in range(50)]
        await turns()
        source.gate.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    assert {type(one) for one in run(work())} == {AuthUnavailableError}
    assert source.asked == 1
    source.error, source.gate = None, None
    assert run(kept.get("k", source)) == 2


@pytest.mark.parametrize("which", [0, 1])
def test_a_client_who_hangs_up_takes_nothing_from_the_others(kept: Kept, which: int) -> None:
    source = Source()

    async def work() -> int:
        source.gate = asyncio.Event()
        asking = [asyncio.create_task(kept.get("k", source)) for _ in range(2)]
        await turns()
        asking.pop(which).cancel()
        await turns()
        source.gate.set()
        return await asking[0]

    assert run(work()) == 1
    assert source.asked == 1


@pytest.mark.parametrize("error", [None, AuthUnavailableError()])
def test_when_all_have_hung_up_it_is_found_out_all_the_same_and_nothing_is_said(
    kept: Kept, error: Exception | None
) -> None:
    source, complaints = Source(error=error), []

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        source.gate = asyncio.Event()
        asking = asyncio.create_task(kept.get("k", source))
        await turns()
        asking.cancel()
        await turns()
        source.gate.set()
        await turns()
        gc.collect()

    run(work())
    assert complaints == []
    source.error = source.gate = None
    assert run(kept.get("k", source)) == (1 if error is None else 2)


def test_whoever_has_no_time_left_stops_waiting_and_the_others_do_not(kept: Kept, clock: FakeClock) -> None:
    source = Source()

    async def work() -> int:
        source.gate = asyncio.Event()
        asking = asyncio.create_task(kept.get("k", source, clock.now + 60))
        await turns()
        with pytest.raises(AuthUnavailableError):
            await kept.get("k", source, clock.now)
        source.gate.set()
        return await asking

    assert run(work()) == 1
    assert source.asked == 1


def test_what_is_kept_is_there_for_whoever_has_no_time(kept: Kept, clock: FakeClock) -> None:
    source = Source()
    run(kept.get("k", source))
    assert run(kept.get("k", source, clock.now - 1)) == 1


def test_what_is_cancelled_from_within_is_a_failure_and_no_cancellation_of_who_waits(kept: Kept) -> None:
    async def cancelled() -> tuple[int, float]:
        raise asyncio.CancelledError

    with pytest.raises(AuthUnavailableError):
        run(kept.get("k", cancelled))


def test_a_loop_that_is_gone_does_not_break_the_next_one(kept: Kept) -> None:
    source = Source()
    loop = asyncio.new_event_loop()

    async def abandoned() -> None:
        source.gate = asyncio.Event()
        asking = asyncio.create_task(kept.get("k", source))
        other = asyncio.create_task(kept.get("other", source))
        await turns()
        lost.extend([asking, other])

    lost: list[asyncio.Task[int]] = []
    loop.run_until_complete(abandoned())
    source.gate = None
    assert run(kept.get("k", source)) == 3
    assert len(kept._making) == 0
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.gather(*lost, return_exceptions=True))
    loop.close()
    assert run(kept.get("k", source)) == 3


def test_no_more_is_kept_than_was_said_and_what_was_used_longest_ago_goes(clock: FakeClock) -> None:
    kept, source = Kept(Elapsed(clock, clock), most=3), Source()

    def get(*keys: int) -> list[int]:
        return [run(kept.get(key, source)) for key in keys]

    assert get(1, 2, 3) == [1, 2, 3]
    assert get(1, 4) == [1, 4]
    assert get(3, 4, 1) == [3, 4, 1]
    assert get(2) == [5]
    assert len(kept._entries) == 3


def test_keys_that_nobody_waits_for_any_more_are_not_held(kept: Kept) -> None:
    for key in range(10):
        run(kept.get(key, Source(0)))
    assert kept._making == {}
    assert kept._entries == {}


def test_what_is_kept_is_shown_nowhere(kept: Kept) -> None:
    async def secret() -> tuple[str, float]:
        return "a-secret", 5

    run(kept.get("k", secret))
    assert "a-secret" not in repr(list(kept._entries.values()))


def test_finding_one_out_does_not_hold_up_another(kept: Kept) -> None:
    slow, quick = Source(), Source()

    async def work() -> int:
        slow.gate = asyncio.Event()
        asking: Awaitable[int] = asyncio.create_task(kept.get("slow", slow))
        await turns()
        found = await kept.get("quick", quick)
        slow.gate.set()
        return found + await asking

    assert run(work()) == 2


def test_refusals_in_any_number_push_no_good_answer_out(clock: FakeClock) -> None:
    kept = Kept(Elapsed(clock, clock), most=3)
    good = Source(30)
    assert run(kept.get("good", good)) == 1
    for number in range(20):
        run(kept.get(f"junk-{number}", Source(5)))
    assert run(kept.get("good", good)) == 1


def test_what_was_refused_and_is_good_by_now_is_kept_as_good(clock: FakeClock) -> None:
    kept = Kept(Elapsed(clock, clock), most=3)
    run(kept.get("k", Source(5)))
    clock.now += 5
    good = Source(30)
    assert run(kept.get("k", good)) == 1
    clock.now += 29
    assert run(kept.get("k", good)) == 1
    clock.now += 1
    assert run(kept.get("k", Source(2))) == 1
    clock.now += 2
    assert run(kept.get("k", good)) == 2
