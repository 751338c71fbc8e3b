"""What was purged: of every project the last purges one by one, and a floor for all before them.

Each purge has the next number of its project. An answer carries the number that was known when it was asked for, and
what is purged later has a higher one: so a purge is one small write, however much it throws away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gatehouse.paths import loosely

MOST_RECENT = 64
"""How many purges are kept one by one."""
BELOW = "/*"


@dataclass(frozen=True, slots=True)
class Purge:
    """One purge: it throws away what meets all that it says. An empty field says nothing.

    Attributes:
        number: counted from 1 in its project.
        route: the name of a route.
        path: a canonical path, whatever the query and however it is written; one that ends in `/*` means itself and
            everything below.
        organization: whose answers.
    """

    number: int
    route: str = ""
    path: str = ""
    organization: str = ""

    def covers(self, *, route: str, path: str, organization: str) -> bool:
        """Say whether an answer of *route*, to a request for *path*, that is kept for *organization* is thrown away.

        One that is kept for no organisation ("") is not, if this purge names one.
        """
        if self.route not in {"", route} or self.organization not in {"", organization}:
            return False
        if not self.path:
            return True
        top, asked = loosely(self.path.removesuffix(BELOW)), loosely(path)
        return asked == top or (self.path.endswith(BELOW) and asked.startswith(f"{top}/"))


@dataclass(frozen=True, slots=True)
class Purges:
    """The purges of one project, or as many as are still told apart.

    Attributes:
        number: of the last one; 0 if there was none.
        floor: what was asked for when a lower number than this was known is thrown away, whatever it is.
        recent: those above the floor, the oldest first.
    """

    number: int = 0
    floor: int = 0
    recent: tuple[Purge, ...] = ()

    def gone(self, generation: int, *, route: str, path: str, organization: str) -> bool:
        """Say whether an answer is thrown away that was asked for when the last known purge was number *generation*."""
        if generation >= self.number:
            return False
        if generation < self.floor:
            return True
        later = (purge for purge in self.recent if purge.number > generation)
        return any(purge.covers(route=route, path=path, organization=organization) for purge in later)

    def adding(self, *, route: str = "", path: str = "", organization: str = "") -> Purges:
        """Return these and one more, which has the next number.

        Where there are too many to tell apart, or there is nothing to tell, more is thrown away than was asked for.
        """
        number = self.number + 1
        if not (route or path or organization):
            return Purges(number, floor=number)
        recent = (*self.recent, Purge(number, route, path, organization))
        dropped, kept = recent[:-MOST_RECENT], recent[-MOST_RECENT:]
        return Purges(number, dropped[-1].number if dropped else self.floor, kept)

    def recent_json(self) -> str:
        """Return the recent ones as JSON, for `read`."""
        rows = [[one.number, one.route, one.path, one.organization] for one in self.recent]
        return json.dumps(rows, separators=(",", ":"))


def read(number: int, floor: int, recent_json: str) -> Purges:
    """Return the purges that were written as these.

    Raises:
        ValueError: they were not: something is missing, and nobody can say what was thrown away.
    """
    try:
        recent = tuple(_purges(json.loads(recent_json)))
    except RecursionError as error:
        raise ValueError("the recent purges are nested too deeply") from error
    if not 0 <= floor <= number or [one.number for one in recent] != [*_above(floor, number)]:
        raise ValueError("purges are missing")
    return Purges(number, floor, recent)


def _above(floor: int, number: int) -> range:
    return range(floor + 1, min(number, floor + MOST_RECENT + 1) + 1)


def _purges(rows: Any) -> Iterator[Purge]:
    if type(rows) is not list:
        raise ValueError("the recent purges are not a list")
    for row in rows:
        if type(row) is not list or [type(one) for one in row] != [int, str, str, str]:
            raise ValueError("this is not a purge")
        yield Purge(*row)
