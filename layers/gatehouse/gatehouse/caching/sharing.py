"""What processes share of the cache, seen from one of them: a table that is a comfort.

Whatever the table holds or fails at, nothing here raises: what cannot be had is None.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from gatehouse.caching.keying import Key
from gatehouse.caching.marks import Marks
from gatehouse.caching.purges import Purges
from gatehouse.caching.rules import CacheRules
from gatehouse.caching.stored import Stored
from gatehouse.clock import Elapsed, Instant

T = TypeVar("T")
BUDGET_S = 0.3
"""How long a request waits for the table in all, but for where it waits for another that fetches the same."""
LEAST_S = 0.05
"""With less than that the table is not asked: what then takes too long says nothing of it."""
LEASE_S = 30.0
MOST_OWED = 1024
ENDING_S = 0.1


class Look(Protocol):
    """What the table says; see `stores.cached_answers.Found`."""

    @property
    def stored(self) -> Stored | None:
        """Return the answer at the place that was asked for."""
        ...

    @property
    def gone_at(self) -> float:
        """Return when the path was changed last, in seconds since the epoch; 0 for never."""
        ...

    @property
    def purges(self) -> Purges | None:
        """Return the purges of the project, if they were asked for."""
        ...

    @property
    def leased(self) -> bool:
        """Say whether somebody is fetching it, if that was asked."""
        ...


class Table(Protocol):
    """What processes share; `stores.cached_answers.CachedAnswers` is one. All of it blocks, and may raise anything."""

    def look(self, place: str, gone: str, *, now: float, purges: str = "", lease: bool = False) -> Look:
        """Return what there is at *place*, and what happened to it, in one read."""
        ...

    def keep(self, place: str, stored: Stored, *, now: float, until: float) -> bool:
        """Keep *stored* at *place* until then; return whether it was small enough."""
        ...

    def claim(self, place: str, *, looked_at: float, now: float, until: float) -> bool:
        """Say whether the caller, who looked then, is the one to fetch what belongs to *place*."""
        ...

    def release(self, place: str, *, now: float, done: bool) -> None:
        """Let others claim *place*; *done* says that there is an answer now."""
        ...

    def forget(self, gone: str, *, at: float, until: float) -> None:
        """Note that a path was changed."""
        ...


class Comfort(Protocol):
    """What runs what blocks and may fail; `comfort.Comfort` is one."""

    async def get(self, work: Callable[[], T], within_s: float) -> T | None:
        """Return what *work* returns; None if it was not run, failed, or took longer."""
        ...


class Budget:
    """What is left of the time that a request may wait for the table, and whether the table has failed it."""

    def __init__(self, seconds: float = BUDGET_S) -> None:
        self.left_s = seconds
        self.failed = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What the table said, None if it did not answer, and when it was asked."""

    look: Look | None
    at: Instant


class Shared:
    """The table of one process.

    Args:
        table: what processes share.
        comfort: runs what blocks.
        changes: the same for what has to be noted: that reading fails keeps nothing from being told.
        elapsed: the clocks.
        marks: where it is noted what happened.
    """

    def __init__(self, table: Table, comfort: Comfort, changes: Comfort, elapsed: Elapsed, marks: Marks) -> None:
        self._table = table
        self._comfort = comfort
        self._changes = changes
        self._elapsed = elapsed
        self._marks = marks
        self._owed: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._looking: dict[tuple[str, str, bool], asyncio.Task[Looked]] = {}

    async def look(self, place: str, rules: CacheRules, key: Key, budget: Budget, *, lease: bool = False) -> Looked:
        """Return what there is at *place*, and note what happened at *key*; without a place, only that is read.

        Those who look for the same at once look once: a crowd would keep the table busy for longer than it has.
        """
        about, loop = (place, key.gone, lease), asyncio.get_running_loop()
        looking, left_s, started = self._looking.get(about), budget.left_s, self._elapsed.now()
        if looking is None or looking.get_loop() is not loop:
            looking = loop.create_task(self._looked(place, rules, key, Budget(left_s), lease=lease))
            left_s += ENDING_S  # it ends by itself
            self._looking[about] = looking
            looking.add_done_callback(lambda done: self._has_looked(about, done))
        done, _ = await asyncio.wait({looking}, timeout=max(0.0, left_s))
        budget.left_s -= self._elapsed.monotonic() - started.monotonic
        looked = looking.result() if done else Looked(None, started)
        budget.failed = budget.failed or looked.look is None
        return looked

    def _has_looked(self, about: tuple[str, str, bool], done: asyncio.Task[Looked]) -> None:
        if self._looking.get(about) is done:
            del self._looking[about]

    async def _looked(self, place: str, rules: CacheRules, key: Key, budget: Budget, *, lease: bool) -> Looked:
        purges = rules.project if self._marks.due(rules.project) else ""
        now = self._elapsed.now()
        look = await self._asked(
            partial(self._table.look, place, key.gone, now=now.wall, purges=purges, lease=lease), budget
        )
        if look is not None:
            self._marks.told(rules.project, key.gone, look.gone_at)
            if look.purges is not None:
                self._marks.purge(rules.project, look.purges, now)
            await self._pay(budget)
        return Looked(look, now)

    async def keep(self, place: str, stored: Stored, until: float, budget: Budget) -> None:
        """Keep *stored* at *place* until then, if it is small enough."""
        await self._asked(partial(self._table.keep, place, stored, now=self._elapsed.wall(), until=until), budget)

    async def claim(self, place: str, looked_at: float, budget: Budget) -> bool | None:
        """Say whether this process is the one to fetch what belongs to *place*; None if nobody can say."""
        now = self._elapsed.wall()
        return await self._asked(
            partial(self._table.claim, place, looked_at=looked_at, now=now, until=now + LEASE_S), budget
        )

    async def release(self, place: str, *, done: bool) -> None:
        """Let others fetch what belongs to *place*; *done* says that there is an answer now.

        It has time of its own, also where a write has just failed: others would wait for as long as a lease lasts.
        """
        await self._told(
            partial(self._table.release, place, now=self._elapsed.wall(), done=done), Budget(), self._changes
        )

    async def forget(self, gone: str, at: float, until: float, budget: Budget) -> None:
        """Note that a path was changed; what the table does not take now, it is told again as soon as it answers."""
        if not await self._told(partial(self._table.forget, gone, at=at, until=until), budget, self._changes):
            self._owed[gone] = max((at, until), self._owed.get(gone, (at, until)))  # or one that came meanwhile
            if len(self._owed) > MOST_OWED:
                self._owed.popitem(last=False)

    async def _pay(self, budget: Budget) -> None:
        """Tell the table of the change that it was not told of for the longest time."""
        if self._owed:
            gone, (at, until) = self._owed.popitem(last=False)
            await self.forget(gone, at, until, budget)

    async def _told(self, work: Callable[[], None], budget: Budget, comfort: Comfort | None = None) -> bool:
        def told() -> bool:
            work()
            return True

        return bool(await self._asked(told, budget, comfort))

    async def _asked(self, work: Callable[[], T], budget: Budget, comfort: Comfort | None = None) -> T | None:
        """Return what *work* returns, within what is left of *budget*; None if that fails."""
        started = self._elapsed.monotonic()
        done = await (comfort or self._comfort).get(work, budget.left_s) if budget.left_s >= LEAST_S else None
        budget.left_s -= self._elapsed.monotonic() - started
        budget.failed = budget.failed or done is None
        return done
