"""What CloudWatch Logs does with metrics in lines of the log: takes them out, and has CloudWatch count them.

Requests only leave their line here; a thread does the rest, once a second: reads the lines, adds their numbers up, and
sends sums. https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from gatehouse import logs

EVERY_S = 1.0
MOST_LINES = 100_000
"""How many lines may wait; more are dropped, which is said once the rest is read."""
MOST_AT_ONCE = 500
"""Metrics by request: PutMetricData takes 1000, and 1 MB."""
AT_A_STRETCH = 32
PAUSE_S = 0.0005
"""After so many lines, a millisecond's work, the thread lets others run: Python itself would take five to do so."""
MINUTE_MS = 60_000
MARK = '"_aws"'

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
        self.least, self.largest = min(self.least, number), max(self.largest, number)
        self.last_ms = max(self.last_ms, at_ms)


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
        """Send what comes for as long as the context lasts, and what is left at its end."""
        thread = threading.Thread(target=self._run, name="metric-lines", daemon=True)
        thread.start()
        try:
            with logs.also_to(self.take):
                yield
        finally:
            self._ending.set()
            thread.join(2)
            self.send()

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
            for namespace, data in by_namespace.items():
                for first in range(0, len(data), MOST_AT_ONCE):
                    self._sent(namespace, data[first : first + MOST_AT_ONCE])

    def _added_up(self) -> dict[Place, Sums]:
        """Return what the lines that have come add up to; now and then requests get their turn."""
        found: dict[Place, Sums] = {}
        for number in range(1, len(self._lines) + 1):
            add_up(self._lines.popleft(), found)
            if number % AT_A_STRETCH == 0:
                time.sleep(PAUSE_S)
        return found

    def _run(self) -> None:
        while not self._ending.wait(self._every_s):
            self.send()

    def _sent(self, namespace: str, data: list[dict[str, Any]]) -> None:
        try:
            self._put(namespace, data)
        except Exception as error:  # noqa: BLE001  # who stands in for CloudWatch may be gone; the gateway is not
            logs.error("metrics not sent", reason=type(error).__name__)


def add_up(line: str, found: dict[Place, Sums]) -> None:
    """Add the numbers in *line* to what was *found*. A line that does not hold what it announces has none."""
    with suppress(ValueError, KeyError, TypeError):
        said = json.loads(line)
        at_ms = said["_aws"]["Timestamp"]
        for place, number in _numbers(said, at_ms // MINUTE_MS):
            found.setdefault(place, Sums()).add(number, at_ms)


def _numbers(said: Mapping[str, Any], minute: int) -> Iterator[tuple[Place, float]]:
    for directive in said["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = tuple((name, said[name]) for name in names)
            for metric in directive["Metrics"]:
                numbers = said[metric["Name"]]
                place = Place(directive["Namespace"], metric["Name"], metric["Unit"], dimensions, minute)
                yield from ((place, number) for number in (numbers if isinstance(numbers, list) else [numbers]))


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
