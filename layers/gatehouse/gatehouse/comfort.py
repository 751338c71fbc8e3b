"""Blocking work that a request can do without, such as asking a table that all processes share.

Where it fails, is slow or busy, the request goes on without it, and it is left alone for a few seconds. Its threads are
its own, so that a table that hangs holds up nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from gatehouse import logs, metrics
from gatehouse.clock import Elapsed, Instant

QUIET_S = 5.0
THREADS = 8

T = TypeVar("T")


class Comfort:
    """Where such work is done, for one purpose.

    Args:
        elapsed: says how long ago something failed.
        name: what is reached by it, in the words of the log: "limits" are "limits not reached".
        most_waiting: for how many that is done, or waited for, at once; more go without.
        threads: how much is done at once.
    """

    def __init__(self, elapsed: Elapsed, *, name: str, most_waiting: int, threads: int = THREADS) -> None:
        self._elapsed = elapsed
        self._name = name
        self._most_waiting = most_waiting
        self._most_threads = threads
        self._failed: Instant | None = None
        self._waiting = 0

    async def get(self, work: Callable[[], T], within_s: float, **about: object) -> T | None:
        """Return what *work* returns, which blocks; None if it is not done now, fails, or takes longer than *within_s*.

        Args:
            work: what to do. What takes too long is not stopped, if it has begun: it must come to its own end.
            within_s: for how long to wait, in seconds. Who has no time left says nothing of what is asked.
            about: what the log says beside the reason, if it fails.
        """
        if within_s <= 0 or self._waiting >= self._most_waiting or self.is_quiet:
            return None
        self._waiting += 1
        try:
            doing = asyncio.get_running_loop().run_in_executor(self._threads, work)
            return await asyncio.wait_for(doing, within_s)
        except Exception as error:  # noqa: BLE001  # whatever it raises: a comfort is done without
            self._fail(error, about)
            return None
        finally:
            self._waiting -= 1

    @property
    def is_quiet(self) -> bool:
        """Whether it has failed lately, and is left alone."""
        return self._failed is not None and self._elapsed.since(self._failed) < QUIET_S

    def _fail(self, error: Exception, about: dict[str, object]) -> None:
        """Leave it alone for a while, and say so once, whatever the number of requests that were waiting."""
        if not self.is_quiet:
            logs.error(
                f"{self._name} not reached", **about, reason=type(error).__name__, **metrics.store_failed(self._name)
            )
        self._failed = self._elapsed.now()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._most_threads, self._name.replace(" ", "-"))
