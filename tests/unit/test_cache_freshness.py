"""How old an answer is, how old it may be, and what of it may be kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching.directives import MOST_S, parse
from gatehouse.caching.freshness import (
    MOST_FRESH_S,
    MOST_STALE_S,
    Keeping,
    Use,
    asked_for,
    initial_age_s,
    is_no_cache,
    lifetime_s,
    stale_windows,
    stands_in,
    unkeepable,
    use_of,
    vary,
)
from gatehouse.caching.http_dates import written
from gatehouse.headers import Headers, Pair
from tests.unit.caching_fakes import a_stored
from tests.unit.fakes import NOW

DATES = st.one_of(st.integers(0, 2**33).map(written), st.text(max_size=12))
NUMBERS = st.one_of(st.integers(-(2**40), 2**40).map(str), st.text(max_size=6))
SECONDS = st.floats(0, 2**33)
ALL_STALE = Keeping(ttl_s=60, stale_if_error_s=7200.0, stale_while_revalidate_s=3600.0)


def says(value: str, *pairs: Pair) -> Headers:
    return Headers((("cache-control", value), *pairs))


# ------------------------------------------------------------------------------------------------------------- ages


@given(DATES, NUMBERS, SECONDS, SECONDS)
def test_no_answer_is_younger_than_new(date: str, age: str, asked_at: float, answered_at: float) -> None:
    known = initial_age_s(Headers((("date", date), ("age", age))), asked_at, answered_at)
    assert 0 <= known <= MOST_S


@given(SECONDS, SECONDS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_took_longer_or_says_to_be_older_is_not_younger(
    asked_at: float, took_s: float, age: int, more: int
) -> None:
    answered_at = asked_at + took_s

    def known(age: int, asked_at: float) -> float:
        return initial_age_s(Headers((("age", str(age)),)), asked_at, answered_at)

    assert known(age, asked_at) <= known(age + more, asked_at)
    assert known(age, asked_at) <= known(age, asked_at - more)
    assert known(age, asked_at) >= min(age, MOST_S)


@pytest.mark.parametrize(
    ("pairs", "took_s", "age_s"),
    [
        ((), 0.0, 0.0),
        ((), 1.5, 1.5),
        ((("age", "10"),), 1.5, 11.5),
        ((("age", "10, 99"),), 0.0, 10.0),
        ((("age", "10"), ("age", "99")), 0.0, 10.0),
        ((("age", "-10"),), 1.0, 1.0),
        ((("age", "1.5"),), 0.0, 0.0),
        ((("date", written(NOW - 30)),), 1.0, 30.0),
        ((("date", written(NOW - 30)), ("age", "40")), 1.0, 41.0),
        ((("date", written(NOW + 30)),), 1.0, 1.0),
        ((("date", "gone"),), 1.0, 1.0),
        ((("age", "9" * 30),), 0.0, float(MOST_S)),
    ],
)
def test_an_answer_is_as_old_as_the_oldest_account_of_it(pairs: tuple[Pair, ...], took_s: float, age_s: float) -> None:
    assert initial_age_s(Headers(pairs), NOW - took_s, NOW) == age_s


# -------------------------------------------------------------------------------------------------------- lifetimes


@given(NUMBERS, NUMBERS, DATES, DATES, SECONDS, st.floats(0, MOST_FRESH_S))
def test_a_lifetime_has_bounds(
    shared: str, age: str, expires: str, date: str, answered_at: float, ttl_s: float
) -> None:
    for pairs in ((("expires", expires), ("date", date)), (("expires", expires),), ()):
        for value in ("", f"max-age={age}", f"max-age={age}, s-maxage={shared}"):
            fresh_s = lifetime_s(says(value, *pairs), answered_at, ttl_s)
            assert 0 <= fresh_s <= MOST_FRESH_S


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_who_says_more_has_no_less(few: int, more: int) -> None:
    def fresh(name: str, seconds: int) -> float:
        return lifetime_s(says(f"{name}={seconds}"), NOW, 60)

    def until(seconds: int) -> float:
        return lifetime_s(Headers((("expires", written(NOW + seconds)), ("date", written(NOW)))), NOW, 60)

    assert fresh("max-age", few) <= fresh("max-age", few + more)
    assert fresh("s-maxage", few) <= fresh("s-maxage", few + more)
    assert until(few) <= until(few + more)
    assert fresh("max-age", few) == until(few) == min(few, MOST_FRESH_S)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(604_799, 604_799), (604_800, 604_800), (604_801, 604_800), (2**31, 604_800)]
)
def test_nothing_is_fresh_for_longer_than_a_week(seconds: int, expected: int) -> None:
    assert lifetime_s(says(f"max-age={seconds}"), NOW, 60) == expected
    assert lifetime_s(says(f"s-maxage={seconds}"), NOW, 60) == expected
    assert lifetime_s(Headers((("expires", written(NOW + seconds)),)), NOW, 60) == expected


@pytest.mark.parametrize(
    ("expires", "date", "expected"),
    [
        ((10,), NOW, 10), ((10,), NOW - 5, 15), ((10,), None, 10), ((0,), NOW, 0), ((-1,), NOW, 0),
        ((20, 10), NOW, 10), ((20, "x"), NOW, 0), (("0",), NOW, 0), (("",), NOW, 0),
    ],
)  # fmt: skip
def test_expires_counts_from_the_date_of_the_answer(
    expires: tuple[int | str, ...], date: int | None, expected: float
) -> None:
    ends = [("expires", written(NOW + end) if isinstance(end, int) else end) for end in expires]
    dated = [("date", written(date))] if date is not None else []
    assert lifetime_s(Headers((*ends, *dated)), NOW, 60) == expected


# ------------------------------------------------------------------------------------------------------------ stale


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", (7200, 3600)),
        ("stale-if-error=5", (5, 3600)),
        ("stale-while-revalidate=5", (7200, 5)),
        ("stale-if-error=0, stale-while-revalidate=0", (0, 0)),
        ("stale-if-error=x", (0, 3600)),
        (f"stale-if-error={10**9}, stale-while-revalidate={10**9}", (MOST_STALE_S, MOST_STALE_S)),
        ("must-revalidate, stale-if-error=5", (0, 0)),
        ("proxy-revalidate", (0, 0)),
        ("s-maxage=5", (0, 0)),
        ("no-cache", (0, 0)),
    ],
)
def test_how_long_an_answer_may_be_given_stale(value: str, expected: tuple[float, float]) -> None:
    assert stale_windows(says(value), ALL_STALE) == expected


def test_pragma_counts_where_nothing_newer_is_said() -> None:
    old: Pair = ("pragma", "a, No-Cache")
    assert is_no_cache(Headers((old,)))
    assert stale_windows(Headers((old,)), ALL_STALE) == (0, 0)
    assert not is_no_cache(says("max-age=5", old))
    assert not is_no_cache(Headers((old, ("expires", "0"))))
    assert is_no_cache(says("no-cache=x", ("pragma", "x")))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ((("pragma", "No-Cache"),), True),
        ((("pragma", "x"), ("pragma", "a, no-cache")), True),
        ((("pragma", "x"),), False),
        ((("cache-control", "max-age=5"), ("pragma", "no-cache")), False),
        ((("cache-control", ""), ("pragma", "no-cache")), False),
        ((("cache-control", "no-cache"),), True),
        ((), False),
    ],
)
def test_pragma_of_a_client_counts_where_it_says_nothing_newer(pairs: tuple[Pair, ...], expected: bool) -> None:
    assert ("no-cache" in asked_for(Headers(pairs))) is expected


USES = (
    (59.999, "", Use.FRESH),
    (60.0, "", Use.WHILE),
    (69.999, "", Use.WHILE),
    (70.0, "", Use.STALE),
    (0.0, "no-cache", Use.REQUEST),
    (99.0, "no-cache", Use.REQUEST),
    (10.0, "max-age=10", Use.FRESH),
    (10.001, "max-age=10", Use.REQUEST),
    (0.0, "max-age=x", Use.FRESH),
    (0.001, "max-age=x", Use.REQUEST),
    (50.0, "min-fresh=10", Use.FRESH),
    (50.001, "min-fresh=10", Use.REQUEST),
    (61.0, "min-fresh=0", Use.REQUEST),
    (61.0, "max-age=100", Use.STALE),
    (80.0, "max-stale", Use.ALLOWED),
    (80.0, "max-stale=20", Use.ALLOWED),
    (80.001, "max-stale=20", Use.STALE),
    (65.0, "max-stale=2", Use.WHILE),
    (80.0, "max-stale=x", Use.STALE),
    (80.0, "max-stale, max-stale=20", Use.STALE),
    (80.0, "max-stale=20, max-age=80", Use.ALLOWED),
    (80.0, "max-stale=20, max-age=79", Use.REQUEST),
)


@pytest.mark.parametrize(("age_s", "asked", "expected"), USES)
def test_whether_an_answer_may_be_given(age_s: float, asked: str, expected: Use) -> None:
    assert use_of(a_stored(stale_while_revalidate_s=10.0), age_s, parse(asked)) is expected


@pytest.mark.parametrize(("age_s", "asked", "expected"), USES)
def test_an_answer_that_is_to_be_asked_about_is_never_given_unasked(age_s: float, asked: str, expected: Use) -> None:
    use = use_of(a_stored(stale_while_revalidate_s=10.0, no_cache=True), age_s, parse(asked))
    assert use is (Use.REQUEST if asked == "no-cache" else Use.STALE)


@given(st.floats(60, 10**6), st.sampled_from(["", "max-stale", "max-stale=99999999"]))
def test_a_strict_answer_is_never_given_stale(age_s: float, asked: str) -> None:
    stored = a_stored(strict=True)
    assert use_of(stored, age_s, parse(asked)) is Use.STALE
    assert not stands_in(stored, age_s, parse(asked))


@pytest.mark.parametrize(
    ("age_s", "asked", "expected"),
    [
        (0.0, "", True), (69.999, "", True), (70.0, "", False), (69.0, "no-cache", False),
        (79.999, "stale-if-error=20", True), (80.0, "stale-if-error=20", False), (69.0, "stale-if-error=5", True),
        (60 + MOST_STALE_S - 1, "stale-if-error=9999999", True), (60 + MOST_STALE_S, "stale-if-error=9999999", False),
    ],
)  # fmt: skip
def test_whether_an_answer_stands_in_for_a_failure(age_s: float, asked: str, expected: bool) -> None:
    assert stands_in(a_stored(stale_if_error_s=10.0), age_s, parse(asked)) is expected
    assert not stands_in(a_stored(stale_if_error_s=10.0, no_cache=True), age_s, parse(asked))


# ---------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), ()), (("",), ()), ((" , ",), ()), (("Accept",), ("accept",)), (("b, A,b",), ("a", "b")),
        (("B", "a"), ("a", "b")), (("a, *",), ("*", "a")), (("x y",), ("x y",)),
    ],
)  # fmt: skip
def test_vary_is_a_set_of_names(lines: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert vary(Headers(tuple(("vary", line) for line in lines))) == expected


@given(st.lists(st.sampled_from(["accept", "cookie", "x-a", "*"]), min_size=1), st.data())
def test_vary_is_read_however_it_is_spread_and_spelled(names: list[str], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(names)))
    spread = Headers((("vary", " ,\t".join(names[:cut]).upper()), ("vary", ",".join(names[cut:]))))
    assert vary(spread) == tuple(sorted(set(names)))


@pytest.mark.parametrize(
    ("coding", "expected"),
    [("gzip", ("accept-encoding",)), ("BR", ("accept-encoding",)), ("identity", ()), (" Identity ", ()), ("", ())],
)
def test_a_coding_is_a_matter_of_who_takes_it(coding: str, expected: tuple[str, ...]) -> None:
    assert vary(Headers((("content-encoding", coding),))) == expected


@pytest.mark.parametrize(
    ("origin", "expected"), [("https://a.test", ("origin",)), ("null", ("origin",)), ("*", ()), (" * ", ())]
)
def test_who_lets_in_one_origin_answers_it_alone(origin: str, expected: tuple[str, ...]) -> None:
    assert vary(Headers((("access-control-allow-origin", origin),))) == expected


@pytest.mark.parametrize(
    ("status", "value", "pairs", "why"),
    [
        (200, "", (), ""),
        (204, "max-age=60", (), "status"),
        (304, "max-age=60", (), "status"),
        (200, "no-store", (), "no-store"),
        (200, "No-Store=x", (), "no-store"),
        (200, "no-store, must-understand", (), ""),
        (200, "private", (), "private"),
        (200, 'Private="set-cookie"', (), "private"),
        (200, "public, private", (), "private"),
        (200, "public", (("set-cookie", "a=b"),), "set-cookie"),
        (200, "public", (("set-cookie2", "a=b"),), "set-cookie"),
        (200, "", (("content-range", "bytes 0-1/2"),), "partial"),
        (200, "", (("vary", "accept, *"),), "vary"),
        (200, "", (("content-type", " Text/Event-Stream; x=y"),), "stream"),
        (200, "", (("content-type", "application/x-ndjson"),), "stream"),
        (200, "", (("content-type", "multipart/x-mixed-replace;boundary=a"),), "stream"),
    ],
)
def test_what_is_not_kept(status: int, value: str, pairs: tuple[Pair, ...], why: str) -> None:
    assert unkeepable(status, says(value, *pairs), explicitly=False) == why


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "not-public"), ("max-age=60", "not-public"), ("must-revalidate", "not-public"), ("public", ""),
        ("s-maxage=60", ""), ("public, no-store", "no-store"), ('x="public"', "not-public"),
    ],
)  # fmt: skip
def test_what_was_made_for_somebody_is_kept_for_others_only_if_it_says_so(value: str, why: str) -> None:
    assert unkeepable(200, says(value), explicitly=True) == why
