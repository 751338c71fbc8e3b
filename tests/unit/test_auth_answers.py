"""Reading what services say about credentials: tokens, ids and moments."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.auth_answers import (
    Jwt,
    UnclearAnswerError,
    document_of,
    email_in,
    id_in,
    jwt,
    member,
    token_of,
    until_in,
)
from gatehouse.jose import MOST_BYTES
from tests.unit.asked import answer, token
from tests.unit.fakes import NOW

GOOD = token({"sub": "ada"})


# ------------------------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize(
    ("body", "document"), [(b"null", None), (b" null\n", None), (b"{}", {}), (b'{"a":1}', {"a": 1})]
)
def test_a_document_is_an_object_or_null(body: bytes, document: Any) -> None:
    assert document_of(answer(body)) == document


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b'"text"', b"true", b"<!doctype html>", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff{}",
     b"\xef\xbb\xbf{}", b'{"a":' * 100_000, b"nullnull"],
)  # fmt: skip
def test_anything_else_is_not_understood(body: bytes) -> None:
    with pytest.raises(UnclearAnswerError, match="no JSON object"):
        document_of(answer(body))


# ---------------------------------------------------------------------------------------------------------- tokens


def test_a_token_has_three_parts_two_of_which_are_objects() -> None:
    assert jwt(GOOD) == Jwt(GOOD, {"sub": "ada"})


@pytest.mark.parametrize(
    "text",
    [
        None, 7, True, {"a": 1}, [GOOD], GOOD.encode(), "", "opaque", "a.b", "a.b.c.d", f"{GOOD}=", f" {GOOD}",
        f"{GOOD}\n", GOOD.replace(".", ".."), GOOD.rpartition(".")[0] + ".", token([1]), token(header=[1]),
        token(header={"kid": "k"}),
        token(header={"alg": 1}), "e30.e30.e30", f"{GOOD.partition('.')[0]}.bnVsbA.c2ln", GOOD + "\u00e9",
        f"{GOOD.partition('.')[0]}.e31.c2ln", token({"x": "y" * MOST_BYTES}),
    ],
)  # fmt: skip
def test_what_does_not_have_the_form_of_a_token_is_none(text: object) -> None:
    assert jwt(text) is None


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5), st.binary(min_size=1))
def test_every_token_is_read_as_it_was_written(claims: dict[str, Any], signature: bytes) -> None:
    text = token(claims, signature=signature)
    assert jwt(text) == Jwt(text, claims)


@pytest.mark.parametrize(
    ("header", "body", "found"),
    [
        ("", {}, None),
        (GOOD, {}, GOOD),
        ("", {"jwt": GOOD}, GOOD),
        ("", {"token": GOOD}, GOOD),
        ("", {"accessToken": GOOD}, GOOD),
        (GOOD, {"jwt": token({"sub": "eve"})}, GOOD),
        ("opaque", {"token": "opaque", "accessToken": GOOD}, GOOD),
        ("", {"session": {"token": GOOD}, "user": {"token": GOOD, "jwt": GOOD}}, None),
        ("", {"Token": GOOD, "data": {"token": GOOD}, "access_token": GOOD}, None),
        ("", {"token": None, "jwt": 7}, None),
    ],
)
def test_a_token_is_in_the_header_or_at_the_top_of_the_body(header: str, body: Any, found: str | None) -> None:
    pairs = (("set-auth-jwt", header),) if header else ()
    said = token_of(answer(body, *pairs), body)
    assert (said and said.text) == found


def test_a_credential_is_no_token_even_if_it_looks_like_one() -> None:
    body = {"token": GOOD, "accessToken": token({"sub": "other"})}
    assert token_of(answer(body), body, "x", GOOD) == Jwt(body["accessToken"], {"sub": "other"})
    assert token_of(answer({}, ("set-auth-jwt", GOOD)), {}, GOOD) is None


def test_a_token_is_shown_nowhere() -> None:
    assert GOOD not in repr(jwt(GOOD))
    assert "ada" not in repr(jwt(GOOD))


@pytest.mark.parametrize(("claims", "until"), [({}, inf), ({"exp": NOW}, NOW), ({"exp": NOW + 0.5}, NOW + 0.5)])
def test_a_token_is_good_until_its_exp(claims: dict[str, Any], until: float) -> None:
    assert Jwt("", claims).until == until


@pytest.mark.parametrize("exp", ["1800000000", True, [], {}, inf])
def test_a_token_whose_exp_is_no_moment_is_not_understood(exp: Any) -> None:
    with pytest.raises(UnclearAnswerError):
        _ = Jwt("", {"exp": exp}).until


# --------------------------------------------------------------------------------------------------- ids and emails


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({}, ""), ({"id": None}, ""), ({"id": "u1"}, "u1"), ({"id": 7}, "7"), ({"id": 0}, "0"),
        ({"id": None, "uid": "x"}, "x"),
        ({"id": "a", "uid": "b"}, "a"), ({"id": "x" * 256}, "x" * 256), ({"id": "Ada Lovelace é"}, "Ada Lovelace é"),
    ],
)  # fmt: skip
def test_an_id_is_a_short_text_or_a_whole_number(document: dict[str, Any], found: str) -> None:
    assert id_in(document, "id", "uid") == found


@pytest.mark.parametrize(
    "value", ["", " ", "a ", " a", "a\n", "a\x00b", "\u2028", "x" * 257, 1.5, True, False, [], {}, ["a"]]
)
def test_what_cannot_be_an_id_is_not_understood(value: Any) -> None:
    with pytest.raises(UnclearAnswerError, match="id is no id"):
        id_in({"id": value}, "id")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("ada@example.com", "ada@example.com"),
        (None, ""),
        (7, ""),
        ("a\nb", ""),
        ("x" * 320, "x" * 320),
        ("x" * 321, ""),
    ],
)
def test_an_email_that_cannot_be_one_is_none(value: Any, found: str) -> None:
    assert email_in({"email": value}) == found


def test_a_member_is_an_object_or_missing() -> None:
    assert member({"user": {"id": 1}}, "user") == {"id": 1}
    assert member({"user": None}, "user") == member({}, "user") == {}
    for wrong in ([], "text", 1, True):
        with pytest.raises(UnclearAnswerError, match="user is no object"):
            member({"user": wrong}, "user")


# --------------------------------------------------------------------------------------------------------- moments


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (None, inf),
        (NOW, NOW),
        (NOW + 0.25, NOW + 0.25),
        (NOW * 1000, NOW),
        (NOW * 1000 + 250, NOW + 0.25),
        (0, 0),
        (-1, -1),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T08:00:00.000Z", NOW),
        ("2027-01-15T09:00:00+01:00", NOW),
        ("2027-01-15T08:00:00", NOW),
        ("2027-01-15T08:00:00.250Z", NOW + 0.25),
    ],
)
def test_moments_are_iso_8601_or_seconds_or_milliseconds(value: Any, moment: float) -> None:
    assert until_in({"expiresAt": value}, "expiresAt") == pytest.approx(moment)


@pytest.mark.parametrize("value", ["", "soon", "1800000000000", True, [], {}, "2027-13-01", 10**400, -(10**400), 1e300])
def test_what_is_no_moment_is_not_understood(value: Any) -> None:
    with pytest.raises(UnclearAnswerError, match="expiresAt is no moment"):
        until_in({"expiresAt": value}, "expiresAt")


@pytest.mark.parametrize("read", [lambda x: until_in(x, "exp"), lambda x: id_in(x, "exp"), lambda x: Jwt("", x).until])
@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_no_value_breaks_the_reader_and_none_is_in_what_it_says(read: Callable[[Any], object], value: Any) -> None:
    said = "exp"
    try:
        read({"exp": value})
    except UnclearAnswerError as error:
        said = str(error)
    assert said in {"exp", "exp is no moment", "exp is no id", "a token whose exp is no number"}
