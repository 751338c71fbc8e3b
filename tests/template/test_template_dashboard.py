"""What an operator looks at: pictures of metrics that exist."""

from __future__ import annotations

import json
import re

import pytest

from gatehouse.metric_names import CATALOGUE
from tests.template.metrics import of_aws

OURS = {one.name: set(one.dimensions) for one in CATALOGUE}
NAMESPACE = "Gatehouse/gatehouse-prod"
SEARCH = re.compile(r"""SEARCH\('\{"?([^",}]+)"?,([\w,]+)\} MetricName="(\w+)"', '(\w+)'\)""")
QUERY = re.compile(r'SELECT SUM\("(\w+)"\) FROM SCHEMA\("([^"]+)", ([^)]+)\) GROUP BY (.+)')


def body(made):
    """Give the dashboard as CloudWatch reads it."""
    return json.loads(made["Dashboard"]["DashboardBody"])


@pytest.fixture(scope="module")
def widgets(stack):
    return body(stack())["widgets"]


@pytest.fixture(scope="module")
def pictures(widgets):
    return [one["properties"] for one in widgets if one["type"] == "metric"]


def looked_at(line):
    """Give namespace, name and dimensions of the metrics in *line*; None for what is worked out of others."""
    *words, options = line if isinstance(line[-1], dict) else [*line, {}]
    if words:
        namespace, name, *pairs = words
        return namespace, name, set(pairs[::2])
    expression = options["expression"]
    if found := SEARCH.fullmatch(expression):
        return found[1], found[3], set(found[2].split(","))
    if found := QUERY.fullmatch(expression):
        dimensions, groups = (set(re.findall(r'"(\w+)"', text)) for text in (found[3], found[4]))
        assert groups <= dimensions
        return found[2], found[1], dimensions
    assert re.fullmatch(r"100\*m\d", expression)
    return None


def test_every_picture_is_of_metrics_that_exist_with_all_their_dimensions(pictures):
    for picture in pictures:
        for namespace, name, dimensions in filter(None, map(looked_at, picture["metrics"])):
            if namespace.startswith("AWS/"):
                assert of_aws(namespace, name) == dimensions, picture["title"]
            else:
                assert (namespace, OURS[name]) == (NAMESPACE, dimensions), picture["title"]


def test_every_metric_of_ours_is_in_a_picture(pictures):
    seen = {found[1] for picture in pictures for found in map(looked_at, picture["metrics"]) if found}
    assert set(OURS) <= seen


def test_every_function_and_every_table_is_in_the_pictures(stack, pictures):
    text = json.dumps(pictures)
    for kind in ("AWS::Lambda::Function", "AWS::DynamoDB::Table"):
        assert not [name for name in stack().of_type(kind) if f'"<{name}>"' not in text]


def test_cold_starts_are_counted_in_the_log_of_every_function(stack, root, widgets):
    (query,) = [one["properties"]["query"] for one in widgets if one["type"] == "log"]
    groups = {one["LoggingConfig"]["LogGroup"] for one in stack().of_type("AWS::Lambda::Function").values()}
    assert set(re.findall(r"SOURCE '([^']+)'", query)) == groups
    (member,) = re.findall(r"ispresent\((\w+)\)", query)
    assert f'"{member}":' in (root / "docs/log.schema.json").read_text(encoding="utf-8")


def test_what_is_worked_out_is_worked_out_of_what_is_there(pictures):
    for picture in pictures:
        options = [line[-1] for line in picture["metrics"] if isinstance(line[-1], dict)]
        ids = [one["id"] for one in options if "id" in one]
        used = {name for one in options for name in re.findall(r"\bm\d\b", one.get("expression", ""))}
        assert len(ids) == len(set(ids))
        assert used <= set(ids)
        assert all(re.fullmatch(r"[a-z]\w*", one) for one in ids)


def test_no_picture_lies_over_another(widgets):
    cells = [
        (x, y)
        for one in widgets
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("streaming", ["on", "off"])
def test_it_begins_with_the_state_of_every_alarm(stack, streaming):
    made = stack(Streaming=streaming)
    first = body(made)["widgets"][0]
    assert first["type"] == "alarm"
    expected = {f"<{name}.Arn>" for name in made.of_type("AWS::CloudWatch::Alarm")}
    assert set(first["properties"]["alarms"]) == expected


def test_every_picture_says_what_it_is_of_and_where(pictures):
    assert {one["region"] for one in pictures} == {"eu-west-1"}
    assert len({one["title"] for one in pictures}) == len(pictures)


def test_labels_are_cloudwatchs_to_fill(pictures):
    labels = [line[-1].get("label", "") for one in pictures for line in one["metrics"] if isinstance(line[-1], dict)]
    assert "asked ${PROP('Dim.route')}" in labels


def test_the_output_leads_to_it(stack):
    made = stack()
    assert made.outputs["DashboardUrl"].endswith(f"#dashboards/dashboard/{made['Dashboard']['DashboardName']}")
    assert "region=eu-west-1" in made.outputs["DashboardUrl"]
