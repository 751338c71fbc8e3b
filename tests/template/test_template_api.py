"""The front door: which function answers what, and how the API is set up."""

from __future__ import annotations

import json
import re

import pytest

INTEGRATION = "x-amazon-apigateway-integration"
ANY = "x-amazon-apigateway-any-method"


@pytest.fixture(scope="module")
def api(deployed):
    return deployed["Api"]["Properties"]


@pytest.fixture(scope="module")
def stage(deployed):
    return deployed["ApiStage"]["Properties"]


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("/", "ProxyFunction"),
        ("/{proxy+}", "ProxyFunction"),
        ("/auth/login", "LoginFunction"),
        ("/auth/guest", "GuestFunction"),
        ("/ping", "StatusFunction"),
        ("/ready", "StatusFunction"),
        ("/metrics", "StatusFunction"),
    ],
)
def test_a_path_goes_to_its_function_with_any_method(api, path, function):
    methods = api["Body"]["paths"][path]
    assert list(methods) == [ANY]
    assert f"functions/${{{function}Aliaslive}}/invocations" in methods[ANY][INTEGRATION]["uri"]["Fn::Sub"]
    assert methods[ANY][INTEGRATION]["type"] == "aws_proxy"


def test_no_other_path_is_served(api):
    tokens = {"/auth/tokens", "/auth/tokens/{jti}", "/auth/session", "/auth/refresh", "/auth/logout"}
    published = {"/.well-known/jwks.json", "/auth/openapi.json"}
    others = {"/", "/{proxy+}", "/auth/login", "/auth/guest", "/auth/cache"}
    streaming, status = {"/ai", "/ai/{proxy+}"}, {"/ping", "/ready", "/metrics"}
    assert set(api["Body"]["paths"]) == others | tokens | published | streaming | status


def test_cors_is_left_to_the_functions(api):
    assert '"options"' not in json.dumps(api["Body"]["paths"])


def test_the_api_is_regional(api):
    assert api["EndpointConfiguration"]["Types"] == ["REGIONAL"]


def test_binary_bodies_pass_unharmed_in_both_directions(api):
    assert api["Body"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]


def test_there_is_one_stage_and_its_name_is_a_parameter(template, of_type, stage):
    assert len(of_type("AWS::ApiGateway::Stage")) == 1
    assert all("StageName" not in one["Properties"] for one in of_type("AWS::ApiGateway::Deployment").values())
    assert stage["StageName"] == {"Ref": "StageName"}
    assert template["Parameters"]["StageName"]["Default"] == "v1"


def test_every_method_is_throttled(stage):
    settings, *_ = stage["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert settings["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}


def test_what_anybody_may_ask_the_whole_gateway_is_throttled_far_below_the_rest(api, stage):
    """By each method that its function answers; a slash within a path is written ~1."""
    _, *own = stage["MethodSettings"]
    paths = [path for path, one in api["Body"]["paths"].items() if "StatusFunction" in json.dumps(one)]
    assert {(one["ResourcePath"], one["HttpMethod"]) for one in own} == {
        (f"/{path.replace('/', '~1')}", method) for path in paths for method in ("GET", "HEAD")
    }
    assert {(one["ThrottlingRateLimit"], one["ThrottlingBurstLimit"]) for one in own} == {(20, 40)}


def test_no_method_logs_its_data_and_no_metric_is_paid_for_one(stage):
    """Nothing is inherited: what a setting does not say is API Gateway's default."""
    for one in stage["MethodSettings"]:
        assert (one["DataTraceEnabled"], one["MetricsEnabled"], one["LoggingLevel"]) == (False, False, "OFF")


def test_what_a_parameter_changes_in_the_api_reaches_its_stage(transform, monkeypatch):
    """For SAM the API is the same where only a parameter's value is another, so it has to be deployed each time."""
    names = set()
    for now in (1_800_000_000, 1_800_000_600):
        monkeypatch.setattr("samtranslator.model.apigateway.time.time", lambda now=now: now)
        made = transform(Streaming="off")["Resources"].items()
        names |= {name for name, one in made if one["Type"] == "AWS::ApiGateway::Deployment"}
    assert len(names) == 2


def test_requests_are_traced(deployed, stage):
    assert stage["TracingEnabled"] is True
    assert deployed["ProxyFunction"]["Properties"]["TracingConfig"] == {"Mode": "Active"}


def test_an_access_log_line_is_json_with_the_request_id(stage):
    line = json.loads(stage["AccessLogSetting"]["Format"])
    assert line["requestId"] == "$context.requestId"
    assert line["status"] == "$context.status"


def test_an_access_log_line_names_the_invocation_whose_lines_the_functions_log_has(stage):
    assert json.loads(stage["AccessLogSetting"]["Format"])["invocationId"] == "$context.integration.requestId"


def test_the_access_log_has_no_path_no_query_string_and_no_header(stage):
    """Clients put tokens into all of them."""
    used = set(re.findall(r"\$context\.([A-Za-z.]+)", stage["AccessLogSetting"]["Format"]))
    assert not used & {"identity.userAgent", "identity.caller", "customDomain.basePathMatched", "requestOverride"}
    assert not any("querystring" in name.lower() or "header" in name.lower() for name in used)
    assert not used & {"path", "customDomain.basePathMatched", "requestOverride.path"}
    assert used >= {"resourcePath", "httpMethod", "identity.sourceIp", "error.responseType"}


def test_the_account_may_write_logs_before_the_api_is_made(template, resources):
    assert resources["Api"]["DependsOn"] == "ApiGatewayAccount"
    assert resources["ApiGatewayAccount"]["Condition"] == "ManagesAccount"
    assert resources["ApiGatewayLogsRole"]["Condition"] == "ManagesAccount"
    assert template["Parameters"]["ManageApiGatewayAccount"]["Default"] == "true"


@pytest.mark.parametrize("name", ["ApiGatewayAccount", "ApiGatewayLogsRole"])
def test_the_account_setting_outlives_the_stack(resources, name):
    assert resources[name]["DeletionPolicy"] == "Retain"
    assert resources[name]["UpdateReplacePolicy"] == "Retain"
