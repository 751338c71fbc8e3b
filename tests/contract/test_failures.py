"""What is answered when S3 or Secrets Manager is gone: nobody gets in, and nobody is told to change a password."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gatehouse.lambda_http import event_loop
from gatehouse.stores import clients
from local.house import House
from local.router import load_function
from tests.contract.conftest import PASSWORD, Answer, bearer, check_error, invoke
from tests.contract.rest_event import rest_event

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS at an address where nothing listens."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", DEAD)
    monkeypatch.setenv("UPSTREAM_CLIENT", "buffered")
    clients.client.cache_clear()
    yield
    clients.client.cache_clear()


def ask(function: str, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Answer:
    module: Any = load_function(function)
    try:
        return invoke(module, rest_event(method, path, list((headers or {}).items()), body))
    finally:
        event_loop().run_until_complete(module.kit.close())


@pytest.mark.usefixtures("cut_off")
def test_a_login_without_s3_is_503_and_not_a_wrong_password():
    started = time.monotonic()
    body = json.dumps({"username": "ada", "password": PASSWORD}).encode()
    check_error(ask("functions/login", "POST", "/auth/login", body=body), 503, "AUTH_UNAVAILABLE", "AUTH")
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("cut_off")
def test_a_guest_without_keys_is_503():
    check_error(ask("functions/guest", "POST", "/auth/guest"), 503, "AUTH_UNAVAILABLE", "AUTH")


def test_a_token_that_cannot_be_checked_lets_nobody_through(guest_token: str, cut_off: None):
    for path in ("/build/get", "/kv/get"):
        answer = ask("functions/proxy", "GET", path, bearer(guest_token))
        check_error(answer, 503, "AUTH_UNAVAILABLE")


@pytest.mark.usefixtures("cut_off")
def test_a_request_without_a_token_needs_no_aws():
    check_error(ask("functions/proxy", "GET", "/build/get"), 401, "MISSING_TOKEN", "BUILD")
    assert ask("functions/proxy", "GET", "/kv/get").status == 200


def test_keys_that_were_fetched_once_outlive_secrets_manager(
    guest_token: str, house: House, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("UPSTREAM_CLIENT", "buffered")
    module = load_function("functions/proxy")
    event = rest_event("GET", "/build/get", [("Authorization", f"Bearer {guest_token}")], b"")
    assert invoke(module, event).status == 200
    monkeypatch.setenv("AWS_ENDPOINT_URL", DEAD)
    clients.client.cache_clear()
    module.kit.keys._stale_at = 0.0
    assert invoke(module, event).status == 200
    clients.client.cache_clear()
    event_loop().run_until_complete(module.kit.close())
