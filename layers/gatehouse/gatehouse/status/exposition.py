"""Readings as Prometheus scrapes them: its text format 0.0.4, or OpenMetrics for who asks for it.

Every number has the time at which CloudWatch was asked. Where several processes answer, each with readings of its own
age, Prometheus then refuses the older ones; without a time it would take them for counters that restarted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from gatehouse.metric_names import Metric
from gatehouse.status.fleet import Shown
from gatehouse.stores.metrics import COUNT, LARGEST, SUM, Readings, Series

AGE = "gatehouse_scrape_age_seconds"
ASKED = "gatehouse_scrape_numbers"
OPENMETRICS = "application/openmetrics-text"
SUFFIXES = {SUM: "_sum", COUNT: "_count"}


class _Collected:
    """What is shown, in the form that prometheus_client writes."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def collect(self) -> Iterator[Family]:
        """Yield each family once, with all its numbers."""
        yield from _families(self._shown.readings)
        yield GaugeMetricFamily(AGE, "How old these numbers are; they are asked for anew after half a minute.",
                                value=round(self._shown.age_s, 3))  # fmt: skip
        yield GaugeMetricFamily(ASKED, "How many numbers CloudWatch was asked for: what it charges for, at most.",
                                value=self._shown.readings.asked)  # fmt: skip


def exposition(shown: Shown, accept: str) -> tuple[bytes, str]:
    """Return what is *shown* in a format that *accept*, the field of a request, takes, and its content type."""
    collected = _Collected(shown)
    # Not prometheus_client's own choice, which fails on versions that are no numbers.
    if OPENMETRICS in accept.lower():
        written: bytes = openmetrics.generate_latest(collected)  # type: ignore[no-untyped-call]
        return written, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(collected), CONTENT_TYPE_PLAIN_0_0_4


def _families(readings: Readings) -> Iterable[Family]:
    families: dict[str, Family] = {}
    for series in sorted(readings.numbers, key=lambda one: (one.metric.family, one.values)):
        metric = series.metric
        for statistic, number in readings.numbers[series].items():
            family = families.setdefault(metric.family, Family(metric.family, metric.says, metric.kind))
            name, value = metric.family + _suffix(metric, statistic), _scaled(metric, statistic, number)
            family.add_sample(name, _labels(series), value, timestamp=readings.taken_at)
    return families.values()


def _suffix(metric: Metric, statistic: str) -> str:
    if statistic == LARGEST:
        return ""
    return "_total" if metric.kind == "counter" else SUFFIXES[statistic]


def _scaled(metric: Metric, statistic: str, number: float) -> float:
    return number if statistic == COUNT else number * metric.scale


def _labels(series: Series) -> dict[str, str]:
    metric = series.metric
    told = zip(metric.dimensions, series.values, strict=True)
    return {**{metric.labels.get(name, name): value for name, value in told}, **metric.fixed}
