"""What CloudWatch keeps of our metrics, read for the whole fleet and since the month began (00:00 UTC on its first).

Counters are sums by day, added up: they grow until the month is over and begin anew with the next, which `rate()` and
`increase()` of Prometheus take as the restart of a counter. Why a month: CloudWatch keeps sums by the hour and longer
for 15 months, so nothing of a month is lost; in a window that slides counters would shrink; a longer one only has more
days to add up. What is written in the last moments of a month and arrives after them is never seen here.

CloudWatch names a new metric after up to 15 minutes, has numbers after a minute or two, and no longer names a metric
that had none for two weeks. It charges for GetMetricData by the metric that is asked for, whatever the time (0.01 USD
for 1,000 in November 2026); `Readings.asked` is the most that it can count.

Source: Amazon CloudWatch API Reference, ListMetrics and GetMetricData. Both take JSON, as DynamoDB does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gatehouse.metric_names import CATALOGUE, Kind, Metric
from gatehouse.stores.aws_json import Service, call

CLOUDWATCH = Service(name="monitoring", target="GraniteServiceVersion20100801", json="1.0")
MOST_QUERIES = 500
"""How many GetMetricData takes at once."""
MOST_PAGES = 40
"""How many pages of 500 metrics are read: more would be a mistake, and an expensive one."""
LATEST_S = 60
"""How far beyond now is asked: what is being written down now counts."""
RECENT_PERIOD_S = 300
RECENT_S = 2 * RECENT_PERIOD_S
"""How far behind the present five minutes a gauge is looked for: 10 to 15 minutes in all."""
DAY_S = 86_400
SUM, COUNT, LARGEST = "Sum", "SampleCount", "Maximum"
STATISTICS: Mapping[Kind, tuple[str, ...]] = {"counter": (SUM,), "summary": (SUM, COUNT), "gauge": (LARGEST,)}
BROKEN = frozenset({"InternalError", "Forbidden"})
_BY_NAME = {metric.name: metric for metric in CATALOGUE}


class IncompleteError(Exception):
    """CloudWatch did not say all that it was asked: half of it would be read as all."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of CloudWatch's: one of the catalogue, and the values of its dimensions in the catalogue's order."""

    metric: Metric
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was read at one moment.

    Attributes:
        since: from when counters count, in seconds since the epoch.
        taken_at: when it was read, the same.
        numbers: by statistic for each series. A counter without any this month is 0; a gauge without a recent number
            has none.
        asked: how many numbers CloudWatch was asked for.
    """

    since: float
    taken_at: float
    numbers: Mapping[Series, Mapping[str, float]]
    asked: int


_Query = tuple[Series, str]


def read(namespace: str, now: float, within_s: float) -> Readings:
    """Return the readings of every series under *namespace* at *now*. Blocks.

    Args:
        namespace: CloudWatch's.
        now: seconds since the epoch.
        within_s: no request is begun after so many seconds; each ends by itself, see `aws_json.call`.

    Raises:
        TimeoutError: it took longer.
        IncompleteError: CloudWatch said that it could not say all.
        AwsError, OSError, http.client.HTTPException, ValueError, KeyError, TypeError: it did not answer as it should.
        botocore.exceptions.BotoCoreError: the same, where boto3 had to ask.
    """
    asking = _Asking(namespace, now, time.monotonic() + within_s)
    since, recent = month_began(now), now - now % RECENT_PERIOD_S - RECENT_S
    listed = asking.listed()
    # What has two statistics comes first: both are then in one request, for 500 is even.
    counting, gauging = [*_queries(listed, "summary"), *_queries(listed, "counter")], _queries(listed, "gauge")
    numbers: dict[Series, dict[str, float]] = {one: {} for one in listed}
    for (series, statistic), points in asking.points(counting, since, DAY_S):
        numbers[series][statistic] = sum(points)
    for (series, statistic), points in asking.points(gauging, recent, RECENT_PERIOD_S):
        if points:
            numbers[series][statistic] = max(points)
    return Readings(since=since, taken_at=now, numbers=numbers, asked=len(counting) + len(gauging))


def month_began(now: float) -> float:
    """Return the first moment of the month of *now*, in UTC; all in seconds since the epoch."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.timestamp()


def series_of(listed: Mapping[str, Any]) -> Series | None:
    """Return the series that *listed*, an entry of ListMetrics, is; None if the catalogue has none like it."""
    metric = _BY_NAME.get(listed["MetricName"])
    values = {one["Name"]: one["Value"] for one in listed.get("Dimensions", ())}
    if metric is None or values.keys() != set(metric.dimensions):
        return None
    return Series(metric, tuple(values[name] for name in metric.dimensions))


def _queries(listed: list[Series], kind: Kind) -> list[_Query]:
    return [(one, statistic) for one in listed if one.metric.kind == kind for statistic in STATISTICS[kind]]


@dataclass(frozen=True, slots=True)
class _Asking:
    """Requests to CloudWatch about *namespace* as of *now*; none begins after *deadline*, by `time.monotonic`."""

    namespace: str
    now: float
    deadline: float

    def listed(self) -> list[Series]:
        """Return every series of the namespace, each once."""
        found = (
            series_of(one)
            for page in self._pages("ListMetrics", {"Namespace": self.namespace})
            for one in page["Metrics"]
        )
        return list(dict.fromkeys(one for one in found if one is not None))

    def points(self, queries: list[_Query], start: float, period_s: int) -> Iterator[tuple[_Query, list[float]]]:
        """Yield each of *queries* with what there is from *start* until now, one number for each *period_s*."""
        for first in range(0, len(queries), MOST_QUERIES):
            asked = {f"q{number}": one for number, one in enumerate(queries[first : first + MOST_QUERIES])}
            found: dict[str, list[float]] = {id_: [] for id_ in asked}
            document = {
                "StartTime": int(start),
                "EndTime": int(self.now) + LATEST_S,
                "MetricDataQueries": [_query(id_, self.namespace, one, period_s) for id_, one in asked.items()],
            }
            for page in self._pages("GetMetricData", document):
                for result in page["MetricDataResults"]:
                    found[result["Id"]] += _values(result, last=not page.get("NextToken"))
            yield from ((asked[id_], points) for id_, points in found.items())

    def _pages(self, operation: str, document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        token: str | None = None
        for _ in range(MOST_PAGES):
            if time.monotonic() > self.deadline:
                raise TimeoutError
            page = call(CLOUDWATCH, operation, {**document, **({"NextToken": token} if token else {})})
            yield page
            token = page.get("NextToken")
            if not token:
                return
        raise IncompleteError


def _values(result: Mapping[str, Any], *, last: bool) -> list[float]:
    status = result.get("StatusCode", "Complete")
    if status in BROKEN or (last and status == "PartialData"):
        raise IncompleteError
    return [float(value) for value in result["Values"]]


def _query(id_: str, namespace: str, query: _Query, period_s: int) -> dict[str, Any]:
    series, statistic = query
    dimensions = [
        {"Name": name, "Value": value} for name, value in zip(series.metric.dimensions, series.values, strict=True)
    ]
    metric = {"Namespace": namespace, "MetricName": series.metric.name, "Dimensions": dimensions}
    return {"Id": id_, "MetricStat": {"Metric": metric, "Period": period_s, "Stat": statistic}}
