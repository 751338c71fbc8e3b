"""Who fetches what is missing: one request of a process, one process of all. The others wait for it, not for long."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from gatehouse.caching.answers import Answers, Found, Wanted
from gatehouse.caching.keying import Key
from gatehouse.caching.memory import Held
from gatehouse.caching.sharing import Budget, Shared
from gatehouse.clock import Elapsed, Instant

WAIT_S = 3.0
"""How long a request waits for another that fetches the same; then it goes through."""
PASSED_S = 60.0
MOST_PASSED = 4096
_FIRST_POLL_S, _LAST_POLL_S, _SLOWER = 0.05, 0.25, 1.5


class Turns:
    """The turns of one process.

    Args:
        answers: where what was fetched is found.
        shared: what processes share; None if they share nothing.
        elapsed: the clocks.
    """

    def __init__(self, answers: Answers, shared: Shared | None, elapsed: Elapsed) -> None:
        self._answers = answers
        self._shared = shared
        self._elapsed = elapsed
        self._running: dict[str, asyncio.Future[bool]] = {}
        self._passed: OrderedDict[str, Instant] = OrderedDict()

    def begin(self, turn: str) -> bool:
        """Begin *turn*, unless another request of this loop has it; `end` has to follow."""
        if self._others(turn) is not None:
            return False
        self._running[turn] = asyncio.get_running_loop().create_future()
        return True

    def end(self, turn: str, *, kept: bool) -> None:
        """End *turn*, and tell those who wait whether there is an answer now."""
        running = self._running.pop(turn, None)
        if running is not None and not running.done():
            running.set_result(kept)

    async def outcome(self, turn: str, within_s: float) -> bool:
        """Wait for the request that has *turn*, for so long; return whether there is an answer now."""
        others = self._others(turn)
        if others is None:
            return False
        done, _ = await asyncio.wait({others}, timeout=within_s)
        return bool(done) and others.result()

    def _others(self, turn: str) -> asyncio.Future[bool] | None:
        """Return the future of *turn*, if it is one of this loop: those of a loop that is gone never end."""
        running = self._running.get(turn)
        return running if running is not None and running.get_loop() is asyncio.get_running_loop() else None

    async def claim(self, key: Key, found: Found, budget: Budget) -> bool | None:
        """Say whether this process is the one to fetch what belongs to *key*; None if nobody can say."""
        if self._shared is None or found.apart or not found.sure:
            return None
        return await self._shared.claim(key.place, found.looked_at, budget)

    async def release(self, key: Key, *, done: bool) -> None:
        """Let other processes fetch what belongs to *key*; *done* says that there is an answer now."""
        if self._shared:
            await self._shared.release(key.place, done=done)

    async def awaited(self, wanted: Wanted, found: Found, within_s: float) -> Held | None:
        """Return what another process fetches, newer than what was *found*; None if nothing comes in so long."""
        newer_than = found.held.stored.asked_at if found.held else 0.0
        slept_s, poll_s, began = 0.0, _FIRST_POLL_S, self._elapsed.monotonic()
        while self._shared and max(slept_s, self._elapsed.monotonic() - began) + poll_s <= within_s:
            await asyncio.sleep(poll_s)
            slept_s, poll_s = slept_s + poll_s, min(poll_s * _SLOWER, _LAST_POLL_S)
            budget = Budget()
            budget.left_s = min(budget.left_s, within_s - max(slept_s, self._elapsed.monotonic() - began))
            looked = await self._shared.look(wanted.key.place, wanted.rules, wanted.key, budget, lease=True)
            look = looked.look
            stored = self._answers.fit(look.stored if look else None, wanted)
            if stored and stored.asked_at > newer_than:
                mine = wanted.variant_of(stored.names) == stored.variant
                return self._answers.take(stored, wanted.key, looked.at) if mine else None
            if look is None or not look.leased:
                return None
        return None

    def passes(self, key: Key) -> bool:
        """Say whether what belongs to *key* was not fit to be kept a moment ago: then nobody waits for it."""
        since = self._passed.get(key.place)
        return since is not None and self._elapsed.since(since) < PASSED_S

    def note(self, key: Key, *, fit: bool) -> None:
        """Note whether what belongs to *key* was fit to be kept."""
        self._passed.pop(key.place, None)
        if not fit:
            self._passed[key.place] = self._elapsed.now()
        if len(self._passed) > MOST_PASSED:
            self._passed.popitem(last=False)
