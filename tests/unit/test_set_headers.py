"""What an upstream is told of the caller, and that nobody but the gateway tells it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.call import Identity
from gatehouse.errors import ForbiddenError
from gatehouse.headers import Headers, Pair
from gatehouse.hygiene import inward, spelling
from gatehouse.projects.model import Project, Route
from gatehouse.stages.forward import Target, forward, passage, sent, target_of, told
from tests.unit.fakes import FakeBody, FakeUpstream, a_call, run

HEADERS = {"X-Gateway-Project": "${claims.project}", "X-Team.Name": "${claims.team}", "Authorization": "Bearer fixed"}
SERVICE = Identity(kind="gateway", subject="s", claims={"project": "captionacc"})


def a_target(headers: Any = HEADERS, path: str = "/a/b", **changes: Any) -> Target:
    route = Route(name="R", path=path, set_headers=headers, **({"upstream": "http://u.test"} | changes))
    return target_of(route, path, Project(project="p", routes=(route,)))


def arriving(*headers: Pair, identity: Identity | None = SERVICE, target: Target | None = None) -> list[Pair]:
    upstream = FakeUpstream()
    run(forward(upstream, target or a_target())(a_call("/a/b/c", "GET", *headers, identity=identity)))
    return upstream.only.headers


def said(name: str, arrived: list[Pair]) -> list[str]:
    return [value for key, value in arrived if spelling(key) == spelling(name)]


def respelled(name: str, seed: int) -> str:
    dice = random.Random(seed)
    return "".join(dice.choice("-_.") if char in "-_." else dice.choice((char, char.upper())) for char in name)


def test_the_upstream_is_told_what_the_file_says() -> None:
    arrived = arriving(("accept", "*/*"))
    assert arrived[0] == ("accept", "*/*")
    assert arrived[-2:] == [("x-gateway-project", "captionacc"), ("authorization", "Bearer fixed")]


def test_a_target_is_what_its_route_says() -> None:
    target = a_target(timeout=3.0)
    assert (target.route, target.address, target.stripped, target.timeout_s) == ("R", "http://u.test", 2, 3.0)
    assert a_target(strip_prefix=False).stripped == 0
    assert a_target({}).set_headers == ()
    assert a_target(upstream=None).address == ""


def test_what_is_set_stands_in_no_printed_target() -> None:
    assert "fixed" not in repr(a_target())


@given(
    st.lists(
        st.tuples(
            st.builds(respelled, st.sampled_from([name.lower() for name in HEADERS]), st.integers(0, 2**32)),
            st.sampled_from(["evil", "", " captionacc ", "captionacc, evil"]),
        ),
        max_size=8,
    ),
    st.lists(st.sampled_from([*HEADERS, "x_gateway_project", "close"]), max_size=3),
    st.sampled_from([SERVICE, None]),
)
def test_no_client_says_them_in_any_spelling_and_none_nominates_them_away(
    smuggled: list[Pair], nominated: list[str], identity: Identity | None
) -> None:
    headers = Headers((*smuggled, ("connection", ",".join(nominated)), ("accept", "*/*")))
    arrived = sent(a_target(), a_call(identity=identity, headers=headers), {})
    assert said("x-gateway-project", arrived) == (["captionacc"] if identity else [])
    assert said("authorization", arrived) == ["Bearer fixed"]
    assert said("x-team-name", arrived) == []
    assert said("accept", arrived) == ["*/*"]


@pytest.mark.parametrize("name", ["x-team-name", "x_team_name", "X-TEAM.NAME", "x.team-name"])
def test_a_header_with_nothing_to_say_is_not_the_clients_to_say(name: str) -> None:
    assert said("x-team-name", arriving((name, "red"), identity=None)) == []
    assert said("x-team-name", arriving((name, "red"), target=a_target({}))) == ["red"]


def test_a_request_that_cannot_be_passed_on_unchanged_reaches_nobody() -> None:
    upstream, body = FakeUpstream(), FakeBody(b"x")
    identity = Identity(kind="gateway", subject="s", claims={"project": "a\r\nx-evil: 1"})
    with pytest.raises(ForbiddenError):
        run(forward(upstream, a_target())(a_call(identity=identity, body=body)))
    assert (upstream.sent, body.reads) == ([], 0)


def test_letters_of_every_language_arrive_as_utf8() -> None:
    identity = Identity(kind="gateway", subject="s", claims={"team": "Zoë"})
    (value,) = said("x-team-name", arriving(identity=identity))
    assert value.encode("latin-1") == "Zoë".encode()


def test_where_nothing_is_set_nothing_changes() -> None:
    call = a_call("/a/b", "GET", ("accept", "*/*"), ("x-team-name", "red"), identity=SERVICE)
    target = a_target({})
    assert sent(target, call, {}) == inward(call.headers, told(target, call))


# -------------------------------------------------------------------------------------------------- for people to read


def test_a_passage_says_what_stays_behind_and_why() -> None:
    headers: list[Pair] = [
        ("accept", "*/*"), ("authorization", "Bearer x"), ("te", "trailers"), ("x-user-id", "ada"),
        ("x_team_name", "red"), ("connection", "x-hop"), ("x-hop", "1"), ("x-forwarded-for", "10.0.0.1"),
    ]  # fmt: skip
    found = passage(a_target(), a_call("/a/b", "GET", *headers, identity=SERVICE), {})
    assert found.kept == (("accept", "*/*"),)
    assert dict(found.removed) == {
        "authorization": "is set by the gateway on this route",
        "te": "is for the next hop alone",
        "x-user-id": "is for the gateway to say",
        "x_team_name": "is set by the gateway on this route",
        "connection": "is for the next hop alone",
        "x-hop": "is named by Connection",
        "x-forwarded-for": "is set by the gateway on this route",
    }
    assert dict(found.added) == {
        "x-forwarded-for": "192.0.2.7",
        "x-forwarded-proto": "https",
        "x-request-id": "request-0001",
        "x-gateway-route": "R",
        "x-gateway-project": "captionacc",
        "authorization": "Bearer fixed",
    }


names = st.sampled_from(
    ["accept", "cookie", "authorization", "x_team.name", "te", "x-user-id", "x-hop", "x_gateway_project", "host", "via"]
)


@given(
    st.lists(st.tuples(names, st.sampled_from(["1", "2"]))),
    st.lists(names, max_size=3),
    st.sampled_from([SERVICE, None]),
    st.sampled_from([HEADERS, {}, {"X-Hop": "${claims.project}"}]),
)
def test_a_passage_is_what_is_sent_and_misses_nothing(
    fields: list[Pair], nominated: list[str], identity: Identity | None, headers: Any
) -> None:
    call = a_call("/a", "GET", *fields, ("connection", ",".join(nominated)), identity=identity)
    target = a_target(headers)
    found = passage(target, call, {})
    assert [*found.kept, *found.added] == sent(target, call, {})
    left = sorted([*(name for name, _ in found.kept), *(name for name, _ in found.removed)])
    assert left == sorted(name for name, _ in call.headers)
    assert all(why for _, why in found.removed)
