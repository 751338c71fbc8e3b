"""What rings: alarms of metrics that exist, and who is told."""

from __future__ import annotations

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
    ((_, name, dimensions),) = watched(alarms["ApiErrorsAlarm"])
    assert (name, alarms["ApiErrorsAlarm"]["Statistic"]) == ("5XXError", "Average")
    assert dimensions == {"ApiName": stack()["Api"]["Name"], "Stage": stack()["ApiStage"]["StageName"]}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_our_own_alarms_look_at_their_environment(stack, environment):
    """A function publishes what its variable says, and no alarm sees another's."""
    made = stack(Environment=environment)
    told = made["ProxyFunction"]["Environment"]["Variables"]
    for name in ("AuthFailuresAlarm", "RevocationLagAlarm"):
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
            assert one["Period"] * one["DatapointsToAlarm"] < 300


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


def test_the_address_is_subscribed(stack):
    assert stack(**BOTH)["AlarmTopic"]["Subscription"] == [{"Protocol": "email", "Endpoint": BOTH["AlarmEmail"]}]


@pytest.mark.parametrize(
    ("parameter", "alarm"),
    [
        ("AlarmErrorRate", "ApiErrorsAlarm"),
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


def test_one_failure_in_a_hundred_rings_nothing_and_one_in_ten_does(stack):
    """A step of a deployment has a tenth of the requests."""
    threshold = stack()["ApiErrorsAlarm"]["Threshold"]
    assert 0.01 < threshold < 0.1
