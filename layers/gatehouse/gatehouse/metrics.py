"""Metrics as part of the log: CloudWatch reads them out of its lines (embedded metric format), and nobody sends any.

So there is nothing to flush when a function is frozen, and nothing that requests side by side could mix up: a line
holds the numbers of one request, and what to count them by.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gatehouse.metric_names import STORE_FAILURES, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_VALUE = 255
"""CloudWatch takes values of dimensions of up to 1024 characters; ours are names."""


@dataclass(slots=True)
class _Published:
    namespace: str = ""
    environment: str = ""


_as = _Published()


def publish(namespace: str, environment: str) -> None:
    """Publish the metrics of this process under *namespace*; with an empty one, none."""
    _as.namespace, _as.environment = namespace, environment


@contextmanager
def published(namespace: str, environment: str) -> Iterator[None]:
    """Publish the metrics of what happens inside under *namespace*."""
    before = (_as.namespace, _as.environment)
    publish(namespace, environment)
    try:
        yield
    finally:
        publish(*before)


def embedded(numbers: Mapping[Metric, float], **dimensions: str) -> dict[str, Any]:
    """Return the members that make a line of the log publish *numbers*; none where nothing is published.

    Args:
        numbers: what to publish.
        dimensions: what tells the numbers apart: every dimension of each of the metrics, but for the environment.
    """
    if not _as.namespace:
        return {}
    told = {"environment": _as.environment, **dimensions}
    names = {name for metric in numbers for name in metric.dimensions}
    return {
        **{name: told[name][:MOST_VALUE] for name in names},
        **{metric.name: number for metric, number in numbers.items()},
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": _directives(_as.namespace, tuple(numbers)),
        },
    }


def store_failed(store: str) -> dict[str, Any]:
    """Return the members that count, by the line that says so, that *store* did not answer."""
    return embedded({STORE_FAILURES: 1}, store=store)


@lru_cache(maxsize=256)
def _directives(namespace: str, metrics: tuple[Metric, ...]) -> list[dict[str, object]]:
    """Return what says which members are metrics, and by which others they are told apart."""
    by_dimensions: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for metric in metrics:
        by_dimensions.setdefault(metric.dimensions, []).append({"Name": metric.name, "Unit": metric.unit})
    return [
        {"Namespace": namespace, "Dimensions": [list(dimensions)], "Metrics": named}
        for dimensions, named in by_dimensions.items()
    ]
