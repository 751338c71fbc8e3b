"""The gateway in containers, behind SAM's stand-in for API Gateway."""

from __future__ import annotations

import time

import pytest

from gatehouse.settings import REVOCATION_REFRESH_S
from tests.deploy.asking import bearer, refused, until_refused

pytestmark = pytest.mark.container


LOOK_S = 3  # what one look at the revocation log, and a request, may take on a busy machine


@pytest.fixture(scope="module")
def login(api, admin):
    return api.post("/auth/login", json=admin)


@pytest.fixture(scope="module")
def guest(api):
    return api.post("/auth/guest")


def test_a_login_answers_with_a_token(login, admin):
    assert login.status_code == 200
    assert login.json()["success"] is True
    assert login.json()["user"]["username"] == admin["username"]


def test_a_wrong_password_does_not(api, admin):
    answer = api.post("/auth/login", json=admin | {"password": "not this one"})
    assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_CREDENTIALS")


def test_the_token_opens_the_service_on_this_host(api, login):
    answer = api.get("/build/hello?x=1", headers=bearer(login.json()["token"]))
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    headers = dict(seen["headers"])
    assert (seen["service"], seen["method"], seen["path"], seen["query"]) == (
        "BUILD_SERVICE_URL",
        "GET",
        "/hello",
        "x=1",
    )
    assert headers["x-gateway-route"] == "BUILD"
    assert "authorization" not in headers


def test_a_guest_gets_a_token_for_the_same_service(api, guest):
    assert (guest.status_code, guest.json()["route"]) == (200, "BUILD")
    assert api.get("/build", headers=bearer(guest.json()["token"])).status_code == 200


def test_a_guest_does_not_get_further(api, guest):
    answer = api.get("/core/anything", headers=bearer(guest.json()["token"]))
    assert (answer.status_code, answer.json()["code"]) == (403, "INVALID_TOKEN")


def test_without_a_token_the_service_stays_closed(api):
    answer = api.get("/build/hello")
    assert (answer.status_code, answer.json()["code"]) == (401, "MISSING_TOKEN")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/nope", "/"])
def test_a_path_of_no_route_gets_our_body(api, path):
    answer = api.get(path)
    body = answer.json()
    assert answer.status_code == 404
    assert (body["route"], body["status"], body["code"]) == ("CORE", 404, "NOT_FOUND")
    assert set(body) == {"route", "status", "code", "message", "requestId", "timestamp"}


@pytest.mark.parametrize("path", ["/build/hello", "/auth/login", "/auth/guest"])
def test_a_preflight_is_answered(api, path):
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    answer = api.options(path, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-max-age"] == "86400"


def test_a_binary_body_arrives_as_it_was_sent(api):
    answer = api.put("/kv/picture", content=bytes(range(256)), headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["body"].startswith("base64:AAECAwQFBgcICQ")


@pytest.fixture(scope="module")
def revoked(api, admin, login):
    """A login and a service token that opened their services and were revoked: how each was refused, and when."""
    own, by = api.post("/auth/login", json=admin).json()["token"], bearer(login.json()["token"])
    service = api.post("/auth/tokens", json={"project": "captionacc", "service": "prefect"}, headers=by).json()
    tokens = {"/build/x": own, "/captionacc/prefect/x": service["token"]}
    for path, token in tokens.items():
        assert api.get(path, headers=bearer(token)).status_code == 200, path
    assert api.post("/auth/logout", headers=bearer(own)).is_success
    assert api.delete(f"/auth/tokens/{service['jti']}", headers=by).is_success
    since = time.monotonic()
    return {path: until_refused(api, path, token, since) for path, token in tokens.items()}


@pytest.mark.parametrize("path", ["/build/x", "/captionacc/prefect/x"])
def test_a_revoked_token_is_refused_within_the_published_time(revoked, path):
    assert refused(revoked[path].answer) == (403, "TOKEN_REVOKED")
    assert revoked[path].after_s < REVOCATION_REFRESH_S + LOOK_S
