"""How functions start: with keys that are to be trusted, or not at all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from gatehouse.keys import KeyRingError
from gatehouse.stores import aws_json
from local.house import House
from local.router import load_function

FUNCTIONS = ("functions/login", "functions/guest", "functions/tokens", "functions/proxy")
GOOD = "kX9vQ2mW7pL4zR8tY1nB6cD3fG5hJ0sA-start-tests"


def secret(house: House, monkeypatch: pytest.MonkeyPatch, document: str) -> None:
    """Let functions that start now find *document* as their key ring."""
    manager = boto3.client("secretsmanager", endpoint_url=house.environment()["AWS_ENDPOINT_URL"])
    arn = manager.create_secret(Name=f"start-{time.time_ns()}", SecretString=document)["ARN"]
    manager.close()
    monkeypatch.setenv("GATEWAY_SECRET_ARN", arn)


def ring(**key: Any) -> str:
    return json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", **key}}})


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("document", "said"),
    [
        (ring(secret="changeme"), "placeholder"),
        (ring(secret="short"), "shorter than 32 bytes"),
        (ring(secret="a" * 64), "k1"),
        (ring(alg="EdDSA", private="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "k1"),
        (ring(alg="none"), "alg"),
        ("{}", "keys"),
        ("not JSON", "JSON"),
    ],
)
def test_a_key_that_nobody_should_trust_stops_the_start(
    house: House, monkeypatch: pytest.MonkeyPatch, function: str, document: str, said: str
):
    secret(house, monkeypatch, document)
    with pytest.raises(KeyRingError, match=said) as caught:
        load_function(function)
    for value in ("changeme", "short", "a" * 64):
        assert f'"{value}"' not in str(caught.value)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_good_ring_is_at_hand_when_the_function_has_started(
    house: House, monkeypatch: pytest.MonkeyPatch, function: str
):
    secrets = json.loads(house._ring)["secrets"]  # the proxy does not start without those that its routes need
    secret(house, monkeypatch, json.dumps({**json.loads(ring(secret=GOOD)), "secrets": secrets}))
    module = load_function(function)
    assert module.kit.keys._ring.current.secret == GOOD.encode()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_without_secrets_manager_a_function_starts_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], function: str
):
    aws_json.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:9")
    module = load_function(function)
    assert module.kit.keys._ring is None
    assert '"key ring not fetched"' in capsys.readouterr().out


def test_where_only_boto3_can_ask_the_start_does_not(house: House, monkeypatch: pytest.MonkeyPatch):
    """Under SnapStart credentials are not in the environment, and secrets do not belong into a snapshot."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setattr(aws_json, "_asked", None)
    module = load_function("functions/proxy")
    assert module.kit.keys._ring is None
    assert Path(module.__file__).name == "app.py"
