"""The fleet's metrics: what is asked of CloudWatch, what is made of its answers, and what Prometheus is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gatehouse.errors import MetricsUnavailableError
from gatehouse.metric_names import (
    AUTH,
    CATALOGUE,
    COMPLETION_TOKENS,
    DURATION,
    KEY_AGE,
    PROMPT_TOKENS,
    REQUESTS,
    REVOCATION_LAG,
    Metric,
)
from gatehouse.status.exposition import exposition
from gatehouse.status.fleet import FRESH_S, GOOD_S, QUIET_S, Fleet, Shown
from gatehouse.stores import metrics
from gatehouse.stores.aws_json import AwsError
from gatehouse.stores.metrics import (
    COUNT,
    LARGEST,
    SUM,
    IncompleteError,
    Readings,
    Series,
    month_began,
    read,
    series_of,
)
from tests.unit.fakes import FakeClock, run

NOW = datetime(2026, 11, 22, 13, 7, 31, tzinfo=UTC).timestamp()
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
NAMESPACE = "Gatehouse/test"
SERVED = ("metacogna", "BUILD", "GET", "200")


def listed(name: str, **dimensions: str) -> dict[str, Any]:
    return {"MetricName": name, "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()]}


class CloudWatch:
    """Answers to ListMetrics what it was given, page by page, and to GetMetricData what a test says of each query."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[tuple[str, Any]] = []
        self.points: dict[tuple[str, str], list[float]] = {}
        self.status = "Complete"
        self.in_two = False

    def __call__(self, service: Any, operation: str, document: Any) -> Mapping[str, Any]:
        assert service is metrics.CLOUDWATCH
        self.asked.append((operation, document))
        token = document.get("NextToken")
        if operation == "ListMetrics":
            number = int(token or 0)
            more = {"NextToken": str(number + 1)} if number + 1 < len(self.pages) else {}
            return {"Metrics": self.pages[number], **more}
        if self.in_two and token is None:
            return {"MetricDataResults": self._results(document, slice(0, 1), "PartialData"), "NextToken": "rest"}
        return {"MetricDataResults": self._results(document, slice(1 if token else 0, None), self.status)}

    def _results(self, document: Any, part: slice, status: str) -> list[dict[str, Any]]:
        return [
            {"Id": one["Id"], "StatusCode": status, "Values": self._values(one["MetricStat"])[part]}
            for one in document["MetricDataQueries"]
        ]

    def _values(self, stat: Any) -> list[float]:
        return self.points.get((stat["Metric"]["MetricName"], stat["Stat"]), [])

    @property
    def data(self) -> list[Any]:
        return [document for operation, document in self.asked if operation == "GetMetricData"]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answer(*pages: list[dict[str, Any]]) -> CloudWatch:
        cloudwatch = CloudWatch(*pages)
        monkeypatch.setattr(metrics, "call", cloudwatch)
        return cloudwatch

    return answer


REQUEST = listed("Requests", project="metacogna", route="BUILD", method="GET", code="200")
TOOK = listed("Duration", project="metacogna", route="BUILD")
LAG = listed("RevocationLag", environment="prod")


# --------------------------------------------------------------------------------------------------- what is asked for


def test_counters_are_the_days_of_this_month_added_up(answering: Any):
    cloudwatch = answering([REQUEST])
    cloudwatch.points = {("Requests", "Sum"): [3, 0, 4]}
    readings = read(NAMESPACE, NOW, 5)
    assert readings.numbers == {Series(REQUESTS, SERVED): {SUM: 7}}
    (asked,) = cloudwatch.data
    assert (asked["StartTime"], asked["EndTime"]) == (int(NOVEMBER), int(NOW) + 60)
    (query,) = asked["MetricDataQueries"]
    assert (query["MetricStat"]["Period"], query["MetricStat"]["Stat"]) == (86_400, "Sum")
    assert query["MetricStat"]["Metric"]["Namespace"] == NAMESPACE
    assert (readings.since, readings.taken_at, readings.asked) == (NOVEMBER, NOW, 1)


def test_a_counter_without_anything_this_month_is_zero_and_a_gauge_without_anything_lately_is_not_there(answering: Any):
    answering([REQUEST, LAG])
    readings = read(NAMESPACE, NOW, 5)
    assert readings.numbers == {Series(REQUESTS, SERVED): {SUM: 0}, Series(REVOCATION_LAG, ("prod",)): {}}


def test_of_durations_the_sum_and_the_count_are_asked_for_and_of_gauges_the_largest_of_late(answering: Any):
    cloudwatch = answering([TOOK, LAG])
    cloudwatch.points = {
        ("Duration", "Sum"): [900, 100],
        ("Duration", "SampleCount"): [3, 1],
        ("RevocationLag", "Maximum"): [2.5, 4.5, 1],
    }
    readings = read(NAMESPACE, NOW, 5)
    assert readings.numbers[Series(DURATION, ("metacogna", "BUILD"))] == {SUM: 1000, COUNT: 4}
    assert readings.numbers[Series(REVOCATION_LAG, ("prod",))] == {LARGEST: 4.5}
    assert readings.asked == 3
    gauges = cloudwatch.data[-1]
    assert gauges["StartTime"] == datetime(2026, 11, 22, 12, 55, tzinfo=UTC).timestamp()
    assert gauges["MetricDataQueries"][0]["MetricStat"]["Period"] == 300


def test_a_metric_that_is_listed_on_several_pages_or_twice_is_asked_for_once(answering: Any):
    cloudwatch = answering([REQUEST], [TOOK, REQUEST], [LAG])
    assert len(read(NAMESPACE, NOW, 5).numbers) == 3
    assert [operation for operation, _ in cloudwatch.asked].count("ListMetrics") == 3


def test_at_most_500_are_asked_for_at_once_with_both_statistics_of_one_metric_together(answering: Any):
    many = [listed("Duration", project="demo", route=f"R{number}") for number in range(300)]
    cloudwatch = answering([*(listed("KeyFetches", issuer=str(number), outcome="ok") for number in range(7)), *many])
    assert read(NAMESPACE, NOW, 5).asked == 607
    batches = [document["MetricDataQueries"] for document in cloudwatch.data]
    assert [len(queries) for queries in batches] == [500, 107]
    for queries in batches:
        routes = [one["MetricStat"]["Metric"]["Dimensions"][-1]["Value"] for one in queries if "Duration" in str(one)]
        assert {routes.count(route) for route in routes} == {2}
        assert len({one["Id"] for one in queries}) == len(queries)


def test_numbers_that_come_in_two_pages_are_put_together(answering: Any):
    cloudwatch = answering([REQUEST])
    cloudwatch.points = {("Requests", "Sum"): [3, 4]}
    cloudwatch.in_two = True
    assert read(NAMESPACE, NOW, 5).numbers == {Series(REQUESTS, SERVED): {SUM: 7}}


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
def test_half_an_answer_is_none(answering: Any, status: str):
    answering([REQUEST]).status = status
    with pytest.raises(IncompleteError):
        read(NAMESPACE, NOW, 5)


def test_pages_without_end_are_not_read_to_their_end(answering: Any):
    answering(*[[REQUEST]] * 100)
    with pytest.raises(IncompleteError):
        read(NAMESPACE, NOW, 5)


def test_nothing_more_is_asked_when_the_time_is_over(answering: Any):
    cloudwatch = answering([REQUEST])
    with pytest.raises(TimeoutError):
        read(NAMESPACE, NOW, -1)
    assert cloudwatch.asked == []


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        (REQUEST, Series(REQUESTS, SERVED)),
        ({**REQUEST, "Dimensions": REQUEST["Dimensions"][::-1]}, Series(REQUESTS, SERVED)),
        (listed("Requests", project="metacogna", route="BUILD", method="GET"), None),
        ({**REQUEST, "Dimensions": [*REQUEST["Dimensions"], {"Name": "user", "Value": "ada"}]}, None),
        (listed("Requests"), None),
        ({"MetricName": "RevocationLag"}, None),
        (listed("SomebodyElses", environment="prod"), None),
    ],
)
def test_what_the_catalogue_does_not_have_is_left_out(entry: dict[str, Any], known: Series | None):
    assert series_of(entry) == known


@pytest.mark.parametrize(
    ("now", "began"),
    [
        ((2026, 11, 1, 0, 0, 0), (2026, 11, 1)),
        ((2026, 11, 30, 23, 59, 59), (2026, 11, 1)),
        ((2026, 12, 1, 0, 0, 0), (2026, 12, 1)),
        ((2028, 2, 29, 12, 0, 0), (2028, 2, 1)),
    ],
)
def test_a_month_begins_at_midnight_of_its_first_in_utc(now: tuple[int, ...], began: tuple[int, ...]):
    def moment(parts: tuple[int, ...]) -> float:
        return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]

    assert month_began(moment(now)) == moment(began)


# ------------------------------------------------------------------------------------------------------- what is shown


def readings(numbers: Mapping[Series, Mapping[str, float]], **changes: Any) -> Readings:
    fields: dict[str, Any] = {"since": NOVEMBER, "taken_at": NOW, "asked": len(numbers)}
    return Readings(numbers=numbers, **{**fields, **changes})


def samples(numbers: Mapping[Series, Mapping[str, float]]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a parser of Prometheus' own format reads."""
    text, _ = exposition(Shown(readings(numbers), 1.25), "")
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in parse_text(text.decode())
        for one in family.samples
    }


def test_times_are_shown_in_seconds_and_counts_as_they_are():
    shown = samples({Series(DURATION, ("p", "r")): {SUM: 1500.0, COUNT: 3.0}})
    labels = (("project", "p"), ("route", "r"))
    assert shown["gatehouse_request_duration_seconds_sum", labels] == 1.5
    assert shown["gatehouse_request_duration_seconds_count", labels] == 3


def test_requests_have_the_labels_that_the_field_knows():
    shown = samples({Series(REQUESTS, SERVED): {SUM: 7.0}})
    labels = (("code", "200"), ("method", "GET"), ("project", "metacogna"), ("route", "BUILD"))
    assert shown["gatehouse_requests_total", labels] == 7


def test_both_kinds_of_model_tokens_are_one_family_and_a_dimension_may_have_another_name():
    numbers = {
        Series(PROMPT_TOKENS, ("p", "r")): {SUM: 10.0},
        Series(COMPLETION_TOKENS, ("p", "r")): {SUM: 20.0},
        Series(AUTH, ("p", "jwks", "refused")): {SUM: 1.0},
    }
    shown = samples(numbers)
    for kind, count in (("prompt", 10), ("completion", 20)):
        assert shown["gatehouse_model_tokens_total", (("project", "p"), ("route", "r"), ("type", kind))] == count
    assert shown["gatehouse_auth_total", (("credential", "jwks"), ("outcome", "refused"), ("project", "p"))] == 1
    text, _ = exposition(Shown(readings(numbers), 0), "")
    assert text.count(b"# TYPE gatehouse_model_tokens_total counter\n") == 1


@pytest.mark.parametrize("value", ['quote"d', "back\\slash", "line\nbreak", "ö…𝄞", "{}=,", " "])
def test_whatever_stands_in_a_label_is_read_as_it_was(value: str):
    shown = samples({Series(KEY_AGE, (value,)): {LARGEST: 5.0}})
    assert shown["gatehouse_key_age_seconds", (("issuer", value),)] == 5


def test_a_gauge_without_a_recent_number_is_not_shown_at_all():
    text, _ = exposition(Shown(readings({Series(KEY_AGE, ("i",)): {}}), 0), "")
    assert b"gatehouse_key_age_seconds" not in text


def test_numbers_have_the_time_they_were_read_at_and_the_scrape_says_how_old_they_are_and_what_they_cost():
    text, _ = exposition(Shown(readings({Series(REQUESTS, SERVED): {SUM: 7.0}}, asked=12), 21.5), "")
    lines = text.decode().splitlines()
    (counted,) = [line for line in lines if line.startswith("gatehouse_requests_total{")]
    assert counted.endswith(f" 7.0 {int(NOW * 1000)}")
    assert "gatehouse_scrape_age_seconds 21.5" in lines
    assert "gatehouse_scrape_numbers 12.0" in lines


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0;escaping=nonsense", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/OpenMetrics-Text; version=x", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_who_asks_for_openmetrics_gets_it_and_everybody_else_the_older_format(accept: str, content_type: str):
    text, said = exposition(Shown(readings({Series(REQUESTS, SERVED): {SUM: 7.0}}), 0), accept)
    assert said == content_type
    assert text.endswith(b"# EOF\n") == ("openmetrics" in content_type)


def test_every_metric_of_the_catalogue_can_be_shown_in_both_formats():
    numbers = {Series(one, tuple("x" for _ in one.dimensions)): _some(one) for one in CATALOGUE}
    families = {one.family for one in CATALOGUE} | {"gatehouse_scrape_age_seconds", "gatehouse_scrape_numbers"}
    older, _ = exposition(Shown(readings(numbers), 0), "")
    newer, _ = exposition(Shown(readings(numbers), 0), "application/openmetrics-text")
    assert {one.name.removesuffix("_total") for one in parse_text(older.decode())} == families
    assert {one.name for one in parse_openmetrics(newer.decode())} == families


def _some(metric: Metric) -> dict[str, float]:
    return dict.fromkeys(metrics.STATISTICS[metric.kind], 1.0)


# ------------------------------------------------------------------------------------------- how often, and if it fails


class Source:
    """Readings that count up, or a failure."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, float, float]] = []
        self.failure: Exception | None = None
        self.count = 0.0
        self.since = NOVEMBER
        self.gauge = 5.0

    def __call__(self, namespace: str, now: float, within_s: float) -> Readings:
        self.reads.append((namespace, now, within_s))
        if self.failure:
            raise self.failure
        numbers = {Series(REQUESTS, SERVED): {SUM: self.count}, Series(KEY_AGE, ("i",)): {LARGEST: self.gauge}}
        return readings(numbers, since=self.since, taken_at=now)


def a_fleet() -> tuple[Fleet, Source, FakeClock]:
    clock, source = FakeClock(NOW), Source()
    return Fleet(NAMESPACE, source, clock, clock), source, clock


def counted(shown: Shown) -> float:
    return shown.readings.numbers[Series(REQUESTS, SERVED)][SUM]


def test_readings_are_good_for_half_a_minute_and_say_how_old_they_are():
    fleet, source, clock = a_fleet()

    async def scrapes() -> list[tuple[float, float]]:
        seen = []
        for passed in (0.0, 20.0, 9.9, 0.2):
            clock.now += passed
            source.count += 1
            shown = await fleet.shown()
            seen.append((counted(shown), round(shown.age_s, 1)))
        return seen

    assert run(scrapes()) == [(1, 0), (1, 20), (1, 29.9), (4, 0)]
    assert [namespace for namespace, _, _ in source.reads] == [NAMESPACE] * 2


def test_however_many_scrape_cloudwatch_is_asked_once():
    fleet, source, _ = a_fleet()

    async def crowd() -> None:
        await asyncio.gather(*(fleet.shown() for _ in range(30)))

    run(crowd())
    assert len(source.reads) == 1


@pytest.mark.parametrize("failure", [AwsError("AccessDenied"), TimeoutError(), IncompleteError(), KeyError("Metrics")])
def test_the_last_readings_stand_in_for_five_minutes_and_no_longer(failure: Exception):
    fleet, source, clock = a_fleet()
    source.count = 3

    async def scrapes() -> None:
        await fleet.shown()
        source.failure = failure
        clock.now += FRESH_S
        stale = await fleet.shown()
        assert (counted(stale), stale.age_s) == (3, FRESH_S)
        clock.now = NOW + GOOD_S - 1
        assert (await fleet.shown()).age_s == GOOD_S - 1
        clock.now = NOW + GOOD_S + QUIET_S
        with pytest.raises(MetricsUnavailableError):
            await fleet.shown()
        source.failure = None
        assert (await fleet.shown()).age_s == 0

    run(scrapes())


def test_cloudwatch_is_left_alone_for_a_moment_after_it_failed():
    fleet, source, clock = a_fleet()

    async def scrapes() -> int:
        await fleet.shown()
        source.failure = OSError()
        clock.now += FRESH_S
        for _ in range(5):
            await fleet.shown()
        return len(source.reads)

    assert run(scrapes()) == 2


def test_without_any_readings_there_is_nothing_to_show():
    fleet, source, _ = a_fleet()
    source.failure = OSError()
    with pytest.raises(MetricsUnavailableError):
        run(fleet.shown())


@pytest.mark.parametrize(
    ("since", "counts"), [(NOVEMBER, [9, 9]), (datetime(2026, 12, 1, tzinfo=UTC).timestamp(), [9, 2])]
)
def test_a_counter_shrinks_with_a_new_month_and_never_within_one(since: float, counts: list[float]):
    """An answer that lags behind the last one would look like a restart, and add up the whole month once more."""
    fleet, source, clock = a_fleet()

    async def scrapes() -> list[float]:
        seen = []
        for source.count, source.gauge in ((9.0, 5.0), (2.0, 1.0)):
            shown = await fleet.shown()
            assert shown.readings.numbers[Series(KEY_AGE, ("i",))] == {LARGEST: source.gauge}
            seen.append(counted(shown))
            clock.now += FRESH_S
            source.since = since
        return seen

    assert run(scrapes()) == counts


def test_a_fleet_that_has_done_nothing_yet_is_asked_again_soon():
    fleet, source, clock = a_fleet()
    fleet._read = lambda *asked: readings({}, asked=0) if source(*asked) else None

    async def scrapes() -> int:
        await fleet.shown()
        clock.now += QUIET_S
        await fleet.shown()
        return len(source.reads)

    assert run(scrapes()) == 2
