"""Reading `Cache-Control` (RFC 9111 section 5.2): leniently where it forbids, strictly where it allows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from gatehouse.headers import Headers

MOST_S = 2**31
"""What a number of seconds counts for if it is larger (RFC 9111 section 1.2.2)."""
FORBIDDING = frozenset({"must-revalidate", "no-cache", "no-store", "private", "proxy-revalidate"})
_DIRECTIVE = re.compile(
    r"""(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^",]*)))?"""
    r"(?P<rest>[^,]*)",
    re.VERBOSE,
)
_APART = re.compile(r"[\s;]+")
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Directives:
    """What a message says in `Cache-Control`: names in lower case, each with every argument it was given."""

    said: Mapping[str, tuple[str, ...]]

    def __contains__(self, name: object) -> bool:
        return name in self.said

    def seconds(self, name: str) -> int | None:
        """Return the argument of *name* in seconds: the smallest of several, and 0 for one that is no number.

        None if it was not said. Invalid freshness counts as none (RFC 9111 section 4.2.1).
        """
        if name not in self.said:
            return None
        return min(delta_seconds(value) or 0 for value in self.said[name])


NOTHING = Directives({})
MOST_BYTES = 1024
UNREADABLE = Directives({"no-cache": ("",), "no-store": ("",)})
"""What a longer field counts as: reading it costs more than it can say, and what it forbids may stand at its end."""


def directives(headers: Headers) -> Directives:
    """Return what *headers* say in `Cache-Control`."""
    value = ", ".join(headers.get_all("cache-control"))
    if len(value) > MOST_BYTES:
        return UNREADABLE
    return parse(value) if value else NOTHING


@lru_cache(maxsize=512)
def parse(value: str) -> Directives:
    """Return what *value* says; what is no directive is passed over.

    Some write spaces or semicolons for commas: what forbids something counts also there.
    """
    said: dict[str, tuple[str, ...]] = {}
    for match in _DIRECTIVE.finditer(value):
        name = match["name"].lower()
        argument = match["quoted"] if match["quoted"] is not None else match["plain"]
        said[name] = (*said.get(name, ()), (argument or "").strip())
        words = _APART.split(f"{match['plain'] or ''}{match['rest']}".lower())
        said.update((word, ("",)) for word in words[1:] if word in FORBIDDING and word not in said)
    return Directives(said)


def delta_seconds(text: str) -> int | None:
    """Return *text* as a number of seconds, at most MOST_S; None if it is none (RFC 9111 section 1.2.2)."""
    text = text.strip()
    if not _DIGITS.fullmatch(text) or not text.isascii():
        return None
    return MOST_S if len(text) > len(str(MOST_S)) else min(int(text), MOST_S)
