"""The captionacc gateway: service tokens, what they must say, and what the service is told of them."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from gatehouse import keys, tokens
from local.house import House
from tests.contract.conftest import SECRET, Send, bearer, check_error
from tests.contract.upstream import Lab

CAPTIONACC = tokens.Issuer(issuer="gatehouse", audience="captionacc")
PATH = "/captionacc/prefect"
TOLD = ("x-gateway-project", "x-gateway-service", "x-gateway-jti")


def minted(house: House, issuer: tokens.Issuer = CAPTIONACC, **claims: Any) -> tokens.Issued:
    """Return a token as the gateway gives it to services."""
    said = {"project": "captionacc", "service": "api", "sub": "captionacc/api", **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return tokens.mint(keys.parse(house._ring), issuer, said, ttl_s=3600, now=time.time())


def original(**claims: Any) -> str:
    """Return a token as the original system made it: no issuer, no audience, no `kid`."""
    now = int(time.time())
    said = {
        "jti": "an-original-jti",
        "project": "captionacc",
        "service": "api",
        "iat": now,
        "exp": now + 3600,
        **claims,
    }
    return jwt.encode(said, SECRET, algorithm="HS256")


def told(lab: Lab) -> list[list[str]]:
    return [lab.values(name) for name in TOLD]


@pytest.mark.parametrize("service", ["prefect", "api", "orchestrator", "modal", "web"])
def test_a_service_token_opens_the_route_and_the_service_is_told_whose_it_is(
    send: Send, house: House, lab: Lab, service: str
):
    issued = minted(house, service=service)
    assert send("GET", f"{PATH}/api/flows?limit=1", bearer(issued.token)).status == 200
    assert (lab.last["path"], lab.last["query"]) == ("/api/flows", "limit=1")
    assert told(lab) == [["captionacc"], [service], [issued.jti]]
    assert lab.values("x-gateway-route") == ["prefect"]


@pytest.mark.parametrize(("path", "arrives"), [("", "/"), ("/", "/"), ("/a%2db/", "/a%2db/"), (PATH, PATH)])
def test_the_prefix_stays_behind(send: Send, house: House, lab: Lab, path: str, arrives: str):
    assert send("GET", PATH + path, bearer(minted(house).token)).status == 200
    assert lab.last["path"] == arrives


def test_a_token_of_the_original_system_opens_the_same_route(send: Send, lab: Lab):
    assert send("GET", f"{PATH}/x", bearer(original())).status == 200
    assert told(lab) == [["captionacc"], ["api"], ["an-original-jti"]]


@pytest.mark.parametrize(
    "claims",
    [{"service": "other"}, {"service": "API"}, {"project": "other"}, {"service": "prefect-api"}],
    ids=str,
)
def test_a_good_token_that_says_something_else_is_refused(send: Send, house: House, lab: Lab, claims: dict[str, str]):
    seen = len(lab.seen)
    answer = send("GET", f"{PATH}/x", bearer(minted(house, **claims).token))
    check_error(answer, 403, "FORBIDDEN", "prefect")
    assert "insufficient_scope" in answer.get("www-authenticate")
    assert not {*claims.values()} & {*answer.json["message"].split()}
    assert len(lab.seen) == seen


@pytest.mark.parametrize("claims", [{"service": None}, {"project": None}])
def test_a_token_that_does_not_say_enough_is_refused(send: Send, house: House, lab: Lab, claims: dict[str, None]):
    seen = len(lab.seen)
    answer = send("GET", f"{PATH}/x", bearer(minted(house, **claims).token))
    assert (answer.status, answer.json["code"] in {"FORBIDDEN", "INVALID_TOKEN"}) == (403, True)
    assert len(lab.seen) == seen


def test_nobody_passes_without_a_token(send: Send, lab: Lab):
    seen = len(lab.seen)
    check_error(send("GET", f"{PATH}/x"), 401, "MISSING_TOKEN", "prefect")
    assert len(lab.seen) == seen


def test_tokens_of_another_project_do_not_open_it_nor_its_tokens_another(
    send: Send, house: House, guest_token: str, admin_token: str
):
    for token in (guest_token, admin_token):
        check_error(send("GET", f"{PATH}/x", bearer(token)), 403, "INVALID_TOKEN", "prefect")
    metacogna = tokens.Issuer(issuer="gateway.metacogna.ai", audience="metacogna-clients")
    check_error(send("GET", f"{PATH}/x", bearer(minted(house, metacogna).token)), 403, "INVALID_TOKEN", "prefect")
    check_error(send("GET", "/core/x", bearer(minted(house).token)), 403, "INVALID_TOKEN", "CORE")


@pytest.mark.parametrize(
    "spell",
    [str.lower, str.upper, str.title, lambda name: name.replace("-", "_"), lambda name: name.replace("-", "."),
     lambda name: name.replace("-", "_", 1).upper()],
    ids=["lower", "upper", "title", "underscores", "dots", "mixed"],
)  # fmt: skip
def test_what_clients_say_of_themselves_never_arrives(send: Send, house: House, lab: Lab, spell: Any):
    issued = minted(house)
    names = [spell(name) for name in (*TOLD, "x-gateway-route", "x-gateway-anything")]
    smuggled = [(name, value) for name in names for value in ("evil", "worse")]
    nominated = ("Connection", ", ".join(names))
    answer = send("GET", f"{PATH}/x", [("Authorization", f"Bearer {issued.token}"), *smuggled, nominated])
    assert answer.status == 200
    arrived = {name: value for name, value in lab.last["headers"] if "gateway" in name.lower()}
    assert arrived == {
        "x-gateway-route": "prefect",
        "x-gateway-project": "captionacc",
        "x-gateway-service": "api",
        "x-gateway-jti": issued.jti,
    }
    assert told(lab) == [["captionacc"], ["api"], [issued.jti]]


def test_the_token_itself_never_arrives(send: Send, house: House, lab: Lab):
    issued = minted(house)
    assert send("POST", f"{PATH}/x", bearer(issued.token), b"hello").status == 200
    assert lab.last["body"] == b"hello"
    assert lab.values("authorization") == []
    assert issued.token not in str(lab.last["headers"])


@pytest.mark.parametrize("path", ["/captionacc", "/captionacc/prefectx", "/captionacc/other", "/prefect"])
def test_beside_the_route_there_is_nothing(send: Send, house: House, path: str):
    check_error(send("GET", path, bearer(minted(house).token)), 404, "NOT_FOUND")
