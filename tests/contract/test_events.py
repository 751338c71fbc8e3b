"""Every event in `events/` through its real handler: what `sam local invoke` gets from the same files."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest

from local import events
from local.demo_callers import EMAIL
from local.house import House
from tests.contract.conftest import PASSWORD, SECRET, check_error, invoke
from tests.contract.upstream import Lab

LOGIN, GUEST, TOKENS, PROXY = "LoginFunction", "GuestFunction", "TokensFunction", "ProxyFunction"
STATUS = "StatusFunction"
EXPECTED: dict[str, tuple[str, int, str | None]] = {
    "login-ok": (LOGIN, 200, None),
    "login-ok-base64": (LOGIN, 200, None),
    "login-wrong-password": (LOGIN, 401, "INVALID_CREDENTIALS"),
    "login-bad-body": (LOGIN, 400, "INVALID_REQUEST"),
    "login-wrong-method": (LOGIN, 405, "METHOD_NOT_ALLOWED"),
    "guest": (GUEST, 200, None),
    "guest-asks-for-auth": (GUEST, 400, "INVALID_ROUTE"),
    "preflight": (PROXY, 204, None),
    "proxy-without-token": (PROXY, 401, "MISSING_TOKEN"),
    "proxy-with-token": (PROXY, 200, None),
    "proxy-with-bad-token": (PROXY, 403, "INVALID_TOKEN"),
    "proxy-with-expired-token": (PROXY, 403, "INVALID_TOKEN"),
    "proxy-binary-upload": (PROXY, 200, None),
    "proxy-dot-segments": (PROXY, 400, "BAD_PATH"),
    "tokens-issue": (TOKENS, 201, None),
    "tokens-issue-without-token": (TOKENS, 401, "MISSING_TOKEN"),
    "tokens-issue-as-guest": (TOKENS, 403, "FORBIDDEN"),
    "tokens-issue-bad-expiry": (TOKENS, 400, "INVALID_EXPIRY"),
    "tokens-list": (TOKENS, 200, None),
    "tokens-show-unknown": (TOKENS, 404, "TOKEN_NOT_FOUND"),
    "tokens-revoke-unknown": (TOKENS, 404, "TOKEN_NOT_FOUND"),
    "tokens-revoke-all-of-nobody": (TOKENS, 400, "INVALID_REQUEST"),
    "tokens-revoke-all-of-a-subject": (TOKENS, 200, None),
    "cache-purge": (TOKENS, 200, None),
    "cache-purge-of-no-project": (TOKENS, 400, "INVALID_PROJECT"),
    "cache-purge-as-guest": (TOKENS, 403, "FORBIDDEN"),
    "session": (TOKENS, 200, None),
    "session-without-token": (TOKENS, 401, "MISSING_TOKEN"),
    "refresh": (TOKENS, 200, None),
    "refresh-with-expired-token": (TOKENS, 403, "INVALID_TOKEN"),
    "logout": (TOKENS, 200, None),
    "jwks": (TOKENS, 200, None),
    "openapi": (TOKENS, 200, None),
    "ping": (STATUS, 200, None),
    "ready": (STATUS, 200, None),
    "ready-of-a-project": (STATUS, 200, None),
    "ready-as-guest": (STATUS, 403, "FORBIDDEN"),
    "metrics": (STATUS, 200, None),
    "metrics-without-token": (STATUS, 401, "MISSING_TOKEN"),
    "metrics-as-service": (STATUS, 403, "FORBIDDEN"),
    "captionacc-with-service-token": (PROXY, 200, None),
    "captionacc-with-login-token": (PROXY, 403, "INVALID_TOKEN"),
    "crow-session": (PROXY, 200, None),
    "crow-api-key": (PROXY, 200, None),
    "crow-api-key-bearer": (PROXY, 200, None),
    "crow-visitor": (PROXY, 200, None),
    "crow-bad-session": (PROXY, 401, "INVALID_CREDENTIALS"),
    "crow-no-credential": (PROXY, 401, "MISSING_TOKEN"),
    "crow-no-organization": (PROXY, 403, "FORBIDDEN"),
    "crow-public-health": (PROXY, 200, None),
    "crow-webhook": (PROXY, 200, None),
    "crow-preflight": (PROXY, 204, None),
    "ai-access": (PROXY, 200, None),
    "ai-without-token": (PROXY, 401, "MISSING_TOKEN"),
    "ai-get": (PROXY, 405, "METHOD_NOT_ALLOWED"),
    "not-found": (PROXY, 404, "NOT_FOUND"),
    "root": (PROXY, 404, "NOT_FOUND"),
}
"""Which function each event is for, and the status and error code that it answers."""


def token(secret: str, *, lasts_s: int, **changes: Any) -> str:
    """Return a token of the metacogna gateway that ends in *lasts_s* seconds."""
    now = int(time.time())
    claims = {
        "iss": "gateway.metacogna.ai",
        "aud": "metacogna-clients",
        "sub": "ada",
        "route": "AUTH",
        "scopes": ["admin"],
        "iat": now + min(lasts_s, 0) - 60,
        "exp": now + lasts_s,
        "jti": uuid4().hex,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, secret, algorithm="HS256")


def fillings(secret: str, password: str, access_token: str = "") -> dict[str, str]:
    """Return what the events' places are filled with; *access_token* is of the demo's issuer."""
    return {
        "TOKEN": token(secret, lasts_s=3600),
        "EXPIRED_TOKEN": token(secret, lasts_s=-3600),
        "GUEST_TOKEN": token(secret, lasts_s=3600, sub="guest", route="BUILD", scopes=["guest"]),
        "LEAVING_TOKEN": token(secret, lasts_s=3600),
        "SERVICE_TOKEN": token(
            secret, lasts_s=3600, iss="gatehouse", aud="captionacc", project="captionacc", service="prefect", route=None
        ),
        "ACCESS_TOKEN": access_token,
        "PASSWORD": password,
        "BASE64_LOGIN": base64.b64encode(json.dumps({"username": "ada", "password": password}).encode()).decode(),
    }


def test_every_event_has_an_expectation():
    assert sorted(EXPECTED) == events.names()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_event_is_answered_as_expected(functions: dict[str, Any], house: House, name: str):
    function, status, code = EXPECTED[name]
    module = functions["functions/" + function.removesuffix("Function").lower()]
    answer = invoke(module, events.load(name, fillings(SECRET, PASSWORD, house.callers.access_token())))
    if code:
        check_error(answer, status, code)
    assert answer.status == status


def test_the_event_of_a_protected_request_arrives_as_the_client_sent_it(functions: dict[str, Any]):
    event = events.load("proxy-with-token", fillings(SECRET, PASSWORD))
    seen = invoke(functions["functions/proxy"], event).json
    assert seen["url"].endswith("/anything/café/a%20b?q=1&q=2&name=café%20%26%20co")
    assert seen["args"] == {"q": ["1", "2"], "name": "café & co"}
    assert seen["headers"]["Cookie"] == "a=1; b=2"
    assert seen["headers"]["X-Repeated"] == "one,two"
    assert seen["origin"] == "203.0.113.7"
    assert seen["headers"]["X-Gateway-Route"] == "BUILD"
    assert "Authorization" not in seen["headers"]


def test_the_event_of_an_upload_arrives_as_bytes(functions: dict[str, Any], lab: Lab):
    event = events.load("proxy-binary-upload", {})
    event["path"] = "/core/picture"
    assert invoke(functions["functions/proxy"], event).status == 200
    assert lab.last["body"] == bytes.fromhex("89504e470d0a1a0a00ff00fe80c3280d")
    assert lab.values("content-type") == ["image/png"]


def seen_by_the_service(functions: dict[str, Any], name: str, **more: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What crow's service saw of the event *name*, which a demo service echoes: all of it, and its headers by name."""
    seen = invoke(functions["functions/proxy"], events.load(name, more)).json
    return seen, dict(seen["headers"])


@pytest.mark.parametrize("name", ["crow-session", "crow-api-key", "crow-api-key-bearer"])
def test_crows_service_is_told_who_is_calling_and_sees_no_credential(functions: dict[str, Any], name: str):
    seen, headers = seen_by_the_service(functions, name)
    assert (seen["service"], seen["path"]) == ("PRODUCT_SERVICE_URL", "/api/v1/products/p-1")
    token = jwt.decode(headers["authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    assert (token["iss"], token["sub"]) == ("demo-auth", headers["x-user-id"])
    assert UUID(headers["x-organization-id"])  # by the id that crow's services have for it, whatever the client said
    assert headers["x-internal-key"]
    assert "demo-session" not in str(seen)
    assert "demo-key" not in str(seen)


def test_crows_visitor_has_a_token_of_the_gateway_and_no_organization(functions: dict[str, Any]):
    seen, headers = seen_by_the_service(functions, "crow-visitor")
    assert (seen["service"], seen["path"], seen["body"]) == (
        "CHAT_SERVICE_URL", "/api/v2/chat/messages", '{"text":"Hello"}',
    )  # fmt: skip
    assert headers["authorization"].startswith("Bearer eyJ")
    assert "x-organization-id" not in headers


def test_crows_webhook_arrives_as_it_was_signed_without_anybody_being_asked_who_calls(functions: dict[str, Any]):
    seen, headers = seen_by_the_service(functions, "crow-webhook")
    assert (seen["service"], seen["body"]) == ("BILLING_SERVICE_URL", '{"id":"evt_1","type":"invoice.paid"}')
    assert headers["stripe-signature"] == "t=1795341600,v1=5257a869e7"
    assert "authorization" not in headers


def test_crows_preflight_lets_its_page_send_credentials(functions: dict[str, Any]):
    answer = invoke(functions["functions/proxy"], events.load("crow-preflight", {}))
    assert answer.get("access-control-allow-origin") == "https://app.crowai.dev"
    assert answer.get("access-control-allow-credentials") == "true"
    assert answer.get("vary") == "Origin"


def test_the_language_model_is_told_who_asks_by_the_gateway_and_not_by_the_client(
    functions: dict[str, Any], house: House
):
    event = events.load("ai-access", {"ACCESS_TOKEN": house.callers.access_token()})
    answer = invoke(functions["functions/proxy"], event).json
    assert answer["choices"][0]["message"]["content"].endswith(f'{{"user_id":"{EMAIL}"}}.')


def test_a_method_that_the_model_does_not_take_is_answered_with_the_one_that_it_does(
    functions: dict[str, Any], house: House
):
    event = events.load("ai-get", {"ACCESS_TOKEN": house.callers.access_token()})
    assert invoke(functions["functions/proxy"], event).get("allow") == "POST"
