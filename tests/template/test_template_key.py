"""A key of the team's own: everything that is kept lies under it, and every function may use it for what it reads."""

from __future__ import annotations

import re

import pytest

KEY = "arn:aws:kms:eu-west-1:123456789012:key/0-1"
FUNCTIONS = ("Login", "Guest", "Tokens", "Proxy", "Stream", "Status")
THROUGH = ("secretsmanager", "dynamodb", "s3", "lambda")
"""The services that open something for a function: nothing is decrypted with KMS itself."""
STORING = {"Login", "Tokens", "Proxy", "Stream"}


@pytest.fixture(scope="module")
def keyed(stack):
    return stack(KmsKeyArn=KEY, Waf="on", AlarmEmail="ops@example.com")


@pytest.fixture(scope="module")
def plain(stack):
    return stack(Waf="on", AlarmEmail="ops@example.com")


def statements(made, function):
    policies = made[f"{function}FunctionRole"]["Policies"]
    return {one["Sid"]: one for policy in policies for one in policy["PolicyDocument"]["Statement"]}


def test_without_a_key_there_is_no_word_of_one(plain):
    """But for the one that AWS has for the tables that are kept."""
    text = str([one["Properties"] for one in plain.resources.values()]).replace("'SSEType': 'KMS'", "")
    assert "kms" not in text.lower()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::Lambda::Function", "KmsKeyArn"),
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
    ],
)
def test_logs_variables_and_the_secret_lie_under_it(keyed, kind, name):
    assert {one[name] for one in keyed.of_type(kind).values()} == {KEY}


def test_the_tables_lie_under_it(keyed):
    under = [one["SSESpecification"] for one in keyed.of_type("AWS::DynamoDB::Table").values()]
    assert under == [{"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}] * 3


def test_without_a_key_the_tables_that_are_kept_lie_under_awss(plain):
    assert plain["TokensTable"]["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    assert plain["UsageTable"]["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    assert "SSESpecification" not in plain["CacheTable"]


def test_the_bucket_lies_under_it_and_asks_for_it_seldom(keyed, plain):
    (rule,) = keyed["AdminsBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule == {
        "BucketKeyEnabled": True,
        "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
    }
    (rule,) = plain["AdminsBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_alarms_are_not_lost_to_a_key_that_cloudwatch_may_not_use(keyed):
    assert "KmsMasterKeyId" not in keyed["AlarmTopic"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_may_read_what_lies_under_it(keyed, plain, function):
    assert statements(keyed, function)["UseKey"] == {
        "Sid": "UseKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:DescribeKey"],
        "Resource": KEY,
        "Condition": {"StringEquals": {"kms:ViaService": [f"{one}.eu-west-1.amazonaws.com" for one in THROUGH]}},
    }
    assert "UseKey" not in statements(plain, function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_a_function_that_stores_something_may_encrypt_and_only_through_the_stores(keyed, plain, function):
    found = statements(keyed, function).get("StoreWithKey")
    assert (found is not None) is (function in STORING)
    if found:
        assert found["Resource"] == KEY
        through = ["dynamodb.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"]
        assert found["Condition"] == {"StringEquals": {"kms:ViaService": through}}
    assert "StoreWithKey" not in statements(plain, function)


def test_a_function_that_writes_to_a_table_or_the_bucket_is_one_that_stores(keyed):
    writing = ("dynamodb:PutItem", "dynamodb:UpdateItem", "s3:PutObject")
    found = {
        name for name in FUNCTIONS for one in statements(keyed, name).values() if set(writing) & set(_actions(one))
    }
    assert found == STORING


def _actions(statement):
    return statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]


@pytest.mark.parametrize("text", ["", KEY, "arn:aws-cn:kms:cn-north-1:123456789012:key/abc"])
def test_a_key_is_named_by_its_arn(template, text):
    _matches(template, text, good=True)


@pytest.mark.parametrize("text", ["alias/mine", "0-1", "arn:aws:kms:eu-west-1:123456789012:alias/mine"])
def test_a_name_that_permissions_cannot_name_is_refused(template, text):
    _matches(template, text, good=False)


def _matches(template, text, *, good):
    assert bool(re.fullmatch(template["Parameters"]["KmsKeyArn"]["AllowedPattern"], text)) is good
