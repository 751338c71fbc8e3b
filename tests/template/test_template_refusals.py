"""What API Gateway answers by itself looks like what the gateway answers."""

from __future__ import annotations

import json
import re

import pytest

from gatehouse import errors

# Response type -> status and code of our error schema.
EXPECTED = {
    "ACCESS_DENIED": (403, "FORBIDDEN"),
    "DEFAULT_4XX": (400, "INVALID_REQUEST"),
    "DEFAULT_5XX": (500, "INTERNAL"),
    "INTEGRATION_FAILURE": (502, "UPSTREAM_UNREACHABLE"),
    "INTEGRATION_TIMEOUT": (504, "UPSTREAM_TIMEOUT"),
    "MISSING_AUTHENTICATION_TOKEN": (404, "NOT_FOUND"),
    "REQUEST_TOO_LARGE": (413, "PAYLOAD_TOO_LARGE"),
    "RESOURCE_NOT_FOUND": (404, "NOT_FOUND"),
    "THROTTLED": (429, "RATE_LIMITED"),
    "WAF_FILTERED": (403, "FORBIDDEN"),
}
HEADERS = {
    "gatewayresponse.header.Access-Control-Allow-Origin": "'*'",
    "gatewayresponse.header.Cache-Control": "'no-store'",
    "gatewayresponse.header.X-Content-Type-Options": "'nosniff'",
}
# As API Gateway fills them in; messageString brings its own quotes.
VALUES = {
    "$context.error.messageString": '"Bad \\"request\\""',
    "$context.extendedRequestId": "AbCdEFghIJklMnO=",
    "$context.requestTime": "22/Nov/2026:10:00:00 +0000",
}


@pytest.fixture(scope="module")
def responses(deployed):
    return deployed["Api"]["Properties"]["Body"]["x-amazon-apigateway-gateway-responses"]


def filled_in(response):
    template = response["responseTemplates"]["application/json"]
    return json.loads(re.sub(r"\$context(\.\w+)+", lambda found: VALUES[found[0]], template))


def known_errors(kind=errors.GatewayError):
    yield kind
    for child in kind.__subclasses__():
        yield from known_errors(child)


def test_every_refusal_of_api_gateway_that_can_happen_is_ours(responses):
    assert set(responses) == set(EXPECTED)


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_body_is_our_error_schema(responses, kind):
    status, code = EXPECTED[kind]
    body = filled_in(responses[kind])
    assert list(body) == ["route", "status", "code", "message", "requestId", "timestamp"]
    assert (body["route"], body["status"], body["code"]) == ("CORE", status, code)
    assert body["requestId"] == VALUES["$context.extendedRequestId"]
    assert isinstance(body["message"], str)
    assert isinstance(body["timestamp"], str)


def test_an_operator_finds_the_id_of_such_an_answer_in_the_access_log(deployed):
    """And no client can have chosen it, as it can `$context.requestId`."""
    assert '"$context.extendedRequestId"' in deployed["ApiStage"]["Properties"]["AccessLogSetting"]["Format"]


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_status_is_the_one_that_the_body_tells(responses, kind):
    assert responses[kind]["statusCode"] == str(filled_in(responses[kind])["status"])


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_answer_can_be_read_by_browsers_and_is_not_kept(responses, kind):
    assert responses[kind]["responseParameters"].items() >= HEADERS.items()


def test_a_throttled_caller_is_told_when_to_come_back(responses):
    assert responses["THROTTLED"]["responseParameters"]["gatewayresponse.header.Retry-After"] == "'1'"


def test_a_path_without_a_method_is_not_said_to_lack_a_token(responses):
    assert "token" not in filled_in(responses["MISSING_AUTHENTICATION_TOKEN"])["message"].lower()


def test_a_failure_inside_says_nothing_of_the_inside(responses):
    for kind in ("DEFAULT_5XX", "INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT"):
        assert "$context.error" not in responses[kind]["responseTemplates"]["application/json"]


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_code_has_the_status_that_the_gateway_gives_it(kind):
    status, code = EXPECTED[kind]
    assert {error.status for error in known_errors() if error.code == code} <= {status}
