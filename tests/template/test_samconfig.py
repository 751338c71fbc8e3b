"""The SAM command line is told all it needs, so that it never asks."""

from __future__ import annotations

import tomllib

import pytest


@pytest.fixture(scope="module")
def samconfig(root):
    return tomllib.loads((root / "samconfig.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_a_deploy_makes_a_stack_of_its_own_for_its_environment(samconfig, template, name):
    settings = samconfig[name]["deploy"]["parameters"]
    assert settings["stack_name"] == f"gatehouse-{name}"
    assert f"Environment={name}" in settings["parameter_overrides"]
    assert name in template["Parameters"]["Environment"]["AllowedValues"]
    assert settings["resolve_s3"] is True
    assert settings["fail_on_empty_changeset"] is False


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_a_deploy_sets_only_parameters_of_the_template(samconfig, template, name):
    overrides = samconfig[name]["deploy"]["parameters"]["parameter_overrides"]
    assert {one.partition("=")[0] for one in overrides} <= set(template["Parameters"])


def test_only_a_deploy_to_prod_asks_before_it_changes_anything(samconfig):
    asks = {name: samconfig[name]["deploy"]["parameters"]["confirm_changeset"] for name in ("dev", "staging", "prod")}
    assert asks == {"dev": False, "staging": False, "prod": True}


def test_containers_are_kept_between_requests(samconfig):
    assert samconfig["default"]["local_start_api"]["parameters"]["warm_containers"] == "LAZY"
    assert samconfig["default"]["local_start_lambda"]["parameters"]["warm_containers"] == "LAZY"


def test_a_local_run_takes_the_built_template_and_not_the_source(samconfig):
    assert "template_file" not in str(samconfig)
