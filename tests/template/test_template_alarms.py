"""What rings: alarms of metrics that exist, and who is told."""

from __future__ import annotations

import re

import pytest

from gatehouse.metric_names import CATALOGUE
from tests.template.metrics import of_aws

OURS = {one.name: set(one.dimensions) for one in CATALOGUE}
BOTH = {"AlarmEmail": "ops@example.com", "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:pager"}


@pytest.fixture(scope="module")
def alarms(stack):
    return stack().of_type("AWS::CloudWatch::Alarm")


def watched(alarm):
    """Give namespace, name and dimensions of each metric that *alarm* looks at."""
    parts = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", []) if "MetricStat" in one] or [alarm]
    return [
        (one["Namespace"], one["MetricName"], {each["Name"]: each["Value"] for each in one["Dimensions"]})
        for one in parts
    ]


def test_every_alarm_looks_at_metrics_that_exist_with_all_their_dimensions(alarms):
    for alarm in alarms.values():
        for namespace, name, dimensions in watched(alarm):
            if namespace.startswith("Gatehouse/"):
                assert namespace == "Gatehouse/gatehouse-prod"
                assert OURS[name] == set(dimensions)
            else:
                assert of_aws(namespace, name) == set(dimensions)


def test_the_api_is_watched_under_its_name_and_stage(stack, alarms):
    for _, name, dimensions in watched(alarms["ApiErrorsAlarm"]):
        assert name == "5XXError"
        assert dimensions == {"ApiName": stack()["Api"]["Name"], "Stage": stack()["ApiStage"]["StageName"]}


def test_a_share_of_failures_rings_only_if_there_are_some(stack):
    """One request in the night, and that one failed, is a share of 1."""
    share, *parts = stack(AlarmErrorCount="7")["ApiErrorsAlarm"]["Metrics"]
    assert share["Expression"] == "IF(failures >= 7, rate, 0)"
    assert {one["Id"]: one["MetricStat"]["Stat"] for one in parts} == {"rate": "Average", "failures": "Sum"}
    assert [one["ReturnData"] for one in parts] == [False, False]
    assert {one["MetricStat"]["Period"] for one in parts} == {60}


def test_the_alarm_that_callers_can_ring_says_so(alarms):
    assert {"MISSING_TARGET", "/ready"} <= set(
        re.findall(r"[A-Z]+_[A-Z]+|/\w+", alarms["ApiErrorsAlarm"]["AlarmDescription"])
    )


def test_the_gateways_own_failures_are_counted_and_not_compared_with_all_requests(alarms):
    """A flood of /ping would make a share of them small."""
    one = alarms["GatewayErrorsAlarm"]
    assert (one["MetricName"], one["Statistic"], one["Period"]) == ("GatewayErrors", "Sum", 60)
    assert (one["DatapointsToAlarm"], one["EvaluationPeriods"]) == (2, 3)


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_our_own_alarms_look_at_their_environment(stack, environment):
    """A function publishes what its variable says, and no alarm sees another's."""
    made = stack(Environment=environment, **BOTH)
    told = made["ProxyFunction"]["Environment"]["Variables"]
    for name in ("AuthFailuresAlarm", "GatewayErrorsAlarm", "RevocationLagAlarm"):
        ((namespace, _, dimensions),) = watched(made[name])
        assert dimensions == {"environment": told["ENVIRONMENT"]}
        assert namespace == told["METRICS_NAMESPACE"]


def test_every_function_has_an_alarm_of_its_failures_and_is_in_the_one_of_throttles(stack, alarms):
    functions = {f"<{name}>" for name in stack().of_type("AWS::Lambda::Function")}
    failing = [found for alarm in alarms.values() for found in watched(alarm) if found[1] == "Errors"]
    assert sorted(one["FunctionName"] for _, _, one in failing) == sorted(functions)
    assert {one["FunctionName"] for _, _, one in watched(alarms["FunctionThrottlesAlarm"])} == functions


def test_every_table_has_an_alarm_of_refused_reads_and_writes(stack, alarms):
    for table in stack().of_type("AWS::DynamoDB::Table"):
        found = watched(alarms[f"{table}ThrottlesAlarm"])
        assert [(name, one) for _, name, one in found] == [
            (f"{what}ThrottleEvents", {"TableName": f"<{table}>"}) for what in ("Read", "Write")
        ]


def test_where_nothing_streams_nothing_is_watched_that_is_not_there(stack):
    made = stack(Streaming="off")
    assert "StreamErrorsAlarm" not in made.resources
    assert "Stream" not in str(made["FunctionThrottlesAlarm"])


def test_nothing_to_measure_rings_nothing(alarms):
    assert {one["TreatMissingData"] for one in alarms.values()} == {"notBreaching"}


def test_an_alarm_says_what_it_means_and_whose_it_is(alarms):
    assert all(one["AlarmName"].startswith("gatehouse-prod-") for one in alarms.values())
    assert len({one["AlarmName"] for one in alarms.values()}) == len(alarms)
    assert all(len(one["AlarmDescription"]) > 50 for one in alarms.values())


def test_a_canary_of_five_minutes_is_long_enough_for_its_alarms(alarms):
    for name, one in alarms.items():
        if name.endswith("ErrorsAlarm"):
            (period,) = {part["MetricStat"]["Period"] for part in one.get("Metrics", []) if "MetricStat" in part} or {
                one["Period"]
            }
            assert period * one["DatapointsToAlarm"] < 300


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, []),
        ({"AlarmEmail": BOTH["AlarmEmail"]}, ["<AlarmTopic>"]),
        ({"AlarmTopicArn": BOTH["AlarmTopicArn"]}, [BOTH["AlarmTopicArn"]]),
        (BOTH, ["<AlarmTopic>", BOTH["AlarmTopicArn"]]),
    ],
    ids=["nobody", "an address", "a topic", "both"],
)
def test_who_is_told_is_told_by_every_alarm_that_it_rings_and_that_it_is_over(stack, parameters, told):
    made = stack(**parameters)
    for one in made.of_type("AWS::CloudWatch::Alarm").values():
        assert one["AlarmActions"] == one["OKActions"] == told
    assert ("AlarmTopic" in made.resources) is ("AlarmEmail" in parameters)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "nobody - set AlarmEmail or AlarmTopicArn"),
        ({"AlarmEmail": BOTH["AlarmEmail"]}, BOTH["AlarmEmail"]),
        ({"AlarmTopicArn": BOTH["AlarmTopicArn"]}, BOTH["AlarmTopicArn"]),
        (BOTH, f"{BOTH['AlarmEmail']} and {BOTH['AlarmTopicArn']}"),
    ],
    ids=["nobody", "an address", "a topic", "both"],
)
def test_a_deploy_ends_with_who_is_told(stack, parameters, told):
    assert stack(**parameters).outputs["AlarmsGoTo"] == told


@pytest.mark.parametrize("told", ["AlarmEmail", "AlarmTopicArn"])
def test_prod_is_not_deployed_with_alarms_that_tell_nobody(stack, told):
    (refusal,) = stack(Environment="prod").refusals
    assert "AlarmEmail or AlarmTopicArn" in refusal
    assert stack(Environment="prod", **{told: BOTH[told]}).refusals == []
    assert stack(Environment="dev").refusals == stack(Environment="staging").refusals == []


def test_the_address_is_subscribed(stack):
    assert stack(**BOTH)["AlarmTopic"]["Subscription"] == [{"Protocol": "email", "Endpoint": BOTH["AlarmEmail"]}]


@pytest.mark.parametrize(
    ("parameter", "alarm"),
    [
        ("AlarmErrorRate", "ApiErrorsAlarm"),
        ("AlarmGatewayErrors", "GatewayErrorsAlarm"),
        ("AlarmLatencyMs", "SlowAnswersAlarm"),
        ("AlarmAuthFailures", "AuthFailuresAlarm"),
    ],
)
def test_a_team_says_what_is_too_much(template, stack, parameter, alarm):
    assert stack()[alarm]["Threshold"] == template["Parameters"][parameter]["Default"]
    assert stack(**{parameter: "1"})[alarm]["Threshold"] == "1"


def test_what_is_known_of_revocations_rings_before_nothing_goes_through(alarms):
    """At 60 s tokens are refused (`revocation_watch`)."""
    one = alarms["RevocationLagAlarm"]
    assert (one["Threshold"], one["Statistic"], one["Period"]) == (30, "Maximum", 60)
    assert one["DatapointsToAlarm"] == 1


def test_what_is_known_of_revocations_rings_on_where_not_every_minute_has_a_request(alarms):
    """A minute without a request says nothing, and that would be the end of it after one."""
    assert alarms["RevocationLagAlarm"]["EvaluationPeriods"] == 5


def test_one_failure_in_a_hundred_rings_nothing_and_one_in_ten_does(stack):
    threshold = stack()["ApiErrorsAlarm"]["Threshold"]
    assert 0.01 < threshold < 0.1
