"""Each function may do what it does, and nothing else."""

from __future__ import annotations

import json

import pytest

FUNCTIONS = ("LoginFunction", "GuestFunction", "ProxyFunction")
READ_SECRET = ("secretsmanager:GetSecretValue", {"Ref": "GatewaySecret"})


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(deployed, function):
    policies = deployed[f"{function}Role"]["Properties"].get("Policies", [])
    return [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]


def grants(deployed, function):
    return [
        (action, resource)
        for one in statements(deployed, function)
        for action in listed(one["Action"])
        for resource in listed(one["Resource"])
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_a_role_of_its_own(deployed, function):
    assert deployed[function]["Properties"]["Role"] == {"Fn::GetAtt": [f"{function}Role", "Arn"]}


@pytest.mark.parametrize("function", ["GuestFunction", "ProxyFunction"])
def test_guest_and_proxy_may_only_read_the_secret(deployed, function):
    assert grants(deployed, function) == [READ_SECRET]


def test_login_may_read_the_secret_and_read_and_replace_admin_records(deployed):
    admins = {"Fn::Sub": "${AdminsBucket.Arn}/auth/admins/*"}
    bucket = {"Fn::GetAtt": ["AdminsBucket", "Arn"]}
    expected = [READ_SECRET, ("s3:GetObject", admins), ("s3:PutObject", admins), ("s3:ListBucket", bucket)]
    assert grants(deployed, "LoginFunction") == expected


def test_login_may_list_nothing_but_admin_records(deployed):
    (listing,) = [one for one in statements(deployed, "LoginFunction") if one["Action"] == "s3:ListBucket"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "auth/admins/*"}}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_grant_is_for_every_action_or_every_resource(deployed, function):
    for action, resource in grants(deployed, function):
        assert "*" not in action
        assert json.dumps(resource).replace("/auth/admins/*", "").count("*") == 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_beside_its_statements_a_function_may_write_logs_and_traces_only(deployed, function):
    arns = deployed[f"{function}Role"]["Properties"]["ManagedPolicyArns"]
    assert {arn.rpartition("/")[2] for arn in arns} == {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}


def test_only_this_api_may_call_the_functions(of_type):
    permissions = of_type("AWS::Lambda::Permission").values()
    assert len(permissions) == 4
    for one in permissions:
        assert one["Properties"]["Principal"] == "apigateway.amazonaws.com"
        assert one["Properties"]["SourceArn"]["Fn::Sub"][1]["__ApiId__"] == {"Ref": "Api"}


def test_the_bucket_refuses_plain_http_from_everyone(resources):
    (statement,) = resources["AdminsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")
