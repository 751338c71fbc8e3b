"""Which route a path belongs to: whole segments, the longest pattern first, over all projects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
VERSION = "{version}"
_DIGITS = "[0-9]{1,9}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path of a project file, as the segments that have to match."""

    segments: tuple[str | re.Pattern[str], ...]

    def matches(self, segments: tuple[str, ...]) -> bool:
        """Say whether *segments* begin with this pattern; case counts, and so does every byte."""
        if len(segments) < len(self.segments):
            return False
        return all(
            wanted == given if isinstance(wanted, str) else wanted.fullmatch(given) is not None
            for wanted, given in zip(self.segments, segments, strict=False)
        )

    def ties_with(self, other: Pattern) -> bool:
        """Say whether some path matches both and neither comes before the other."""
        return self.rank == other.rank and all(
            _meet(one, two) for one, two in zip(self.segments, other.segments, strict=True)
        )

    @property
    def rank(self) -> tuple[int, int]:
        """Return what patterns are tried in the order of: more segments first, then more literal ones."""
        return -len(self.segments), sum(not isinstance(segment, str) for segment in self.segments)


def pattern(text: str) -> Pattern:
    """Return the pattern that *text*, a path of a project file, stands for; `{version}` is digits."""
    return Pattern(tuple(_segment(part) for part in split(text)))


def split(path: str) -> tuple[str, ...]:
    """Return the segments of a canonical path; those of `/` are none."""
    trimmed = path.removesuffix("/")
    return tuple(trimmed[1:].split("/")) if trimmed else ()


def below(path: str, count: int) -> str:
    """Return what is left of the canonical *path* without its first *count* segments, byte for byte; at least `/`."""
    for _ in range(count):
        path = "/" + path[1:].partition("/")[2] if "/" in path[1:] else "/"
    return path


def _segment(text: str) -> str | re.Pattern[str]:
    if VERSION not in text:
        return text
    return re.compile(_DIGITS.join(re.escape(part) for part in text.split(VERSION)))


def _meet(one: str | re.Pattern[str], other: str | re.Pattern[str]) -> bool:
    if isinstance(one, str):
        return one == other if isinstance(other, str) else other.fullmatch(one) is not None
    return one.fullmatch(_example(other)) is not None


def _example(segment: str | re.Pattern[str]) -> str:
    return segment if isinstance(segment, str) else re.sub(r"\\(.)", r"\1", segment.pattern.replace(_DIGITS, "1"))


class RouteTable(Generic[T]):
    """Finds what belongs to a path."""

    def __init__(self, entries: Iterable[tuple[Pattern, T]]) -> None:
        self._entries = sorted(entries, key=lambda entry: entry[0].rank)

    def find(self, path: str) -> T | None:
        """Return what belongs to *path* (canonical), or None."""
        segments = split(path)
        for wanted, value in self._entries:
            if wanted.matches(segments):
                return value
        return None
