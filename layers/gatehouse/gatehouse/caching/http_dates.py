"""Moments as HTTP writes them (RFC 9110 section 5.6.7): one form to write, three to read."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from functools import lru_cache

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS = tuple(
    re.compile(form)
    for form in (
        rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) (?P<month>[A-Z][a-z]{{2}}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-(?P<month>[A-Z][a-z]{{2}})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} (?P<month>[A-Z][a-z]{{2}}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
"""IMF-fixdate, and the two that are obsolete: of RFC 850 and of C's asctime()."""
_CENTURY_YEARS = 100
_AHEAD_YEARS = 50
_LEAP_SECOND = 60
_LONGEST = 64


def moment(text: str) -> float | None:
    """Return the moment that *text* names, in seconds since the epoch; None if it is no HTTP date."""
    return _read(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=512)
def _read(text: str) -> float | None:
    for form in _FORMS:
        match = form.fullmatch(text.strip())
        if match:
            return _moment(match)
    return None


def _moment(match: re.Match[str]) -> float | None:
    if match["month"] not in _MONTHS:
        return None
    second = int(match["second"])
    try:
        read = datetime(
            _year(match["year"]),
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            min(second, _LEAP_SECOND - 1),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return float(timegm(read.timetuple())) if second <= _LEAP_SECOND else None


def _year(text: str) -> int:
    """Return the year that *text* means; one of two digits is never more than 50 years ahead."""
    year = int(text)
    if len(text) > 2:  # noqa: PLR2004  # two digits
        return year
    now = datetime.now(UTC).year
    year += now - now % _CENTURY_YEARS
    return year - _CENTURY_YEARS if year > now + _AHEAD_YEARS else year


def written(seconds: float) -> str:
    """Return the moment *seconds* after the epoch as an IMF-fixdate; parts of a second are dropped."""
    at = datetime.fromtimestamp(int(seconds), UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {at:%H:%M:%S} GMT"
