"""Metrics in the log: by the specification of the embedded format, and only where somebody wants them."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from contextlib import suppress
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import metrics
from gatehouse.metric_names import (
    AUTH,
    AUTH_FAILURES,
    CATALOGUE,
    DURATION,
    FLEET,
    KEY_AGE,
    KEY_FETCHES,
    REQUESTS,
    STORE_FAILURES,
    Kind,
    Metric,
    Unit,
)
from gatehouse.metrics import MOST_VALUE, embedded, published, store_failed
from tests.log_lines import problems

HEAD = {"level": "ERROR", "timestamp": "2026-11-22T12:00:00.000+00:00", "message": "it", "service": "gatehouse"}
VALUES = {name: f"{name}-1" for metric in CATALOGUE for name in metric.dimensions if name not in FLEET}


@pytest.fixture
def _published() -> Any:
    with published("Gatehouse/test", "dev"):
        yield


# ------------------------------------------------------------------------------------------------------- the catalogue


def test_every_metric_has_a_name_of_its_own_that_no_dimension_has() -> None:
    names = Counter(metric.name for metric in CATALOGUE)
    assert max(names.values()) == 1
    assert not names.keys() & {name for metric in CATALOGUE for name in metric.dimensions}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_is_one_that_cloudwatch_and_prometheus_take(metric: Metric) -> None:
    assert metric.unit in get_args(Unit)
    assert metric.kind in get_args(Kind)
    assert 1 <= len(metric.dimensions) <= 4
    assert len(set(metric.dimensions)) == len(metric.dimensions)
    assert metric.family.startswith("gatehouse_")
    assert metric.family.endswith("_seconds") is (metric.unit != "Count")
    assert metric.says.endswith(".")
    assert metric.labels.keys() <= set(metric.dimensions)
    assert metric.scale == (0.001 if metric.unit == "Milliseconds" else 1)


def test_numbers_of_one_family_are_told_apart() -> None:
    families: dict[str, set[str]] = {}
    for metric in CATALOGUE:
        fixed = json.dumps(dict(metric.fixed))
        assert fixed not in families.setdefault(metric.family, set())
        families[metric.family].add(fixed)


# ----------------------------------------------------------------------------------------------- the embedded format


@pytest.mark.usefixtures("_published")
def test_a_metric_is_a_member_its_dimensions_are_members_and_the_line_says_which_they_are() -> None:
    before = int(time.time() * 1000)
    said = embedded({REQUESTS: 1, DURATION: 2.5}, project="demo", route="BUILD", method="GET", code="200")
    assert before <= said["_aws"].pop("Timestamp") <= time.time() * 1000
    assert said == {
        "project": "demo",
        "route": "BUILD",
        "method": "GET",
        "code": "200",
        "Requests": 1,
        "Duration": 2.5,
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "Gatehouse/test",
                    "Dimensions": [["project", "route", "method", "code"]],
                    "Metrics": [{"Name": "Requests", "Unit": "Count"}],
                },
                {
                    "Namespace": "Gatehouse/test",
                    "Dimensions": [["project", "route"]],
                    "Metrics": [{"Name": "Duration", "Unit": "Milliseconds"}],
                },
            ]
        },
    }


@pytest.mark.usefixtures("_published")
def test_what_is_told_apart_alike_stands_in_one_directive() -> None:
    said = embedded({KEY_FETCHES: 1, KEY_AGE: 2}, issuer="example.com", outcome="fetched")
    assert [len(directive["Metrics"]) for directive in said["_aws"]["CloudWatchMetrics"]] == [1, 1]
    every = embedded(dict.fromkeys(CATALOGUE, 1), **VALUES)["_aws"]["CloudWatchMetrics"]
    dimensions = [tuple(names) for directive in every for names in directive["Dimensions"]]
    assert len(set(dimensions)) == len(dimensions) == len({metric.dimensions for metric in CATALOGUE})


@pytest.mark.usefixtures("_published")
def test_a_line_with_every_metric_there_is_is_within_what_cloudwatch_takes() -> None:
    said = embedded(dict.fromkeys(CATALOGUE, 1), **VALUES)
    assert problems({**HEAD, **said}) == []
    for directive in said["_aws"]["CloudWatchMetrics"]:
        assert max(map(len, directive["Dimensions"])) <= 30
        assert len(directive["Metrics"]) <= 100
    assert said.keys() == {"_aws", *VALUES, *FLEET, *(metric.name for metric in CATALOGUE)}
    assert len(json.dumps(said)) < 4096


NUMBERS = st.integers(0, 10**12) | st.floats(0, 1e12)


@given(st.dictionaries(st.sampled_from(CATALOGUE), NUMBERS, min_size=1))
def test_whatever_is_published_every_name_is_a_member(numbers: dict[Metric, float]) -> None:
    with published("Gatehouse/test", "dev"):
        said = embedded(numbers, **VALUES)
    assert problems(json.loads(json.dumps({**HEAD, **said}))) == []
    assert {metric.name: number for metric, number in numbers.items()}.items() <= said.items()
    told = {name for metric in numbers for name in metric.dimensions}
    assert said.keys() == {"_aws", *told, *(metric.name for metric in numbers)}


@pytest.mark.usefixtures("_published")
def test_what_tells_numbers_apart_is_never_longer_than_a_name() -> None:
    assert len(store_failed("s" * 5000)["store"]) == MOST_VALUE <= 1024


@pytest.mark.usefixtures("_published")
def test_a_metric_without_what_tells_it_apart_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError, match="route"):
        embedded({DURATION: 1}, project="demo")


@pytest.mark.usefixtures("_published")
def test_the_environment_is_told_by_itself() -> None:
    said = embedded({AUTH_FAILURES: 1})
    assert said["environment"] == "dev"
    assert said["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["environment"]]


@pytest.mark.usefixtures("_published")
def test_a_store_that_failed_is_counted_by_its_line() -> None:
    said = store_failed("tokens")
    assert (said["store"], said[STORE_FAILURES.name]) == ("tokens", 1)
    assert problems({**HEAD, **said, "reason": "ClientError"}) == []


# ------------------------------------------------------------------------------------------------------------ whether


def test_without_a_namespace_there_is_nothing() -> None:
    with published("", "dev"):
        assert embedded({AUTH: 1}) == {}
        assert store_failed("tokens") == {}


def test_a_namespace_is_left_as_it_was_also_where_it_ends_badly() -> None:
    with published("Outer/one", "dev"):
        with suppress(LookupError), published("Inner/one", "prod"):
            assert namespace(store_failed("x")) == "Inner/one"
            raise LookupError
        assert namespace(store_failed("x")) == "Outer/one"
        assert embedded({AUTH_FAILURES: 1})["environment"] == "dev"


def namespace(said: dict[str, Any]) -> str:
    (directive,) = said["_aws"]["CloudWatchMetrics"]
    text: str = directive["Namespace"]
    return text


def test_a_process_publishes_from_when_it_is_told_to() -> None:
    with published("", ""):
        metrics.publish("Gatehouse/other", "staging")
        assert namespace(store_failed("x")) == "Gatehouse/other"


@pytest.mark.usefixtures("_published")
def test_what_is_made_side_by_side_does_not_mix() -> None:
    async def one(number: int) -> dict[str, Any]:
        said = embedded({KEY_AGE: number}, issuer=f"issuer-{number}")
        await asyncio.sleep(0)
        return said

    async def many() -> list[dict[str, Any]]:
        return await asyncio.gather(*(one(number) for number in range(50)))

    said = asyncio.run(many())
    assert [(line["issuer"], line["KeyAge"]) for line in said] == [(f"issuer-{n}", n) for n in range(50)]


@pytest.mark.usefixtures("_published")
def test_the_directives_are_made_once_for_each_set_of_metrics() -> None:
    """They are the longest part of a line, and there are few sets."""
    first, second = (embedded({AUTH_FAILURES: number}) for number in (1, 2))
    assert first["_aws"]["CloudWatchMetrics"] is second["_aws"]["CloudWatchMetrics"]
    assert not math.isclose(first["AuthFailures"], second["AuthFailures"])
