"""The kept answers of one process: those in its memory, and those in the table that all processes share.

What nobody can vouch for, because the table does not answer, is not given without asking the upstream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gatehouse.caching.freshness import MOST_FRESH_S, MOST_STALE_S
from gatehouse.caching.keying import Key, gone_key
from gatehouse.caching.marks import LOOK_EVERY_S, SKEW_S, Marks
from gatehouse.caching.memory import Held, Memory, VariantOf
from gatehouse.caching.rules import CacheRules, digest
from gatehouse.caching.sharing import Budget, Shared
from gatehouse.caching.stored import Stored
from gatehouse.caching.validators import has_validator
from gatehouse.clock import Elapsed, Instant
from gatehouse.headers import Headers

GONE_S = MOST_FRESH_S + MOST_STALE_S + 3600.0
"""How long it is known of a path that it was changed: longer than anything is kept that was asked for before."""
ASKED_ABOUT_S = 600.0
"""How long an answer is kept beyond its time, if one can ask whether it is still good."""
MEMORY, TABLE = "memory", "table"
URI_MISS, VARY_MISS = "uri-miss", "vary-miss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is for a request.

    Attributes:
        held: the answer, if there is one.
        where: where it was: `memory` or `table`.
        sure: whether nothing has happened to it, as far as anybody can know.
        why: why there is none: `uri-miss`, or `vary-miss` if there are others for the same address.
        apart: whether its place in the table is another variant's.
        looked_at: when this was found, in seconds since the epoch.
    """

    held: Held | None = None
    where: str = MEMORY
    sure: bool = True
    why: str = URI_MISS
    apart: bool = False
    looked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Begun:
    """When the upstream was asked.

    Attributes:
        order: in seconds since the epoch, and before or after every change that this process notes.
        at: in seconds since the epoch.
        generation: the number of the last purge that was known then.
    """

    order: float
    at: float
    generation: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks the cache for: an answer kept under `rules` at `key`, in the variant that it selects."""

    rules: CacheRules
    key: Key
    variant_of: VariantOf


class Answers:
    """The kept answers of one process.

    Args:
        memory: those that are here.
        shared: what processes share; None if they share nothing.
        marks: what happened to them.
        elapsed: the clocks.
    """

    def __init__(self, memory: Memory, shared: Shared | None, marks: Marks, elapsed: Elapsed) -> None:
        self._memory = memory
        self._shared = shared
        self._marks = marks
        self._elapsed = elapsed

    def age_s(self, held: Held) -> float:
        """Return how old *held* is now (RFC 9111 section 4.2.3, current_age)."""
        return held.stored.age_s + self._elapsed.since(held.since)

    def begun(self, rules: CacheRules) -> Begun:
        """Return the moment at which the upstream is asked now, for an answer under *rules*."""
        return Begun(self._marks.moment(), self._elapsed.wall(), self._marks.generation(rules.project))

    async def find(self, wanted: Wanted, budget: Budget) -> Found:
        """Return what there is."""
        found = await self._found(wanted, budget)
        return replace(found, held=None) if found.held and found.held.stored.is_nothing else found

    async def _found(self, wanted: Wanted, budget: Budget) -> Found:
        place = wanted.key.place
        held = self.here(wanted)
        if held and self._is_fresh(held) and self._is_news(held, wanted.rules):
            return Found(held=held, looked_at=self._elapsed.wall())
        if self._shared is None:
            others = VARY_MISS if self._memory.names(place) else URI_MISS
            return Found(held=held, why=others, looked_at=self._elapsed.wall())
        found = await self._confirmed(held, wanted, self._shared, budget) if held and self._is_fresh(held) else None
        return found or await self._looked_up(held, wanted, self._shared, budget)

    def here(self, wanted: Wanted) -> Held | None:
        """Return what this process has, as far as it knows: for those who waited for it."""
        return self._standing(self._memory.find(wanted.key.place, wanted.variant_of), wanted)

    async def keep(self, stored: Stored, wanted: Wanted, found: Found, budget: Budget) -> bool:
        """Keep *stored*, which answers what is *wanted*, where *found* was; return whether that was possible."""
        now, key = self._elapsed.now(), wanted.key
        held = Held(stored, _ago(stored.answered_at, now), _ago(stored.asked_at, now))
        if not self._marks.stands(stored, wanted.rules, key) or not self._memory.keep(key.place, held):
            return False
        left_s = _kept_s(stored) - self.age_s(held)
        if self._shared and left_s > 0:
            place = _place(key, stored.names, stored.variant) if found.apart else key.place
            await self._shared.keep(place, stored, now.wall + left_s, budget)
        return True

    async def forget(self, project: str, path: str, budget: Budget) -> None:
        """Note that *path* of *project* was changed just now."""
        at, gone = self._marks.moment(), gone_key(project, path)
        self._marks.change(project, gone, at)
        if self._shared:
            await self._shared.forget(gone, at + SKEW_S, at + GONE_S, budget)

    async def drop(self, held: Held, wanted: Wanted, budget: Budget) -> None:
        """Let nobody have *held* any more: what is *wanted* is something else by now, or not for whom it was kept.

        Another machine's clock may have put it ahead of ours; and a variant may be at either of its places.
        """
        at = max(self._marks.moment(), held.stored.asked_at)
        nothing = replace(held.stored, headers=Headers(), body=b"", asked_at=at, no_cache=True, strict=True)
        for apart in (False, True) if held.stored.names else (False,):
            await self.keep(nothing, wanted, Found(apart=apart), budget)

    def take(self, stored: Stored, key: Key, looked: Instant) -> Held:
        """Return *stored*, for which the table was *looked* at then, as it is held in memory from now on."""
        held = Held(stored, _ago(stored.answered_at, self._elapsed.now()), looked)
        self._memory.keep(key.place, held)
        return held

    def fit(self, stored: Stored | None, wanted: Wanted) -> Stored | None:
        """Return *stored*, unless something is known to have happened to it."""
        return stored if stored and self._marks.stands(stored, wanted.rules, wanted.key) else None

    async def _confirmed(self, held: Held, wanted: Wanted, shared: Shared, budget: Budget) -> Found | None:
        """Return *held* as it is found after a look at what happened to it; None if it does not stand."""
        looked = await shared.look("", wanted.rules, wanted.key, budget)
        now = looked.at
        if looked.look is None:
            return Found(held=held, sure=False, looked_at=now.wall)
        if not self._standing(held, wanted):
            return None
        self._memory.confirm(wanted.key.place, held, now)
        return Found(held=held, looked_at=now.wall)

    async def _looked_up(self, held: Held | None, wanted: Wanted, shared: Shared, budget: Budget) -> Found:
        """Return what the table has, or *held* (stale, if any) if that is newer."""
        key = wanted.key
        answered = await shared.look(key.place, wanted.rules, key, budget)
        look, looked = answered.look, answered.at
        if look is None:
            others = VARY_MISS if self._memory.names(key.place) else URI_MISS
            return Found(held=held, sure=False, why=others, looked_at=looked.wall)
        stored = self.fit(look.stored, wanted)
        apart = stored is not None and stored.variant != wanted.variant_of(stored.names)
        if stored and apart:
            stored = await self._other_variant(stored.names, wanted, shared, budget)
        held, where = self._standing(held, wanted), MEMORY
        if stored and (held is None or stored.asked_at > held.stored.asked_at):
            held, where = self.take(stored, key, looked), TABLE
        why = VARY_MISS if apart else URI_MISS
        return Found(held=held, where=where, why=why, apart=apart, looked_at=looked.wall)

    async def _other_variant(
        self, names: tuple[str, ...], wanted: Wanted, shared: Shared, budget: Budget
    ) -> Stored | None:
        """Return the variant that is wanted, where another lives at the place that all share."""
        variant = wanted.variant_of(names)
        look = (await shared.look(_place(wanted.key, names, variant), wanted.rules, wanted.key, budget)).look
        stored = self.fit(look.stored if look else None, wanted)
        return stored if stored and stored.names == names and stored.variant == variant else None

    def _standing(self, held: Held | None, wanted: Wanted) -> Held | None:
        return held if held and self.fit(held.stored, wanted) else None

    def _is_fresh(self, held: Held) -> bool:
        """Say whether no newer one need be looked for; what has to be asked about each time is never any fresher."""
        stored = held.stored
        return not stored.is_nothing and (stored.no_cache or self.age_s(held) < stored.lifetime_s)

    def _is_news(self, held: Held, rules: CacheRules) -> bool:
        """Say whether what is known of *held* is good without another look at the table."""
        if self._shared is None:
            return True
        return self._elapsed.since(held.sure) < LOOK_EVERY_S and not self._marks.due(rules.project)


def _ago(moment: float, now: Instant) -> Instant:
    """Return the *moment* on both clocks; one that another machine's clock puts ahead of ours is now."""
    return Instant(min(moment, now.wall), now.monotonic - max(0.0, now.wall - moment))


def _kept_s(stored: Stored) -> float:
    """Return at what age *stored* is of no use any more."""
    stale_s = max(stored.stale_if_error_s, stored.stale_while_revalidate_s)
    return stored.lifetime_s + max(stale_s, ASKED_ABOUT_S if has_validator(stored.headers) else 0.0)


def _place(key: Key, names: tuple[str, ...], variant: str) -> str:
    return digest((key.place, names, variant))
