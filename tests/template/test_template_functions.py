"""How the functions and their layers are set up."""

from __future__ import annotations

import re

import pytest

from gatehouse import gcra
from gatehouse.settings import Settings

FUNCTIONS = ("LoginFunction", "GuestFunction", "TokensFunction", "ProxyFunction", "StatusFunction")
EVERYWHERE = {
    "AWS_ENDPOINT_URL",
    "BUILD_SERVICE_URL",
    "CORE_SERVICE_URL",
    "ENVIRONMENT",
    "GATEWAY_SECRET_ARN",
    "KV_SERVICE_URL",
    "METRICS_NAMESPACE",
    "PREFECT_SERVICE_URL",
    "PROJECTS_DIR",
}
CROW = (
    "ANALYTICS", "AUTH", "BILLING", "CHAT", "INTEGRATION", "INTERACTION", "KNOWLEDGE", "MEDIA", "NOTIFICATION", "ORG",
    "PATTERN", "PRODUCT", "REPORT", "SEARCH", "USER",
)  # fmt: skip
PROXY = {"UPSTREAM_CLIENT", "TOKENS_TABLE", "CACHE_TABLE", "USAGE_TABLE", "REVOCATION_REFRESH_S"}
FOREIGN = {*(f"{name}_SERVICE_URL" for name in CROW), "CF_ACCESS_URL", "CF_ACCESS_AUD", "CF_AI_GATEWAY_URL"}


@pytest.fixture(params=FUNCTIONS)
def function(request, deployed):
    return deployed[request.param]["Properties"]


def variables(deployed, name):
    return deployed[name]["Properties"]["Environment"]["Variables"]


def test_a_function_runs_python_3_13_and_the_handler_of_its_app(function):
    assert (function["Runtime"], function["Handler"]) == ("python3.13", "app.handler")


def test_the_processor_is_a_parameter_and_arm_unless_said_otherwise(template, function):
    assert function["Architectures"] == [{"Ref": "Architecture"}]
    assert template["Parameters"]["Architecture"]["Default"] == "arm64"


def test_a_function_ends_when_api_gateway_stops_waiting(function):
    assert function["Timeout"] == 29


def test_a_function_has_the_shared_code_and_the_project_files(function):
    names = [layer["Ref"] for layer in function["Layers"]]
    assert [name[:13] for name in names] == ["GatehouseLaye", "ProjectsLayer"]


def test_login_has_more_processor_time_than_the_others(deployed):
    memory = {name: deployed[name]["Properties"]["MemorySize"] for name in FUNCTIONS}
    assert memory == dict.fromkeys(FUNCTIONS, 512) | {"LoginFunction": 1024}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("LoginFunction", {"ADMINS_BUCKET", "CACHE_TABLE", "LOGIN_LIMIT_USER", "LOGIN_LIMIT_ADDRESS"}),
        ("GuestFunction", set()),
        ("TokensFunction", {"TOKENS_TABLE", "CACHE_TABLE", "REVOCATION_REFRESH_S"}),
        ("ProxyFunction", PROXY | FOREIGN),
        ("StatusFunction", PROXY | FOREIGN | {"ADMINS_BUCKET"}),
    ],
)
def test_a_function_is_told_only_what_it_needs(deployed, name, own):
    assert set(variables(deployed, name)) == EVERYWHERE | own


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_knows_where_the_secret_is_but_not_the_secret(deployed, name):
    assert variables(deployed, name)["GATEWAY_SECRET_ARN"] == {"Ref": "GatewaySecret"}
    assert "resolve:" not in str(variables(deployed, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_endpoint_of_aws_is_not_set_on_aws(template, deployed, name):
    assert variables(deployed, name)["AWS_ENDPOINT_URL"]["Fn::If"][2] == {"Ref": "AWS::NoValue"}
    assert template["Conditions"]["HasAwsEndpoint"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AwsEndpointUrl"}, ""]}]}
    assert template["Parameters"]["AwsEndpointUrl"]["Default"] == ""


@pytest.mark.parametrize(("name", "rate"), [("LoginLimitUser", "10/5m"), ("LoginLimitAddress", "50/5m")])
def test_the_limits_of_logins_are_parameters_and_those_of_the_settings_unless_said_otherwise(template, name, rate):
    parameter = template["Parameters"][name]
    assert parameter["Default"] == rate
    assert getattr(Settings(), "_".join(re.findall("[A-Z][a-z]+", name)).lower()) == gcra.parse(rate)


@pytest.mark.parametrize("text", ["1/1s", "100/24h", "5/500ms", "0/5m", "10", "10/5", "10/m", "", "10/5m "])
def test_what_is_no_limit_of_logins_is_found_out_before_the_deploy(template, text):
    try:
        good = bool(gcra.parse(text))
    except ValueError:
        good = False
    for name in ("LoginLimitUser", "LoginLimitAddress"):
        assert bool(re.fullmatch(template["Parameters"][name]["AllowedPattern"], text)) is good


@pytest.mark.parametrize(
    "name", ["BuildServiceUrl", "KvServiceUrl", "CoreServiceUrl", "CfAccessUrl", "CfAccessAud", "CfAiGatewayUrl"]
)
def test_a_deploy_works_before_any_upstream_is_known(template, name):
    assert template["Parameters"][name]["Default"] == ""


@pytest.mark.parametrize("service", CROW)
def test_a_deploy_works_before_any_service_of_crow_is_known(template, service):
    assert template["Parameters"][f"{service.title()}ServiceUrl"]["Default"] == ""


@pytest.mark.parametrize("name", ["ProxyFunction", "StatusFunction"])
def test_the_variables_of_a_function_fit_into_what_lambda_takes(deployed, name):
    """4 KB of names and values in all; a deploy's own values are of 100 characters each, say."""
    own = variables(deployed, name)
    values = {key: value if isinstance(value, str) else " " * 100 for key, value in own.items()}
    assert sum(len(key) + len(value) for key, value in values.items()) < 4096


@pytest.mark.parametrize("name", [*FUNCTIONS, "StreamFunction"])
def test_the_metrics_of_a_stack_are_its_own(stack, name):
    assert stack()[name]["Environment"]["Variables"]["METRICS_NAMESPACE"] == "Gatehouse/gatehouse-prod"


@pytest.mark.parametrize("name", ["Login", "Status"])
def test_as_many_requests_are_worked_on_at_once_as_there_are_unless_a_deploy_says_otherwise(stack, name):
    assert "ReservedConcurrentExecutions" not in stack()[f"{name}Function"]
    limited = stack(**{f"{name}Concurrency": "20"}).of_type("AWS::Lambda::Function")
    kept = {one: found["ReservedConcurrentExecutions"] for one, found in limited.items() if "Reserved" in str(found)}
    assert kept == {f"{name}Function": "20"}


def test_keys_of_an_issuer_are_never_fetched_in_the_clear_on_aws(template):
    assert re.fullmatch(template["Parameters"]["CfAccessUrl"]["AllowedPattern"], "https://team.cloudflareaccess.com")
    assert not re.fullmatch(template["Parameters"]["CfAccessUrl"]["AllowedPattern"], "http://team.cloudflareaccess.com")


def test_a_stack_that_is_told_no_upstreams_is_ready(template):
    """One that it cannot reach would say for ever that it is not."""
    parameters = template["Parameters"]
    named = [name for name in parameters if name.endswith(("ServiceUrl", "GatewayUrl"))]
    assert len(named) > 18
    assert [name for name in named if parameters[name]["Default"]] == []


def test_every_function_logs_json_to_a_group_of_its_own(resources, deployed):
    groups = [deployed[name]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] for name in FUNCTIONS]
    assert groups == [name.replace("Function", "Logs") for name in FUNCTIONS]
    names = {resources[group]["Properties"]["LogGroupName"]["Fn::Sub"] for group in groups}
    assert len(names) == len(groups)
    assert all(deployed[name]["Properties"]["LoggingConfig"]["LogFormat"] == "JSON" for name in FUNCTIONS)


def test_every_log_group_forgets_after_a_while_and_goes_with_the_stack(of_type):
    groups = of_type("AWS::Logs::LogGroup")
    own = {name.replace("Function", "Logs") for name in FUNCTIONS}
    assert set(groups) == own | {"AccessLogs", "StreamLogs", "WebAclLogs"}
    for group in groups.values():
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
        assert group["DeletionPolicy"] == "Delete"


def test_a_layer_is_built_for_the_processor_of_the_functions(resources):
    layer = resources["GatehouseLayer"]
    assert layer["Metadata"] == {"BuildMethod": "makefile", "BuildArchitecture": {"Ref": "Architecture"}}
    assert layer["Properties"]["CompatibleArchitectures"] == [{"Ref": "Architecture"}]


def test_the_project_files_are_a_layer_that_needs_no_build(resources):
    assert "Metadata" not in resources["ProjectsLayer"]
    assert resources["ProjectsLayer"]["Properties"]["ContentUri"] == "layers/config"


@pytest.mark.parametrize("name", ["GatehouseLayer", "ProjectsLayer"])
def test_a_published_version_changes_when_only_a_layer_does(resources, name):
    assert resources[name]["Properties"]["PublishLambdaVersion"] is True
