"""Where a process counts the requests of routes: in a table that all processes share, and by itself if that fails.

A limit is a comfort: it never fails a request that it would let through. What cannot be counted for all processes, in
BUDGET_S of a request's time, is counted for this one, which then lets through as much as the limit says by itself.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from gatehouse.call import Call, Count
from gatehouse.clock import Clock, Elapsed
from gatehouse.comfort import Comfort
from gatehouse.counting import RouteLimit, bucket
from gatehouse.gcra import US, Decision, Rate, until_more_us

BUDGET_S = 0.3
"""How long a request waits for the table in all, whatever the number of its limits."""
MOST_WAITING = 256


class Buckets(Protocol):
    """Where it is counted; `stores.route_buckets.RouteBuckets` is one."""

    def refused(self, key: str, rate: Rate, now_us: int) -> Decision | None:
        """Return the refusal that is known here; None if nothing is. Never blocks."""
        ...

    def take(self, key: str, rate: Rate, now_us: int) -> Decision:
        """Take one from the bucket *key*, if there is one left. Blocks."""
        ...

    def take_here(self, key: str, rate: Rate, now_us: int) -> Decision:
        """The same for this process alone. Never blocks."""
        ...


class RouteLimits:
    """The limits of one process.

    Args:
        buckets: where requests are counted.
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
        shared: whether other processes count there, too; without a table they do not.
    """

    def __init__(self, buckets: Buckets, wall: Clock, monotonic: Clock, *, shared: bool) -> None:
        self._buckets = buckets
        self._wall = wall
        self._monotonic = monotonic
        table = Comfort(Elapsed(wall, monotonic), name="limits", most_waiting=MOST_WAITING)
        self._table = table if shared else None

    async def count(self, limit: RouteLimit, call: Call) -> Count:
        """Count *call* under *limit*, and return what that says."""
        key, now_us = bucket(limit, call), int(self._wall() * US)
        started = self._monotonic()
        decision = self._buckets.refused(key, limit.rate, now_us)
        if decision is None and self._table:
            left_s = BUDGET_S - sum(count.waited_s for count in call.counts)
            decision = await self._table.get(partial(self._buckets.take, key, limit.rate, now_us), left_s)
            if decision is None:
                call.notes["limitedHere"] = True
        decision = decision or self._buckets.take_here(key, limit.rate, now_us)
        return Count(
            limit=limit.name,
            allowed=decision.allowed,
            remaining=decision.remaining,
            more_after_s=until_more_us(decision, now_us, limit.rate) / US,
            waited_s=self._monotonic() - started,
            shadow=limit.shadow,
        )
