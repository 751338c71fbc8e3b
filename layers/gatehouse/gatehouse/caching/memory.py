"""The answers that one process keeps in its memory: so many bytes of them, those used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from gatehouse.caching.stored import Stored
from gatehouse.clock import Instant

VariantOf = Callable[[tuple[str, ...]], str]
"""Says which variant a request selects among answers whose `Vary` holds these names."""


@dataclass(frozen=True, slots=True)
class Held:
    """An answer, since when it is as old as it says, and when it was last known that nothing has happened to it."""

    stored: Stored
    since: Instant
    sure: Instant


class Memory:
    """Answers by place and variant.

    Args:
        most_bytes: so much is kept; what was used longest ago makes room.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[tuple[str, str], Held] = OrderedDict()
        self._places: dict[str, tuple[tuple[str, ...], set[str]]] = {}

    def names(self, place: str) -> tuple[str, ...] | None:
        """Return what the `Vary` of the newest answer at *place* holds; None if there is no answer."""
        known = self._places.get(place)
        return known[0] if known else None

    def find(self, place: str, variant_of: VariantOf) -> Held | None:
        """Return the answer at *place* that a request selects, if it is here."""
        known = self._places.get(place)
        if known is None:
            return None
        key = (place, variant_of(known[0]))
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
        return held

    def keep(self, place: str, held: Held) -> bool:
        """Keep *held* at *place*; answers under another `Vary` leave it.

        Return whether it was: not if it is too large, or a newer one is there.
        """
        stored = held.stored
        known = self._places.get(place)
        leave = known[1] if known and known[0] != stored.names else {stored.variant}
        if any(self._asked_at(place, variant) > stored.asked_at for variant in leave):
            return False
        if known and known[0] != stored.names:
            self.drop(place)
        else:
            self._remove((place, stored.variant))
        if stored.size_bytes > self._most_bytes:
            return False
        self._held[place, stored.variant] = held
        self._places.setdefault(place, (stored.names, set()))[1].add(stored.variant)
        self._bytes += stored.size_bytes
        while self._bytes > self._most_bytes:
            self._remove(next(iter(self._held)))
        return True

    def _asked_at(self, place: str, variant: str) -> float:
        held = self._held.get((place, variant))
        return held.stored.asked_at if held else 0.0

    def confirm(self, place: str, held: Held, now: Instant) -> None:
        """Note that nothing has happened to *held* until *now*."""
        key = (place, held.stored.variant)
        if self._held.get(key) is held:
            self._held[key] = replace(held, sure=now)

    def drop(self, place: str) -> None:
        """Forget every answer at *place*."""
        _, variants = self._places.get(place, ((), set()))
        for variant in tuple(variants):
            self._remove((place, variant))

    def _remove(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key, None)
        if held is None:
            return
        self._bytes -= held.stored.size_bytes
        variants = self._places[key[0]][1]
        variants.discard(key[1])
        if not variants:
            del self._places[key[0]]
