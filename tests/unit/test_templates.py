"""What `${…}` in headers becomes: data stays data, and what cannot be said unchanged is not said at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.call import Identity
from gatehouse.errors import ForbiddenError
from gatehouse.templates import FILLED, UNSAYABLE, Filling, Placeholder, fill, parse

WHO = Identity(
    kind="session",
    subject="s-1",
    user="u-1",
    organization="o-1",
    email="ada@example.com",
    token="upstream-token",
    claims={"project": "captionacc", "jti": "j-1", "address": {"city": "Ulm"}, "https://x.test/role": "chef"},
)


def saying(**claims: Any) -> Identity:
    return Identity(kind="gateway", subject="s", claims=claims)


def filled(value: Any, identity: Identity | None = WHO, request_id: str = "r-1") -> str | None:
    return fill(parse(value), Filling(identity, request_id))


# ------------------------------------------------------------------------------------------------------------ texts


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"), ("${identity.kind}", "session"), ("${identity.subject}", "s-1"),
        ("${identity.user}", "u-1"), ("${identity.organization}", "o-1"), ("${identity.email}", "ada@example.com"),
        ("Bearer ${identity.token}", "Bearer upstream-token"), ("${claims.project}", "captionacc"),
        ("${claims.project}/${claims.jti}", "captionacc/j-1"), ("a${request.id}b", "ar-1b"),
        ("${claims.address.city}", "Ulm"), ("${claims.https://x.test/role}", "chef"),
        ("$${claims.jti}}", "$j-1}"), ("{${claims.jti}", "{j-1"), (" ${claims.jti} ", "j-1"),
    ],
)  # fmt: skip
def test_a_text_is_filled(text: str, value: str) -> None:
    assert filled(text) == value


def test_every_field_that_is_documented_can_be_filled() -> None:
    for source, names in FILLED.items():
        for name in names:
            assert filled(f"${{{source}.{name}}}")


@pytest.mark.parametrize(
    "text",
    ["${claims.nothing}", "x-${claims.nothing}-y", "${claims.nothing}${identity.email}", "${claims.address.street}"],
)
def test_a_header_with_nothing_to_fill_it_with_is_not_sent(text: str) -> None:
    assert filled(text, saying(address="Ulm")) is None


@pytest.mark.parametrize("text", ["${identity.kind}", "${identity.token}", "${claims.project}", "x ${claims.project}"])
def test_of_nobody_nothing_is_said(text: str) -> None:
    assert filled(text, None) is None


@pytest.mark.parametrize(("text", "value"), [("fixed", "fixed"), ("${request.id}", "r-1")])
def test_what_is_not_about_the_caller_is_said_of_nobody_too(text: str, value: str) -> None:
    assert filled(text, None) == value


def test_where_only_some_placeholders_are_empty_they_are_empty_texts() -> None:
    assert filled("${claims.nothing}:${claims.jti}") == ":j-1"
    assert filled("${request.id} ${identity.user}", None) == "r-1"


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_claim_is_none(empty: str | None) -> None:
    assert filled("${claims.x}", saying(x=empty)) is None


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        (5, "5"), (0, "0"), (1.5, "1.5"), (True, "true"), (False, "false"), (["a", 1], '["a",1]'),
        ({"a": {"b": None}}, '{"a":{"b":null}}'), ([], "[]"),
    ],
)  # fmt: skip
def test_what_is_not_a_text_is_filled_in_as_compact_json(claim: Any, value: str) -> None:
    assert filled("${claims.x}", saying(x=claim)) == value
    assert json.loads(filled({"x": "${claims.x}"}, saying(x=claim)) or "") == {"x": value}


def test_the_gateways_own_token_never_leaves() -> None:
    ours = Identity(kind="gateway", subject="s", token="our-token")
    assert filled("Bearer ${identity.token}", ours) is None
    assert filled({"t": "${identity.token}", "s": "${identity.subject}"}, ours) == '{"s":"s"}'


def test_letters_of_every_language_travel_as_utf8() -> None:
    value = filled("${claims.name}/ü", saying(name="Zoë €"))
    assert value
    assert value.encode("latin-1").decode("utf-8") == "Zoë €/ü"


@pytest.mark.parametrize("control", [*map(chr, range(32)), "\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029"])
def test_a_control_character_is_refused_and_never_taken_out(control: str) -> None:
    for claim in (f"a{control}b", [f"a{control}b"]):
        identity = saying(x=claim)
        if isinstance(claim, list) and control < " ":
            assert filled("${claims.x}", identity)  # JSON says it without a control character
            continue
        with pytest.raises(ForbiddenError, match="cannot be passed on"):
            filled("x ${claims.x}", identity)


@pytest.mark.parametrize("name", [" ada", "ada ", "\u00a0ada", " "])
def test_a_name_that_a_server_would_cut_spaces_off_is_refused(name: str) -> None:
    """'ada ' would arrive as 'ada', who is somebody else."""
    with pytest.raises(ForbiddenError):
        filled("${claims.name}", saying(name=name))


@pytest.mark.parametrize("claim", [float("nan"), float("inf"), [float("-inf")]])
def test_what_json_cannot_say_is_refused(claim: Any) -> None:
    with pytest.raises(ForbiddenError):
        filled("${claims.x}", saying(x=claim))


def test_a_claim_too_deep_to_say_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ForbiddenError):
        filled("${claims.x}", saying(x=deep))


def test_a_refusal_says_what_to_do_and_nothing_of_the_token() -> None:
    with pytest.raises(ForbiddenError) as caught:
        filled("${claims.x}", saying(x="hidden\nvalue"))
    assert "hidden" not in str(caught.value)
    assert "Get a token without it." in str(caught.value)
    assert (caught.value.status, caught.value.code) == (403, "FORBIDDEN")


@given(st.text())
def test_any_claim_arrives_as_it_is_or_not_at_all(claim: str) -> None:
    try:
        value = filled("${claims.x}", saying(x=claim))
    except ForbiddenError:
        assert UNSAYABLE.search(claim) or claim != claim.strip()
        return
    assert (value or "").encode("latin-1").decode("utf-8") == claim
    assert not UNSAYABLE.search(claim)


@given(st.text(), st.text())
def test_what_a_claim_looks_like_is_not_filled_again(claim: str, other: str) -> None:
    nested = saying(x="${claims.y}" + claim, y=other)
    try:
        value = filled({"v": "${claims.x}"}, nested)
    except ForbiddenError:
        return
    assert json.loads(value or "") == {"v": "${claims.y}" + claim}


# ---------------------------------------------------------------------------------------------------------- mappings


def test_a_mapping_is_compact_json_and_keeps_the_files_own_types() -> None:
    value = {"user_id": "${identity.email}", "n": 1, "f": 1.5, "yes": True, "fixed": "é"}
    assert filled(value) == r'{"user_id":"ada@example.com","n":1,"f":1.5,"yes":true,"fixed":"\u00e9"}'


def test_members_with_nothing_to_say_are_left_out_and_where_all_are_there_is_no_header() -> None:
    value = {"user": "${identity.user}", "email": "${identity.email}", "fixed": "x"}
    assert filled(value, Identity(kind="k", subject="s", user="u")) == '{"user":"u","fixed":"x"}'
    assert filled(value, saying()) is None
    assert filled(value, None) is None
    assert filled({"fixed": "x", "n": 0}, None) == '{"fixed":"x","n":0}'


@given(st.dictionaries(st.text(min_size=1), st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_no_claim_leaves_the_json_text_that_it_stands_in(claims: dict[str, str]) -> None:
    value = filled({"fixed": "x", "all": "<${claims.a}>", "k": "${claims.a}"}, saying(a=claims, role="user"))
    assert value
    assert value.isascii()
    assert value.isprintable()
    read = json.loads(value)
    assert set(read) == {"fixed", "all", "k"}
    assert json.loads(read["k"]) == claims


@pytest.mark.parametrize("claim", ['","admin":"yes', "\\", '\\"', "a\r\nx-evil: 1", "\x00", " ada ", "\u2028", "é"])
def test_what_would_break_out_of_a_mapping_stays_data(claim: str) -> None:
    value = filled({"user": "${claims.x}"}, saying(x=claim))
    assert value
    assert value.isascii()
    assert value.isprintable()
    assert json.loads(value) == {"user": claim}


@pytest.mark.parametrize("value", ["${claims.x}", {"x": "${claims.x}"}])
def test_half_of_a_character_is_refused_everywhere(value: Any) -> None:
    with pytest.raises(ForbiddenError):
        filled(value, saying(x="\ud83d"))


def test_a_template_knows_its_placeholders() -> None:
    text = parse("${identity.user} ${claims.a.b}").placeholders
    assert text == (Placeholder("identity", "user"), Placeholder("claims", "a.b"))
    assert [*map(str, text)] == ["${identity.user}", "${claims.a.b}"]
    assert parse({"a": "${request.id}", "b": 1, "c": "x"}).placeholders == (Placeholder("request", "id"),)
