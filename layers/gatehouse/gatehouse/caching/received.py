"""From an upstream's answer to one that is kept."""

from __future__ import annotations

from gatehouse.caching.answers import Begun, Wanted
from gatehouse.caching.collecting import collected
from gatehouse.caching.directives import directives
from gatehouse.caching.freshness import (
    initial_age_s,
    is_no_cache,
    is_strict,
    lifetime_s,
    stale_windows,
    unkeepable,
    vary,
)
from gatehouse.caching.http_dates import written
from gatehouse.caching.stored import Stored
from gatehouse.caching.validators import has_validator
from gatehouse.call import Reply
from gatehouse.headers import Headers
from gatehouse.hygiene import outward

OF_ONE_REQUEST = frozenset({
    "age", "authentication-info", "authorization", "clear-site-data", "content-length", "proxy-authentication-info",
    "ratelimit", "ratelimit-policy",
    "server-timing", "x-auth-token", "x-csrf-token", "x-request-id", "x-xsrf-token",
})  # fmt: skip
"""What an answer says of the request that it was made for, or of this moment: RFC 9111 section 3.1, and alike."""
_PREFIXES = ("x-ratelimit-", "x-rate-limit-")


async def keepable(reply: Reply, begun: Begun, wanted: Wanted, answered_at: float) -> tuple[Reply, Stored | None, str]:
    """Return *reply*, what of it is to be kept, and in a word why nothing is.

    Args:
        reply: the answer; if it may be kept, it comes back in one piece.
        begun: when it was asked for.
        wanted: what was asked for.
        answered_at: when its head came, in seconds since the epoch.
    """
    why_not = unkeepable(reply.status, reply.headers, explicitly=wanted.key.explicitly)
    if why_not:
        return reply, None, why_not
    reply, why_not = await collected(reply)
    if why_not or not isinstance(reply.body, bytes):
        return reply, None, why_not
    stored = _stored(reply.headers, reply.body, begun, wanted, answered_at)
    return (reply, stored, "") if _is_of_use(stored) else (reply, None, "expired")


def _stored(headers: Headers, body: bytes, begun: Begun, wanted: Wanted, answered_at: float) -> Stored:
    keeping, names = wanted.rules.keeping, vary(headers)
    if_error_s, meanwhile_s = stale_windows(headers, keeping)
    return Stored(
        status=200,
        headers=_kept(headers).defaulting((("date", written(answered_at)),)),
        body=body,
        asked_at=begun.order,
        answered_at=answered_at,
        age_s=initial_age_s(headers, begun.at, answered_at),
        lifetime_s=lifetime_s(headers, answered_at, keeping.ttl_s),
        stale_if_error_s=if_error_s,
        stale_while_revalidate_s=meanwhile_s,
        no_cache=is_no_cache(headers),
        strict=is_strict(directives(headers)),
        names=names,
        variant=wanted.variant_of(names),
        generation=begun.generation,
    )


def _kept(headers: Headers) -> Headers:
    return Headers(
        tuple(
            pair
            for pair in outward(headers).pairs
            if pair[0] not in OF_ONE_REQUEST and not pair[0].startswith(_PREFIXES)
        )
    )


def _is_of_use(stored: Stored) -> bool:
    """Say whether *stored* will ever be given to anybody: without asking, or after asking whether it is still good."""
    if has_validator(stored.headers):
        return True
    stale_s = max(stored.stale_if_error_s, stored.stale_while_revalidate_s)
    return not stored.no_cache and stored.lifetime_s + stale_s > stored.age_s
