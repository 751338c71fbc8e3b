"""Functions are called by an alias, and a deploy that changes a function points it to a new version."""

from __future__ import annotations

import re

import pytest
from samtranslator.model.preferences.deployment_preference_collection import CODEDEPLOY_PREDEFINED_CONFIGURATIONS_LIST

from tests.template.cloudformation import Worked

FUNCTIONS = (
    "LoginFunction",
    "GuestFunction",
    "TokensFunction",
    "ProxyFunction",
    "StreamFunction",
    "StatusFunction",
)
NOT_OF_A_VERSION = {"Code", "Description", "ReservedConcurrentExecutions", "Role", "Tags"}
"""Properties that Lambda keeps for a function and not for its versions, and those that have no parameter in them."""
CANARY = "Canary10Percent5Minutes"


def versions(resources):
    """Give the logical id of each function's version: another one is another version."""
    found = {name: one for name, one in resources.items() if one["Type"] == "AWS::Lambda::Version"}
    return {one["Properties"]["FunctionName"]["Ref"]: name for name, one in found.items()}


def parameters_in(value, template):
    """Give the parameters that *value* depends on, by itself and by its conditions."""
    if isinstance(value, list):
        return {name for one in value for name in parameters_in(one, template)}
    if not isinstance(value, dict):
        return set()
    found = {value["Ref"]} if "Ref" in value else set()
    if "Fn::If" in value:
        found |= parameters_in(template["Conditions"][value["Fn::If"][0]], template)
    if "Fn::Sub" in value:
        text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
        found |= set(re.findall(r"\$\{(\w+)\}", text))
    return (found | {name for one in value.values() for name in parameters_in(one, template)}) & set(
        template["Parameters"]
    )


def listed(resources, function):
    """Give the parameters that *function* says its versions are made of."""
    first, second = resources[function]["Properties"]["Description"]["Fn::Select"][1]
    assert isinstance(first, str)
    return second


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_which_parameters_its_versions_are_made_of_and_no_others(template, resources, deployed, name):
    """A missing one would change nothing for callers; with one too many Lambda refuses, as the version is there."""
    made_of = {key: one for key, one in deployed[name]["Properties"].items() if key not in NOT_OF_A_VERSION}
    assert parameters_in(listed(resources, name), template) == parameters_in(made_of, template)
    assert "BuildServiceUrl" in parameters_in(made_of, template)


@pytest.mark.parametrize(
    ("change", "functions"),
    [
        ({"BuildServiceUrl": "https://build.example.com"}, set(FUNCTIONS)),
        ({"SnapStart": "on"}, set(FUNCTIONS) - {"StreamFunction"}),
        ({"LoginLimitUser": "5/5m"}, {"LoginFunction"}),
        ({"RevocationRefreshSeconds": "1"}, set(FUNCTIONS) - {"LoginFunction", "GuestFunction"}),
        ({"ChatServiceUrl": "https://chat.example.com"}, {"ProxyFunction", "StreamFunction", "StatusFunction"}),
        ({"LwaLayerVersion": "31"}, {"StreamFunction"}),
        (
            {
                "LoginConcurrency": "5",
                "StatusConcurrency": "5",
                "ThrottleRate": "9",
                "AlarmErrorRate": "0.1",
                "LogRetentionDays": "7",
            },
            set(),
        ),
    ],
)
def test_another_value_of_a_parameter_reaches_callers(deployed, transform, change, functions):
    before, after = versions(deployed), versions(transform(**change)["Resources"])
    assert {name for name in FUNCTIONS if before[name] != after[name]} == functions


@pytest.mark.parametrize(
    ("part", "functions"),
    [("GatehouseLayer", set(FUNCTIONS)), ("ProjectsLayer", set(FUNCTIONS)), ("GuestFunction", {"GuestFunction"})],
)
def test_another_layer_or_other_code_reaches_callers(deployed, transform, part, functions):
    before, after = versions(deployed), versions(transform(built={part: "another.zip"})["Resources"])
    assert {name for name in FUNCTIONS if before[name] != after[name]} == functions


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_version_is_made_of_does_not_stand_in_its_description(stack, name):
    """Lambda takes 256 characters, and addresses of upstreams are longer."""
    description = stack(BuildServiceUrl="https://build.example.com")[name]["Description"]
    assert 5 < len(description) < 60
    assert "example" not in description


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_old_version_goes_since_a_snapshot_of_it_would_be_paid_on(stack, name):
    found = [one for key, one in stack().resources.items() if key.startswith(f"{name}Version")]
    assert [one["DeletionPolicy"] for one in found] == ["Delete"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_starts_from_a_snapshot_if_a_deploy_says_so(stack, name):
    """Not behind the adapter: a snapshot would be of a server with its port open, and nobody tells it."""
    can = name != "StreamFunction"
    assert stack()[name]["SnapStart"] == {"ApplyOn": "None"}
    assert stack(SnapStart="on")[name]["SnapStart"] == {"ApplyOn": "PublishedVersions" if can else "None"}


def test_requests_move_all_at_once_and_without_code_deploy_unless_a_deploy_says_otherwise(stack):
    assert not [one for one in stack().resources.values() if one["Type"].startswith("AWS::CodeDeploy")]
    assert "CodeDeployServiceRole" not in stack().resources
    assert not [one for one in stack().resources.values() if "UpdatePolicy" in one]


@pytest.mark.parametrize("kind", ["AWS::Lambda::Alias", "AWS::CodeDeploy::DeploymentGroup"])
@pytest.mark.parametrize("streaming", ["on", "off"])
def test_in_steps_every_function_is_deployed_so(stack, kind, streaming):
    made: Worked = stack(Deployment=CANARY, Streaming=streaming)
    without = {"StreamFunction"} if streaming == "off" else set()
    assert {re.match(r"\w+Function", name)[0] for name in made.of_type(kind)} == set(FUNCTIONS) - without


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_step_is_taken_back_when_the_function_or_the_gateway_fails_and_not_when_callers_want_it(stack, name):
    """Anybody may get a 502 of a route without an upstream, or the 503 of /ready."""
    made = stack(Deployment=CANARY)
    group = made[f"{name}DeploymentGroup"]
    own = name.replace("Function", "ErrorsAlarm")
    assert group["DeploymentConfigName"] == f"CodeDeployDefault.Lambda{CANARY}"
    assert group["AlarmConfiguration"] == {
        "Enabled": True,
        "Alarms": [{"Name": f"<{own}>"}, {"Name": "<GatewayErrorsAlarm>"}],
    }
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    assert made.resources[f"{name}Aliaslive"]["UpdatePolicy"] == {
        "CodeDeployLambdaAliasUpdate": {
            "ApplicationName": "<ServerlessDeploymentApplication>",
            "DeploymentGroupName": f"<{name}DeploymentGroup>",
        }
    }


def test_code_deploy_looks_at_alarms_of_one_metric(stack):
    """Its documentation speaks of no others."""
    made = stack(Deployment=CANARY)
    groups = made.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    names = {one["Name"].strip("<>") for group in groups for one in group["AlarmConfiguration"]["Alarms"]}
    assert len(names) == len(FUNCTIONS) + 1
    assert all("MetricName" in made[name] and "Metrics" not in made[name] for name in names)


def test_every_way_to_deploy_is_one_that_sam_and_code_deploy_know(template):
    ways = template["Parameters"]["Deployment"]["AllowedValues"]
    in_steps = {way: one["InSteps"] for way, one in template["Mappings"]["Deployments"].items()}
    assert set(ways) == set(in_steps) == set(CODEDEPLOY_PREDEFINED_CONFIGURATIONS_LIST)
    assert in_steps == {way: str(way != "AllAtOnce").lower() for way in ways}
