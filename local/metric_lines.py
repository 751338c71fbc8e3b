"""What CloudWatch Logs does with metrics in lines of the log: takes them out, and has CloudWatch count them.

Requests only leave their line here; a thread does the rest, once a second: reads the lines, adds their numbers up, and
sends sums. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from gatehouse import logs
from gatehouse.edge import App, Receive, Scope, Send

EVERY_S = 1.0
END_S = 0.5
"""What is not sent so long after the end is lost."""
MOST_LINES = 100_000
"""How many lines may wait; more are dropped, which is said once the rest is read."""
MOST_AT_ONCE = 500
"""Metrics by request: PutMetricData takes 1000, and 1 MB."""
AT_A_STRETCH = 32
PAUSE_S = 0.0005
"""After so many lines, a millisecond's work, the thread lets others run: Python itself would take five to do so."""
MINUTE_MS = 60_000
MARK = '"_aws"'
_TAIL = re.compile(r'"_aws": ?\{"Timestamp": ?([0-9]+), ?"CloudWatchMetrics": ?(\[.*\])\}\}')
"""How our own lines end."""

Put = Callable[[str, list[dict[str, Any]]], None]
"""Sends metrics under a namespace."""


class Place(NamedTuple):
    """What numbers are added up by: one metric of CloudWatch's, in one minute."""

    namespace: str
    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]
    minute: int


@dataclass(slots=True)
class Sums:
    """What has come together of one metric in one minute; `last_ms` is when the last number was written down."""

    count: float = 0.0
    sum: float = 0.0
    least: float = float("inf")
    largest: float = float("-inf")
    last_ms: int = 0

    def add(self, number: float, at_ms: int) -> None:
        """Add *number*, of a moment in milliseconds since the epoch."""
        self.count += 1
        self.sum += number
        self.least = min(self.least, number)
        self.largest = max(self.largest, number)
        self.last_ms = max(self.last_ms, at_ms)

    def take(self, other: Sums) -> None:
        """Add all of *other*."""
        self.count += other.count
        self.sum += other.sum
        self.least, self.largest = min(self.least, other.least), max(self.largest, other.largest)
        self.last_ms = max(self.last_ms, other.last_ms)


class MetricLines:
    """Lines of the log on their way to CloudWatch.

    Args:
        put: sends metrics; what it cannot send is lost.
        every_s: how often, in seconds.
    """

    def __init__(self, put: Put, every_s: float = EVERY_S) -> None:
        self._put = put
        self._every_s = every_s
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._ending = threading.Event()
        self._sending = threading.Lock()

    def take(self, line: str) -> None:
        """Take *line* of the log, if it has metrics."""
        if MARK not in line:
            return
        if len(self._lines) >= MOST_LINES:
            self._dropped += 1
        else:
            self._lines.append(line)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send what comes for as long as the context lasts, and then what is left, if that does not take long."""
        thread = threading.Thread(target=self._run, name="metric-lines", daemon=True)
        thread.start()
        try:
            with logs.also_to(self.take):
                yield
        finally:
            self._ending.set()
            thread.join(END_S)

    def send(self) -> None:
        """Send what has come; blocks until it is sent."""
        with self._sending:
            found = self._added_up()
            dropped, self._dropped = self._dropped, 0
            if dropped:
                logs.error("metrics dropped", lines=dropped)
            by_namespace: dict[str, list[dict[str, Any]]] = {}
            for place, sums in found.items():
                by_namespace.setdefault(place.namespace, []).append(_datum(place, sums))
            try:
                for namespace, data in by_namespace.items():
                    for first in range(0, len(data), MOST_AT_ONCE):
                        self._put(namespace, data[first : first + MOST_AT_ONCE])
            except Exception as error:  # noqa: BLE001  # who stands in for CloudWatch may be gone; the gateway is not
                logs.error("metrics not sent", reason=type(error).__name__)

    def _added_up(self) -> dict[Place, Sums]:
        """Return what the lines that have come add up to; now and then requests get their turn."""
        adding = Adding()
        for number in range(1, len(self._lines) + 1):
            adding.add(self._lines.popleft())
            if number % AT_A_STRETCH == 0:
                time.sleep(PAUSE_S)
        return adding.places()

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            self.send()
        self.send()


def sent_before(path: str, lines: MetricLines, app: App) -> App:
    """Return *app*; who asks it for *path* is told of everything that is in *lines* by then."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == path:
            await asyncio.to_thread(lines.send)
        await app(scope, receive, send)

    return asked


class Adding:
    """Lines being added up. Those that have the same metrics and dimensions share their sums, found by one look."""

    def __init__(self) -> None:
        self._alike: dict[tuple[Any, ...], tuple[list[Place], list[Sums]]] = {}

    def add(self, line: str) -> None:
        """Add the numbers in *line*. One that does not hold what it announces has none."""
        with suppress(ValueError, KeyError, TypeError):
            said, at_ms, directives = _parted(line)
            names, _ = _announced(directives)
            minute = at_ms // MINUTE_MS
            key = (directives, minute, *[said[name] for name in names])
            places, sums = self._alike.get(key) or self._alike.setdefault(key, _empty(directives, minute, said))
            for place, one in zip(places, sums, strict=True):
                number = said[place.name]
                for each in number if isinstance(number, list) else (number,):
                    one.add(each, at_ms)

    def places(self) -> dict[Place, Sums]:
        """Return what it came to, by metric and minute."""
        found: dict[Place, Sums] = {}
        for places, sums in self._alike.values():
            for place, one in zip(places, sums, strict=True):
                if one.count:
                    found.setdefault(place, Sums()).take(one)
        return found


def _parted(line: str) -> tuple[dict[str, Any], int, str]:
    """Return what *line* says, when, and the text of what it announces, which many lines have in common."""
    at = line.rfind(MARK)
    tail = _TAIL.fullmatch(line, at)
    if tail:
        return json.loads(line[:at].rstrip(", ") + "}"), int(tail[1]), tail[2]
    said = json.loads(line)
    return said, said["_aws"]["Timestamp"], json.dumps(said["_aws"]["CloudWatchMetrics"])


@lru_cache(maxsize=256)
def _announced(directives: str) -> tuple[tuple[str, ...], tuple[tuple[str, str, str, tuple[str, ...]], ...]]:
    """Return the names of all dimensions in *directives*, and each metric: namespace, name, unit, its dimensions."""
    metrics = tuple(
        (one["Namespace"], metric["Name"], metric["Unit"], tuple(names))
        for one in json.loads(directives)
        for names in one["Dimensions"]
        for metric in one["Metrics"]
    )
    return tuple(dict.fromkeys(name for *_, names in metrics for name in names)), metrics


def _empty(directives: str, minute: int, said: Mapping[str, Any]) -> tuple[list[Place], list[Sums]]:
    _, metrics = _announced(directives)
    places = [
        Place(namespace, name, unit, tuple((one, said[one]) for one in names), minute)
        for namespace, name, unit, names in metrics
    ]
    return places, [Sums() for _ in places]


def _datum(place: Place, sums: Sums) -> dict[str, Any]:
    """Return what PutMetricData takes for *sums*."""
    return {
        "MetricName": place.name,
        "Unit": place.unit,
        "Dimensions": [{"Name": name, "Value": value} for name, value in place.dimensions],
        "Timestamp": sums.last_ms / 1000,
        "StatisticValues": {
            "SampleCount": sums.count,
            "Sum": sums.sum,
            "Minimum": sums.least,
            "Maximum": sums.largest,
        },
    }
