"""The stores of `make run` come from the template itself, and nothing in them is anybody's own."""

from __future__ import annotations

import json
import re

import boto3
import jwt
import pytest

from local import template
from local.events import main as print_event
from local.house import House, HouseError
from local.router import reaches
from local.template import Endpoint


@pytest.fixture(scope="module")
def house() -> House:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        with House() as house:
            yield house


def client(house: House, service: str):
    return boto3.client(
        service, "us-east-1", endpoint_url=house.environment()["AWS_ENDPOINT_URL"],
        aws_access_key_id="local", aws_secret_access_key="local",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["TokensTable", "CacheTable"])
def test_a_table_has_the_keys_indexes_and_expiry_of_the_template(house: House, name: str):
    wanted = house.template.resources("AWS::DynamoDB::Table")[name]
    dynamodb = client(house, "dynamodb")
    table = house.template.made[name]["Ref"]
    made = dynamodb.describe_table(TableName=table)["Table"]
    assert made["KeySchema"] == wanted["KeySchema"]
    assert [index["IndexName"] for index in made.get("GlobalSecondaryIndexes", [])] == [
        index["IndexName"] for index in wanted.get("GlobalSecondaryIndexes", [])
    ]
    expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert expiry["AttributeName"] == wanted["TimeToLiveSpecification"]["AttributeName"]
    assert expiry["TimeToLiveStatus"] == "ENABLED"


def test_the_secret_holds_a_key_ring(house: House):
    arn = house.environment()["GATEWAY_SECRET_ARN"]
    ring = json.loads(client(house, "secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
    assert ring["keys"][ring["current"]]["legacy"] is True


def test_a_second_house_at_the_same_endpoint_finds_the_stores_there(house: House, monkeypatch: pytest.MonkeyPatch):
    endpoint = house.environment()["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with House() as second:
        assert second.environment()["AWS_ENDPOINT_URL"] == endpoint
        assert second.template.made == house.template.made


def test_a_container_is_told_how_to_reach_this_machine(house: House):
    told = house.environment(host="host.docker.internal")
    assert told["AWS_ENDPOINT_URL"].startswith("http://host.docker.internal:")
    assert told["BUILD_SERVICE_URL"].startswith("http://host.docker.internal:")
    assert told["ENVIRONMENT"] == "local"


@pytest.mark.parametrize(
    ("given", "issuer"),
    [
        ({}, r"http://the-host:\d+"),
        ({"CF_ACCESS_URL": "http://localhost:7", "CF_ACCESS_AUD": "mine"}, "http://the-host:7"),
    ],
)
def test_access_tokens_say_what_functions_in_a_container_call_their_issuer(
    house: House, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], issuer: str
):
    monkeypatch.setenv("AWS_ENDPOINT_URL", house.environment()["AWS_ENDPOINT_URL"])
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with House(host="the-host") as inside:
        inside.environment(host="127.0.0.1")  # whoever else asks meanwhile
        said = jwt.decode(inside.fillings()["ACCESS_TOKEN"], options={"verify_signature": False})
        told = inside.environment()
    assert re.fullmatch(issuer, said["iss"])
    assert (said["iss"], said["aud"]) == (told["CF_ACCESS_URL"], [told["CF_ACCESS_AUD"]])


def test_every_variable_of_the_template_has_a_value(house: House):
    for value in house.environment().values():
        assert value


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ADMIN_USERNAME", "Ada", "ADMIN_USERNAME"),
        ("ADMIN_PASSWORD", "x" * 2000, "ADMIN_PASSWORD"),
        ("GATEWAY_JWT_SECRET", "changeme" * 8, "placeholder"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(HouseError, match=says):
        House()


@pytest.mark.parametrize(
    ("path", "method", "given", "expected"),
    [
        ("/auth/login", "ANY", ("POST", "/auth/login"), True),
        ("/auth/login", "ANY", ("POST", "/auth/login/"), False),
        ("/auth/login", "ANY", ("POST", "/auth/loginx"), False),
        ("/auth/login", "POST", ("GET", "/auth/login"), False),
        ("/", "ANY", ("GET", "/"), True),
        ("/{proxy+}", "ANY", ("GET", "/"), False),
        ("/{proxy+}", "ANY", ("GET", "/a"), True),
        ("/{proxy+}", "ANY", ("GET", "/a/b"), True),
        ("/auth/tokens/{jti}", "ANY", ("GET", "/auth/tokens/7"), True),
        ("/auth/tokens/{jti}", "ANY", ("GET", "/auth/tokens"), False),
        ("/ai/{proxy+}", "ANY", ("GET", "/ai/x/y"), True),
        ("/ai/{proxy+}", "ANY", ("GET", "/ai"), False),
    ],
)
def test_a_path_reaches_the_function_that_the_template_routes_it_to(path, method, given, expected):
    assert reaches(Endpoint("f", path, method), *given) is expected


def test_the_template_is_read_with_its_parameters_and_conditions():
    read = template.load()
    variables = read.environment()
    assert variables["UPSTREAM_CLIENT"] == "buffered"
    assert "AWS_ENDPOINT_URL" not in variables
    assert read.resolve({"Fn::Sub": "arn:${AWS::Partition}:x:${StageName}"}) == "arn:aws:x:v1"


def test_an_event_is_printed_with_its_places_filled(capsys: pytest.CaptureFixture[str]):
    assert print_event(["proxy-with-token", "--token", "abc"]) == 0
    event = json.loads(capsys.readouterr().out)
    assert event["multiValueHeaders"]["Authorization"] == ["Bearer abc"]
