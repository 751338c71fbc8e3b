"""Asking whether an answer is still good, and being asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching.http_dates import written
from gatehouse.caching.validators import asking, confirms, describes, has_validator, is_not_modified, updated
from gatehouse.headers import Headers, Pair
from tests.unit.caching_fakes import a_stored
from tests.unit.fakes import NOW

DAY = written(NOW - 1000)
LATER = written(NOW - 999)
TAG = st.builds(
    '{}"{}"'.format, st.sampled_from(["", "W/"]), st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E))
)


def fields(*pairs: Pair) -> Headers:
    return Headers(pairs)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ((), ()),
        ((("etag", '"1"'),), (("if-none-match", '"1"'),)),
        ((("etag", 'W/"1"'),), (("if-none-match", 'W/"1"'),)),
        ((("etag", "1"),), ()),
        ((("etag", '"1", "2"'),), ()),
        ((("last-modified", DAY),), (("if-modified-since", DAY),)),
        ((("last-modified", "lately"),), ()),
        ((("etag", '"1"'), ("last-modified", DAY)), (("if-none-match", '"1"'), ("if-modified-since", DAY))),
    ],
)
def test_the_upstream_is_asked_with_what_it_said_itself(kept: tuple[Pair, ...], expected: tuple[Pair, ...]) -> None:
    theirs = fields(("if-none-match", '"theirs"'), ("accept", "a/b"), ("if-modified-since", LATER))
    assert asking(theirs, a_stored(b"", *kept)).pairs == (("accept", "a/b"), *expected)
    assert has_validator(Headers(kept)) is bool(expected)


def test_where_nothing_is_kept_the_whole_is_asked_for() -> None:
    assert asking(fields(("if-none-match", '"1"'), ("accept", "a/b")), None).pairs == (("accept", "a/b"),)


@pytest.mark.parametrize(
    ("kept", "answered", "expected"),
    [
        ('"1"', '"1"', True), ('"1"', '"2"', False), ('W/"1"', '"1"', False), ('"1"', 'W/"1"', True),
        ('W/"1"', 'W/"1"', True), ('W/"1"', 'W/"2"', False), ("", '"1"', False), ('"1"', "", True),
    ],
)  # fmt: skip
def test_a_304_is_about_what_is_kept_if_its_tag_says_so(kept: str, answered: str, expected: bool) -> None:
    stored = a_stored(b"", *([("etag", kept)] if kept else []))
    assert confirms(fields(*([("etag", answered)] if answered else [])), stored) is expected


@pytest.mark.parametrize(("answered", "expected"), [(DAY, True), (LATER, False), ("", True)])
def test_without_tags_the_date_says_so(answered: str, expected: bool) -> None:
    stored = a_stored(b"", ("last-modified", DAY))
    assert confirms(fields(*([("last-modified", answered)] if answered else [])), stored) is expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ((), None),
        ((("content-length", "4"), ("content-type", "text/plain")), None),
        ((("etag", '"1"'),), True),
        ((("last-modified", DAY),), True),
        ((("etag", '"1"'), ("last-modified", DAY), ("content-length", "4")), True),
        ((("etag", '"1"'), ("last-modified", LATER)), False),
        ((("etag", '"1"'), ("content-length", "5")), False),
        ((("etag", 'W/"1"'),), False),
        ((("last-modified", LATER),), False),
        ((("content-length", "5"),), False),
        ((("content-encoding", "gzip"),), False),
    ],
)
def test_an_answer_to_head_is_about_what_is_kept_only_if_a_validator_says_so_and_nothing_differs(
    head: tuple[Pair, ...], expected: bool | None
) -> None:
    assert describes(Headers(head), a_stored(b"kept", ("etag", '"1"'), ("last-modified", DAY))) is expected


def test_what_is_newer_replaces_what_was_said_but_not_of_the_body() -> None:
    old = fields(("x-a", "1"), ("x-a", "2"), ("content-encoding", "gzip"), ("age", "5"), ("x-b", "3"))
    newer = fields(("x-a", "9"), ("content-encoding", "br"), ("content-length", "0"), ("x-c", "4"), ("x-c", "5"))
    assert set(updated(old, newer).pairs) == {
        ("content-encoding", "gzip"), ("x-b", "3"), ("x-a", "9"), ("x-c", "4"), ("x-c", "5")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "kept", "expected"),
    [
        ((("if-none-match", '"1"'),), (("etag", '"1"'),), True),
        ((("if-none-match", 'W/"1"'),), (("etag", '"1"'),), True),
        ((("if-none-match", '"1"'),), (("etag", 'W/"1"'),), True),
        ((("if-none-match", '"2"'),), (("etag", '"1"'),), False),
        ((("if-none-match", '"0", W/"1"'),), (("etag", '"1"'),), True),
        ((("if-none-match", '"0"'), ("if-none-match", '"1"')), (("etag", '"1"'),), True),
        ((("if-none-match", '"0,1"'),), (("etag", '"1"'),), False),
        ((("if-none-match", "1"),), (("etag", "1"),), False),
        ((("if-none-match", "*"),), (), True),
        ((("if-none-match", '*, "2"'),), (("etag", '"1"'),), False),
        ((("if-none-match", ""),), (), False),
        ((("if-none-match", '"1"'),), (), False),
        # The tag decides, whatever the date says.
        ((("if-none-match", '"2"'), ("if-modified-since", DAY)), (("etag", '"1"'), ("last-modified", DAY)), False),
        ((("if-modified-since", DAY),), (("last-modified", DAY),), True),
        ((("if-modified-since", LATER),), (("last-modified", DAY),), True),
        ((("if-modified-since", DAY),), (("last-modified", LATER),), False),
        ((("if-modified-since", DAY), ("if-modified-since", DAY)), (("last-modified", DAY),), False),
        ((("if-modified-since", "lately"),), (("last-modified", DAY),), False),
        ((("if-modified-since", DAY),), (("date", DAY),), True),
        ((("if-modified-since", DAY),), (("date", LATER),), False),
        ((("if-modified-since", DAY),), (), False),
        ((("if-modified-since", written(NOW)),), (), True),
        ((), (("etag", '"1"'),), False),
    ],
)
def test_whether_a_client_has_it_already(asked: tuple[Pair, ...], kept: tuple[Pair, ...], expected: bool) -> None:
    assert is_not_modified(Headers(asked), Headers(kept), NOW) is expected


@given(st.lists(TAG, max_size=4), TAG, st.booleans())
def test_a_tag_is_found_in_a_list_if_it_is_there_and_else_not(tags: list[str], tag: str, weak: bool) -> None:
    opaque = tag.removeprefix("W/")
    lines = ", ".join(tags)
    listed = opaque in {one.removeprefix("W/") for one in tags}
    kept = fields(("etag", f"W/{opaque}" if weak else opaque))
    assert is_not_modified(fields(("if-none-match", lines)), kept, NOW) is listed
    assert is_not_modified(fields(("if-none-match", f"{lines},{tag}")), kept, NOW)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=20))
def test_nothing_that_is_sent_raises(asked: str, since: str, tag: str) -> None:
    assert is_not_modified(fields(("if-none-match", asked)), fields(("etag", tag)), NOW) in {True, False}
    assert is_not_modified(fields(("if-modified-since", since)), fields(("last-modified", tag)), NOW) in {True, False}
