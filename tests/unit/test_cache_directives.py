"""Reading `Cache-Control`: whatever it holds, nothing raises, and what forbids is never overlooked."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching.directives import FORBIDDING, MOST_BYTES, MOST_S, NOTHING, delta_seconds, directives, parse
from gatehouse.headers import Headers
from tests.unit.caching_fakes import Origin, Process

TOKEN = st.text("abcXYZ019-_.!#$%&'*+^`|~", min_size=1, max_size=8)
SPACE = st.text(" \t", max_size=2)
PLAIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters='",'), max_size=8)
QUOTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=12)


def quoted(text: str) -> str:
    """Return *text* as a quoted string (RFC 9110 section 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


MEMBER = st.one_of(
    st.just(""),
    TOKEN,
    st.builds("{}{}={}{}".format, TOKEN, SPACE, SPACE, PLAIN),
    st.builds("{}{}={}{}".format, TOKEN, SPACE, SPACE, QUOTABLE.map(quoted)),
    PLAIN,
)
WORD = st.sampled_from(sorted(FORBIDDING))


@st.composite
def written(draw: st.DrawFn, word: str) -> str:
    """*word*, in any case, with or without an argument."""
    cased = "".join(draw(st.sampled_from([letter.upper(), letter])) for letter in word)
    argument = draw(st.sampled_from(["", "=", '="x-name"', "=1", ' = "a, b"', '="never closed']))
    return draw(SPACE) + cased + argument + draw(SPACE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        (" , ,, ", {}),
        ("no-store", {"no-store": ("",)}),
        ("No-Store", {"no-store": ("",)}),
        ("max-age=60", {"max-age": ("60",)}),
        ("max-age = 60 ", {"max-age": ("60",)}),
        ('max-age="60"', {"max-age": ("60",)}),
        ("max-age=", {"max-age": ("",)}),
        ("max-age=60,,public", {"max-age": ("60",), "public": ("",)}),
        ("max-age=60, max-age=5", {"max-age": ("60", "5")}),
        ('private="a, no-store", x', {"private": ("a, no-store",), "x": ("",)}),
        ('a="b\\"", c', {"a": ('b\\"',), "c": ("",)}),
        ('a="never closed, no-store', {"a": ("",), "no-store": ("",)}),
        ("@@@, public", {"public": ("",)}),
        ("max-age=60; private", {"max-age": ("60; private",), "private": ("",)}),
        ("public no-store", {"public": ("",), "no-store": ("",)}),
        ('private="x" No-Cache', {"private": ("x",), "no-cache": ("",)}),
        ("x=no-store", {"x": ("no-store",)}),
        ("x-no-store", {"x-no-store": ("",)}),
        ("max-age=60 public", {"max-age": ("60 public",)}),
    ],
)
def test_what_is_said_is_read(value: str, expected: dict[str, tuple[str, ...]]) -> None:
    assert parse(value).said == expected


@given(st.text(max_size=200))
def test_nothing_that_is_sent_raises(value: str) -> None:
    said = parse(value)
    assert all(said.seconds(name) is not None for name in said.said)


@given(st.lists(MEMBER, max_size=4), st.lists(MEMBER, max_size=4), WORD, st.data())
def test_what_forbids_is_found_wherever_it_stands(before: list[str], after: list[str], word: str, data: st.DataObject):
    members = [*before, data.draw(written(word)), *after]
    assert word in parse(",".join(members))


@given(st.lists(TOKEN, min_size=1, max_size=3), WORD, st.sampled_from([" ", ";", "; ", "\t", " ; "]))
def test_what_forbids_is_found_also_where_commas_are_missing(others: list[str], word: str, between: str) -> None:
    assert word in parse(between.join([*others, word]))
    assert word in parse(between.join([*others, word, *others]))


@given(st.lists(st.tuples(TOKEN, QUOTABLE, SPACE), min_size=1, max_size=4), WORD)
def test_what_stands_in_quotes_alone_forbids_nothing(members: list[tuple[str, str, str]], word: str) -> None:
    value = ",".join(f"x{name}={quoted(f'{text}, {word}, {text}')}{space}" for name, text, space in members)
    assert word not in parse(value)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_of_several_numbers_the_smallest_counts(numbers: list[int]) -> None:
    said = parse(", ".join(f"max-age={number}" for number in numbers))
    assert said.seconds("max-age") == min(*numbers, MOST_S)


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "+1", "1 0", "0x1", "²", "٣", '"5', "1e3", "60; public"])
def test_a_number_that_is_none_counts_as_none_left(value: str) -> None:
    assert parse(f"max-age={value}").seconds("max-age") == 0
    assert parse(f"max-age=60, max-age={value}").seconds("max-age") == 0


def test_what_is_not_said_is_no_number() -> None:
    assert parse("public").seconds("max-age") is None
    assert NOTHING.seconds("max-age") is None


@given(st.integers(0, 10**30), st.integers(0, 5))
def test_seconds_are_digits_and_never_more_than_the_most(number: int, zeros: int) -> None:
    text = "0" * zeros + str(number)
    assert delta_seconds(f" {text}\t") == (MOST_S if len(text) > len(str(MOST_S)) else min(number, MOST_S))


@given(st.text(max_size=12).filter(lambda text: not (text.strip().isascii() and text.strip().isdigit())))
def test_all_else_is_no_number_of_seconds(text: str) -> None:
    assert delta_seconds(text) is None


def test_a_number_of_any_length_is_read() -> None:
    assert delta_seconds("9" * 100_000) == MOST_S


@given(st.lists(MEMBER, min_size=1, max_size=4))
def test_lines_are_read_as_one(members: list[str]) -> None:
    lines = Headers(tuple(("cache-control", member) for member in members))
    assert directives(lines) == parse(", ".join(members))


def test_without_the_field_nothing_is_said() -> None:
    assert directives(Headers((("x-cache-control", "no-store"),))) is NOTHING


@pytest.mark.parametrize(("size", "readable"), [(MOST_BYTES, True), (MOST_BYTES + 1, False), (32 * 1024, False)])
@pytest.mark.parametrize("lines", [1, 2])
def test_more_than_a_kilobyte_is_not_read_and_forbids(size: int, readable: bool, lines: int) -> None:
    ends = ", max-age=5"
    text = "x" * (size - len(ends)) + ends
    values = (text,) if lines == 1 else (text[:10], text[12:])
    said = directives(Headers(tuple(("cache-control", value) for value in values)))
    assert ("no-store" in said, "no-cache" in said) == (not readable, not readable)
    assert (said.seconds("max-age") == 5) is readable


def test_what_is_remembered_of_what_was_read_has_bounds_in_bytes() -> None:
    parse.cache_clear()
    for number in range(20):
        directives(Headers((("cache-control", f"a{number}=" + "x" * MOST_BYTES),)))
    assert parse.cache_info().currsize == 0
    most = parse.cache_info().maxsize
    assert most
    assert most * MOST_BYTES <= 1024 * 1024


def test_an_answer_with_a_field_that_long_is_not_kept_and_takes_no_time() -> None:
    here = Process(origin=Origin(always=(("cache-control", "public, " + 'a="\\x", ' * 4096),)))
    started = time.process_time()
    assert [here.ask().body for _ in range(20)] == [str(number).encode() for number in range(1, 21)]
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("unit", "end"),
    [(" ", '"'), (",", '"'), ("\t", "@"), ('a="\\', ""), ("a ", "="), ("a=", ""), ("; ", "@"), ('"', "")],
)
def test_what_is_long_takes_no_time(unit: str, end: str) -> None:
    started = time.process_time()
    parse.__wrapped__(f"a,{unit * 60_000}{end}")
    assert (
        time.process_time() - started < 1.0
    )  # it takes some ms; reading it again from every place would take a minute
