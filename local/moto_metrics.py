"""Keeps moto's CloudWatch quick: it looks through everything that it was ever sent, for every metric it is asked for.

So what it has is added up as CloudWatch does it with what gets older: here into five minutes of the last quarter of an
hour, and days of what was before. Sums, counts and maxima stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

RECENT_S = 1200
SLOT_S = 300
DAY_S = 86_400


def tidy(account: str, region: str, now: float) -> None:
    """Add up what the CloudWatch of moto in this process has of *account* in *region*, as of *now*."""
    from moto.cloudwatch.models import cloudwatch_backends  # noqa: PLC0415  # loaded when the first metric comes

    backend = cloudwatch_backends[account][region]
    backend.metric_data = folded(backend.metric_data, now)


def folded(data: Iterable[Any], now: float) -> list[Any]:
    """Return moto's *data* added up."""
    slots: dict[Any, list[Any]] = {}
    for datum in data:
        slots.setdefault(_slot(datum, now), []).append(datum)
    return [found[0] if len(found) == 1 else _together(found) for found in slots.values()]


def _slot(datum: Any, now: float) -> tuple[Any, ...]:
    """Return what *datum* is added up by."""
    at = datum.timestamp.replace(tzinfo=UTC).timestamp()  # as moto has it, which says no zone
    seconds = SLOT_S if now - at < RECENT_S else DAY_S
    dimensions = tuple(sorted((one.name, one.value) for one in datum.dimensions))
    return datum.namespace, datum.name, datum.unit, dimensions, seconds, at // seconds


def _together(found: list[Any]) -> Any:
    from moto.cloudwatch.models import MetricAggregatedDatum  # noqa: PLC0415  # see `tidy`

    last = max(found, key=lambda one: one.timestamp)
    return MetricAggregatedDatum(
        namespace=last.namespace,
        name=last.name,
        min_stat=min(_statistic(one, "min") for one in found),
        max_stat=max(_statistic(one, "max") for one in found),
        sample_count=sum(_statistic(one, "sample_count") for one in found),
        sum_stat=sum(_statistic(one, "sum") for one in found),
        dimensions=[{"Name": one.name, "Value": one.value} for one in last.dimensions],
        timestamp=last.timestamp,
        unit=last.unit,
    )


def _statistic(datum: Any, name: str) -> float:
    """Return *name* of *datum*: one number, or what several came to."""
    single = 1.0 if name == "sample_count" else getattr(datum, "value", 0.0)
    return float(getattr(datum, name, single))
