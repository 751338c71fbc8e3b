"""Where a process counts the requests of routes: in a table that all processes share, and by itself if that fails.

A limit is a comfort: it never fails a request that it would let through. What cannot be counted for all processes, in
BUDGET_S of a request's time, is counted for this one, which then lets through as much as the limit says by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Protocol

from gatehouse import logs
from gatehouse.call import Call, Count
from gatehouse.clock import Clock, Elapsed, Instant
from gatehouse.counting import RouteLimit, bucket
from gatehouse.gcra import US, Decision, Rate, until_more_us

BUDGET_S = 0.3
"""How long a request waits for the table in all, whatever the number of its limits."""
QUIET_S = 5.0
THREADS = 8
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
        self._elapsed = Elapsed(wall, monotonic)
        self._shared = shared
        self._failed: Instant | None = None
        self._waiting = 0

    async def count(self, limit: RouteLimit, call: Call) -> Count:
        """Count *call* under *limit*, and return what that says."""
        key, now_us = bucket(limit, call), int(self._wall() * US)
        started = self._elapsed.monotonic()
        decision = self._buckets.refused(key, limit.rate, now_us)
        if decision is None and self._shared:
            left_s = BUDGET_S - sum(count.waited_s for count in call.counts)
            decision = await self._taken(key, limit.rate, now_us, left_s)
            if decision is None:
                call.notes["limitedHere"] = True
        decision = decision or self._buckets.take_here(key, limit.rate, now_us)
        return Count(
            limit=limit.name,
            allowed=decision.allowed,
            remaining=decision.remaining,
            more_after_s=until_more_us(decision, now_us, limit.rate) / US,
            waited_s=self._elapsed.monotonic() - started,
            shadow=limit.shadow,
        )

    async def _taken(self, key: str, rate: Rate, now_us: int, left_s: float) -> Decision | None:
        """Return what the table says; None if it is not asked now, or does not answer in *left_s* seconds."""
        if left_s <= 0 or self._waiting >= MOST_WAITING or self._is_quiet():
            return None
        taking = self._in_a_thread(lambda: self._buckets.take(key, rate, now_us))
        self._waiting += 1
        try:
            return await asyncio.wait_for(taking, left_s)
        except Exception as error:  # noqa: BLE001  # whatever the table raises: it is counted here
            self._fail(error)
            return None
        finally:
            self._waiting -= 1

    def _in_a_thread(self, work: Callable[[], Decision]) -> asyncio.Future[Decision]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _fail(self, error: Exception) -> None:
        """Leave the table alone for a while, and say so once, whatever the number of requests that were waiting."""
        if not self._is_quiet():
            logs.error("limits not reached", reason=type(error).__name__)
        self._failed = self._elapsed.now()

    def _is_quiet(self) -> bool:
        return self._failed is not None and self._elapsed.since(self._failed) < QUIET_S

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, "limits")
