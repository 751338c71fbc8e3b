"""What stands in for CloudWatch Logs under `make run`: lines in, sums out, and no request ever waits for it."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum

from gatehouse import logs, metrics
from gatehouse.metric_names import AUTH, DURATION, REQUESTS, REVOCATION_LAG
from gatehouse.stores import aws_json
from gatehouse.stores.metrics import COUNT, LARGEST, SUM, Series, read
from local import metric_lines
from local.house import NEVER_REAL, House
from local.metric_lines import MetricLines, sent_before
from local.moto_metrics import folded

NOW = datetime(2026, 11, 22, 13, 7, 31, tzinfo=UTC)


def line(ms: float = 5.0, lag_s: float = 1.0, **changes: str) -> str:
    """The line of a request, as the gateway writes it."""
    numbers = {REQUESTS: 1, DURATION: ms, AUTH: 1, REVOCATION_LAG: lag_s}
    told = {"project": "demo", "route": "A", "method": "GET", "code": "200", "credential": "none", "auth": "anonymous"}
    with metrics.published("Gatehouse/lines", changes.pop("environment", "local")):
        told |= changes
        return json.dumps({"message": "request", **metrics.embedded(numbers, **told)})


class Sink:
    """What would be sent to CloudWatch."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[dict[str, Any]]]] = []
        self.broken = False

    def __call__(self, namespace: str, data: list[dict[str, Any]]) -> None:
        if self.broken:
            raise OSError
        self.sent.append((namespace, data))

    def sums(self, name: str) -> list[dict[str, float]]:
        return [one["StatisticValues"] for _, data in self.sent for one in data if one["MetricName"] == name]


def test_numbers_of_many_lines_are_sent_as_one_sum():
    sink = Sink()
    lines = MetricLines(sink)
    for ms in (5.0, 1.0, 9.0):
        lines.take(line(ms))
    lines.send()
    assert sink.sums("Duration") == [{"SampleCount": 3, "Sum": 15, "Minimum": 1, "Maximum": 9}]
    assert sink.sums("Requests") == [{"SampleCount": 3, "Sum": 3, "Minimum": 1, "Maximum": 1}]
    ((namespace, data),) = sink.sent
    assert namespace == "Gatehouse/lines"
    (requests,) = [one for one in data if one["MetricName"] == "Requests"]
    assert {one["Name"]: one["Value"] for one in requests["Dimensions"]} == {
        "project": "demo", "route": "A", "method": "GET", "code": "200",
    }  # fmt: skip
    assert abs(requests["Timestamp"] - time.time()) < 60
    lines.send()
    assert len(sink.sent) == 1


def test_what_differs_in_a_dimension_is_counted_apart():
    sink = Sink()
    lines = MetricLines(sink)
    for code in ("200", "404", "200"):
        lines.take(line(code=code))
    lines.send()
    assert sorted(one["Sum"] for one in sink.sums("Requests")) == [1, 2]
    assert [one["SampleCount"] for one in sink.sums("Duration")] == [3]


def test_a_number_may_be_several():
    sink = Sink()
    lines = MetricLines(sink)
    said = json.loads(line())
    lines.take(json.dumps({**said, "Duration": [1.0, 2.0, 6.0]}))
    lines.send()
    assert sink.sums("Duration") == [{"SampleCount": 3, "Sum": 9, "Minimum": 1, "Maximum": 6}]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("last", [True, False])
def test_what_announces_the_numbers_may_stand_anywhere(separators: tuple[str, str], last: bool):
    sink = Sink()
    lines = MetricLines(sink)
    said = json.loads(line())
    announced = {"_aws": said.pop("_aws")}
    lines.take(json.dumps({**said, **announced} if last else {**announced, **said}, separators=separators))
    lines.take(line())
    lines.send()
    assert sink.sums("Duration") == [{"SampleCount": 2, "Sum": 10, "Minimum": 5, "Maximum": 5}]


@pytest.mark.parametrize(
    "text", ['{"message":"started"}', "", '{"_aws"', '{"_aws": 5}', '{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{}]}}']
)
def test_other_lines_and_broken_ones_have_no_numbers(text: str):
    sink = Sink()
    lines = MetricLines(sink)
    lines.take(text)
    lines.take(line())
    lines.send()
    assert [one["Sum"] for one in sink.sums("Requests")] == [1]


def test_lines_beyond_what_memory_is_for_are_dropped_and_that_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metric_lines, "MOST_LINES", 10)
    sink, written = Sink(), io.StringIO()
    lines = MetricLines(sink)
    for _ in range(25):
        lines.take(line())
    with logs.written_to(written):
        lines.send()
    assert [one["Sum"] for one in sink.sums("Requests")] == [10]
    assert json.loads(written.getvalue())["lines"] == 15


def test_where_nobody_takes_them_metrics_are_lost_and_nothing_else():
    sink, written = Sink(), io.StringIO()
    lines = MetricLines(sink)
    sink.broken = True
    lines.take(line())
    with logs.written_to(written):
        lines.send()
    sink.broken = False
    lines.take(line())
    lines.send()
    assert [one["Sum"] for one in sink.sums("Requests")] == [1]
    assert "metrics not sent" in written.getvalue()


def test_what_is_logged_while_it_runs_is_sent_by_its_end_and_still_written(capsys: pytest.CaptureFixture[str]):
    sink = Sink()
    with metrics.published("Gatehouse/lines", "local"), MetricLines(sink, every_s=3600).running():
        logs.info("revocations read", **metrics.embedded({REVOCATION_LAG: 2.5}))
        logs.info("nothing to count")
    logs.info("revocations read", **metrics.embedded({REVOCATION_LAG: 9.5}))
    assert sink.sums("RevocationLag") == [{"SampleCount": 1, "Sum": 2.5, "Minimum": 2.5, "Maximum": 2.5}]
    assert capsys.readouterr().out.count("revocations read") == 2


def test_the_end_does_not_wait_for_whoever_takes_long():
    taken, going_on = threading.Event(), threading.Event()

    def put(*_: Any) -> None:
        taken.set()
        going_on.wait()

    lines = MetricLines(put, every_s=3600)
    with lines.running():
        lines.take(line())
    assert taken.wait(10)  # and here we are, while it goes on
    going_on.set()


def test_what_a_stand_in_does_not_take_is_given_up_at_once(tmp_path: Path):
    """One that takes connections and never answers: with its usual settings boto3 would wait for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.MonkeyPatch.context() as patch:
        house = House(projects=tmp_path)
        patch.setattr(house, "_endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}")
        lines, written = house.metric_lines(), io.StringIO()
        lines.take(line())
        with logs.written_to(written):
            lines.send()
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):  # it has not tried again
            silent.accept()
    assert "ReadTimeoutError" in written.getvalue()


@pytest.mark.parametrize(("path", "sent"), [("/metrics", 1), ("/ping", 0)])
def test_who_asks_for_metrics_is_told_of_what_waits_and_nobody_else_waits_for_it(path: str, sent: int):
    sink, seen = Sink(), []

    async def app(*_: Any) -> None:
        seen.append(len(sink.sent))

    lines = MetricLines(sink)
    lines.take(line())
    asyncio.run(sent_before("/metrics", lines, app)({"type": "http", "path": path}, app, app))
    assert seen == [sent]


def test_it_is_sent_meanwhile_as_well():
    sink = Sink()
    lines = MetricLines(sink, every_s=0.01)
    with lines.running():
        lines.take(line())
        until = time.monotonic() + 10
        while not sink.sent and time.monotonic() < until:
            time.sleep(0.01)
        assert sink.sent


# ---------------------------------------------------------------------------------------------------- moto's CloudWatch


def datum(seconds_ago: float, route: str = "A", **statistics: float) -> Any:
    """What moto keeps: a sum, or without *statistics* one number, 4."""
    kept = {
        "namespace": "n",
        "name": "Duration",
        "dimensions": [{"Name": "project", "Value": "demo"}, {"Name": "route", "Value": route}],
        "timestamp": (NOW - timedelta(seconds=seconds_ago)).replace(tzinfo=None),
        "unit": "Milliseconds",
    }
    if not statistics:
        return MetricDatum(value=4.0, **kept)
    return MetricAggregatedDatum(
        min_stat=statistics["least"],
        max_stat=statistics["most"],
        sample_count=statistics["count"],
        sum_stat=statistics["sum"],
        **kept,
    )


def fold(*data: Any) -> list[Any]:
    return folded(list(data), NOW.timestamp())


def test_what_came_within_five_minutes_is_one_sum():
    (together,) = fold(
        datum(10, least=1, most=9, count=3, sum=15), datum(20), datum(30, least=2, most=3, count=2, sum=5)
    )
    assert (together.min, together.max, together.sample_count, together.sum) == (1, 9, 6, 24)
    assert together.timestamp == datum(10).timestamp
    assert together.unit == "Milliseconds"


def test_what_is_old_is_one_sum_for_each_day_and_series():
    day = 86_400
    ages = [1, *range(3600, 12 * 3600, 600), *range(day, day + 7200, 600)]
    found = fold(*(datum(age, route) for age in ages for route in ("A", "B")))
    assert len(found) == 6
    assert sum(getattr(one, "sum", 4.0) for one in found) == 4.0 * 2 * len(ages)


def test_gauges_of_late_stay_apart_by_five_minutes():
    found = fold(*(datum(age, least=age, most=age, count=1, sum=age) for age in range(0, 1200, 60)))
    assert 4 <= len(found) <= 5
    assert max(one.max for one in found) == 1140


def test_a_single_number_stays_as_it_is():
    one = datum(10)
    assert fold(one) == [one]


@pytest.fixture
def cloudwatch(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in (NEVER_REAL | {"AWS_ENDPOINT_URL": moto_server}).items():
        monkeypatch.setenv(name, value)
    client = boto3.client("cloudwatch", endpoint_url=moto_server)
    monkeypatch.setattr(aws_json, "client", lambda _: client)
    return client


@pytest.mark.parametrize("by_boto3", [False, True], ids=["signed here", "by boto3"])
def test_what_was_sent_to_moto_is_what_the_reader_reads(
    cloudwatch: Any, monkeypatch: pytest.MonkeyPatch, by_boto3: bool
):
    if by_boto3:
        monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "false")
    name = uuid4().hex  # its numbers are told apart by dimensions alone: moto forgets the namespace
    lines = MetricLines(lambda _, data: cloudwatch.put_metric_data(Namespace=name, MetricData=data))
    for ms, lag_s in ((5.0, 1.0), (7.0, 4.5)):
        lines.take(line(ms, lag_s, project=name, environment=name))
        lines.send()
    cloudwatch.put_metric_data(Namespace=name, MetricData=[{"MetricName": "Requests", "Value": 100}])
    readings = read(name, time.time(), 10)
    assert readings.numbers == {
        Series(DURATION, (name, "A")): {SUM: 12, COUNT: 2},
        Series(REQUESTS, (name, "A", "GET", "200")): {SUM: 2},
        Series(AUTH, (name, "none", "anonymous")): {SUM: 2},
        Series(REVOCATION_LAG, (name,)): {LARGEST: 4.5},
    }
    assert readings.asked == 5
