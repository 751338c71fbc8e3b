"""What `sam deploy --config-env dev` makes of what `make build` built."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.deploy.conftest import REGION, SUFFIX
from tests.deploy.emulated import LEFT_OUT, at

pytestmark = pytest.mark.built


def test_what_is_left_out_for_the_emulator_is_in_the_template(built):
    for *way, name in LEFT_OUT:
        assert name in at(built, way)


def test_sam_deploys_the_stack_and_asks_nothing(stack):
    assert f"Successfully created/updated stack - {stack.name}" in stack.said
    assert stack.name == "gatehouse-dev"


def test_the_outputs_are_those_of_the_template_and_none_is_empty(stack, built):
    assert stack.outputs.keys() == {name for name, output in built["Outputs"].items() if "Condition" not in output}
    assert all(stack.outputs.values())


def test_the_url_is_that_of_the_deployed_api_and_stage(stack, emulator, built):
    url = urlsplit(stack.outputs["ApiUrl"])
    api = url.netloc.partition(".")[0]
    assert url.netloc == f"{api}.execute-api.{REGION}.{SUFFIX}"
    assert emulator.client("apigateway").get_rest_api(restApiId=api)["description"] == "Gatehouse (dev)"
    assert url.path == f"/{built['Parameters']['StageName']['Default']}"


def test_the_outputs_name_what_is_there(stack, emulator):
    emulator.client("s3").head_bucket(Bucket=stack.outputs["AdminsBucketName"])
    tables = emulator.client("dynamodb")
    for name in ("TokensTableName", "CacheTableName", "UsageTableName"):
        assert tables.describe_table(TableName=stack.outputs[name])["Table"]["TableStatus"] == "ACTIVE"
    kept = emulator.client("secretsmanager").describe_secret(SecretId=stack.outputs["GatewaySecretArn"])
    assert stack.outputs["GatewaySecretArn"] in {kept["ARN"], kept["Name"]}


def test_the_secret_is_a_key_ring_with_a_key_that_nobody_has_chosen(secret):
    assert secret["current"] == "k1"
    assert secret["keys"] == {"k1": {"alg": "HS256", "from": "generated"}}
    assert len(secret["generated"]) == 64


def test_the_key_stands_in_no_functions_configuration(secret, emulator, stack):
    configured = emulator.client("lambda").list_functions()["Functions"]
    described = emulator.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"]
    assert len(configured) >= 5
    assert secret["generated"] not in json.dumps([configured, described], default=str)


def test_functions_are_told_where_things_are(stack, emulator):
    configured = {
        re.sub(rf"{stack.name}-(\w+)-\w+", r"\1", one["FunctionName"]): one["Environment"]["Variables"]
        for one in emulator.client("lambda").list_functions()["Functions"]
    }
    proxy, login = configured["ProxyFunction"], configured["LoginFunction"]
    assert proxy["ENVIRONMENT"] == "dev"
    assert proxy["TOKENS_TABLE"] == stack.outputs["TokensTableName"]
    assert proxy["CACHE_TABLE"] == stack.outputs["CacheTableName"]
    assert login["ADMINS_BUCKET"] == stack.outputs["AdminsBucketName"]
    assert {one["GATEWAY_SECRET_ARN"] for one in configured.values()} == {stack.outputs["GatewaySecretArn"]}
    # On AWS every service is where it is.
    assert not any("AWS_ENDPOINT_URL" in one for one in configured.values())
