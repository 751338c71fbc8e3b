"""What a request can do without: how long it is waited for, when it is left alone, and whom it may hold up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from gatehouse.clock import Elapsed
from gatehouse.comfort import QUIET_S, THREADS, Comfort
from tests.unit.fakes import NOW, FakeClock, run

LONG_S = 10.0
SHORT_S = 0.01


class World:
    """A comfort on clocks that a test moves, and work that fails, hangs or is done."""

    def __init__(self, most_waiting: int = 20, threads: int = THREADS) -> None:
        self.wall, self.steady = FakeClock(), FakeClock(1000.0)
        elapsed = Elapsed(self.wall, self.steady)
        self.comfort = Comfort(elapsed, name="some things", most_waiting=most_waiting, threads=threads)
        self.free = Event()
        self.done: list[str] = []

    def work(self) -> str:
        self.done.append(threading.current_thread().name)
        return "done"

    def fail(self) -> str:
        self.work()
        raise OSError("a host that nobody is to read of")

    def hang(self) -> str:
        self.work()
        assert self.free.wait(LONG_S)
        return "late"

    def get(self, work: Any, within_s: float = LONG_S, **about: object) -> Any:
        return run(self.comfort.get(work, within_s, **about))


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.free.set()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_the_work_returns_is_returned(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert [world.get(world.work) for _ in range(3)] == ["done"] * 3
    assert (world.comfort.is_quiet, lines(capsys)) == (False, [])


@pytest.mark.parametrize("value", [None, False, 0, ()])
def test_what_is_nothing_to_python_is_no_failure(world: World, value: object) -> None:
    assert world.get(lambda: value) is value
    assert not world.comfort.is_quiet


def test_it_is_done_in_threads_of_its_own_which_say_what_for(world: World) -> None:
    world.get(world.work)
    assert world.done == ["some-things_0"]


def test_no_more_is_done_at_once_than_there_are_threads_and_the_rest_waits() -> None:
    world = World(threads=2)

    async def three() -> list[Any]:
        waiting = [asyncio.create_task(world.comfort.get(world.hang, LONG_S)) for _ in range(3)]
        done, _ = await asyncio.wait(waiting, timeout=SHORT_S)
        assert not done
        assert len(world.done) == 2
        world.free.set()
        return await asyncio.gather(*waiting)

    assert run(three()) == ["late"] * 3
    assert len(world.done) == 3


@pytest.mark.parametrize("within_s", [0, -0.001, -5])
def test_who_has_no_time_left_asks_nothing_and_says_nothing_of_it(world: World, within_s: float) -> None:
    assert world.get(world.work, within_s) is None
    assert (world.done, world.comfort.is_quiet) == ([], False)


@pytest.mark.parametrize("error", [OSError(), ValueError(), KeyError("x"), TimeoutError(), RuntimeError()])
def test_what_fails_is_nothing_and_the_log_says_why_and_what_about(
    world: World, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    assert world.get(work, operation="GetItem") is None
    (line,) = lines(capsys)
    del line["timestamp"], line["service"]
    reason = type(error).__name__
    assert line == {"level": "ERROR", "message": "some things not reached", "operation": "GetItem", "reason": reason}


def test_what_an_error_quotes_is_not_in_the_log(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.get(world.fail)
    assert "nobody" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wall_s", "steady_s", "quiet"),
    [
        (0, 0, True),
        (QUIET_S - 0.001, QUIET_S - 0.001, True),
        (QUIET_S, QUIET_S, False),
        (QUIET_S, 0, False),  # the process was frozen
        (0, QUIET_S, False),
        (-3600, QUIET_S - 0.001, True),  # the wall clock was set back
        (-3600, QUIET_S, False),
    ],
)
def test_what_failed_is_left_alone_for_a_while(world: World, wall_s: float, steady_s: float, quiet: bool) -> None:
    world.get(world.fail)
    world.wall.now += wall_s
    world.steady.now += steady_s
    assert world.comfort.is_quiet is quiet
    assert world.get(world.work) == (None if quiet else "done")
    assert len(world.done) == (1 if quiet else 2)


def test_a_failure_is_said_once_however_many_waited_and_again_the_next_time(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    async def five() -> None:
        await asyncio.gather(*(world.comfort.get(world.fail, LONG_S) for _ in range(5)))

    run(five())
    assert (len(world.done), len(lines(capsys))) == (5, 1)
    world.get(world.fail)
    assert lines(capsys) == []
    world.wall.now += QUIET_S
    world.get(world.fail)
    assert len(lines(capsys)) == 1


def test_what_takes_too_long_is_a_failure_and_the_next_one_does_not_wait(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert world.get(world.hang, SHORT_S) is None
    assert world.get(world.work) is None
    assert len(world.done) == 1
    assert [line["reason"] for line in lines(capsys)] == ["TimeoutError"]


def test_while_all_threads_hang_everything_else_still_has_some(world: World) -> None:
    async def work() -> str:
        await asyncio.gather(*(world.comfort.get(world.hang, SHORT_S) for _ in range(THREADS)))
        return await asyncio.wait_for(asyncio.to_thread(lambda: "free"), LONG_S)

    assert run(work()) == "free"


def test_those_who_wait_are_bounded_and_one_more_goes_without_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(most_waiting=3)

    async def flood() -> list[Any]:
        waiting = [asyncio.create_task(world.comfort.get(world.hang, LONG_S)) for _ in range(3)]
        await asyncio.sleep(0)
        assert await world.comfort.get(world.work, LONG_S) is None
        world.free.set()
        return await asyncio.gather(*waiting)

    assert run(flood()) == ["late"] * 3
    assert world.get(world.work) == "done"
    assert (world.comfort.is_quiet, lines(capsys)) == (False, [])  # that it is busy is no failure


def test_who_hangs_up_leaves_room_and_is_no_failure() -> None:
    world = World(most_waiting=1)

    async def hang_up() -> None:
        leaving = asyncio.create_task(world.comfort.get(world.hang, LONG_S))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        world.free.set()

    run(hang_up())
    assert world.get(world.work) == "done"
    assert not world.comfort.is_quiet


def test_what_waited_too_long_for_a_thread_is_never_begun() -> None:
    world = World(threads=1)

    async def two() -> None:
        first = asyncio.create_task(world.comfort.get(world.hang, LONG_S))
        await asyncio.sleep(0)
        assert await world.comfort.get(world.work, SHORT_S) is None
        world.free.set()
        assert await first == "late"

    run(two())
    world.wall.now = NOW + QUIET_S
    assert world.get(world.work) == "done"
    assert len(world.done) == 2
