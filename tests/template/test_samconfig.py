"""The SAM command line is told all it needs, so that it never asks."""

from __future__ import annotations

import re
import tomllib

import pytest

ENVIRONMENTS = ("dev", "staging", "prod")


@pytest.fixture(scope="module")
def samconfig(root):
    return tomllib.loads((root / "samconfig.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_deploy_makes_a_stack_of_its_own_for_its_environment(samconfig, template, name):
    settings = samconfig[name]["deploy"]["parameters"]
    assert settings["stack_name"] == f"gatehouse-{name}"
    assert f"Environment={name}" in settings["parameter_overrides"]
    assert name in template["Parameters"]["Environment"]["AllowedValues"]
    assert settings["resolve_s3"] is True
    assert settings["fail_on_empty_changeset"] is False


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_deploy_sets_only_parameters_of_the_template(samconfig, template, name):
    overrides = samconfig[name]["deploy"]["parameters"]["parameter_overrides"]
    assert {one.partition("=")[0] for one in overrides} <= set(template["Parameters"])


def test_only_a_deploy_to_prod_asks_before_it_changes_anything(samconfig):
    asks = {name: samconfig[name]["deploy"]["parameters"]["confirm_changeset"] for name in ENVIRONMENTS}
    assert asks == {"dev": False, "staging": False, "prod": True}


@pytest.fixture(scope="module")
def deploys(samconfig, stack):
    """What each deploy makes, where a team has added whom alarms tell."""
    overrides = {name: samconfig[name]["deploy"]["parameters"]["parameter_overrides"] for name in ENVIRONMENTS}
    return {
        name: stack(**dict(one.split("=", 1) for one in given), AlarmEmail="ops@example.com")
        for name, given in overrides.items()
    }


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_deploy_sets_what_the_template_takes(template, deploys, name):
    """CloudFormation would refuse it after minutes of building and uploading."""
    made = deploys[name]
    assert made.refusals == []
    for parameter, declared in template["Parameters"].items():
        value = str(made.parameters[parameter])
        assert value in {str(one) for one in declared.get("AllowedValues", [value])}
        assert re.fullmatch(declared.get("AllowedPattern", ".*"), value)
        assert declared["Type"] != "Number" or float(value) >= declared.get("MinValue", 0)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_nothing_but_whom_alarms_tell_has_to_be_added_and_that_for_prod_only(samconfig, stack, name):
    overrides = samconfig[name]["deploy"]["parameters"]["parameter_overrides"]
    refusals = stack(**dict(one.split("=", 1) for one in overrides)).refusals
    assert ["AlarmEmail" in one for one in refusals] == [True] * (name == "prod")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_deploy_may_make_all_that_it_makes(samconfig, deploys, name):
    """A role with a name of its own would need CAPABILITY_NAMED_IAM, and stop the deploy."""
    assert samconfig[name]["deploy"]["parameters"]["capabilities"] == "CAPABILITY_IAM"
    assert not [role for role in deploys[name].of_type("AWS::IAM::Role").values() if "RoleName" in role]


def test_staging_is_deployed_as_prod_is(deploys):
    differing = {key for key, one in deploys["prod"].parameters.items() if deploys["staging"].parameters[key] != one}
    assert differing == {"Environment", "LogRetentionDays"}


def test_prod_moves_requests_in_steps_and_dev_all_at_once(deploys):
    in_steps = {name: bool(made.of_type("AWS::CodeDeploy::DeploymentGroup")) for name, made in deploys.items()}
    assert in_steps == {"dev": False, "staging": True, "prod": True}


def test_prod_remembers_longest_and_dev_spends_least(deploys):
    days, rates, writes = (
        [float(deploys[name].parameters[key]) for name in ENVIRONMENTS]
        for key in ("LogRetentionDays", "ThrottleRate", "TableMaxWrites")
    )
    assert days == sorted(set(days))
    assert rates[0] < rates[1] == rates[2]
    assert writes[0] < writes[1] == writes[2]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_tables_take_more_than_the_api_lets_through(deploys, name):
    """A request that is limited and cached writes up to three items; those that are kept for long are rare."""
    rate, writes = (float(deploys[name].parameters[key]) for key in ("ThrottleRate", "TableMaxWrites"))
    assert writes >= 5 * rate


def test_containers_are_kept_between_requests(samconfig):
    assert samconfig["default"]["local_start_api"]["parameters"]["warm_containers"] == "LAZY"
    assert samconfig["default"]["local_start_lambda"]["parameters"]["warm_containers"] == "LAZY"


def test_a_local_run_takes_the_built_template_and_not_the_source(samconfig):
    assert "template_file" not in str(samconfig)
