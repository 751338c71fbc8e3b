"""The ring in force: fetched when it has to be, one fetch at a time, and never given up for trouble."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from gatehouse.errors import AuthUnavailableError
from gatehouse.keyring import EMPTY_QUIET_S, FRESH_S, GRACE_S, QUIET_S, LiveKeyRing
from gatehouse.keys import parse
from tests.unit.fakes import NOW, OTHER_SECRET, SECRET, FakeClock, run
from tests.unit.private_keys import ED25519
from tests.unit.test_keys import document, one_key


@dataclass
class Clocks:
    """The wall and the steady clock, which tell the same until a test sets one of them apart."""

    wall: FakeClock
    monotonic: FakeClock

    @property
    def now(self) -> float:
        return self.monotonic.now

    @now.setter
    def now(self, seconds: float) -> None:
        self.monotonic.now, self.wall.now = seconds, NOW + seconds


class Store:
    """Where the ring is fetched from; it counts, and fails when told to."""

    def __init__(self, text: str | Exception = "") -> None:
        self.text: str | Exception = text or document()
        self.fetches = 0
        self.gate: Any = None

    async def __call__(self) -> str:
        self.fetches += 1
        if self.gate:
            await self.gate.wait()
        if isinstance(self.text, Exception):
            raise self.text
        return self.text


def live(text: str | Exception = "") -> tuple[LiveKeyRing, Store, Clocks]:
    store, clocks = Store(text), Clocks(FakeClock(), FakeClock(0.0))
    return LiveKeyRing(store, clocks.monotonic, wall=clocks.wall), store, clocks


@pytest.mark.parametrize(("after_s", "fetches"), [(0.0, 1), (FRESH_S - 1, 1), (FRESH_S, 2), (FRESH_S + 1, 2)])
def test_a_ring_is_fetched_once_and_again_when_it_is_no_longer_fresh(after_s: float, fetches: int) -> None:
    ring, store, clock = live()
    run(ring.current())
    clock.now = after_s
    run(ring.current())
    assert store.fetches == fetches


def test_nothing_is_fetched_before_it_is_needed() -> None:
    _, store, _ = live()
    assert store.fetches == 0


@pytest.mark.parametrize("trouble", [RuntimeError("down"), TimeoutError()])
@pytest.mark.parametrize("broken", [False, True])
def test_good_keys_survive_trouble_and_the_store_is_left_in_peace_meanwhile(trouble: Exception, broken: bool) -> None:
    ring, store, clock = live()
    good = run(ring.current())
    store.text = "{}" if broken else trouble
    clock.now = FRESH_S
    assert run(ring.current()) is good
    clock.now = FRESH_S + QUIET_S - 1
    assert run(ring.current()) is good
    assert store.fetches == 2
    clock.now = FRESH_S + QUIET_S
    assert run(ring.current()) is good
    assert store.fetches == 3


def test_without_any_keys_nobody_can_be_checked_and_recovery_comes_soon() -> None:
    ring, store, clock = live(RuntimeError("down"))
    for now, fetches in ((0.0, 1), (EMPTY_QUIET_S - 0.5, 1), (EMPTY_QUIET_S, 2)):
        clock.now = now
        with pytest.raises(AuthUnavailableError):
            run(ring.current())
        assert store.fetches == fetches
    store.text = document()
    clock.now = EMPTY_QUIET_S * 2
    assert run(ring.current()).current.kid == "k1"


def test_after_trouble_a_ring_is_fresh_for_as_long_as_ever() -> None:
    ring, store, clock = live()
    run(ring.current())
    store.text = RuntimeError("down")
    clock.now = FRESH_S
    run(ring.current())
    store.text = document()
    for seconds, fetches in ((QUIET_S, 3), (QUIET_S * 2, 3), (QUIET_S + FRESH_S - 1, 3), (QUIET_S + FRESH_S, 4)):
        clock.now = FRESH_S + seconds
        run(ring.current())
        assert store.fetches == fetches


@pytest.mark.parametrize("text", [one_key(secret="changeme"), "not json", "{}"])
def test_a_ring_that_is_refused_lets_nobody_in(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    ring, _, _ = live(text)
    with pytest.raises(AuthUnavailableError):
        run(ring.current())
    assert "key ring refused" in capsys.readouterr().out


def test_what_a_store_says_when_it_fails_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    ring, _, _ = live(RuntimeError(SECRET))
    with pytest.raises(AuthUnavailableError):
        run(ring.current())
    logged = capsys.readouterr().out
    assert "RuntimeError" in logged
    assert SECRET not in logged


def test_the_same_keys_fetched_again_stay_the_same_ring() -> None:
    ring, _, clock = live()
    first = run(ring.current())
    clock.now = FRESH_S
    assert run(ring.current()) is first


def test_new_keys_are_another_ring() -> None:
    ring, store, clock = live()
    first = run(ring.current())
    store.text = one_key(secret=OTHER_SECRET)
    clock.now = FRESH_S
    assert run(ring.current()) is not first


def test_a_key_id_that_the_ring_lacks_is_looked_for_once_and_then_not_for_a_while() -> None:
    """A rotation is seen at once, and random key ids cannot make the gateway ask the store for each."""
    ring, store, clock = live()
    run(ring.current())
    store.text = document(keys={name: {"alg": "HS256", "secret": SECRET} for name in ("k1", "k2")})
    assert "k2" in run(ring.with_key("k2")).keys
    assert store.fetches == 2
    for number in range(300):
        clock.now = QUIET_S * number / 300
        run(ring.with_key(f"random-{number}"))
    assert store.fetches == 2
    clock.now = QUIET_S
    run(ring.with_key("random"))
    assert store.fetches == 3


def test_a_known_key_id_asks_nobody() -> None:
    ring, store, _ = live()
    for _ in range(5):
        run(ring.with_key("k1"))
    assert store.fetches == 1


def test_looking_for_a_key_while_the_store_is_down_keeps_the_good_ring() -> None:
    ring, store, clock = live()
    good = run(ring.current())
    store.text = RuntimeError("down")
    assert run(ring.with_key("k9")) is good
    clock.now = 1.0
    assert run(ring.current()) is good
    assert store.fetches == 2


def test_many_callers_at_once_share_one_fetch() -> None:
    ring, store, _ = live()

    async def work() -> set[int]:
        store.gate = asyncio.Event()
        waiting = [asyncio.create_task(ring.current()) for _ in range(50)]
        await asyncio.sleep(0)
        store.gate.set()
        return {id(one) for one in await asyncio.gather(*waiting)}

    assert len(run(work())) == 1
    assert store.fetches == 1


def test_many_callers_at_once_without_a_ring_share_one_failure() -> None:
    ring, store, _ = live(RuntimeError("down"))

    async def work() -> list[Any]:
        store.gate = asyncio.Event()
        waiting = [asyncio.create_task(ring.current()) for _ in range(50)]
        await asyncio.sleep(0)
        store.gate.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(one) for one in run(work())} == {AuthUnavailableError}
    assert store.fetches == 1


def test_everybody_who_shows_a_new_key_gets_in_however_many_come_at_once() -> None:
    ring, store, _ = live()

    async def work() -> list[bool]:
        await ring.current()
        store.text = document(keys={kid: {"alg": "HS256", "secret": SECRET} for kid in ("k1", "k2")})
        store.gate = asyncio.Event()
        asking = [asyncio.create_task(ring.with_key("k2")) for _ in range(20)]
        await asyncio.sleep(0)
        store.gate.set()
        return ["k2" in (await one).keys for one in asking]

    assert run(work()) == [True] * 20
    assert store.fetches == 2


def test_those_with_known_keys_do_not_wait_for_somebodys_unknown_one() -> None:
    ring, store, _ = live()

    async def work() -> None:
        await ring.current()
        store.gate = asyncio.Event()
        asking = asyncio.create_task(ring.with_key("nobody-has-this"))
        await asyncio.sleep(0)
        assert "k1" in (await asyncio.wait_for(ring.current(), 1)).keys
        store.gate.set()
        await asking

    run(work())


# ------------------------------------------------------------------------------------------- processes that were frozen


@pytest.mark.parametrize(("wall_s", "steady_s", "fetches"), [
    (FRESH_S - 1, FRESH_S - 1, 1), (FRESH_S, 0, 2), (0, FRESH_S, 2), (-86_400, FRESH_S - 1, 1), (-86_400, FRESH_S, 2),
])  # fmt: skip
def test_a_ring_is_as_old_as_the_clock_says_that_saw_more_time_pass(
    wall_s: float, steady_s: float, fetches: int
) -> None:
    """A frozen process's steady clock may stand still, and the wall clock may be set back."""
    ring, store, clocks = live()
    run(ring.current())
    clocks.wall.now, clocks.monotonic.now = NOW + wall_s, steady_s
    run(ring.current())
    assert store.fetches == fetches


@pytest.mark.parametrize(("age_s", "waits"), [(FRESH_S + GRACE_S - 1, False), (FRESH_S + GRACE_S, True)])
def test_who_wakes_with_an_old_ring_waits_for_the_new_one(age_s: float, waits: bool) -> None:
    """Otherwise it would sign with a key that is retired meanwhile."""
    ring, store, clocks = live()

    async def work() -> tuple[bool, str]:
        await ring.current()
        clocks.now = age_s
        store.text = document(current="k2", keys={"k2": {"alg": "HS256", "secret": OTHER_SECRET}})
        store.gate = asyncio.Event()
        first, second = asyncio.create_task(ring.current()), asyncio.create_task(ring.current())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waited = not second.done()
        store.gate.set()
        assert (await first).current.kid == "k2"
        return waited, (await second).current.kid

    assert run(work()) == (waits, "k2" if waits else "k1")


def test_nobody_waits_for_a_store_that_has_been_failing() -> None:
    ring, store, clocks = live()

    async def work() -> None:
        good = await ring.current()
        store.text = RuntimeError("down")
        for clocks.now in (FRESH_S, FRESH_S * 2, FRESH_S * 2 + QUIET_S):
            await ring.current()
        clocks.now += QUIET_S
        store.gate = asyncio.Event()
        first = asyncio.create_task(ring.current())
        await asyncio.sleep(0)
        assert await asyncio.wait_for(ring.current(), 1) is good
        store.gate.set()
        assert await first is good

    run(work())


# ----------------------------------------------------------------------------------------- one that is there already


@pytest.mark.parametrize(("after_s", "fetches"), [(0.0, 0), (FRESH_S - 1, 0), (FRESH_S, 1)])
def test_a_ring_that_was_fetched_just_now_is_fresh_from_then_on(after_s: float, fetches: int) -> None:
    store, clocks = Store(), Clocks(FakeClock(), FakeClock(0.0))
    had = parse(document())
    ring = LiveKeyRing(store, clocks.monotonic, wall=clocks.wall, ring=had)
    clocks.now = after_s
    assert run(ring.current()) is had
    assert store.fetches == fetches


def test_a_ring_that_was_there_already_survives_trouble() -> None:
    store, clocks = Store(RuntimeError("down")), Clocks(FakeClock(), FakeClock(0.0))
    had = parse(document())
    ring = LiveKeyRing(store, clocks.monotonic, wall=clocks.wall, ring=had)
    clocks.now = FRESH_S
    assert run(ring.current()) is had


# ------------------------------------------------------------------------------------------------------ the audit line


def changed(before: str, after: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The audit lines of a ring that was *before* and is *after* now."""
    ring, store, clocks = live(before)
    run(ring.current())
    store.text = after
    clocks.now = FRESH_S
    run(ring.current())
    printed = capsys.readouterr().out
    assert SECRET not in printed
    assert OTHER_SECRET not in printed
    assert "PRIVATE" not in printed
    lines = [json.loads(line) for line in printed.splitlines()]
    return [line for line in lines if line["message"] == "audit"]


def test_a_ring_that_changes_is_noted_with_what_came_and_went(capsys: pytest.CaptureFixture[str]) -> None:
    shared = {"alg": "HS256", "secret": SECRET}
    before = document(keys={"k1": shared, "k2": shared, "k3": shared, "k4": shared})
    fresh = {"alg": "EdDSA", "private": ED25519}
    keys = {"k3": shared, "k4": {**shared, "secret": OTHER_SECRET}, "k5": fresh}
    (line,) = changed(before, document(current="k5", keys=keys), capsys)
    assert (line["action"], line["who"], line["result"]) == ("key ring changed", "secret", "ok")
    assert (line["current"], line["added"], line["removed"], line["replaced"]) == ("k5", "k5", "k1, k2", "k4")


def test_another_key_that_signs_is_a_change(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {kid: {"alg": "HS256", "secret": SECRET} for kid in ("k1", "k2")}
    (line,) = changed(document(keys=keys), document(keys=keys, current="k2"), capsys)
    assert line["current"] == "k2"
    assert line.keys() & {"added", "removed", "replaced"} == set()


def test_a_ring_that_stays_is_not_noted_and_neither_is_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert changed(document(), document(secrets={"OTHER": "value"}), capsys) == []


def test_a_named_secret_that_is_replaced_counts_without_a_change_of_keys() -> None:
    clock = FakeClock()
    texts = [document(secrets={"NAME": "one-good-secret"}), document(secrets={"NAME": "another-one"})]

    async def fetch() -> str:
        return texts.pop(0)

    live = LiveKeyRing(fetch, clock, wall=clock)
    assert run(live.current()).secrets == {"NAME": "one-good-secret"}
    clock.now += FRESH_S
    assert run(live.current()).secrets == {"NAME": "another-one"}
