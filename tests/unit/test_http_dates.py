"""Moments as HTTP writes them: three forms in, one out."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching.http_dates import _read, moment, written

SECONDS = st.integers(0, int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()))
LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
THEN = 784_111_777.0
"""The moment that RFC 9110 section 5.6.7 has as its example."""


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "  Sun, 06 Nov 1994 08:49:37 GMT\t",
        "Mon, 06 Nov 1994 08:49:37 GMT",  # nobody needs the day of the week
    ],
)
def test_the_three_forms_are_read(text: str) -> None:
    assert moment(text) == THEN


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "-1", "784111777", "now", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Abc 1994 08:49:37 GMT", "Sun, 06 Nov 0000 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT, x",
        "1994-11-06T08:49:37Z", "Sun, 29 Feb 2023 08:49:37 GMT", "Sun Nov 06 08:49:37 94",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)  # fmt: skip
def test_all_else_is_no_moment(text: str) -> None:
    assert moment(text) is None


def test_what_is_longer_than_any_moment_is_none_and_is_not_remembered() -> None:
    padded = "Sun, 06 Nov 1994 08:49:37 GMT".rjust(64)
    assert (moment(padded), moment(f" {padded}")) == (THEN, None)
    _read.cache_clear()
    assert moment("Sun, 06 Nov 1994 08:49:37 GMT" + " " * 32_000) is None
    assert _read.cache_info().currsize == 0


@given(st.text(max_size=40))
def test_nothing_that_is_sent_raises(text: str) -> None:
    assert moment(text) is None or parsedate_to_datetime(text) is not None


@given(SECONDS, st.floats(0, 0.999))
def test_what_is_written_is_read_as_the_same_whole_second(seconds: int, part: float) -> None:
    text = written(seconds + part) if seconds < 2**40 else written(seconds)
    assert moment(text) == seconds


@given(SECONDS)
def test_it_is_written_as_the_library_of_python_writes_it(seconds: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert written(seconds) == format_datetime(at, usegmt=True)


@given(SECONDS)
def test_the_form_of_c_is_read_as_the_library_of_python_reads_it(seconds: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    text = written(seconds)
    text = f"{text[:3]} {text[8:11]} {at.day:>2} {at:%H:%M:%S} {at.year:04}"
    assert moment(text) == parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp() == seconds


@given(st.integers(-49, 50), st.integers(0, 364 * 86_400))
def test_years_of_two_digits_are_those_around_now(years: int, seconds: int) -> None:
    year = datetime.now(UTC).year + years
    at = datetime.fromtimestamp(datetime(year, 1, 1, tzinfo=UTC).timestamp() + seconds, UTC)
    text = f"{LONG_DAYS[at.weekday()]}, {at:%d}-{written(at.timestamp())[8:11]}-{at.year % 100:02} {at:%H:%M:%S} GMT"
    assert moment(text) == at.timestamp()


def test_a_leap_second_is_the_one_before() -> None:
    assert moment("Sat, 31 Dec 2016 23:59:60 GMT") == moment("Sat, 31 Dec 2016 23:59:59 GMT")
