"""Header fields as one immutable value. What may pass in which direction stands in `hygiene.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in the order they came, repeated ones kept apart.

    Names are lower-case. Values hold one character per byte (latin-1), as on the wire.
    """

    pairs: tuple[Pair, ...] = ()

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of *name* (lower-case), or *default*."""
        for key, value in self.pairs:
            if key == name:
                return value
        return default

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of *name* (lower-case), in order."""
        return tuple(value for key, value in self.pairs if key == name)

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.pairs)

    def without(self, *names: str) -> Headers:
        """Return these fields without any that is called one of *names*."""
        return Headers(tuple(pair for pair in self.pairs if pair[0] not in names))

    def adding(self, pairs: Iterable[Pair]) -> Headers:
        """Return these fields and *pairs* after them."""
        return Headers((*self.pairs, *pairs))

    def replacing(self, pairs: Iterable[Pair]) -> Headers:
        """Return these fields with *pairs* in place of all that have the same names."""
        new = tuple(pairs)
        return self.without(*(name for name, _ in new)).adding(new)

    def defaulting(self, pairs: Iterable[Pair]) -> Headers:
        """Return these fields and those of *pairs* whose names are not here yet."""
        names = {name for name, _ in self.pairs}
        return self.adding(pair for pair in pairs if pair[0] not in names)


def from_raw(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Take header fields as ASGI and HTTP clients hold them."""
    return Headers(tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw))


def to_raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Give header fields as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.pairs]
