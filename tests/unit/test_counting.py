"""Whose bucket a request is counted in: one for each, and nothing of anybody readable in its name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.call import Identity
from gatehouse.counting import RouteLimit, bucket
from gatehouse.gcra import Rate
from gatehouse.token_ids import for_session, session_of
from tests.unit.fakes import NOW, a_call

BYS = ("ip", "subject", "organization", "key")
ADA = Identity(kind="session", subject="ada", organization="o-1")
TEXTS = st.text(st.characters(codec=None), max_size=40)
"""Surrogates too: a claim may hold them."""


def a_limit(by: str = "ip", name: str = "standard", project: str = "demo") -> RouteLimit:
    return RouteLimit(project=project, name=name, rate=Rate(1, 60, 1), by=by)


def counted(by: str = "ip", identity: Identity | None = None, client_ip: str = "192.0.2.7", **limit: str) -> str:
    return bucket(a_limit(by, **limit), a_call(identity=identity, client_ip=client_ip))


def of_ours(subject: str = "ada", jti: str = "j1", *scopes: str, **claims: Any) -> Identity:
    return Identity(
        kind="gateway", subject=subject, token_id=jti, scopes=frozenset(scopes or ("admin",)), claims=claims
    )


@given(by=st.sampled_from(["subject", "organization", "key"]), one=TEXTS, other=TEXTS)
def test_two_callers_share_a_bucket_only_if_they_are_one(by: str, one: str, other: str) -> None:
    kinds = {"subject": "subject", "organization": "organization", "key": "subject"}
    names = [counted(by, Identity(kind="session", **{"subject": "s", kinds[by]: text or "x"})) for text in (one, other)]
    assert (names[0] == names[1]) is ((one or "x") == (other or "x"))


@given(by=st.sampled_from(BYS), text=TEXTS)
def test_the_name_of_a_bucket_tells_nothing_of_whom_it_is(by: str, text: str) -> None:
    name = counted(by, Identity(kind="session", subject=text, organization=text), client_ip=text)
    assert re.fullmatch(rf"route-demo#standard#{by}#[0-9a-f]{{64}}", name)


def test_an_address_is_counted_whoever_calls_from_it_and_ipv6_by_its_network() -> None:
    assert counted("ip", ADA) == counted("ip", None) == counted("ip", of_ours())
    assert counted(client_ip="2001:db8::1") == counted(client_ip="2001:db8::ffff:2")
    assert counted(client_ip="2001:db8::1") != counted(client_ip="2001:db8:0:1::1")
    assert counted(client_ip="::ffff:192.0.2.7") == counted(client_ip="192.0.2.7") != counted(client_ip="192.0.2.8")


def test_projects_limits_and_ways_to_count_have_buckets_of_their_own() -> None:
    others = [counted(project="other"), counted(name="other"), counted("subject"), counted("key")]
    assert len({counted(), *others}) == 5


@pytest.mark.parametrize("by", ["subject", "organization", "key"])
@pytest.mark.parametrize(
    "identity",
    [
        None,
        Identity(kind="anonymous", subject="anonymous:1"),
        of_ours("guest", "j1", "guest"),
        of_ours("guest", "j2", "guest"),
    ],
    ids=["nobody", "a visitor", "a guest", "another guest"],
)
def test_who_is_nobody_in_particular_is_counted_by_address(by: str, identity: Identity | None) -> None:
    """Tokens of guests and visitors are to be had for nothing: a bucket for each would be none."""
    assert counted(by, identity) == counted(by, None)
    assert counted(by, identity) != counted(by, identity, client_ip="192.0.2.8")


def test_a_user_who_is_called_like_an_address_is_no_address() -> None:
    assert counted("subject", Identity(kind="session", subject="192.0.2.7")) != counted("subject", None)


def test_people_of_two_kinds_or_issuers_who_are_called_the_same_are_two() -> None:
    same = [
        Identity(kind="session", subject="ada"),
        of_ours("ada"),
        Identity(kind="jwks", subject="ada", claims={"iss": "https://one.test"}),
        Identity(kind="jwks", subject="ada", claims={"iss": "https://two.test"}),
    ]
    assert len({counted("subject", one) for one in same}) == 4


def test_an_organization_is_counted_for_all_its_members_and_who_has_none_for_themselves() -> None:
    kim = Identity(kind="api_key", subject="kim", organization="o-1")
    assert counted("organization", ADA) == counted("organization", kim)
    alone = [Identity(kind="session", subject=name) for name in ("ada", "kim", "o-1")]
    assert len({counted("organization", one) for one in (ADA, *alone)}) == 4


def test_a_key_is_counted_and_not_its_owner() -> None:
    keys = [Identity(kind="api_key", subject="ada", claims={"key": {"id": one}}) for one in ("k1", "k2")]
    assert counted("key", keys[0]) != counted("key", keys[1])
    assert counted("subject", keys[0]) == counted("subject", keys[1])
    assert counted("key", keys[0]) == counted("key", Identity(kind="api_key", subject="kim", claims=keys[0].claims))


@pytest.mark.parametrize("claims", [{}, {"key": None}, {"key": "k1"}, {"key": {}}, {"key": {"id": None}}])
def test_a_key_without_a_name_and_a_session_are_counted_as_the_caller(claims: dict[str, Any]) -> None:
    assert counted("key", Identity(kind="api_key", subject="ada", claims=claims)) == counted(
        "key", Identity(kind="api_key", subject="ada")
    )
    assert counted("key", ADA) != counted("key", Identity(kind="session", subject="kim"))


def test_a_token_that_was_refreshed_is_the_same_key_and_that_of_another_login_is_not() -> None:
    first = for_session(NOW)
    refreshed = for_session(NOW + 60, session_of(first))
    assert counted("key", of_ours(jti=first)) == counted("key", of_ours(jti=refreshed))
    assert counted("key", of_ours(jti="j1")) != counted("key", of_ours(jti="j2"))


def test_a_services_token_is_a_key_although_it_has_no_scopes() -> None:
    services = [
        Identity(kind="gateway", subject="demo/api", token_id=jti, claims={"project": "demo", "service": "api"})
        for jti in ("j1", "j2")
    ]
    assert len({counted("key", one) for one in (*services, None)}) == 3
    assert counted("subject", services[0]) == counted("subject", services[1]) != counted("subject", None)
