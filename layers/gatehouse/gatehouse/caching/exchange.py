"""One GET or HEAD and the cache: what is kept is given, and what is not is asked for, once for all who want it now."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gatehouse import logs
from gatehouse.caching import status
from gatehouse.caching.answers import Found, Wanted
from gatehouse.caching.collecting import discard
from gatehouse.caching.fetching import fetched, headed
from gatehouse.caching.freshness import Use, asked_for
from gatehouse.caching.inquiry import Cache, Inquiry
from gatehouse.caching.memory import Held
from gatehouse.caching.sharing import Budget
from gatehouse.caching.turns import WAIT_S
from gatehouse.call import Call, Handler, Reply
from gatehouse.errors import NotCachedError


async def exchange(call: Call, forward: Handler, cache: Cache, wanted: Wanted) -> Reply:
    """Return the answer to *call*.

    Args:
        call: the request.
        forward: asks the upstream.
        cache: where answers are kept.
        wanted: what the request asks it for.

    Raises:
        NotCachedError: the client wants a kept one or none, and there is none.
        GatewayError: what asking the upstream raises, where nothing may stand in for its answer.
    """
    asked = asked_for(call.headers)
    inquiry = Inquiry(call=call, forward=forward, cache=cache, wanted=wanted, asked=asked, budget=Budget())
    found = await inquiry.find()
    use = _use(inquiry, found)
    if found.held and use in (Use.FRESH, Use.ALLOWED):
        return _hit(inquiry, found.held, found.where)
    if "only-if-cached" in asked:
        raise NotCachedError
    if found.held and use is Use.WHILE:
        return await _while_renewing(inquiry, found, found.held)
    return await _asked_for(inquiry, found, use)


def _use(inquiry: Inquiry, found: Found) -> Use | None:
    """Return whether what was found may be given; what nobody can vouch for has to be asked about."""
    if found.held is None:
        return None
    use = inquiry.use(found.held)
    return use if found.sure or use is Use.REQUEST else Use.STALE


def _hit(inquiry: Inquiry, held: Held, where: str) -> Reply:
    ttl_s = inquiry.ttl_s(held)
    return inquiry.given(held, status.hit(ttl_s, where), "hit" if ttl_s > 0 else "stale")


async def _asked_for(inquiry: Inquiry, found: Found, use: Use | None) -> Reply:
    """Return what the upstream is asked for, by this request or another."""
    why = found.why if use is None else use.value
    if inquiry.call.method == "HEAD":
        return await headed(inquiry, found, why)
    if use is Use.REQUEST or "no-store" in inquiry.asked:
        return (await fetched(inquiry, found, why))[0]
    if inquiry.cache.turns.passes(inquiry.wanted.key):
        return (await fetched(inquiry, found, why, as_is=found.held is None))[0]
    return await _in_turn(inquiry, found, why)


async def _in_turn(inquiry: Inquiry, found: Found, why: str) -> Reply:
    """Return an answer that is fetched once for all who ask for it now."""
    turns, turn = inquiry.cache.turns, _turn(inquiry, found)
    if turns.begin(turn):
        reply = await _as_the_one(inquiry, found, why, turn, patient=True)
    else:
        fit = await turns.outcome(turn, _patience_s(inquiry))
        reply = _collapsed(inquiry, inquiry.cache.answers.here(inquiry.wanted), why) if fit else None
    return reply or (await fetched(inquiry, found, why))[0]


def _patience_s(inquiry: Inquiry) -> float:
    """Return how long to wait for another that fetches the same: never so long that no time is left to do without."""
    if inquiry.call.deadline is None:
        return WAIT_S
    return max(0.0, min(WAIT_S, (inquiry.call.deadline - inquiry.cache.elapsed.monotonic()) / 3))


def _turn(inquiry: Inquiry, found: Found) -> str:
    names = found.held.stored.names if found.held else ()
    return inquiry.wanted.key.place + inquiry.wanted.variant_of(names)


def _collapsed(inquiry: Inquiry, held: Held | None, why: str) -> Reply | None:
    """Return what another request has got, if it is for this one, too."""
    if held is None or inquiry.use(held) is not Use.FRESH:
        return None
    return inquiry.given(held, status.Forwarded(why=why, ttl_s=inquiry.ttl_s(held), collapsed=True), "collapsed")


async def _as_the_one(inquiry: Inquiry, found: Found, why: str, turn: str, *, patient: bool) -> Reply | None:
    """Return the answer that this request fetches for all others of its process; None if another process does.

    A *patient* request waits for what that process gets.
    """
    turns, key, kept, claimed = inquiry.cache.turns, inquiry.wanted.key, False, None
    try:
        claimed = await turns.claim(key, found, inquiry.budget)
        if claimed is not False:
            reply, kept = await fetched(inquiry, found, why)
            return reply
        held = await turns.awaited(inquiry.wanted, found, _patience_s(inquiry)) if patient else None
        kept = held is not None
        return _collapsed(inquiry, held, why)
    finally:
        turns.end(turn, kept=kept)
        if claimed:
            await turns.release(key, done=kept)


async def _while_renewing(inquiry: Inquiry, found: Found, held: Held) -> Reply:
    """Return what is kept, and have it renewed (RFC 5861 section 3).

    Where the process freezes behind the answer, the request whose turn it is waits for the new one, and all others get
    the kept one.
    """
    turns, turn = inquiry.cache.turns, _turn(inquiry, found)
    reply = None
    if not inquiry.cache.freezes:
        if turns.begin(turn):
            _renew_behind(inquiry, found, turn)
    elif inquiry.call.method == "GET" and turns.begin(turn):
        reply = await _as_the_one(replace(inquiry, stale_will_do=True), found, "stale", turn, patient=False)
    return reply or _hit(inquiry, held, found.where)


def _renew_behind(inquiry: Inquiry, found: Found, turn: str) -> None:
    call = replace(inquiry.call, method="GET", deadline=None, notes={})
    alone = replace(inquiry, call=call, budget=Budget())
    task = asyncio.create_task(_renewed_behind(alone, found, turn))
    inquiry.cache.renewing.add(task)
    task.add_done_callback(inquiry.cache.renewing.discard)


async def _renewed_behind(inquiry: Inquiry, found: Found, turn: str) -> None:
    try:
        reply = await _as_the_one(inquiry, found, "stale", turn, patient=False)
    except Exception as error:  # noqa: BLE001  # nobody waits for it, and the next request notices
        logs.error("answer not renewed", reason=type(error).__name__, route=inquiry.wanted.rules.route)
        return
    if reply:
        await discard(reply)
