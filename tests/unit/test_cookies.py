"""Cookies as they came: which there are, which one is meant, and a header less some of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.cookies import MOST_COOKIES, RepeatedCookieError, cookies, value_of, without
from gatehouse.errors import InvalidRequestError
from gatehouse.headers import Headers

NAMES = st.text(alphabet="abcXYZ.-_0", min_size=1, max_size=8)
VALUES = st.text(alphabet=[chr(code) for code in range(0x21, 0x7F) if chr(code) != ";"], max_size=12)


def of(*values: str) -> Headers:
    return Headers(tuple(("cookie", value) for value in values))


@pytest.mark.parametrize(
    ("sent", "pairs"),
    [
        ("", ()),
        ("a=1", (("a", "1"),)),
        ("a=1; b=2", (("a", "1"), ("b", "2"))),
        ("a=1;b=2", (("a", "1"), ("b", "2"))),
        (" a = 1 ;\tb=\t2 ; ", (("a", "1"), ("b", "2"))),
        ("a=1=2==", (("a", "1=2=="),)),
        ('a="1 2"; b=%3B', (("a", '"1 2"'), ("b", "%3B"))),
        ('a="x; b=2"', (("a", '"x'), ("b", '2"'))),
        ("a=1, b=2", (("a", "1, b=2"),)),
        ("a=", (("a", ""),)),
        ("nothing; =nameless; a=1;;", (("a", "1"),)),
        ("A=1; a=2", (("A", "1"), ("a", "2"))),
        ("a=na\xefve", (("a", "na\xefve"),)),
    ],
)
def test_pairs_are_what_stands_between_semicolons_byte_for_byte(sent: str, pairs: tuple[tuple[str, str], ...]) -> None:
    assert cookies(of(sent)) == pairs


def test_several_headers_are_read_as_one() -> None:
    headers = Headers((("cookie", "a=1"), ("x-cookie", "c=3"), ("cookie", "b=2")))
    assert cookies(headers) == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize(
    ("sent", "value"),
    [("a=1", "1"), ("b=1", None), ("A=1", None), ("a=", ""), ("xa=1; a.b=2; a", None), ("a=1; b=2; a=1", "1")],
)
def test_the_value_of_a_cookie_is_found_by_its_whole_name(sent: str, value: str | None) -> None:
    assert value_of(of(sent), "a") == value


@pytest.mark.parametrize("sent", [("a=1; a=2",), ("a=1", "a=2"), ("a=; a=1",), ('a=1; a="1"',)])
def test_a_cookie_with_two_values_is_refused_and_neither_is_repeated(sent: tuple[str, ...]) -> None:
    with pytest.raises(RepeatedCookieError, match="'a' was sent twice") as caught:
        value_of(of(*sent), "a")
    assert caught.value.status == 400
    assert value_of(of(*sent), "b") is None


def test_too_many_cookies_are_refused_and_not_half_read() -> None:
    header = "; ".join(f"c{number}=1" for number in range(MOST_COOKIES))
    assert len(cookies(of(header))) == MOST_COOKIES
    with pytest.raises(InvalidRequestError, match="more than 512 cookies"):
        cookies(of(header, "a=1"))
    with pytest.raises(InvalidRequestError):
        value_of(of(header, "a=1"), "a")


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ("a=1", ""),
        ("a=1; b=2", "b=2"),
        ('b=2;a=1;a=3; c="x y"', 'b=2; c="x y"'),
        (" a =1; aa=2; A=3", "aa=2; A=3"),
        ("a; =a; b=2", "a; =a; b=2"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_header_less_some_cookies_keeps_the_others_as_they_were(sent: str, left: str) -> None:
    assert without(sent, {"a"}) == left


@given(st.lists(st.tuples(NAMES, VALUES), max_size=20), st.sets(NAMES, max_size=5))
def test_whatever_is_sent_the_named_ones_are_gone_and_the_rest_is_untouched(
    pairs: list[tuple[str, str]], names: set[str]
) -> None:
    left = without("; ".join(f"{name}={value}" for name, value in pairs), names)
    assert cookies(of(left)) == tuple(pair for pair in pairs if pair[0] not in names)


@given(st.text(alphabet=[chr(code) for code in range(256)], max_size=60), NAMES)
def test_no_bytes_smuggle_a_named_cookie_through(sent: str, name: str) -> None:
    """What is left holds none by that name, whichever reader of RFC 6265 looks at it."""
    assert name not in dict(cookies(of(without(sent, {name}))))
