"""Each function may do what it does, and nothing else."""

from __future__ import annotations

import json

import pytest

FUNCTIONS = ("LoginFunction", "GuestFunction", "TokensFunction", "ProxyFunction", "StatusFunction")
READ_SECRET = ("secretsmanager:GetSecretValue", {"Ref": "GatewaySecret"})


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(deployed, function):
    """The statements of its role; one with a condition as it is where that holds. Those for a key are tested apart."""
    policies = deployed[f"{function}Role"]["Properties"].get("Policies", [])
    written = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    apart = [one for one in written if one.get("Fn::If", [""])[0] != "HasKey"]
    return [one["Fn::If"][1] if "Fn::If" in one else one for one in apart]


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


def test_a_guest_needs_nothing_but_the_secret(deployed):
    assert grants(deployed, "GuestFunction") == [READ_SECRET]


def test_the_proxy_may_read_the_revocation_log_and_nothing_else_of_the_tokens(deployed):
    table = {"Fn::GetAtt": ["TokensTable", "Arn"]}
    shared = {"Fn::GetAtt": ["CacheTable", "Arn"]}
    expected = [READ_SECRET, ("dynamodb:Query", table), ("dynamodb:UpdateItem", table)]
    expected += [("dynamodb:GetItem", shared), ("dynamodb:PutItem", shared), ("dynamodb:UpdateItem", shared)]
    expected += [("dynamodb:BatchGetItem", shared), ("dynamodb:PutItem", shared), ("dynamodb:UpdateItem", shared)]
    expected += [("dynamodb:UpdateItem", {"Fn::GetAtt": ["UsageTable", "Arn"]})]
    expected += [("lambda:InvokeFunction", {"Ref": "FunctionUpstreams"})]
    assert grants(deployed, "ProxyFunction") == expected


def test_the_proxy_may_touch_nothing_of_the_cache_but_what_processes_share_and_its_own_counts(deployed):
    """Above all not the counts of failed logins, nor the places that people log in from."""
    (sharing,) = [one for one in statements(deployed, "ProxyFunction") if one["Sid"] == "ShareAnswers"]
    assert sharing["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["shared#*"]}}
    conditions = {one["Sid"]: one.get("Condition") for one in statements(deployed, "ProxyFunction")}
    counts = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["limit#route-*"]}}
    assert conditions["CountRequests"] == counts
    metered = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["usage#*", "budget#*"]}}
    assert conditions["MeterModelCalls"] == metered
    assert conditions["ReadRevocations"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["revocations"]}}
    assert conditions["NoteLastUse"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["token#*"]},
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "sk", "last_used_at"]},
        "StringEqualsIfExists": {"dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"]},
    }


def cache_keys(deployed, function):
    """Return which keys of CacheTable *function* may do what to, by operation; one statement each."""
    found = {}
    for one in statements(deployed, function):
        if one["Resource"] == {"Fn::GetAtt": ["CacheTable", "Arn"]}:
            (condition,) = one["Condition"].items()
            assert condition[0] == "ForAllValues:StringLike"
            for action in listed(one["Action"]):
                found.setdefault(action.removeprefix("dynamodb:"), []).append(condition[1]["dynamodb:LeadingKeys"])
    return found


def test_the_proxy_reads_answers_and_what_happened_to_them_at_once_and_purges_nothing(deployed):
    """All keys of a call must be in one statement: each is compared with all of them."""
    assert cache_keys(deployed, "ProxyFunction") == {
        "GetItem": [["shared#*"]],
        "BatchGetItem": [["cache#*", "cache-lease#*", "cache-gone#*", "cache-purges#*"]],
        "PutItem": [["shared#*"], ["cache#*"]],
        "UpdateItem": [["limit#route-*"], ["cache-lease#*", "cache-gone#*"]],
    }


def test_the_tokens_function_purges_and_reads_no_answer(deployed):
    assert cache_keys(deployed, "TokensFunction") == {
        "GetItem": [["cache-purges#*"]],
        "PutItem": [["cache-purges#*"]],
        "UpdateItem": [["limit#session-*"]],
    }


def test_the_tokens_function_keeps_tokens_and_deletes_none(deployed):
    table = {"Fn::GetAtt": ["TokensTable", "Arn"]}
    indexes = [{"Fn::Sub": f"${{TokensTable.Arn}}/index/{name}"} for name in ("by-project", "by-time")]
    actions = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query"]
    allowed = {(action, json.dumps(one)) for action in actions for one in [table, *indexes]}
    secret, *rest = grants(deployed, "TokensFunction")
    assert secret == READ_SECRET
    cache = json.dumps({"Fn::GetAtt": ["CacheTable", "Arn"]})
    counting_and_purging = {(f"dynamodb:{name}Item", cache) for name in ("Get", "Put", "Update")}
    assert {(action, json.dumps(one)) for action, one in rest} == allowed | counting_and_purging


def test_login_may_read_the_secret_read_and_replace_admin_records_and_count(deployed):
    admins = {"Fn::Sub": "${AdminsBucket.Arn}/auth/admins/*"}
    bucket = {"Fn::GetAtt": ["AdminsBucket", "Arn"]}
    counts = {"Fn::GetAtt": ["CacheTable", "Arn"]}
    expected = [READ_SECRET, ("s3:GetObject", admins), ("s3:PutObject", admins), ("s3:ListBucket", bucket)]
    expected += [("dynamodb:GetItem", counts), ("dynamodb:UpdateItem", counts)]
    assert grants(deployed, "LoginFunction") == expected


def test_login_may_touch_nothing_of_the_cache_but_its_counts(deployed):
    (counting,) = [one for one in statements(deployed, "LoginFunction") if one["Sid"] == "CountLogins"]
    keys = {"dynamodb:LeadingKeys": ["limit#login-*", "login-place#*"]}
    assert counting["Condition"] == {"ForAllValues:StringLike": keys}


def test_login_may_list_nothing_but_admin_records(deployed):
    (listing,) = [one for one in statements(deployed, "LoginFunction") if one["Action"] == "s3:ListBucket"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": "auth/admins/*"}}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_grant_is_for_every_action_or_every_resource(deployed, function):
    for action, resource in grants(deployed, function):
        assert "*" not in action
        everything = json.dumps(resource).replace("/auth/admins/*", "").count("*")
        assert everything == 0 or action in {"cloudwatch:ListMetrics", "cloudwatch:GetMetricData"}


def test_the_status_function_sees_that_stores_answer_and_nothing_of_what_they_hold(deployed):
    cache, usage, tokens = ({"Fn::GetAtt": [f"{name}Table", "Arn"]} for name in ("Cache", "Usage", "Tokens"))
    expected = [READ_SECRET, ("dynamodb:Query", tokens), ("dynamodb:GetItem", cache), ("dynamodb:GetItem", usage)]
    expected += [("s3:ListBucket", {"Fn::GetAtt": ["AdminsBucket", "Arn"]})]
    expected += [("cloudwatch:ListMetrics", "*"), ("cloudwatch:GetMetricData", "*")]
    expected += [("lambda:InvokeFunction", {"Ref": "FunctionUpstreams"})]
    assert grants(deployed, "StatusFunction") == expected
    conditions = {one["Sid"]: one.get("Condition") for one in statements(deployed, "StatusFunction")}
    assert conditions["ReadRevocations"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["revocations"]}}
    assert conditions["ProbeTables"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["ready#*"]}}
    one_name = {"NumericLessThanEquals": {"s3:max-keys": 1}}
    assert conditions["ProbeAdmins"] == {"StringLike": {"s3:prefix": "auth/admins/*"}, **one_name}


def test_no_other_function_reads_metrics(deployed):
    others = [*FUNCTIONS[:-1], "StreamFunction"]
    assert not [name for name in others for action, _ in grants(deployed, name) if action.startswith("cloudwatch:")]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_beside_its_statements_a_function_may_write_logs_and_traces_only(deployed, function):
    arns = deployed[f"{function}Role"]["Properties"]["ManagedPolicyArns"]
    assert {arn.rpartition("/")[2] for arn in arns} == {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"}


def test_only_this_api_may_call_the_functions(of_type):
    permissions = of_type("AWS::Lambda::Permission").values()
    assert len(permissions) == 17
    for one in permissions:
        assert one["Properties"]["FunctionName"]["Ref"].endswith("FunctionAliaslive")
        assert one["Properties"]["Principal"] == "apigateway.amazonaws.com"
        assert one["Properties"]["SourceArn"]["Fn::Sub"][1]["__ApiId__"] == {"Ref": "Api"}


def test_the_bucket_refuses_plain_http_from_everyone(resources):
    (statement,) = resources["AdminsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")


@pytest.mark.parametrize("function", ["ProxyFunction", "StreamFunction", "StatusFunction"])
def test_the_proxy_may_invoke_the_functions_that_are_named_and_none_unless_some_are(deployed, function):
    granted = [one for one in statements(deployed, function) if "lambda:InvokeFunction" in listed(one["Action"])]
    assert [one["Resource"] for one in granted] == [{"Ref": "FunctionUpstreams"}]
    policies = deployed[f"{function}Role"]["Properties"]["Policies"]
    written = [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    conditional = [one["Fn::If"] for one in written if one.get("Fn::If", ["HasKey"])[0] != "HasKey"]
    assert [(condition, otherwise) for condition, _, otherwise in conditional] == [
        ("InvokesFunctions", {"Ref": "AWS::NoValue"})
    ]
