"""Which route a path belongs to: whole segments, the longest pattern first, over all projects."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
VERSION = "{version}"


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


def _segment(text: str) -> str | re.Pattern[str]:
    if VERSION not in text:
        return text
    return re.compile("[0-9]{1,9}".join(re.escape(part) for part in text.split(VERSION)))


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
