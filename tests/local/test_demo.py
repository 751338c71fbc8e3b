"""The demo services: what they say is what the gateway understands, and what they do not know they echo."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from gatehouse.asking import Answer
from gatehouse.credentials import api_key, session
from gatehouse.errors import ForeignTokenError
from gatehouse.foreign_tokens import ForeignTokens
from gatehouse.headers import Headers
from gatehouse.jwk_set import ForeignKey, parse
from gatehouse.memberships import membership_of, organization_of
from gatehouse.projects.model import JwksProvider
from gatehouse.proofs import NOBODY
from local import demo, variables
from local.demo_callers import EMAIL, KEY, ORGANIZATION, SESSION, UNATTACHED, USER, Callers
from tests.unit.fakes import ROOT, FakeClock

PORTS = {
    1: "AUTH_SERVICE_URL", 2: "ORG_SERVICE_URL", 3: "USER_SERVICE_URL", 4: "CF_ACCESS_URL", 5: "CF_AI_GATEWAY_URL",
    6: "PRODUCT_SERVICE_URL",
}  # fmt: skip
AUTH, ORG, USERS, ACCESS, AI, PRODUCTS = PORTS
ISSUER = "http://127.0.0.1:4"


@pytest.fixture(scope="module")
def callers() -> Callers:
    return Callers(issuer=ISSUER)


def asked(
    callers: Callers,
    port: int,
    path: str,
    method: str = "GET",
    *headers: tuple[str, str],
    body: bytes = b"",
    query: str = "",
) -> tuple[int, dict[str, str], bytes]:
    """What a demo service answers: its status, headers and body."""
    pieces = [{"type": "http.request", "body": body[:3], "more_body": True}, {"type": "http.request", "body": body[3:]}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return pieces.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "server": ("127.0.0.1", port), "method": method, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers],
    }  # fmt: skip
    asyncio.run(demo.services(PORTS, callers)(scope, receive, send))
    start, end = sent
    assert not pieces  # the body was read to its end
    fields = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(fields["content-length"]) == len(end["body"])
    return start["status"], fields, end["body"]


def said(callers: Callers, port: int, path: str, method: str = "GET", *headers: tuple[str, str], **more: Any) -> Any:
    status, fields, body = asked(callers, port, path, method, *headers, **more)
    assert (status, fields["content-type"]) == (200, "application/json")
    return json.loads(body)


def answer(document: Any) -> Answer:
    return Answer(status=200, headers=Headers(), body=json.dumps(document).encode())


# ------------------------------------------------------------------------------------------------------ an auth service


@pytest.mark.parametrize("name", ["better-auth.session_token", "__Secure-better-auth.session_token", "sid"])
@pytest.mark.parametrize(("value", "organization"), [(SESSION, ORGANIZATION), (UNATTACHED, "")])
def test_a_demo_session_is_one_that_the_gateway_understands(
    callers: Callers, name: str, value: str, organization: str
) -> None:
    cookie = f"{name}={value}"
    found = session.proof_of(answer(said(callers, AUTH, "/get-session", "GET", ("cookie", cookie))), cookie).identity
    assert found is not None
    assert (found.user, found.organization, found.email) == (USER, organization, EMAIL)
    assert found.token.count(".") == 2
    assert found.claims["sub"] == USER


@pytest.mark.parametrize("cookie", ["", "sid=", "sid=nope", f"sid={SESSION}x", SESSION])
def test_any_other_session_is_nobodys(callers: Callers, cookie: str) -> None:
    document = said(callers, AUTH, "/get-session", "GET", *([("cookie", cookie)] if cookie else []))
    assert document is None
    assert session.proof_of(answer(document), cookie) is NOBODY


def test_a_demo_key_is_one_that_the_gateway_understands(callers: Callers) -> None:
    document = said(callers, AUTH, "/api-key/verify", "POST", body=json.dumps({"key": f"crow_{KEY}"}).encode())
    found = api_key.proof_of(answer(document), f"crow_{KEY}").identity
    assert found is not None
    assert (found.user, found.organization) == (USER, ORGANIZATION)
    assert KEY not in json.dumps(document)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"{}", b'{"key": 5}', b'{"key": null}', b'{"key": "crow_nope"}', b"\xff", b'"key"'],
)
def test_any_other_key_is_nobodys(callers: Callers, body: bytes) -> None:
    document = said(callers, AUTH, "/api-key/verify", "POST", body=body)
    assert api_key.proof_of(answer(document), "crow_nope") is NOBODY


@pytest.mark.parametrize(("method", "path"), [("GET", "/api-key/verify"), ("GET", "/x"), ("POST", "/sign-in")])
def test_what_else_an_auth_service_is_asked_it_echoes(callers: Callers, method: str, path: str) -> None:
    assert said(callers, AUTH, path, method)["path"] == path


# ------------------------------------------------------------------------------------------------- organisations, users


@pytest.mark.parametrize("port", [ORG, USERS])
def test_the_demos_organization_has_an_id_of_its_own_everywhere(callers: Callers, port: int) -> None:
    by_session = organization_of(said(callers, port, f"/organizations/by-auth-id/{ORGANIZATION}"), ORGANIZATION, USER)
    by_key = membership_of(said(callers, port, f"/users/by-auth-id/{USER}"), ORGANIZATION, USER)
    assert by_session == by_key
    assert by_session not in {None, "", ORGANIZATION}


@pytest.mark.parametrize("port", [ORG, USERS])
@pytest.mark.parametrize("name", ["nope", "", f"{USER}x"])
def test_whom_they_do_not_know_is_404(callers: Callers, port: int, name: str) -> None:
    status, _, body = asked(callers, port, f"/x/by-auth-id/{name}")
    assert (status, json.loads(body)) == (404, {"error": "not found"})


def test_the_demos_user_is_in_no_other_organization(callers: Callers) -> None:
    assert membership_of(said(callers, USERS, f"/users/by-auth-id/{USER}"), "another", USER) is None


def test_other_services_echo_such_paths(callers: Callers) -> None:
    assert said(callers, PRODUCTS, f"/by-auth-id/{USER}")["service"] == "PRODUCT_SERVICE_URL"


# ---------------------------------------------------------------------------------------------------- Access and models


class Published:
    """The keys that a demo service publishes."""

    def __init__(self, callers: Callers) -> None:
        self.keys = parse(json.dumps(said(callers, ACCESS, "/cdn-cgi/access/certs")))

    async def key(self, kid: str, deadline: float | None = None) -> ForeignKey | None:
        return self.keys.get(kid)


def test_a_demo_token_is_believed_by_the_keys_that_go_with_it(callers: Callers) -> None:
    status, fields, body = asked(callers, ACCESS, "/token")
    assert (status, fields["content-type"]) == (200, "text/plain")
    token = body.decode().strip()
    issuer = JwksProvider(type="jwks", issuer=ISSUER, audience=("demo",), jwks_url="https://x/y", require=("email",))
    tokens = ForeignTokens(issuer, Published(callers), FakeClock(time.time()))
    found = asyncio.run(tokens.verify(token))
    assert (found.kind, found.subject, found.email) == ("jwks", USER, EMAIL)
    strangers = ForeignTokens(issuer, Published(Callers(issuer=ISSUER)), FakeClock(time.time()))
    with pytest.raises(ForeignTokenError):
        asyncio.run(strangers.verify(token))


def test_the_keys_that_are_published_are_public_ones(callers: Callers) -> None:
    (key,) = said(callers, ACCESS, "/cdn-cgi/access/certs")["keys"]
    assert key.keys() >= {"kty", "n", "e", "kid", "alg", "use"}
    assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def test_what_else_is_asked_there_is_echoed(callers: Callers) -> None:
    assert said(callers, ACCESS, "/cdn-cgi/access/login")["service"] == "CF_ACCESS_URL"


def test_a_model_answers_and_says_whom_the_gateway_named(callers: Callers) -> None:
    fields = (("cf-aig-metadata", json.dumps({"user_id": EMAIL})),)
    completion = said(callers, AI, "/v1/chat/completions", "POST", *fields, body=b"{}")
    assert completion["object"] == "chat.completion"
    words = f'Hello. The gateway says that you are {{"user_id": "{EMAIL}"}}.'
    assert completion["choices"][0]["message"]["content"] == words
    assert completion["path"] == "/v1/chat/completions"
    assert "nobody" in said(callers, AI, "/v1/chat/completions", "POST")["choices"][0]["message"]["content"]


# ----------------------------------------------------------------------------------------------------------------- echo


def test_a_service_that_knows_nothing_shows_what_it_received(callers: Callers) -> None:
    seen = said(
        callers,
        PRODUCTS,
        "/api/v1/%70roducts",
        "PUT",
        ("x-a", "1"),
        ("x-a", "2"),
        ("x-b", "\xe9"),
        body=b"text",
        query="a=%20",
    )
    assert seen == {
        "service": "PRODUCT_SERVICE_URL", "method": "PUT", "path": "/api/v1/%70roducts", "query": "a=%20",
        "headers": [["x-a", "1"], ["x-a", "2"], ["x-b", "\xe9"]], "body": "text",
    }  # fmt: skip


def test_bytes_that_are_no_text_are_shown_as_base64(callers: Callers) -> None:
    assert said(callers, PRODUCTS, "/x", "POST", body=b"\xff\x00\x01\x02")["body"] == "base64:/wABAg=="


def test_a_port_that_nobody_named_is_a_demo_too(callers: Callers) -> None:
    assert said(callers, 99, "/get-session")["service"] == "demo"


def test_whatever_is_no_request_is_left_alone(callers: Callers) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("nobody is there")

    asyncio.run(demo.services(PORTS, callers)({"type": "lifespan"}, never, never))


# ------------------------------------------------------------------------------------------------------------ variables


def test_the_addresses_in_the_shipped_files_are_services_and_the_rest_is_text() -> None:
    folder = ROOT / "layers/config/projects"
    known, every = variables.addresses(folder), set(variables.unset(folder, {}))
    assert every - known == {"CF_ACCESS_AUD"}
    assert known >= {*PORTS.values(), "BUILD_SERVICE_URL", "PREFECT_SERVICE_URL", "REPORT_SERVICE_URL"}
    assert variables.secret_names(folder) == [
        "CF_AI_GATEWAY_TOKEN", "INTERNAL_GATEWAY_KEY", "SERVICE_API_KEY_ORG_SERVICE"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("upstream: ${A}", {"A"}), ('upstream: "${A}/x"', {"A"}), ("{upstream: '${A}', name: ${B}}", {"A"}),
        ('"url" : "${A}/get"', {"A"}), ("jwks_url: ${A}/certs", {"A"}), ("issuer: ${A}", {"A"}),
        ("token_url: ${A}", {"A"}),
        ("session: ${A}/o", {"A"}), ("api_key: ${A}/u", {"A"}), ("membership: ${A}/u", {"A"}),
        ("audience: ${A}", set()), ("issuer: https://${TEAM}.test", set()), ("my_upstream: ${A}", set()),
        ("upstream: ${secret:A}", set()), ("upstream: x # ${A}", set()), ("# upstream: ${A}", set()),
        ("#upstream: ${A}", set()), ("  # upstream: ${A}", set()), ("upstream: ${A}#x", {"A"}),
        ("\t#upstream: ${A}", set()),
    ],
)  # fmt: skip
def test_an_address_is_a_value_that_begins_with_a_variable(tmp_path: Path, line: str, names: set[str]) -> None:
    (tmp_path / "one.yaml").write_text(f"project: x\n{line}\n", encoding="utf-8")
    assert variables.addresses(tmp_path) == names


def test_what_the_environment_has_is_not_unset_and_comments_name_nothing(tmp_path: Path) -> None:
    text = "# ${Z}\na: ${A}${B}\n# ${C}\nb: ${D} # ${E} ${secret:F}\nc: ${secret:G}\n"
    (tmp_path / "one.yml").write_text(text, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("${H}", encoding="utf-8")
    assert variables.unset(tmp_path, {"A": "x", "D": ""}) == ["B", "D"]
    assert variables.secret_names(tmp_path) == ["G"]
