"""What belongs to one GET or HEAD while the cache answers it, and how it is given what is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gatehouse.caching import status
from gatehouse.caching.answers import Answers, Found, Wanted
from gatehouse.caching.directives import Directives
from gatehouse.caching.freshness import OK, Use, use_of
from gatehouse.caching.memory import Held
from gatehouse.caching.sharing import Budget
from gatehouse.caching.turns import Turns
from gatehouse.caching.validators import TOLD_AGAIN, is_not_modified
from gatehouse.call import Call, Handler, Reply
from gatehouse.clock import Elapsed
from gatehouse.headers import Headers

NOT_MODIFIED = 304


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One request.

    Attributes:
        call: as it came.
        forward: asks the upstream.
        cache: where answers are kept.
        wanted: what is asked of it.
        asked: what the client says about caches.
        budget: how long the request may still wait for the table.
        stale_will_do: whether what is kept is good enough if the upstream fails.
    """

    call: Call
    forward: Handler
    cache: Cache
    wanted: Wanted
    asked: Directives
    budget: Budget
    stale_will_do: bool = False

    def age_s(self, held: Held) -> float:
        """Return how old *held* is now."""
        return self.cache.answers.age_s(held)

    def ttl_s(self, held: Held) -> float:
        """Return for how much longer *held* is fresh; it is stale if that is negative."""
        return held.stored.lifetime_s - self.age_s(held)

    def use(self, held: Held) -> Use:
        """Return whether *held* may be given to this client."""
        return use_of(held.stored, self.age_s(held), self.asked)

    async def find(self) -> Found:
        """Return what there is."""
        found = await self.cache.answers.find(self.wanted, self.budget)
        if self.budget.failed:
            self.call.notes["cacheShared"] = False
        return found

    def given(self, held: Held, said: object, note: str) -> Reply:
        """Return *held* as the answer: whole, or that the client has it already.

        Args:
            held: what is kept.
            said: what `Cache-Status` says.
            note: what the access log says.
        """
        self.call.notes["cache"] = note
        stored = held.stored
        fields = (
            ("content-length", str(len(stored.body))),
            ("age", str(int(self.age_s(held)))),
            (status.HEADER, str(said)),
        )
        reply = Reply(status=stored.status, headers=stored.headers.adding(fields), body=stored.body)
        return self.unless_known(reply, stored.answered_at)

    def unless_known(self, reply: Reply, answered_at: float) -> Reply:
        """Return *reply*, which came at *answered_at*, or that the client has it already."""
        asked = self.call.headers
        conditions = "if-none-match" in asked or "if-modified-since" in asked
        if not conditions or reply.status != OK or not is_not_modified(asked, reply.headers, answered_at):
            return reply
        headers = Headers(tuple(pair for pair in reply.headers.pairs if pair[0] in TOLD_AGAIN))
        return Reply(status=NOT_MODIFIED, headers=headers)
