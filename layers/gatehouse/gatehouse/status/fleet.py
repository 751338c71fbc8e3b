"""The metrics of the whole fleet, asked for once for all who want them, and kept for a while: asking costs money."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from gatehouse import logs
from gatehouse.clock import Clock, Elapsed, Instant
from gatehouse.errors import MetricsUnavailableError
from gatehouse.kept import Kept
from gatehouse.metric_names import Kind
from gatehouse.stores.metrics import Readings, Series

FRESH_S = 30.0
GOOD_S = 300.0
"""So long the last readings are shown while there are no others: Prometheus takes them for its last ones, too."""
READING_S = 8.0
"""After so long no more is asked of CloudWatch: scrapers wait for 10 s, and no longer."""
QUIET_S = 5.0
"""How long CloudWatch is left alone after it did not answer, if there are readings to show; or had nothing to say."""
SHRINKS: Kind = "gauge"

Read = Callable[[str, float, float], Readings]
"""Reads a namespace at a moment, within so many seconds; `stores.metrics.read` is it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Readings, and how old they are, in seconds."""

    readings: Readings
    age_s: float


class Fleet:
    """What CloudWatch says of a whole fleet.

    Args:
        namespace: where its metrics are.
        read: asks for them.
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
        fresh_s: how long readings are shown before others are asked for, in seconds.
    """

    def __init__(self, namespace: str, read: Read, wall: Clock, monotonic: Clock, *, fresh_s: float = FRESH_S) -> None:
        self.namespace = namespace
        self.fresh_s = fresh_s
        self._read = read
        self._wall = wall
        self._elapsed = Elapsed(wall, monotonic)
        self._kept = Kept(self._elapsed)
        self._last: tuple[Readings, Instant] | None = None

    async def shown(self) -> Shown:
        """Return the latest readings; old ones, if there are no others.

        Raises:
            MetricsUnavailableError: there are none to show.
        """
        readings, taken = await self._kept.get((), self._asked)
        return Shown(readings, self._elapsed.since(taken))

    async def _asked(self) -> tuple[tuple[Readings, Instant], float]:
        began = self._elapsed.now()
        try:
            readings = await asyncio.to_thread(self._read, self.namespace, self._wall(), READING_S)
        except Exception as error:
            logs.error("metrics not read", reason=type(error).__name__)
            if self._last is None or self._elapsed.since(self._last[1]) >= GOOD_S:
                raise MetricsUnavailableError from error
            return self._last, QUIET_S
        last = self._last[0] if self._last else None
        self._last = _grown(last, readings), began
        # That there is nothing yet costs nothing to hear, and is over soon.
        return self._last, self.fresh_s if readings.asked else min(QUIET_S, self.fresh_s)


def _grown(before: Readings | None, now: Readings) -> Readings:
    """Return *now* with no counter smaller than *before* in the same month.

    CloudWatch may answer a moment behind what it has said. A counter that shrinks has restarted, for Prometheus, and
    it would add up the whole month once more.
    """
    if before is None or before.since != now.since:
        return now
    numbers = {one: _larger(one, before.numbers.get(one, {}), said) for one, said in now.numbers.items()}
    return replace(now, numbers=numbers)


def _larger(series: Series, before: Mapping[str, float], now: Mapping[str, float]) -> Mapping[str, float]:
    if series.metric.kind == SHRINKS:
        return now
    return {statistic: max(number, before.get(statistic, 0.0)) for statistic, number in now.items()}
