"""Asking the upstream on behalf of the cache, and keeping what it says (RFC 9111 sections 3 and 4.3)."""

from __future__ import annotations

from dataclasses import replace

from gatehouse.caching import status
from gatehouse.caching.answers import Begun, Found
from gatehouse.caching.collecting import discard
from gatehouse.caching.freshness import FAILURES, OK, stands_in
from gatehouse.caching.http_dates import written
from gatehouse.caching.inquiry import NOT_MODIFIED, Inquiry
from gatehouse.caching.memory import Held
from gatehouse.caching.received import keepable
from gatehouse.caching.validators import asking, confirms, describes, has_validator, plain, updated
from gatehouse.call import Reply
from gatehouse.errors import UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Headers

SERVER_ERROR = 500
ABOUT_THE_CALLER = frozenset({401, 403, 408, 429})
ENDS_WHAT_WAS = frozenset({200, 304, 401, 403, 404, 410})
"""Answers after which what was kept is not given any more, if they are not fit to be kept themselves."""


async def fetched(inquiry: Inquiry, found: Found, why: str, *, as_is: bool = False) -> tuple[Reply, bool]:
    """Return the upstream's answer, or what stands in for it, and whether it was kept.

    Args:
        inquiry: the request.
        found: what there is already.
        why: why that does not do, as `Cache-Status` says it.
        as_is: whether the client's own conditions go to the upstream.

    Raises:
        GatewayError: there is no answer, and nothing may stand in for it.
    """
    held, call = found.held, inquiry.call
    begun = inquiry.cache.answers.begun(inquiry.wanted.rules)
    headers = call.headers if as_is else asking(call.headers, held.stored if held else None)
    reply, stale = await _forwarded(inquiry, headers, found)
    if stale:
        return reply, False
    if reply.status == NOT_MODIFIED and held and has_validator(held.stored.headers):
        if confirms(reply.headers, held.stored):
            return await _receive(inquiry, _renewed(inquiry, held, reply), begun, found, (why, NOT_MODIFIED))
        reply = await inquiry.forward(replace(call, headers=plain(call.headers)))
    try:
        return await _receive(inquiry, reply, begun, found, (why, reply.status))
    except UpstreamUnreachableError:  # it broke off
        if held and _may_stand_in(inquiry, found, held):
            return _standing_in(inquiry, held, reply.status), False
        raise


async def headed(inquiry: Inquiry, found: Found, why: str) -> Reply:
    """Return the upstream's answer to HEAD, and let it say whether what is kept is still good (section 4.3.5).

    The arguments and errors are those of `fetched`.
    """
    begun, answers, wanted = inquiry.cache.answers.begun(inquiry.wanted.rules), inquiry.cache.answers, inquiry.wanted
    reply, stale = await _forwarded(inquiry, inquiry.call.headers, found)
    if stale:
        return reply
    kept = False
    if found.held and reply.status == OK:
        same = describes(reply.headers, found.held.stored)
        if same:
            now = inquiry.cache.elapsed.wall()
            _, newer, _ = await keepable(_renewed(inquiry, found.held, reply), begun, wanted, now)
            kept = newer is not None and await answers.keep(newer, wanted, found, inquiry.budget)
        elif same is False:
            await answers.drop(found.held, wanted, inquiry.budget)
    inquiry.call.notes["cache"] = "miss"
    return status.saying(reply, status.Forwarded(why=why, status=reply.status, stored=kept))


def _renewed(inquiry: Inquiry, held: Held, answer: Reply) -> Reply:
    """Return what *held* is after an *answer* that says it is still good.

    One without a date is of now (RFC 9110 section 6.6.1), or what is kept would stay as old as it was.
    """
    newer = answer.headers.defaulting((("date", written(inquiry.cache.elapsed.wall())),))
    return Reply(status=OK, headers=updated(held.stored.headers, newer), body=held.stored.body)


async def _forwarded(inquiry: Inquiry, headers: Headers, found: Found) -> tuple[Reply, bool]:
    """Return what the upstream answers to the request with *headers*, or else what stands in, and if it does."""
    held = found.held if found.held and _may_stand_in(inquiry, found, found.held) else None
    try:
        reply = await inquiry.forward(replace(inquiry.call, headers=headers))
    except (UpstreamUnreachableError, UpstreamTimeoutError):
        if held is None:
            raise
        return _standing_in(inquiry, held, None), True
    if held is None or reply.status not in FAILURES:
        return reply, False
    await discard(reply)
    return _standing_in(inquiry, held, reply.status), True


def _may_stand_in(inquiry: Inquiry, found: Found, held: Held) -> bool:
    return inquiry.stale_will_do or (found.sure and stands_in(held.stored, inquiry.age_s(held), inquiry.asked))


def _standing_in(inquiry: Inquiry, held: Held, answered: int | None) -> Reply:
    detail = "stale-while-revalidate" if inquiry.stale_will_do else "stale-if-error"
    said = status.Forwarded(why="stale", status=answered, ttl_s=inquiry.ttl_s(held), detail=detail)
    return inquiry.given(held, said, "stale")


async def _noted(inquiry: Inquiry, answered: int, found: Found, *, fit: bool) -> None:
    """Note whether what there is now is *fit* to be kept; what was kept until now is not it any more, if it is not."""
    if fit or (answered < SERVER_ERROR and answered not in ABOUT_THE_CALLER):
        inquiry.cache.turns.note(inquiry.wanted.key, fit=fit)
    if not fit and found.held and answered in ENDS_WHAT_WAS:
        await inquiry.cache.answers.drop(found.held, inquiry.wanted, inquiry.budget)


async def _receive(
    inquiry: Inquiry, reply: Reply, begun: Begun, found: Found, forwarded: tuple[str, int]
) -> tuple[Reply, bool]:
    """Return *reply* as the client gets it, and whether it was kept.

    *forwarded* is why the upstream was asked, and what it answered with.
    """
    cache, wanted, now = inquiry.cache, inquiry.wanted, inquiry.cache.elapsed.wall()
    why, answered = forwarded
    reply, stored, why_not = await keepable(reply, begun, wanted, now)
    if "no-store" in inquiry.asked:
        stored, why_not = None, "request"
    kept = stored is not None and await cache.answers.keep(stored, wanted, found, inquiry.budget)
    if why_not != "request":
        await _noted(inquiry, answered, found, fit=stored is not None)
    ttl_s = stored.lifetime_s - stored.age_s if stored and kept else None
    said = status.Forwarded(why=why, status=answered, ttl_s=ttl_s, stored=kept, detail=why_not)
    renewed = answered == NOT_MODIFIED and found.held is not None
    inquiry.call.notes["cache"] = "renewed" if renewed else "miss"
    if stored and renewed:
        reply = reply.with_headers(reply.headers.replacing((("age", str(int(stored.age_s))),)))
    given = inquiry.unless_known(status.saying(reply, said), now)
    if given.status != reply.status:
        await discard(reply)
    return given, kept
