"""Every metric, message, alarm and member of a line that the gateway has is explained, and nothing else is."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator

import pytest

from gatehouse.metric_names import CATALOGUE, Metric
from local.template import ROOT, load
from tests.docs.pages import cells, named, section

PAGE = (ROOT / "docs/monitoring.md").read_text()
SOURCES = [*(ROOT / "layers/gatehouse/gatehouse").rglob("*.py"), *(ROOT / "functions").glob("*/*.py")]
NODES = [node for source in SOURCES for node in ast.walk(ast.parse(source.read_text()))]
CALLS = [node for node in NODES if isinstance(node, ast.Call)]
FAMILIES = {"counter": "{}_total", "summary": "{}_sum", "gauge": "{}"}
SHARED = {"level", "timestamp", "message", "service"}
PUBLISHED = {"_aws", "code", "environment", *(metric.name for metric in CATALOGUE)}


def calls(names: set[str]) -> Iterator[ast.Call]:
    """Yield every call of a function, class or method that has one of *names*."""
    return (one for one in CALLS if getattr(one.func, "attr", getattr(one.func, "id", "")) in names)


def texts(call: ast.Call) -> list[str]:
    """Return the arguments of *call* that are texts, and both where it is one or the other."""
    either = [side for one in call.args for side in ((one.body, one.orelse) if isinstance(one, ast.IfExp) else (one,))]
    return [one.value for one in either if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def is_log(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in {"logs", "self"}


def logged() -> set[str]:
    """Return every message that stands in a call which logs it, or hands it to one that does."""
    said = [one for one in calls({"info", "error", "crash"}) if is_log(one)]
    direct = {text for one in said for text in texts(one)} | {texts(one)[0] for one in calls({"_log"}) if texts(one)}
    handed = {text for one in calls({"_start"}) for text in texts(one)}
    comforts = {f"{name} not reached" for name in comfort_names()}
    return direct | handed | comforts | written_outright()


def written_outright() -> set[str]:
    """Return the messages of lines that are made without the logger: what it does where it fails."""
    documents = (node for node in NODES if isinstance(node, ast.Dict))
    members = (
        {ast.unparse(key): value for key, value in zip(one.keys, one.values, strict=True) if key} for one in documents
    )
    said = (one["'message'"] for one in members if {"'level'", "'message'"} <= one.keys())
    return {one.value for one in said if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def comfort_names() -> set[str]:
    """Return what is done without if it does not answer, by its names in log lines and metrics."""
    return {
        keyword.value.value
        for one in calls({"Comfort"})
        for keyword in one.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_every_metric_is_documented_with_its_name_for_prometheus_and_its_dimensions(metric: Metric):
    (row,) = (row for row in cells(section(PAGE, "Metrics")) if row[0] == f"`{metric.name}`")
    fixed = "".join(f'{{{name}="{value}"}}' for name, value in metric.fixed.items())
    assert named(row[1])[0] == FAMILIES[metric.kind].format(metric.family) + fixed
    told = [name for one in metric.dimensions for name in (one, metric.labels.get(one, ""))]
    assert named(row[2]) == [name for name in told if name]


def test_every_metric_that_is_documented_is_there():
    rows = cells(section(PAGE, "Metrics"))
    assert [row[0].strip("`") for row in rows] == [metric.name for metric in CATALOGUE]


def test_every_message_of_the_log_is_documented_and_no_other():
    rows = [*cells(section(PAGE, "Other lines")), ["`request`"], ["`audit`"]]
    assert {name for row in rows for name in named(row[0])} == logged()


def test_every_store_that_can_fail_is_documented():
    (row,) = (row for row in cells(section(PAGE, "Metrics")) if row[0] == "`StoreFailures`")
    counted = {text for one in calls({"store_failed"}) for text in texts(one)}
    assert set(named(row[4])) == counted | comfort_names()


def test_every_member_of_a_requests_line_is_documented_and_no_other():
    schema = json.loads((ROOT / "docs/log.schema.json").read_text())["$defs"]["request"]
    rows = cells(section(PAGE, "The line of a request"))
    documented = {name for row in rows for name in named(row[0])}
    assert documented - PUBLISHED == ({*schema["properties"], "traceId"} | SHARED) - PUBLISHED


def test_the_line_that_is_shown_is_one_by_its_schema():
    from jsonschema import Draft202012Validator

    schema = json.loads((ROOT / "docs/log.schema.json").read_text())
    (shown,) = re.findall(r"```json\n(.*?)```", section(PAGE, "The line of a request"), flags=re.DOTALL)
    Draft202012Validator(schema).validate(json.loads(shown))


def test_every_alarm_of_the_template_is_documented_and_no_other():
    prefix = "${AWS::StackName}-"
    alarms = {one["AlarmName"]["Fn::Sub"] for one in load().resources("AWS::CloudWatch::Alarm").values()}
    assert all(name.startswith(prefix) for name in alarms)
    documented = {name for row in cells(section(PAGE, "Alarms")) for name in named(row[0])}
    assert documented == {name.removeprefix(prefix) for name in alarms}


def test_what_the_alarms_look_at_of_ours_is_in_the_catalogue():
    ours = {metric.name: set(metric.dimensions) for metric in CATALOGUE}
    alarms = load().resources("AWS::CloudWatch::Alarm").values()
    looked_at = [one for one in alarms if isinstance(one.get("Namespace"), dict)]
    assert looked_at
    for one in looked_at:
        assert {dimension["Name"] for dimension in one["Dimensions"]} == ours[one["MetricName"]]
