"""One GET or HEAD and the cache: what is kept is given, and what is not is asked for, and kept if it may be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from gatehouse import logs
from gatehouse.caching import status
from gatehouse.caching.answers import Answers, Begun, Found, Wanted
from gatehouse.caching.collecting import discard
from gatehouse.caching.directives import Directives
from gatehouse.caching.freshness import FAILURES, Use, asked_for, stands_in, use_of
from gatehouse.caching.memory import Held
from gatehouse.caching.received import keepable
from gatehouse.caching.sharing import Budget
from gatehouse.caching.turns import Turns
from gatehouse.caching.validators import (
    TOLD_AGAIN,
    asking,
    confirms,
    describes,
    has_validator,
    is_not_modified,
    plain,
    updated,
)
from gatehouse.call import Call, Handler, Reply
from gatehouse.clock import Elapsed
from gatehouse.errors import NotCachedError, UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Headers

OK, NOT_MODIFIED = 200, 304
SERVER_ERROR = 500


@dataclass(frozen=True)
class Cache:
    """The cache of one process.

    Attributes:
        answers: what is kept.
        turns: whose turn it is to fetch what is not.
        elapsed: the clocks.
        freezes: whether the process stops as soon as it has answered, as on Lambda.
        renewing: what is renewed behind answers.
    """

    answers: Answers
    turns: Turns
    elapsed: Elapsed
    freezes: bool = False
    renewing: set[asyncio.Task[object]] = field(default_factory=set)


class Exchange:
    """What becomes of one request.

    Args:
        call: the request.
        forward: asks the upstream.
        cache: where answers are kept.
        wanted: what the request asks it for.
    """

    def __init__(self, call: Call, forward: Handler, cache: Cache, wanted: Wanted) -> None:
        self._call = call
        self._forward = forward
        self._cache = cache
        self._wanted = wanted
        self._asked: Directives = asked_for(call.headers)
        self._budget = Budget()

    async def answer(self) -> Reply:
        """Return the answer.

        Raises:
            NotCachedError: the client wants a kept one or none, and there is none.
            GatewayError: what asking the upstream raises, where nothing may stand in for its answer.
        """
        found = await self._find()
        use = self._use(found)
        if found.held and use in (Use.FRESH, Use.ALLOWED):
            return self._hit(found.held, found.where)
        if "only-if-cached" in self._asked:
            raise NotCachedError
        if found.held and use is Use.WHILE:
            return await self._while_renewing(found, found.held)
        why = found.why if use is None else use.value
        if self._call.method == "HEAD":
            return await self._head(found, why)
        if use is Use.REQUEST or "no-store" in self._asked:
            return (await self._fetched(found, why))[0]
        if self._cache.turns.passes(self._wanted.key):
            return (await self._fetched(found, why, as_is=found.held is None))[0]
        return await self._in_turn(found, why)

    async def _find(self) -> Found:
        found = await self._cache.answers.find(self._wanted, self._budget)
        if self._budget.failed:
            self._call.notes["cacheShared"] = False
        return found

    def _use(self, found: Found) -> Use | None:
        if found.held is None:
            return None
        use = use_of(found.held.stored, self._cache.answers.age_s(found.held), self._asked)
        return use if found.sure or use is Use.REQUEST else Use.STALE

    def _hit(self, held: Held, where: str) -> Reply:
        ttl_s = held.stored.lifetime_s - self._cache.answers.age_s(held)
        return self._kept(held, status.hit(ttl_s, where), "hit" if ttl_s > 0 else "stale")

    def _kept(self, held: Held, said: object, note: str) -> Reply:
        """Return what is kept as the answer to this request: whole, or that the client has it already."""
        self._call.notes["cache"] = note
        stored = held.stored
        fields = (
            ("content-length", str(len(stored.body))),
            ("age", str(int(self._cache.answers.age_s(held)))),
            (status.HEADER, str(said)),
        )
        reply = Reply(status=stored.status, headers=stored.headers.adding(fields), body=stored.body)
        return self._conditional(reply, stored.answered_at)

    def _conditional(self, reply: Reply, answered_at: float) -> Reply:
        """Return *reply*, or that the client has it already."""
        asked = self._call.headers
        conditions = "if-none-match" in asked or "if-modified-since" in asked
        if not conditions or reply.status != OK or not is_not_modified(asked, reply.headers, answered_at):
            return reply
        headers = Headers(tuple(pair for pair in reply.headers.pairs if pair[0] in TOLD_AGAIN))
        return Reply(status=NOT_MODIFIED, headers=headers)

    async def _in_turn(self, found: Found, why: str) -> Reply:
        """Return an answer that is fetched once for all who ask for it now."""
        turns, turn = self._cache.turns, self._turn(found)
        if turns.begin(turn):
            reply = await self._as_the_one(found, why, turn, patient=True)
        else:
            reply = await self._another_gets(turn, why)
        return reply or (await self._fetched(found, why))[0]

    def _turn(self, found: Found) -> str:
        names = found.held.stored.names if found.held else ()
        return self._wanted.key.place + self._wanted.variant_of(names)

    async def _another_gets(self, turn: str, why: str) -> Reply | None:
        """Return what another request of this process is fetching, if it is for this one, too."""
        if not await self._cache.turns.outcome(turn):
            return None
        found = await self._find()
        return self._collapsed(found.held, why) if found.sure else None

    def _collapsed(self, held: Held | None, why: str) -> Reply | None:
        if held is None or use_of(held.stored, self._cache.answers.age_s(held), self._asked) is not Use.FRESH:
            return None
        ttl_s = held.stored.lifetime_s - self._cache.answers.age_s(held)
        return self._kept(held, status.Forwarded(why=why, ttl_s=ttl_s, collapsed=True), "collapsed")

    async def _as_the_one(self, found: Found, why: str, turn: str, *, patient: bool) -> Reply | None:
        """Return the answer that this request fetches for all others of its process; None if another process does.

        A *patient* request waits for what that process gets.
        """
        turns, kept, claimed = self._cache.turns, False, None
        try:
            claimed = await turns.claim(self._wanted.key, found, self._budget)
            if claimed is not False:
                reply, kept = await self._fetched(found, why)
                return reply
            held = await turns.awaited(self._wanted, found) if patient else None
            kept = held is not None
            return self._collapsed(held, why)
        finally:
            turns.end(turn, kept=kept)
            if claimed:
                await turns.release(self._wanted.key, self._budget, done=kept)

    async def _while_renewing(self, found: Found, held: Held) -> Reply:
        """Return what is kept, and have it renewed (RFC 5861 section 3).

        Where the process freezes behind the answer, the request whose turn it is waits for the new one, and all others
        get the kept one.
        """
        turn = self._turn(found)
        if not self._cache.freezes:
            if self._cache.turns.begin(turn):
                self._renew_behind(found, turn)
        elif self._call.method == "GET" and self._cache.turns.begin(turn):
            reply = await self._as_the_one(found, "stale", turn, patient=False)
            if reply:
                return reply
        return self._hit(held, found.where)

    def _renew_behind(self, found: Found, turn: str) -> None:
        call = replace(self._call, method="GET", deadline=None, notes={})
        alone = Exchange(call, self._forward, self._cache, self._wanted)
        task = asyncio.create_task(alone._renewed(found, turn))  # of this very class
        self._cache.renewing.add(task)
        task.add_done_callback(self._cache.renewing.discard)

    async def _renewed(self, found: Found, turn: str) -> None:
        try:
            reply = await self._as_the_one(found, "stale", turn, patient=False)
        except Exception as error:  # noqa: BLE001  # nobody waits for it, and the next request notices
            logs.error("answer not renewed", reason=type(error).__name__, route=self._wanted.rules.route)
            return
        if reply:
            await discard(reply)

    async def _fetched(self, found: Found, why: str, *, as_is: bool = False) -> tuple[Reply, bool]:
        """Return the upstream's answer, or what stands in for it, and whether it was kept.

        Args:
            found: what there is already.
            why: why that does not do.
            as_is: whether the client's own conditions go to the upstream.
        """
        held = found.held
        headers = self._call.headers if as_is else asking(self._call.headers, held.stored if held else None)
        begun = self._cache.answers.begun(self._wanted.rules)
        try:
            reply = await self._forward(replace(self._call, headers=headers))
        except (UpstreamUnreachableError, UpstreamTimeoutError):
            if held and self._may_stand_in(found, held):
                return self._standing_in(held, None), False
            raise
        if reply.status in FAILURES and held and self._may_stand_in(found, held):
            await discard(reply)
            return self._standing_in(held, reply.status), False
        if reply.status == NOT_MODIFIED and held and has_validator(held.stored.headers):
            if confirms(reply.headers, held.stored):
                whole = Reply(status=OK, headers=updated(held.stored.headers, reply.headers), body=held.stored.body)
                return await self._receive(whole, begun, found, why, NOT_MODIFIED)
            reply = await self._forward(replace(self._call, headers=plain(self._call.headers)))
        return await self._receive(reply, begun, found, why, reply.status)

    def _may_stand_in(self, found: Found, held: Held) -> bool:
        return found.sure and stands_in(held.stored, self._cache.answers.age_s(held), self._asked)

    def _standing_in(self, held: Held, answered: int | None) -> Reply:
        ttl_s = held.stored.lifetime_s - self._cache.answers.age_s(held)
        said = status.Forwarded(why="stale", status=answered, ttl_s=ttl_s, detail="stale-if-error")
        return self._kept(held, said, "stale")

    async def _receive(self, reply: Reply, begun: Begun, found: Found, why: str, answered: int) -> tuple[Reply, bool]:
        """Return *reply* as the client gets it, and whether it was kept."""
        wanted, now = self._wanted, self._cache.elapsed.wall()
        reply, stored, why_not = await keepable(reply, begun, wanted, now)
        if "no-store" in self._asked:
            stored, why_not = None, "request"
        kept = stored is not None and await self._cache.answers.keep(stored, wanted, found, self._budget)
        if answered < SERVER_ERROR and why_not != "request":
            self._cache.turns.note(wanted.key, fit=stored is not None)
            if stored is None and found.held:  # what was kept is not what there is now
                await self._cache.answers.forget(wanted.key.gone, self._budget)
        ttl_s = stored.lifetime_s - stored.age_s if stored and kept else None
        said = status.Forwarded(why=why, status=answered, ttl_s=ttl_s, stored=kept, detail=why_not)
        self._call.notes["cache"] = "renewed" if answered == NOT_MODIFIED and found.held else "miss"
        if stored and answered == NOT_MODIFIED:
            reply = reply.with_headers(reply.headers.replacing((("age", str(int(stored.age_s))),)))
        return self._conditional(status.saying(reply, said), now), kept

    async def _head(self, found: Found, why: str) -> Reply:
        """Return the upstream's answer to HEAD, and let it say whether what is kept is still good (section 4.3.5)."""
        begun = self._cache.answers.begun(self._wanted.rules)
        reply = await self._forward(self._call)
        kept = False
        if found.held and reply.status == OK:
            stored = found.held.stored
            if describes(reply.headers, stored):
                whole = Reply(status=OK, headers=updated(stored.headers, reply.headers), body=stored.body)
                _, newer, _ = await keepable(whole, begun, self._wanted, self._cache.elapsed.wall())
                kept = newer is not None and await self._cache.answers.keep(newer, self._wanted, found, self._budget)
            else:
                await self._cache.answers.forget(self._wanted.key.gone, self._budget)
        self._call.notes["cache"] = "miss"
        return status.saying(reply, status.Forwarded(why=why, status=reply.status, stored=kept))
