"""Paths match whole segments, the longest pattern first, over all projects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.routes import RouteTable, pattern, split

segment = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
plain = st.lists(segment, max_size=4).map(lambda parts: "/" + "/".join(parts))


def table(*patterns: str) -> RouteTable[str]:
    return RouteTable((pattern(text), text) for text in patterns)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/build", "/build"), ("/build/", "/build"), ("/build/x", "/build"), ("/build/x/y/", "/build"),
        ("/buildings", None), ("/build-x", None), ("/build.x", None), ("/BUILD", None), ("/Build/x", None),
        ("/buil", None),
        ("/x/build", None), ("/", None), ("/build%2fx", None), ("/%62uild", None), ("/build;x=1", None),
    ],
)  # fmt: skip
def test_a_pattern_matches_whole_segments_and_nothing_less(path: str, found: str | None) -> None:
    assert table("/build").find(path) == found


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/v1/products/3", "/api/v{version}/products"),
        ("/api/v2/products", "/api/v2/products"),
        ("/api/v22/products", "/api/v{version}/products"),
        ("/api/v1/products/special/7", "/api/v{version}/products/special"),
        ("/api/v1/other", "/api"),
        ("/api/vx/products", "/api"),
        ("/else", "/"),
        ("/", "/"),
    ],
)
def test_the_longest_pattern_wins_then_the_most_literal_whatever_the_order(order: int, path: str, found: str) -> None:
    patterns = ["/", "/api", "/api/v{version}/products", "/api/v2/products", "/api/v{version}/products/special"][
        ::order
    ]
    assert table(*patterns).find(path) == found


@pytest.mark.parametrize(
    ("segment", "matches"),
    [("v1", True), ("v123456789", True), ("v1234567890", False), ("v", False), ("v1x", False), ("xv1", False),
        ("v1.2", False),
     ("v-1", False), ("v\u0661", False), ("v1\n", False), ("V1", False), ("v%31", False), ("v{version}", False)],
)  # fmt: skip
def test_a_version_is_one_to_nine_digits_and_the_whole_segment(segment: str, matches: bool) -> None:
    assert (table("/api/v{version}").find(f"/api/{segment}/x") is not None) == matches


def test_what_stands_around_a_version_is_taken_literally() -> None:
    found = table("/a.b{version}-{version}")
    assert found.find("/a.b1-2") is not None
    assert found.find("/axb1-2") is None
    assert found.find("/a.b1-") is None


def test_an_empty_table_finds_nothing() -> None:
    assert table().find("/") is None


@pytest.mark.parametrize(
    ("path", "segments"), [("/", ()), ("/a", ("a",)), ("/a/", ("a",)), ("/a/b", ("a", "b")), ("/a/b/", ("a", "b"))]
)
def test_a_slash_at_the_end_starts_no_segment(path: str, segments: tuple[str, ...]) -> None:
    assert split(path) == segments


@given(st.sets(plain, min_size=1, max_size=6), plain)
def test_what_is_found_is_the_longest_pattern_that_is_a_whole_beginning(patterns: set[str], path: str) -> None:
    fitting = [text for text in patterns if split(path)[: len(split(text))] == split(text)]
    expected = max(fitting, key=lambda text: len(split(text)), default=None)
    assert table(*sorted(patterns)).find(path) == expected
    assert table(*sorted(patterns, reverse=True)).find(path) == expected
