"""What one process knows of what happened to kept answers: paths that were changed, and purges."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from gatehouse.caching.keying import Key
from gatehouse.caching.purges import Purges
from gatehouse.caching.rules import CacheRules
from gatehouse.caching.stored import Stored
from gatehouse.clock import Elapsed, Instant

LOOK_EVERY_S = 5.0
"""How long what was read of the table counts as news: after that at the latest a change or a purge is known."""
MOST_PATHS = 4096
SKEW_S = 1.0
"""How far the clocks of two machines may be apart: others do not use what was asked for that soon after a change."""
_ROUNDED_S = 0.002
_TICK_S = 1e-6
_NONE = Purges()


class _Changes:
    """When paths of one project were changed. What is forgotten of that counts as a change of all others."""

    def __init__(self) -> None:
        self._gone: OrderedDict[str, float] = OrderedDict()
        self._own: dict[str, float] = {}
        self._before = 0.0

    def at(self, gone: str) -> float:
        return self._gone.get(gone, self._before)

    def note(self, gone: str, at: float) -> None:
        if at <= self.at(gone):  # one that was forgotten may have been the later one
            return
        self._gone[gone] = at
        self._gone.move_to_end(gone)
        while len(self._gone) > MOST_PATHS:
            forgotten, when = self._gone.popitem(last=False)
            self._own.pop(forgotten, None)
            self._before = max(self._before, when)

    def note_own(self, gone: str, at: float) -> None:
        self.note(gone, at)
        self._own[gone] = at

    def note_told(self, gone: str, at: float) -> None:
        """Note what the table says, unless that is our own change: of that we know better when it was."""
        if at > self._own.get(gone, -SKEW_S) + SKEW_S + _ROUNDED_S:
            self.note(gone, at)


class Marks:
    """The marks of one process."""

    def __init__(self, elapsed: Elapsed) -> None:
        self._elapsed = elapsed
        self._changed: defaultdict[str, _Changes] = defaultdict(_Changes)
        self._purges: dict[str, tuple[Purges, Instant]] = {}
        self._last = 0.0

    def moment(self) -> float:
        """Return this moment, in seconds since the epoch: later than every one before it, whatever the clock does.

        So of a change and a request one comes first.
        """
        self._last = max(self._elapsed.wall(), self._last + _TICK_S)
        return self._last

    def change(self, project: str, gone: str, at: float) -> None:
        """Note that this process has changed the path of the key *gone*, *at* that many seconds since the epoch."""
        self._changed[project].note_own(gone, at)

    def told(self, project: str, gone: str, at: float) -> None:
        """Note the table's mark of the key *gone*, *at* that many seconds since the epoch; 0 for none."""
        self._changed[project].note_told(gone, at)

    def purge(self, project: str, purges: Purges, asked: Instant) -> None:
        """Note the *purges* of *project*, as they were when they were *asked* for, unless newer ones are known.

        A restored snapshot sets the steady clock back, and a table that was made anew the numbers; never both.
        """
        known = self._purges.get(project)
        if known is None or purges.number >= known[0].number or asked.monotonic >= known[1].monotonic:
            self._purges[project] = (purges, asked)

    def due(self, project: str) -> bool:
        """Say whether the purges of *project* have to be read."""
        known = self._purges.get(project)
        return known is None or self._elapsed.since(known[1]) >= LOOK_EVERY_S

    def generation(self, project: str) -> int:
        """Return the number of the last purge of *project* that is known."""
        return self._known(project).number

    def stands(self, stored: Stored, rules: CacheRules, key: Key) -> bool:
        """Say whether nothing is known to have happened to *stored* since it was asked for."""
        if stored.asked_at < self._changed[rules.project].at(key.gone):
            return False
        purges = self._known(rules.project)
        return not purges.gone(stored.generation, route=rules.route, path=key.path, organization=key.organization)

    def _known(self, project: str) -> Purges:
        known = self._purges.get(project)
        return known[0] if known else _NONE
