"""What of an answer may be kept, and whether a kept one may be given to the next who asks (RFC 9111, 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gatehouse.caching.directives import MOST_S, Directives, delta_seconds, directives
from gatehouse.caching.http_dates import moment
from gatehouse.caching.stored import Stored
from gatehouse.headers import Headers

OK = 200
MOST_FRESH_S = 7 * 86_400.0
"""The longest that an answer counts as fresh here, whatever it says: marks of changes and purges outlive it."""
MOST_STALE_S = 86_400.0
STREAMS = ("text/event-stream", "multipart/x-mixed-replace", "application/x-ndjson", "application/jsonl")
FAILURES = frozenset({500, 502, 503, 504})
"""The answers that count as errors for `stale-if-error` (RFC 5861 section 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What a project file has under `cache`, in seconds: for answers that do not say it themselves."""

    ttl_s: float
    stale_if_error_s: float = 0.0
    stale_while_revalidate_s: float = 0.0


class Use(Enum):
    """Whether an answer may be given: because it is fresh, stale as the client allows, stale while it is renewed.

    Or it may not: the client wants it otherwise (REQUEST), or it has to be asked about first (STALE).
    """

    FRESH = "fresh"
    ALLOWED = "allowed"
    WHILE = "while"
    REQUEST = "request"
    STALE = "stale"


def unkeepable(status: int, headers: Headers, *, explicitly: bool) -> str:
    """Return in a word why an answer is not kept (RFC 9111 section 3); empty if nothing in its head forbids it.

    Args:
        status: only 200 is kept: all other answers are about this request, or too easily about a bad moment.
        headers: its fields.
        explicitly: whether it must say itself that everybody may have it: others are to get it than it was made for
            (section 3.5).
    """
    said = directives(headers)
    if status != OK:
        return "status"
    if "no-store" in said and "must-understand" not in said:  # 200 is understood (section 5.2.2.3)
        return "no-store"
    if "private" in said:
        return "private"
    if explicitly and "public" not in said and "s-maxage" not in said:
        return "not-public"
    return _shape(headers)


def _shape(headers: Headers) -> str:
    if "set-cookie" in headers or "set-cookie2" in headers:
        return "set-cookie"
    if "content-range" in headers:
        return "partial"
    if "*" in vary(headers):
        return "vary"
    return "stream" if headers.get("content-type").strip().lower().startswith(STREAMS) else ""


def vary(headers: Headers) -> tuple[str, ...]:
    """Return the names that `Vary` holds, in lower case, sorted.

    An answer in a content coding depends on what the client takes, whether its `Vary` says so or not, and one that lets
    in a single origin depends on which.
    """
    names = {name.strip().lower() for line in headers.get_all("vary") for name in line.split(",")} - {""}
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        names.add("accept-encoding")
    if headers.get("access-control-allow-origin", "*").strip() != "*":
        names.add("origin")
    return tuple(sorted(names))


def lifetime_s(headers: Headers, answered_at: float, ttl_s: float) -> float:
    """Return how old an answer may be and still be fresh (RFC 9111 section 4.2.1).

    Where it says nothing of that, *ttl_s*; where it says something that cannot be read, nothing.
    """
    said = directives(headers)
    for name in ("s-maxage", "max-age"):
        told = said.seconds(name)
        if told is not None:
            return min(float(told), MOST_FRESH_S)
    if "expires" in headers:
        ends = [moment(value) for value in headers.get_all("expires")]
        begins = moment(headers.get("date"))
        if None in ends:
            return 0.0
        earliest = min(end for end in ends if end is not None)
        return max(0.0, min(earliest - (answered_at if begins is None else begins), MOST_FRESH_S))
    return ttl_s


def initial_age_s(headers: Headers, asked_at: float, answered_at: float) -> float:
    """Return how old an answer was when its head came, at *answered_at* (RFC 9111 section 4.2.3)."""
    dated = moment(headers.get("date"))
    apparent = 0.0 if dated is None else max(0.0, answered_at - dated)
    told = delta_seconds(headers.get("age").partition(",")[0]) or 0  # the first of several (section 5.1)
    return min(max(apparent, told + max(0.0, answered_at - asked_at)), float(MOST_S))


def is_no_cache(headers: Headers) -> bool:
    """Say whether an answer is to be asked about every time; `Pragma` counts where nothing newer is said."""
    if "no-cache" in directives(headers):
        return True
    newer = "cache-control" in headers or "expires" in headers
    return not newer and any("no-cache" in line.lower() for line in headers.get_all("pragma"))


def is_strict(said: Directives) -> bool:
    """Say whether an answer may never be given stale (RFC 9111 sections 5.2.2.2, 5.2.2.8, 5.2.2.10)."""
    return "must-revalidate" in said or "proxy-revalidate" in said or "s-maxage" in said


def stale_windows(headers: Headers, keeping: Keeping) -> tuple[float, float]:
    """Return for how long after its time an answer may stand in for a failure, and be given while it is renewed."""
    said = directives(headers)
    if is_strict(said) or is_no_cache(headers):
        return 0.0, 0.0
    if_error, meanwhile = said.seconds("stale-if-error"), said.seconds("stale-while-revalidate")
    return (
        min(keeping.stale_if_error_s if if_error is None else float(if_error), MOST_STALE_S),
        min(keeping.stale_while_revalidate_s if meanwhile is None else float(meanwhile), MOST_STALE_S),
    )


def asked_for(headers: Headers) -> Directives:
    """Return what a request says about caches; `Pragma: no-cache` counts where it says nothing newer (section 5.4)."""
    said = directives(headers)
    if "cache-control" not in headers and any("no-cache" in line.lower() for line in headers.get_all("pragma")):
        return Directives({"no-cache": ("",)})
    return said


def use_of(stored: Stored, age_s: float, asked: Directives) -> Use:
    """Say whether *stored*, *age_s* seconds old, may be given to one who *asked* (RFC 9111 sections 4 and 5.2.1)."""
    fresh_for_s = stored.lifetime_s - age_s
    most, least = asked.seconds("max-age"), asked.seconds("min-fresh")
    too_old = (most is not None and age_s > most) or (least is not None and fresh_for_s < least)
    if "no-cache" in asked or (too_old and not stored.no_cache):
        return Use.REQUEST
    if fresh_for_s > 0 and not stored.no_cache:
        return Use.FRESH
    return Use.STALE if stored.no_cache else _stale_use(stored, -fresh_for_s, asked)


def _stale_use(stored: Stored, stale_s: float, asked: Directives) -> Use:
    if not stored.strict and "max-stale" in asked and stale_s <= _most_stale_s(asked):
        return Use.ALLOWED
    if "max-age" in asked or "min-fresh" in asked:  # wanted fresh (section 5.2.1.1)
        return Use.STALE
    return Use.WHILE if stale_s < stored.stale_while_revalidate_s else Use.STALE


def _most_stale_s(asked: Directives) -> float:
    """Return how stale an answer may be for one who said `max-stale`; without a value, as stale as any is kept."""
    return float(MOST_S) if asked.said["max-stale"] == ("",) else float(asked.seconds("max-stale") or 0)


def stands_in(stored: Stored, age_s: float, asked: Directives) -> bool:
    """Say whether *stored* may be given because asking anew has failed (RFC 5861 section 4)."""
    if stored.strict or stored.no_cache or "no-cache" in asked:
        return False
    told = asked.seconds("stale-if-error")
    window_s = stored.stale_if_error_s if told is None else max(float(told), stored.stale_if_error_s)
    return age_s - stored.lifetime_s < min(window_s, MOST_STALE_S)
