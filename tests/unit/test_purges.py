"""Purges: what each covers, that none is ever forgotten, and that what cannot be read is not believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching.purges import MOST_RECENT, Purge, Purges, read

ANSWER = {"route": "r", "path": "/a/b", "organization": "o"}
SEGMENT = st.sampled_from(["a", "b", "ab", "*", "A", "%61"])
PATH = st.lists(SEGMENT, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
WORD = st.sampled_from(["", "r", "s"])
TEXT = st.text(st.characters(), max_size=8)  # lone surrogates, too
ORDER = st.fixed_dictionaries(
    {"route": WORD, "path": st.one_of(st.just(""), PATH, PATH.map(lambda path: f"{path}/*")), "organization": WORD}
)
MEANT = st.fixed_dictionaries({"route": st.sampled_from(["r", "s"]), "path": PATH, "organization": WORD})


@pytest.mark.parametrize(
    ("purge", "covers"),
    [
        ({}, True),
        ({"route": "r"}, True),
        ({"route": "R"}, False),
        ({"route": "rr"}, False),
        ({"organization": "o"}, True),
        ({"organization": "O"}, False),
        ({"path": "/a/b"}, True),
        ({"path": "/a"}, False),
        ({"path": "/a/b/"}, False),
        ({"path": "/A/b"}, True),
        ({"route": "r", "path": "/a/b", "organization": "o"}, True),
        ({"route": "s", "path": "/a/b", "organization": "o"}, False),
        ({"route": "r", "path": "/a/c", "organization": "o"}, False),
        ({"route": "r", "path": "/a/b", "organization": "p"}, False),
    ],
)
def test_a_purge_covers_what_meets_all_that_it_says(purge: dict[str, str], covers: bool) -> None:
    assert Purge(1, **purge).covers(**ANSWER) is covers


@pytest.mark.parametrize(
    ("purged", "path", "covers"),
    [
        ("/a/*", "/a", True),
        ("/a/*", "/a/", True),
        ("/a/*", "/a/b", True),
        ("/a/*", "/a/b/c/", True),
        ("/a/*", "/ab", False),
        ("/a/*", "/b/a/c", False),
        ("/a/*", "/", False),
        ("/a/*", "/A/b", True),
        ("/a/*", "/%61/b", True),
        ("/*", "/", True),
        ("/*", "/a/b", True),
        ("/a*", "/a*", True),
        ("/a*", "/ab", False),
        ("/a", "/a/b", False),
        ("/a/", "/a", False),
        ("/a/", "/a/", True),
        ("/", "/", True),
        ("/", "/a", False),
    ],
)
def test_a_path_is_that_path_and_one_that_ends_in_a_star_all_below_it(purged: str, path: str, covers: bool) -> None:
    assert Purge(1, path=purged).covers(route="r", path=path, organization="") is covers


def test_what_is_kept_for_no_organization_is_thrown_away_by_purges_that_name_none_alone() -> None:
    answer = {"route": "r", "path": "/a", "organization": ""}
    assert Purge(1).covers(**answer)
    assert not Purge(1, organization="o").covers(**answer)


def test_without_purges_nothing_is_gone() -> None:
    assert not Purges().gone(0, **ANSWER)


@pytest.mark.parametrize(("generation", "gone"), [(0, True), (1, True), (2, False), (3, False), (9, False)])
def test_what_was_asked_for_after_a_purge_is_not_gone_by_it(generation: int, gone: bool) -> None:
    purges = Purges().adding(path="/other").adding(path="/a/*").adding(organization="nobody")
    assert purges.number == 3
    assert purges.gone(generation, **ANSWER) is gone


@pytest.mark.parametrize(("generation", "gone"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_purge_of_everything_is_a_floor_and_nothing_else(generation: int, gone: bool) -> None:
    purges = Purges().adding(path="/x").adding()
    assert purges == Purges(number=2, floor=2)
    assert purges.adding(path="/y").gone(generation, **ANSWER) is gone


@pytest.mark.parametrize(("more", "floor"), [(0, 0), (1, 1), (2, 2), (100, 100)])
def test_the_last_ones_are_told_apart_and_those_before_throw_away_everything(more: int, floor: int) -> None:
    purges = Purges()
    for _ in range(MOST_RECENT + more):
        purges = purges.adding(path="/other")
    assert (purges.number, purges.floor, len(purges.recent)) == (MOST_RECENT + more, floor, MOST_RECENT)
    assert [purges.gone(known, **ANSWER) for known in (*range(floor), floor)] == [True] * floor + [False]
    assert purges.gone(purges.number - 1, route="r", path="/other", organization="")


@given(st.lists(ORDER, max_size=MOST_RECENT + 6), MEANT, st.data())
def test_whatever_was_purged_since_is_gone_and_written_and_read_it_is_the_same(
    orders: list[dict[str, str]], answer: dict[str, str], data: Any
) -> None:
    generation = data.draw(st.integers(0, len(orders) + 1))
    purges = Purges()
    for order in orders:
        purges = purges.adding(**order)
        assert read(purges.number, purges.floor, purges.recent_json()) == purges
    since = [Purge(0, **order).covers(**answer) for order in orders[generation:]]
    gone = purges.gone(generation, **answer)
    if any(since):
        assert gone
    if generation >= len(orders):
        assert not gone
    if len(orders) <= MOST_RECENT and not any(order == dict.fromkeys(order, "") for order in orders[generation:]):
        assert gone is any(since)  # exactly what was asked for, as long as there are few


@given(TEXT, TEXT, TEXT)
def test_any_text_is_written_and_read(route: str, path: str, organization: str) -> None:
    purges = Purges().adding(route=route, path=path, organization=organization)
    assert purges.recent_json().isascii()
    assert read(purges.number, purges.floor, purges.recent_json()) == purges


def row(number: Any = 1, route: Any = "", path: Any = "/a", organization: Any = "") -> list[Any]:
    return [number, route, path, organization]


@pytest.mark.parametrize(
    ("number", "floor", "recent"),
    [
        (1, 0, ""),
        (1, 0, "["),
        (1, 0, "null"),
        (1, 0, "{}"),
        (1, 0, "1"),
        (1, 0, "[1]"),
        (1, 0, "[" * 100_000),
        (1, 0, f'[[{"9" * 5000},"","",""]]'),
        (1, 0, [row()[:3]]),
        (1, 0, [[*row(), ""]]),
        (1, 0, [row(number=True)]),
        (1, 0, [row(number=1.0)]),
        (1, 0, [row(number="1")]),
        (1, 0, [row(route=None)]),
        (1, 0, [row(path=["/a"])]),
        (1, 0, [row(organization=0)]),
        (1, 0, []),  # one is missing
        (2, 0, [row(1)]),
        (2, 0, [row(2)]),
        (2, 0, [row(2), row(1)]),
        (2, 0, [row(1), row(1)]),
        (2, 1, [row(1), row(2)]),
        (3, 0, [row(1), row(3)]),
        (0, 0, [row()]),
        (10**12, 0, []),
        (1, 2, []),
        (-1, -1, []),
        (1, -1, [row(0), row(1)]),
        (MOST_RECENT + 1, 0, [row(number + 1) for number in range(MOST_RECENT)]),
    ],
    ids=lambda value: None if isinstance(value, int) else str(value)[:20],
)
def test_what_is_not_all_that_was_written_is_not_believed(number: int, floor: int, recent: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # its words are for nobody
        read(number, floor, recent if isinstance(recent, str) else json.dumps(recent))
