"""How answers stream: SAM buffers whatever is not said in exactly its words, and says nothing."""

from __future__ import annotations

import json

import pytest

from gatehouse.adapter import PORT, READY_PATH

INTEGRATION = "x-amazon-apigateway-integration"
ANY = "x-amazon-apigateway-any-method"
PATHS = ("/ai", "/ai/{proxy+}")
OF_THE_ADAPTER = {
    "AWS_LAMBDA_EXEC_WRAPPER": "/var/task/start",
    "AWS_LWA_INVOKE_MODE": "response_stream",
    "AWS_LWA_PORT": str(PORT),
    "AWS_LWA_READINESS_CHECK_PATH": READY_PATH,
    "AWS_LWA_READINESS_CHECK_HEALTHY_STATUS": "200-299",
    "AWS_LWA_PASS_THROUGH_PATH": "/_not-a-request",
}


@pytest.fixture(scope="module")
def proxy(deployed):
    return deployed["ProxyFunction"]["Properties"]


@pytest.fixture(scope="module")
def stream(deployed):
    return deployed["StreamFunction"]["Properties"]


@pytest.fixture(scope="module")
def paths(deployed):
    """The API's paths where streaming is on, and where it is off: what API Gateway is sent then."""
    body = deployed["Api"]["Properties"]["Body"]["paths"]

    def chosen(path, *, on):
        condition = body[path].get("Fn::If")
        if condition is None:
            return body[path]
        assert condition[0] == "StreamingOn"
        return condition[1 if on else 2]

    return chosen


def methods(one):
    """The methods of a path, whatever SAM wraps them in."""
    any_method = one[ANY]
    return any_method["Fn::If"][1] if "Fn::If" in any_method else any_method


@pytest.mark.parametrize("path", PATHS)
def test_a_streaming_path_reaches_the_stream_function_by_the_streaming_address(paths, path):
    integration = methods(paths(path, on=True))[INTEGRATION]
    condition, uri, nothing = integration["uri"]["Fn::If"]
    assert (condition, nothing) == ("StreamingOn", {"Ref": "AWS::NoValue"})
    address = uri["Fn::Sub"]
    assert "lambda:path/2021-11-15/functions/${StreamFunctionAliaslive}/response-streaming-invocations" in address
    assert integration["responseTransferMode"] == "STREAM"
    assert integration["type"] == "aws_proxy"


@pytest.mark.parametrize("path", PATHS)
def test_api_gateway_waits_for_a_stream_as_long_as_its_function_may_run(paths, stream, path):
    assert methods(paths(path, on=True))[INTEGRATION]["timeoutInMillis"] == stream["Timeout"] * 1000 == 300_000


@pytest.mark.parametrize("path", PATHS)
def test_where_streaming_is_off_the_path_is_the_greedy_ones(paths, path):
    off = paths(path, on=False)
    assert off == {"Ref": "AWS::NoValue"}
    assert "ProxyFunctionAliaslive}/invocations" in json.dumps(paths("/{proxy+}", on=False))


def test_nothing_else_streams(deployed):
    body = deployed["Api"]["Properties"]["Body"]["paths"]
    streaming = {path for path, one in body.items() if "STREAM" in json.dumps(one)}
    assert streaming == set(PATHS)


def test_streaming_is_on_unless_it_is_turned_off(template):
    assert template["Parameters"]["Streaming"] == {
        "Type": "String",
        "Default": "on",
        "AllowedValues": ["on", "off"],
        "Description": template["Parameters"]["Streaming"]["Description"],
    }
    assert template["Conditions"]["StreamingOn"] == {"Fn::Equals": [{"Ref": "Streaming"}, "on"]}
    assert template["Resources"]["StreamFunction"]["Condition"] == "StreamingOn"


def test_the_adapter_is_a_layer_that_is_left_out_under_a_condition_of_its_own(template, stream):
    """With the function's own condition cfn-lint would see a choice that is none; without one, sam local would ask."""
    condition, adapter, nothing = stream["Layers"][-1]["Fn::If"]
    arn, names = adapter["Fn::Sub"]
    assert (condition, nothing) == ("HasAdapter", {"Ref": "AWS::NoValue"})
    assert arn.startswith("arn:${AWS::Partition}:lambda:${AWS::Region}:${LwaLayerAccount}:layer:")
    assert names["Name"] == {"Fn::If": ["OnArm", "LambdaAdapterLayerArm64", "LambdaAdapterLayerX86"]}
    assert template["Parameters"]["LwaLayerVersion"]["Default"] == 30
    assert template["Parameters"]["LwaLayerAccount"]["Default"] == "753240598075"


def test_it_has_the_layers_of_the_proxy_and_the_adapter(proxy, stream):
    assert stream["Layers"][:-1] == proxy["Layers"]


def test_it_is_the_proxys_code_with_the_same_handler_for_where_no_adapter_is(resources, proxy, stream):
    assert resources["StreamFunction"]["Properties"]["CodeUri"] == resources["ProxyFunction"]["Properties"]["CodeUri"]
    assert (stream["Handler"], stream["Runtime"]) == (proxy["Handler"], proxy["Runtime"])
    assert stream["Architectures"] == proxy["Architectures"]


def test_it_is_told_what_the_proxy_is_told_and_how_to_run(proxy, stream):
    proxys = proxy["Environment"]["Variables"]
    expected = proxys | {"UPSTREAM_CLIENT": "streaming"} | OF_THE_ADAPTER
    assert stream["Environment"]["Variables"] == expected
    assert proxys["UPSTREAM_CLIENT"] == "buffered"


def test_a_stream_that_waits_is_paid_for_little_memory(stream):
    assert stream["MemorySize"] == 256


def test_it_may_do_what_the_proxy_may_and_no_more(deployed):
    roles = [deployed[f"{name}FunctionRole"]["Properties"] for name in ("Proxy", "Stream")]
    statements = [[one["PolicyDocument"] for one in role["Policies"]] for role in roles]
    assert statements[0] == statements[1]
    assert roles[0]["ManagedPolicyArns"] == roles[1]["ManagedPolicyArns"]


def test_only_this_api_may_call_it(of_type):
    """SAM makes one permission for each path, under the function's condition."""
    ours = [one for name, one in of_type("AWS::Lambda::Permission").items() if name.startswith("StreamFunction")]
    assert len(ours) == len(PATHS)
    assert all(one["Condition"] == "StreamingOn" for one in ours)
    assert all(one["Properties"]["Action"] == "lambda:InvokeFunction" for one in ours)


def test_it_logs_to_a_group_of_its_own(resources, stream):
    assert stream["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "WARN",
        "LogGroup": {"Ref": "StreamLogs"},
    }
    assert resources["StreamLogs"]["Properties"]["LogGroupName"] == {"Fn::Sub": "/aws/lambda/${AWS::StackName}-stream"}


def test_the_access_log_says_how_an_answer_left_and_when_it_began(deployed):
    line = json.loads(deployed["ApiStage"]["Properties"]["AccessLogSetting"]["Format"])
    assert line["mode"] == "$context.integration.responseTransferMode"
    assert line["firstByteMs"] == "$context.integration.timeToFirstContent"


def test_no_answer_is_compressed_on_the_way(deployed):
    """API Gateway does not compress streams; an upstream's own coding passes."""
    assert "MinimumCompressionSize" not in deployed["Api"]["Properties"]


def test_the_start_is_a_command(root):
    start = root / "functions/proxy/start"
    assert start.stat().st_mode & 0o111 == 0o111
    assert start.read_text(encoding="utf-8").startswith("#!/bin/sh\n")


def test_its_variables_fit_into_what_lambda_takes(stream):
    """4 KB of names and values in all; a deploy's own values are of 95 characters each, say."""
    variables = stream["Environment"]["Variables"]
    values = {name: value if isinstance(value, str) else " " * 95 for name, value in variables.items()}
    assert sum(len(name) + len(value) for name, value in values.items()) < 4096
