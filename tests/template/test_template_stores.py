"""What is kept, for how long, and how it is protected."""

from __future__ import annotations

import json

import pytest

WITHOUT_TAGS = {
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::Deployment",
    "AWS::CloudWatch::Dashboard",
    "AWS::Lambda::Alias",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Route53::RecordSet",
    "AWS::S3::BucketPolicy",
    "AWS::WAFv2::LoggingConfiguration",
    "AWS::WAFv2::WebACLAssociation",
}
"""What CloudFormation takes no tags for."""


@pytest.fixture(scope="module")
def bucket(resources):
    return resources["AdminsBucket"]["Properties"]


@pytest.fixture(scope="module")
def tokens(resources):
    return resources["TokensTable"]["Properties"]


@pytest.fixture(scope="module")
def cache(resources):
    return resources["CacheTable"]["Properties"]


@pytest.fixture(scope="module")
def secret(resources):
    return resources["GatewaySecret"]["Properties"]["GenerateSecretString"]


@pytest.mark.parametrize("name", ["AdminsBucket", "AdminsBucketPolicy", "TokensTable", "UsageTable", "GatewaySecret"])
def test_what_cannot_be_made_again_outlives_the_stack(resources, name):
    assert resources[name]["DeletionPolicy"] == "Retain"
    assert resources[name]["UpdateReplacePolicy"] == "Retain"


def test_the_cache_goes_with_the_stack(resources):
    assert resources["CacheTable"]["DeletionPolicy"] == "Delete"
    assert resources["CacheTable"]["UpdateReplacePolicy"] == "Delete"


def test_the_bucket_is_private_versioned_and_encrypted(bucket):
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketEncryption" in bucket  # test_template_key.py says how


def test_replaced_admin_records_are_forgotten_but_current_ones_never(bucket):
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert any("NoncurrentVersionExpiration" in rule for rule in rules)
    assert not any(key.startswith("Expiration") for rule in rules for key in rule)


def test_the_tokens_table_is_keyed_by_pk_and_sk_and_found_by_project(tokens):
    kinds = {one["AttributeName"]: one["AttributeType"] for one in tokens["AttributeDefinitions"]}
    assert kinds == {"pk": "S", "sk": "S", "project": "S", "kind": "S", "created_at": "N"}
    assert [key["AttributeName"] for key in tokens["KeySchema"]] == ["pk", "sk"]
    indexes = {one["IndexName"]: one for one in tokens["GlobalSecondaryIndexes"]}
    keys = {name: [key["AttributeName"] for key in one["KeySchema"]] for name, one in indexes.items()}
    assert keys == {"by-project": ["project", "created_at"], "by-time": ["kind", "created_at"]}
    assert all(one["Projection"] == {"ProjectionType": "ALL"} for one in indexes.values())


@pytest.mark.parametrize("name", ["TokensTable", "UsageTable"])
def test_a_table_of_what_cannot_be_made_again_can_be_brought_back_to_any_minute(resources, name):
    recovery = resources[name]["Properties"]["PointInTimeRecoverySpecification"]
    assert recovery == {"PointInTimeRecoveryEnabled": True}


def test_the_usage_table_is_keyed_by_pk_and_sk(resources):
    usage = resources["UsageTable"]["Properties"]
    assert [key["AttributeName"] for key in usage["KeySchema"]] == ["pk", "sk"]
    assert usage["AttributeDefinitions"] == [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]


def test_the_cache_table_is_keyed_by_pk_alone(cache):
    assert cache["KeySchema"] == [{"AttributeName": "pk", "KeyType": "HASH"}]
    assert cache["AttributeDefinitions"] == [{"AttributeName": "pk", "AttributeType": "S"}]


@pytest.mark.parametrize("name", ["TokensTable", "CacheTable", "UsageTable"])
def test_rows_expire_and_are_paid_by_use(resources, name):
    table = resources[name]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("name", ["TokensTable", "CacheTable", "UsageTable"])
def test_a_flood_costs_no_more_than_a_deploy_lets_it(stack, name):
    capped = stack(TableMaxReads="8000", TableMaxWrites="4000")[name]["OnDemandThroughput"]
    assert capped == {"MaxReadRequestUnits": "8000", "MaxWriteRequestUnits": "4000"}
    assert stack()[name]["OnDemandThroughput"] == {"MaxReadRequestUnits": 40000, "MaxWriteRequestUnits": 40000}


def test_the_secret_starts_as_a_key_ring_with_one_generated_key(secret):
    ring = json.loads(secret["SecretStringTemplate"])
    assert ring["current"] in ring["keys"]
    assert ring["keys"] == {"k1": {"alg": "HS256", "from": secret["GenerateStringKey"]}}
    assert ring["secrets"] == {}


def test_the_generated_key_is_long_and_no_secret_is_written_down(resources, secret):
    assert secret["PasswordLength"] >= 64
    assert secret["GenerateStringKey"] not in json.loads(secret["SecretStringTemplate"])
    assert "SecretString" not in resources["GatewaySecret"]["Properties"]


def test_no_parameter_takes_a_secret(template):
    assert not any(one.get("NoEcho") for one in template["Parameters"].values())


def test_everything_that_can_have_tags_says_whose_and_what_it_is_for(stack):
    everything = stack(
        Deployment="Canary10Percent5Minutes",
        AlarmEmail="ops@example.com",
        Waf="on",
        DomainName="api.example.com",
        CertificateArn="arn:aws:acm:eu-west-1:123456789012:certificate/0-1",
        HostedZoneId="Z1",
    )
    tagged = {}
    for one in everything.resources.values():
        tagged.setdefault(one["Type"], []).append(one["Properties"].get("Tags", []))
    assert {kind for kind, tags in tagged.items() if [] in tags} == WITHOUT_TAGS
    expected = [{"Key": "app", "Value": "gatehouse"}, {"Key": "environment", "Value": "dev"}]
    assert all(one in tags for kind in set(tagged) - WITHOUT_TAGS for tags in tagged[kind] for one in expected)


def test_the_outputs_name_the_api_and_every_store(stack):
    stores = {"AdminsBucketName", "TokensTableName", "CacheTableName", "UsageTableName", "GatewaySecretArn"}
    assert set(stack().outputs) == {"ApiUrl", "DashboardUrl", "AlarmsGoTo"} | stores
