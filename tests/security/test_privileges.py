"""Nobody chooses their own privilege, and a bad credential never becomes no credential."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import grants
from gatehouse.build import gateway
from gatehouse.call import Reply
from gatehouse.errors import InvalidRouteError
from gatehouse.projects import Project, Tokens
from gatehouse.tokens import mint
from tests.unit.fakes import METACOGNA, NOW, FakeKit, a_call, an_identity, body_of, metacogna, ring, run, the_metacogna


@pytest.fixture(scope="module")
def project() -> Project:
    return the_metacogna()


@pytest.fixture(scope="module")
def tokens(project: Project) -> Tokens:
    assert project.tokens
    return project.tokens


def bearer(route: str | None, *scopes: str, subject: str = "ada", **more: Any) -> tuple[str, str]:
    """An Authorization header with a good token of ours."""
    said = {"sub": subject, "projectId": subject, "route": route, "scopes": list(scopes), **more}
    claims = {name: value for name, value in said.items() if value is not None}
    return ("authorization", f"Bearer {mint(ring(), METACOGNA, claims, ttl_s=60, now=NOW).token}")


def ask(path: str, *headers: tuple[str, str], kit: FakeKit | None = None) -> Reply:
    return run(gateway(metacogna(), kit or FakeKit())(a_call(path, "GET", *headers)))


def code(reply: Reply) -> str:
    return body_of(reply)["code"] if reply.status != 200 else ""


# -------------------------------------------------------------------------------------------------- what guests get


@pytest.mark.parametrize("asked", ["AUTH", "CORE", "auth", "Core", "aUTH"])
def test_a_guest_cannot_ask_for_an_elevated_route(project: Project, tokens: Tokens, asked: str) -> None:
    """A guest who asked for AUTH got a token that opened everything."""
    with pytest.raises(InvalidRouteError):
        grants.guest_route(project, tokens, asked)


@pytest.mark.parametrize(
    ("asked", "got"),
    [("BUILD", "BUILD"), ("KV", "KV"), (None, "BUILD"), ("", "BUILD"), ("NOPE", "BUILD"), ("AUTH ", "BUILD")],
)
def test_a_guest_gets_the_route_asked_for_or_the_first_one(
    project: Project, tokens: Tokens, asked: str | None, got: str
) -> None:
    assert grants.guest_route(project, tokens, asked) == got


@given(asked=st.none() | st.text(max_size=8) | st.sampled_from(["AUTH", "CORE", "auth", "BUILD", "KV", "build"]))
def test_whatever_a_guest_asks_for_the_answer_is_a_guest_route(
    project: Project, tokens: Tokens, asked: str | None
) -> None:
    with suppress(InvalidRouteError):
        assert grants.guest_route(project, tokens, asked) in tokens.guest_routes


def test_a_guest_who_is_refused_a_route_is_told_those_to_have(project: Project, tokens: Tokens) -> None:
    with pytest.raises(InvalidRouteError, match="BUILD, KV"):
        grants.guest_route(project, tokens, "CORE")


def test_where_guests_may_have_nothing_they_get_nothing(project: Project, tokens: Tokens) -> None:
    with pytest.raises(InvalidRouteError, match="no route"):
        grants.guest_route(project, replace(tokens, guest_routes=()), None)


def test_what_guests_and_administrators_get_is_what_the_original_systems_gave(tokens: Tokens) -> None:
    assert grants.guest_claims(tokens, "KV") == {
        "sub": "guest", "projectId": "guest", "route": "KV", "scopes": ["guest"], "environment": "staging",
        "issuedBy": "gateway.metacogna.ai",
    }  # fmt: skip
    assert grants.login_claims(tokens, "ada", "admin") == {
        "sub": "ada", "projectId": "ada", "route": "AUTH", "scopes": ["admin"], "environment": "production",
        "issuedBy": "gateway.metacogna.ai",
    }  # fmt: skip


def test_where_no_login_route_is_named_logins_get_the_first_elevated_one(tokens: Tokens) -> None:
    assert grants.login_claims(replace(tokens, login_route="", elevated=("CORE",)), "ada", "admin")["route"] == "CORE"


def test_an_issued_token_lives_as_long_as_the_project_says(tokens: Tokens) -> None:
    text = grants.issue(ring(), tokens, grants.guest_claims(tokens, "KV"), NOW).token
    claims = jwt.decode(text, options={"verify_signature": False})
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 3600)
    assert (claims["iss"], claims["aud"]) == ("gateway.metacogna.ai", "metacogna-clients")
    assert jwt.get_unverified_header(text) == {"alg": "HS256", "typ": "JWT", "kid": "k1"}


# ------------------------------------------------------------------------------------------ which token opens which


@pytest.mark.parametrize(
    ("granted", "scopes", "subject", "opened"),
    [
        ("BUILD", ("guest",), "guest", {"BUILD"}),
        ("BUILD", ("admin",), "ada", {"BUILD"}),
        ("AUTH", ("admin",), "ada", {"BUILD", "KV", "CORE"}),
        ("CORE", ("admin",), "ada", {"BUILD", "KV", "CORE"}),
        ("AUTH", ("guest", "admin"), "ada", {"BUILD", "KV", "CORE"}),
        ("AUTH", ("guest",), "guest", set()),
        ("CORE", ("guest",), "guest", set()),
        ("AUTH", ("admin",), "guest", set()),
        ("build", ("admin",), "ada", set()),
        ("auth", ("admin",), "ada", set()),
        ("BUIL", ("admin",), "ada", set()),
        (None, ("admin",), "ada", set()),
    ],
)
def test_a_token_opens_its_own_route_and_an_elevated_one_opens_all_but_never_for_a_guest(
    project: Project, granted: str | None, scopes: tuple[str, ...], subject: str, opened: set[str]
) -> None:
    identity = an_identity(granted, subject, *scopes)
    assert {route.name for route in project.routes if grants.opens(identity, route, project)} == opened


@pytest.mark.parametrize(
    ("claims", "opened"),
    [
        ({"project": "metacogna", "service": "BUILD"}, {"BUILD"}),
        ({"project": "metacogna", "service": "AUTH"}, set()),
        ({"project": "metacogna", "service": "BUILD", "route": "KV"}, {"KV"}),
        ({"service": "BUILD"}, set()),
        ({"project": "metacogna"}, set()),
    ],
)
def test_a_token_is_a_services_or_says_its_route_and_never_both(
    project: Project, claims: dict[str, str], opened: set[str]
) -> None:
    identity = replace(an_identity(None), claims=claims, subject="s")
    assert {route.name for route in project.routes if grants.opens(identity, route, project)} == opened


def test_a_token_without_scopes_is_a_guests(project: Project) -> None:
    identity = replace(an_identity("AUTH"), scopes=frozenset())
    assert grants.is_guest(identity)
    assert not grants.opens(identity, project.routes[0], project)


# ----------------------------------------------------------------------------------------- the same, from outside


@pytest.mark.parametrize(
    ("path", "route", "scopes", "answer"),
    [
        ("/build/x", "BUILD", ("guest",), ""),
        ("/build/x", "AUTH", ("admin",), ""),
        ("/build/x", "CORE", ("admin",), ""),
        ("/build/x", "KV", ("guest",), "INVALID_TOKEN"),
        ("/build/x", "KV", ("admin",), "INVALID_TOKEN"),
        ("/build/x", "AUTH", ("guest",), "INVALID_TOKEN"),
        ("/kv/x", "KV", ("guest",), ""),
        ("/kv/x", "BUILD", ("guest",), "INVALID_TOKEN"),
        ("/core/x", "CORE", ("guest",), "INVALID_TOKEN"),
        ("/core/x", None, ("admin",), "INVALID_TOKEN"),
    ],
)
def test_the_route_rule_holds_at_the_gate(path: str, route: str | None, scopes: tuple[str, ...], answer: str) -> None:
    kit = FakeKit()
    subject = "guest" if scopes == ("guest",) else "ada"
    reply = ask(path, bearer(route, *scopes, subject=subject), kit=kit)
    assert code(reply) == answer
    assert reply.status == (403 if answer else 200)
    assert len(kit.upstream.sent) == (0 if answer else 1)


@pytest.mark.parametrize("path", ["/kv/x", "/core/x"])
def test_where_a_token_is_optional_none_at_all_passes(path: str) -> None:
    assert ask(path).status == 200


@pytest.mark.parametrize("path", ["/build/x", "/kv/x", "/core/x"])
@pytest.mark.parametrize(
    ("value", "status", "said"),
    [
        ("", 401, "MISSING_TOKEN"),
        ("Bearer", 401, "MISSING_TOKEN"),
        ("Bearer ", 401, "MISSING_TOKEN"),
        ("Basic YWRhOnB3", 401, "MISSING_TOKEN"),
        ("token", 401, "MISSING_TOKEN"),
        ("Bearer x", 403, "INVALID_TOKEN"),
        ("Bearer a.b.c", 403, "INVALID_TOKEN"),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", 403, "INVALID_TOKEN"),
    ],
)
def test_a_credential_that_is_not_good_never_becomes_anonymous(path: str, value: str, status: int, said: str) -> None:
    kit = FakeKit()
    reply = ask(path, ("authorization", value), kit=kit)
    assert (reply.status, code(reply)) == (status, said)
    assert reply.headers.get("www-authenticate").startswith('Bearer realm="gatehouse"')
    assert kit.upstream.sent == []


def test_an_expired_token_is_refused_where_none_would_pass() -> None:
    kit = FakeKit()
    kit.clock.now = NOW + 3600
    assert code(ask("/kv/x", bearer("KV", "guest", subject="guest"), kit=kit)) == "INVALID_TOKEN"


def test_two_different_credentials_in_one_request_are_refused() -> None:
    reply = ask("/build/x", bearer("KV", "guest"), bearer("BUILD", "guest"))
    assert (reply.status, code(reply)) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["/build/x", "/kv/x", "/core/x"])
def test_no_credential_of_a_caller_reaches_an_upstream(path: str) -> None:
    kit = FakeKit()
    header = bearer("AUTH", "admin")
    assert ask(path, header, ("x_user_id", "root"), kit=kit).status == 200
    sent = dict(kit.upstream.only.headers)
    assert header[1] not in str(kit.upstream.only)
    assert not {name.lower() for name in sent} & {"authorization", "x_user_id", "x-user-id"}


def test_a_token_in_the_query_is_no_credential() -> None:
    text = bearer("AUTH", "admin")[1].removeprefix("Bearer ")
    call = replace(a_call("/build/x"), query=f"token={text}&access_token={text}")
    assert code(run(gateway(metacogna(), FakeKit())(call))) == "MISSING_TOKEN"


def test_a_broken_key_ring_shuts_the_door_for_everybody_who_shows_a_token() -> None:
    from gatehouse.errors import AuthUnavailableError
    from gatehouse.keys import KeyRing

    kit = FakeKit()

    async def none() -> KeyRing:
        raise AuthUnavailableError

    kit.ring.current = none  # type: ignore[method-assign]
    for path in ("/build/x", "/kv/x"):
        reply = ask(path, bearer("AUTH", "admin"), kit=kit)
        assert (reply.status, code(reply)) == (503, "AUTH_UNAVAILABLE")
    assert kit.upstream.sent == []
