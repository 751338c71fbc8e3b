"""Who may pass which route: the rules of the metacogna gateway, and the holes it had."""

import time

import jwt
import pytest

from tests.contract.conftest import SECRET, Send, bearer, check_error

CLAIMS = {
    "iss": "gateway.metacogna.ai",
    "aud": "metacogna-clients",
    "sub": "ada",
    "projectId": "ada",
    "route": "AUTH",
    "scopes": ["admin"],
    "environment": "production",
    "issuedBy": "gateway.metacogna.ai",
}


def original(**changes: object) -> str:
    """Return a token as the original system made it: no `kid`, no `jti`."""
    now = int(time.time())
    claims = {**CLAIMS, "iat": now, "exp": now + 3600, **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, SECRET, algorithm="HS256")


def test_a_protected_route_needs_a_token(send: Send):
    answer = send("GET", "/build/get")
    check_error(answer, 401, "MISSING_TOKEN", "BUILD")
    assert answer.get("www-authenticate").startswith("Bearer")


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YWRhOng=", "token"])
def test_an_authorization_header_without_a_bearer_token_is_nobody(send: Send, value: str):
    for path in ("/build/get", "/kv/get"):
        check_error(send("GET", path, {"Authorization": value}), 401, "MISSING_TOKEN")


def test_a_guest_token_opens_its_route_and_no_other(send: Send, guest_token: str):
    assert send("GET", "/build/get", bearer(guest_token)).status == 200
    for path, route in (("/kv/get", "KV"), ("/core/x", "CORE")):
        answer = send("GET", path, bearer(guest_token))
        check_error(answer, 403, "INVALID_TOKEN", route)
        assert "insufficient_scope" in answer.get("www-authenticate")


def test_an_administrators_token_opens_every_route(send: Send, admin_token: str):
    for path in ("/build/get", "/kv/get", "/core/x"):
        assert send("GET", path, bearer(admin_token)).status == 200


def test_an_optional_route_lets_nobody_in_particular_through(send: Send):
    assert send("GET", "/kv/get").status == 200
    assert send("GET", "/core/x").status == 200


@pytest.mark.parametrize("path", ["/build/get", "/kv/get", "/core/x"])
def test_a_token_that_is_not_one_is_refused_everywhere(send: Send, path: str):
    answer = send("GET", path, bearer("not.a.token"))
    check_error(answer, 403, "INVALID_TOKEN")
    assert "invalid_token" in answer.get("www-authenticate")


def test_a_token_of_the_original_system_opens_the_same_routes(send: Send):
    for path in ("/build/get", "/kv/get", "/core/x"):
        assert send("GET", path, bearer(original())).status == 200
    build_only = original(route="BUILD", scopes=[])
    assert send("GET", "/build/get", bearer(build_only)).status == 200
    check_error(send("GET", "/kv/get", bearer(build_only)), 403, "INVALID_TOKEN")


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": ["guest"]},
        {"scopes": []},
        {"scopes": None},
        {"sub": "guest", "scopes": ["admin"]},
    ],
)
def test_a_guests_token_for_an_elevated_route_opens_nothing(send: Send, changes: dict[str, object]):
    for route in ("AUTH", "CORE"):
        token = original(**{**changes, "route": route})
        for path in ("/build/get", "/kv/get", "/core/x"):
            check_error(send("GET", path, bearer(token)), 403, "INVALID_TOKEN")


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 31},
        {"exp": None},
        {"iat": None},
        {"iss": None},
        {"aud": None},
        {"iss": "gateway.metacogna.ai."},
        {"aud": "metacogna-client"},
        {"aud": ["other"]},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"exp": int(time.time()) + 400 * 86_400},
        {"route": None},
        {"route": ["BUILD", "AUTH"]},
        {"route": "build"},
        {"scopes": "admin"},
        {"sub": 7},
    ],
    ids="-".join,
)
def test_a_token_that_says_something_wrong_is_refused(send: Send, changes: dict[str, object]):
    check_error(send("GET", "/build/get", bearer(original(**changes))), 403, "INVALID_TOKEN", "BUILD")


def test_an_unsigned_token_is_refused(send: Send):
    now = int(time.time())
    token = jwt.encode({**CLAIMS, "iat": now, "exp": now + 60}, "", algorithm="none")
    check_error(send("GET", "/build/get", bearer(token)), 403, "INVALID_TOKEN")


def test_a_token_signed_with_another_secret_is_refused(send: Send):
    now = int(time.time())
    token = jwt.encode({**CLAIMS, "iat": now, "exp": now + 60}, SECRET[::-1], algorithm="HS256")
    check_error(send("GET", "/build/get", bearer(token)), 403, "INVALID_TOKEN")


def test_the_same_token_twice_is_the_same_answer(send: Send):
    token = original()
    assert [send("GET", "/build/get", bearer(token)).status for _ in range(3)] == [200, 200, 200]
