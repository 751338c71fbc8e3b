"""Tokens of the two original gateways, and ours as another library reads them."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from joserfc import jwt as other
from joserfc.jwk import OctKey

from tests.contract.conftest import SECRET, Send, bearer, check_error
from tests.contract.test_identity import original
from tests.contract.upstream import Lab

DAY = 86_400
REMOVED = object()


def service_token(secret: str = SECRET, headers: dict[str, str] | None = None, **changes: Any) -> str:
    """A token as captionacc's token service made it: jti, project, service, iat, exp, and no `kid`."""
    now = int(time.time())
    claims = {
        "jti": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "project": "captionacc",
        "service": "prefect",
        "iat": now - 60,
        "exp": now + 90 * DAY,
        **changes,
    }
    said = {name: value for name, value in claims.items() if value is not REMOVED}
    return jwt.encode(said, secret, algorithm="HS256", headers=headers)


@pytest.mark.parametrize("service", ["prefect", "api", "orchestrator", "modal", "web"])
def test_captionaccs_tokens_open_its_route_and_its_service_hears_whose_they_are(send: Send, lab: Lab, service: str):
    answer = send("GET", "/captionacc/prefect/api/flows?limit=1", bearer(service_token(service=service)))
    assert answer.status == 200
    assert (lab.last["path"], lab.last["query"]) == ("/api/flows", "limit=1")
    assert lab.values("x-gateway-project") == ["captionacc"]
    assert lab.values("x-gateway-service") == [service]
    assert lab.values("x-gateway-jti") == ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]
    assert lab.values("authorization") == []


def test_metacognas_tokens_open_its_routes(send: Send):
    for path in ("/build/get", "/kv/get", "/core/x"):
        assert send("GET", path, bearer(original())).status == 200
    check_error(send("GET", "/build/get", bearer(original(route="KV"))), 403, "INVALID_TOKEN", "BUILD")


@pytest.mark.parametrize(
    "changes",
    [
        {"project": "metacogna"},
        {"project": REMOVED},
        {"project": ["captionacc"]},
        {"service": REMOVED},
        {"service": "billing"},
        {"iss": "somebody.else"},
        {"iss": ""},
        {"aud": "metacogna-clients"},
        {"aud": []},
        {"exp": REMOVED},
        {"iat": REMOVED},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 366 * DAY},
        {"nbf": int(time.time()) + 3600},
        {"jti": 7},
        {"jti": ""},
        {"headers": {"kid": "nope"}},
        {"headers": {"typ": "at+jwt"}},
        {"headers": {"jku": "https://evil.example/keys"}},
        {"secret": "another-Fine/Secret+0f-48-Bytes=that-nobody-knows"},
    ],
    ids="-".join,
)
def test_captionaccs_tokens_are_believed_for_what_they_say_and_no_further(send: Send, changes: dict[str, Any]):
    assert send("GET", "/captionacc/prefect/x", bearer(service_token(**changes))).status == 403


@pytest.mark.parametrize("path", ["/build/get", "/kv/get", "/core/x", "/lab/named/echo", "/lab/opened/echo"])
def test_a_token_that_names_no_issuer_opens_nothing_but_the_project_it_names(send: Send, path: str):
    """Every original gateway signs with the same secret: one project's tokens must not be another's."""
    for changes in ({}, {"route": "AUTH", "scopes": ["admin"]}, {"service": "BUILD", "project": "metacogna"}):
        check_error(send("GET", path, bearer(service_token(**changes))), 403, "INVALID_TOKEN")


def test_a_token_that_was_believed_on_one_route_is_looked_at_anew_on_another(send: Send):
    """A remembered token must not skip the checks of the route it comes to next (CVE-2021-32701)."""
    lenient = service_token(project="lab", service="NAMED")
    assert send("GET", "/lab/opened/echo", bearer(lenient)).status == 200  # its claims rule names the project
    check_error(send("GET", "/lab/named/echo", bearer(lenient)), 403, "INVALID_TOKEN")  # this one's does not
    assert send("GET", "/lab/opened/echo", bearer(lenient)).status == 200


def test_another_library_reads_our_tokens(send: Send, admin_token: str, guest_token: str):
    for token in (admin_token, guest_token):
        read = other.decode(token, OctKey.import_key(SECRET), algorithms=["HS256"])
        assert read.header == {"alg": "HS256", "typ": "JWT", "kid": "local"}
        assert read.claims["iss"] == "gateway.metacogna.ai"
        other.JWTClaimsRegistry(
            iss={"essential": True, "value": "gateway.metacogna.ai"},
            aud={"essential": True, "value": "metacogna-clients"},
            exp={"essential": True},
            iat={"essential": True},
            jti={"essential": True},
        ).validate(read.claims)
