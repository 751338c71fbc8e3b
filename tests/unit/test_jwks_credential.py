"""A token of another issuer is taken from where the project file says, and from nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.call import Identity
from gatehouse.credentials.jwks import jwks
from gatehouse.errors import ForeignTokenError
from gatehouse.headers import Pair
from tests.unit.fakes import a_call, run
from tests.unit.issuers import provider

ACCESS = {"headers": ("Cf-Access-Token", "cf-access-jwt-assertion"), "cookie": "CF_Authorization"}


class FakeTokens:
    """Believes everything, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float | None]] = []

    async def verify(self, token: str, deadline: float | None = None) -> Identity:
        self.asked.append((token, deadline))
        return Identity(kind="jwks", subject=token)


def taken(*headers: Pair, **changes: Any) -> str | None:
    """The token that is taken from a request with *headers*."""
    tokens = FakeTokens()
    identity = run(_prove(tokens, headers, changes))
    assert len(tokens.asked) == (0 if identity is None else 1)
    return None if identity is None else identity.subject


async def _prove(tokens: FakeTokens, headers: tuple[Pair, ...], changes: dict[str, Any]) -> Identity | None:
    return await jwks(provider(**changes), tokens)(a_call("/ai", "POST", *headers, deadline=77.0))


def is_refused(*headers: Pair, **changes: Any) -> bool:
    try:
        taken(*headers, **changes)
    except ForeignTokenError as error:
        return "secret" not in str(error)
    return False


def test_headers_come_in_their_order_and_before_the_cookie() -> None:
    first, second, cookie = (
        ("cf-access-token", "a"),
        ("cf-access-jwt-assertion", "b"),
        ("cookie", "x=1; CF_Authorization=c"),
    )
    assert taken(cookie, second, first, **ACCESS) == "a"
    assert taken(cookie, second, **ACCESS) == "b"
    assert taken(cookie, **ACCESS) == "c"
    assert taken(("cookie", "x=1"), ("cookie", "CF_Authorization=c"), **ACCESS) == "c"


@pytest.mark.parametrize(
    "header",
    [
        ("authorization", "Bearer a"), ("cookie", "cf_authorization=a"), ("cookie",
        "XCF_Authorization=a"),
        ("cookie", "CF_Authorization"), ("cookie", "x=CF_Authorization=a"), ("cookie", "__Secure-CF_Authorization=a"),
    ],
)  # fmt: skip
def test_a_token_anywhere_else_is_no_credential(header: Pair) -> None:
    assert taken(header, **ACCESS) is None


def test_without_a_place_tokens_are_in_authorization() -> None:
    assert taken() is None
    assert taken(("authorization", "Bearer a")) == "a"
    assert taken(("authorization", "bearer   a ")) == "a"
    assert taken(("cookie", "CF_Authorization=a")) is None


def test_with_a_cookie_alone_authorization_is_none_of_its_places() -> None:
    assert taken(("authorization", "Bearer a"), cookie="CF_Authorization") is None


def test_authorization_can_be_one_of_its_places() -> None:
    places = {"headers": ("x-token", "Authorization")}
    assert taken(("authorization", "Bearer a"), **places) == "a"
    assert taken(("authorization", "Bearer a"), ("x-token", "b"), **places) == "b"


@pytest.mark.parametrize("value", ["Basic secret", "secret", "Bearersecret", "", "Bearer\tsecret", "Bearer: secret"])
def test_another_scheme_is_refused(value: str) -> None:
    assert is_refused(("authorization", value))


def test_an_empty_place_holds_a_credential_that_is_bad() -> None:
    """What is there never becomes "nobody": that it is no token is for the reader of tokens to say."""
    assert taken(("cf-access-token", ""), **ACCESS) == ""
    assert taken(("cookie", "CF_Authorization="), **ACCESS) == ""
    assert taken(("authorization", "Bearer ")) == ""


@pytest.mark.parametrize(
    "headers",
    [
        (("cf-access-token", "secret1"), ("cf-access-token", "secret2")),
        (("cookie", "CF_Authorization=secret1; CF_Authorization=secret2"),),
        (("cookie", "CF_Authorization=secret1"), ("cookie", "a=1; CF_Authorization=secret2")),
        (("cookie", "CF_Authorization=secret1; CF_Authorization="),),
    ],
)
def test_two_tokens_in_one_place_are_refused(headers: tuple[Pair, ...]) -> None:
    assert is_refused(*headers, **ACCESS)


def test_one_token_twice_is_one_token() -> None:
    assert taken(("cf-access-token", "a"), ("cf-access-token", "a"), **ACCESS) == "a"
    assert taken(("cookie", "CF_Authorization=a; CF_Authorization=a"), **ACCESS) == "a"
    assert taken(("authorization", "Bearer a"), ("authorization", "Bearer a")) == "a"


def test_the_deadline_of_the_request_goes_with_the_token() -> None:
    tokens = FakeTokens()
    run(_prove(tokens, (("authorization", "Bearer a"),), {}))
    assert tokens.asked == [("a", 77.0)]


@given(
    value=st.text(alphabet=st.characters(max_codepoint=255), max_size=50),
    name=st.sampled_from(["cf-access-token", "cookie"]),
)
def test_no_value_crashes_it(value: str, name: str) -> None:
    if name == "cookie":
        assert (
            is_refused((name, value), **ACCESS) or taken((name, value), **ACCESS) is None or "CF_Authorization" in value
        )
    else:
        assert taken((name, value), **ACCESS) == value


@pytest.mark.parametrize("name", ["cf_access_token", "CF-Access_Token", "cf.access.token"])
def test_another_spelling_of_the_header_is_the_header(name: str) -> None:
    """Some server would read it as one: what the gateway does not look at, nobody may say."""
    assert taken((name.lower(), "a"), **ACCESS) == "a"
    with pytest.raises(ForeignTokenError):
        taken((name.lower(), "a"), ("cf-access-token", "b"), **ACCESS)
