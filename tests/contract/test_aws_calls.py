"""The AWS calls that a request may wait for, against what answers like AWS and against what does not."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.stores import aws_json
from gatehouse.stores.aws_json import AwsError, address
from gatehouse.stores.revocation_log import DYNAMODB, RevocationLog
from gatehouse.stores.secrets import secret_value
from gatehouse.stores.sigv4 import Credentials, Post, signed
from local.house import House


@contextmanager
def freeze(moment: datetime) -> Iterator[None]:
    """Let botocore sign at *moment*."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda **_: moment)
        yield


ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf"
PLAIN = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


def test_a_secret_is_what_boto3_reads(house: House):
    arn = house.environment()["GATEWAY_SECRET_ARN"]
    client = boto3.client("secretsmanager", endpoint_url=house.environment()["AWS_ENDPOINT_URL"])
    assert asyncio.run(secret_value(arn)) == client.get_secret_value(SecretId=arn)["SecretString"]


def test_a_secret_that_is_not_there_is_named_so(house: House):
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        asyncio.run(secret_value(house.environment()["GATEWAY_SECRET_ARN"] + "nope"))


def test_credentials_that_are_not_in_the_environment_are_boto3s_to_find(house: House, monkeypatch: pytest.MonkeyPatch):
    arn = house.environment()["GATEWAY_SECRET_ARN"]
    table = house.template.made["TokensTable"]["Ref"]
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "false")
    monkeypatch.setattr(aws_json, "_asked", None)  # nothing but boto3 asks
    assert json.loads(asyncio.run(secret_value(arn)))["current"] == "local"
    assert isinstance(asyncio.run(RevocationLog(table).since(0)), list)


def test_a_refusal_that_boto3_hears_is_the_one_that_we_would_have_heard(house: House, monkeypatch: pytest.MonkeyPatch):
    """What a failed condition says of the item is in it: limits read how full a bucket is."""
    table = house.template.made["CacheTable"]["Ref"]
    update = {
        "TableName": table,
        "Key": {"pk": {"S": "limit#route-of-nobody"}},
        "UpdateExpression": "SET tat = :one",
        "ConditionExpression": "attribute_not_exists(tat)",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    aws_json.call(DYNAMODB, "UpdateItem", update)
    heard = []
    for by_boto3 in (False, True):
        if by_boto3:
            monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "false")
            monkeypatch.setattr(aws_json, "_asked", None)
        with pytest.raises(AwsError, match=r"^ConditionalCheckFailedException$") as refused:
            aws_json.call(DYNAMODB, "UpdateItem", update)
        heard.append(refused.value.answer["Item"])
    assert heard == [{"pk": {"S": "limit#route-of-nobody"}, "tat": {"N": "1"}}] * 2


@pytest.mark.parametrize(
    ("region", "environ", "expected"),
    [
        ("eu-central-1", PLAIN, "https://secretsmanager.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", PLAIN, "https://secretsmanager.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", PLAIN, "https://secretsmanager.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", PLAIN, None),
        ("us-isob-east-1", PLAIN, None),
        ("eu-isoe-west-1", PLAIN, None),
        ("eu-central-1", {**PLAIN, "AWS_ENDPOINT_URL": "http://e"}, "http://e"),
        (
            "eu-central-1",
            {**PLAIN, "AWS_ENDPOINT_URL": "http://e", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://t"},
            "http://t",
        ),
        ("eu-central-1", {"AWS_ACCESS_KEY_ID": "a"}, None),
        ("eu-central-1", {}, None),
        ("eu-central-1", {**PLAIN, "AWS_USE_FIPS_ENDPOINT": "true"}, None),
        ("", PLAIN, None),
        ("evil.example/#", PLAIN, None),
        ("eu-central-1\n", PLAIN, None),
    ],
)
def test_the_address_follows_from_the_region_and_the_environment(
    region: str, environ: dict[str, str], expected: str | None
):
    assert address("secretsmanager", region, environ) == expected


@pytest.mark.parametrize("service", ["secretsmanager", "dynamodb"])
def test_the_variable_for_one_service_is_the_one_that_boto3_reads(service: str, monkeypatch: pytest.MonkeyPatch):
    name = "AWS_ENDPOINT_URL_" + ("SECRETS_MANAGER" if service == "secretsmanager" else "DYNAMODB")
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    wanted = boto3.client(service, region_name="eu-central-1").meta.endpoint_url
    assert address(service, "eu-central-1", {**PLAIN, name: "http://127.0.0.1:1"}) == wanted == "http://127.0.0.1:1"


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve *answers* one after the other, the last one forever; collect what was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append({"headers": dict(self.headers.items()), "body": body})
            status, answer = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def point(address: str) -> None:
        for name, value in {**PLAIN, "AWS_SESSION_TOKEN": "session", "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(name, value)

    return point


GOOD = (200, b'{"SecretString": "s3cret"}')


def test_a_request_is_signed_with_the_session(here: Callable[[str], None]):
    with answering(GOOD) as (where, asked):
        here(where)
        assert asyncio.run(secret_value(ARN)) == "s3cret"
    headers = {name.lower(): value for name, value in asked[0]["headers"].items()}
    assert headers["x-amz-target"] == "secretsmanager.GetSecretValue"
    assert headers["x-amz-security-token"] == "session"
    assert "/eu-central-1/secretsmanager/aws4_request" in headers["authorization"]
    assert json.loads(asked[0]["body"]) == {"SecretId": ARN, "VersionStage": "AWSCURRENT"}


def test_a_failure_of_the_service_is_asked_once_more(here: Callable[[str], None]):
    with answering((500, b"<html>"), GOOD) as (where, asked):
        here(where)
        assert asyncio.run(secret_value(ARN)) == "s3cret"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        (500, b""),
        (400, b'{"__type":"com.amazonaws#AccessDeniedException"}'),
        (200, b"{}"),
        (200, b"<html>"),
        (302, b"{}"),
    ],
)
def test_an_answer_without_a_secret_is_an_exception_and_no_secret(
    here: Callable[[str], None], answer: tuple[int, bytes]
):
    with answering(answer) as (where, asked):
        here(where)
        with pytest.raises((OSError, HTTPException, AwsError, ValueError, KeyError)):
            asyncio.run(secret_value(ARN))
    assert len(asked) <= 2


@given(st.text(max_size=80))
def test_no_region_makes_an_address_of_somebody_else(region: str):
    made = address("dynamodb", region, PLAIN)
    assert made is None or re.fullmatch(r"https://dynamodb\.[a-z0-9-]+\.amazonaws\.com(\.cn)?", made)


@given(
    body=st.binary(max_size=300),
    access_key=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=16, max_size=20),
    secret_key=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    token=st.text("abcXYZ019+/=", max_size=40),
    region=st.sampled_from(["eu-central-1", "us-gov-west-1", "cn-north-1"]),
    host=st.sampled_from(["secretsmanager.eu-central-1.amazonaws.com", "127.0.0.1:4566", "example.com"]),
    moment=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001  # UTC, as botocore takes it
)
def test_a_signature_is_the_one_that_botocore_makes(
    body: bytes, access_key: str, secret_key: str, token: str, region: str, host: str, moment: datetime
):
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": host,
        "x-amz-target": "secretsmanager.GetSecretValue",
    }
    request = AWSRequest("POST", f"https://{host}/", headers=headers, data=body)
    with freeze(moment):
        SigV4Auth(BotocoreCredentials(access_key, secret_key, token or None), "secretsmanager", region).add_auth(
            request
        )
    post = Post(service="secretsmanager", region=region, headers=headers, body=body)
    credentials = Credentials(access_key=access_key, secret_key=secret_key, token=token)
    ours = signed(post, credentials, moment.strftime("%Y%m%dT%H%M%SZ"))
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


def test_after_a_lull_that_closed_every_kept_connection_the_next_call_gets_through(here: Callable[[str], None]):
    closed = [socket.socketpair() for _ in range(3)]
    with answering(GOOD) as (where, asked):
        here(where)
        for ours, theirs in closed:
            theirs.close()
            kept = http.client.HTTPConnection("127.0.0.1", timeout=2)
            kept.sock = ours
            aws_json._IDLE[where].append(kept)
        assert asyncio.run(secret_value(ARN)) == "s3cret"
    assert len(asked) == 1


def test_a_connection_is_kept_and_a_closed_one_is_not_the_end(here: Callable[[str], None]):
    """A frozen process comes back to connections that the other side has closed meanwhile."""
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"SecretString": "s"}'
    accepted: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for requests in (2, 1):  # the first connection is closed after two
                connection, _ = listening.accept()
                accepted.append(requests)
                with connection:
                    for _ in range(requests):
                        received = b""
                        while b'"SecretId"' not in received:
                            received += connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        here(f"http://127.0.0.1:{listening.getsockname()[1]}")
        assert [asyncio.run(secret_value(ARN)) for _ in range(3)] == ["s", "s", "s"]
        thread.join(5)
    assert accepted == [2, 1]
