"""Keeps a process's revocations no older than promised: a look at the log when a request needs one, never in between.

Looks are asked for by requests and not by a timer: a frozen process has none. Time is the larger of what the wall and
the steady clock say has passed, since the steady one may stand still with the process.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gatehouse import logs, metrics
from gatehouse.call import Identity
from gatehouse.clock import Clock, Elapsed, Instant
from gatehouse.errors import AuthUnavailableError, TokenRevokedError
from gatehouse.revocations import Revocation, RevocationSet

CLOSED_AFTER_S = 60.0
"""So old may be what a process knows, and no older, before it lets nobody through."""
RETRY_S = 1.0
"""How long a process does not ask again after it got no answer."""
LOOK_S = 10.0
"""How long a look may take: everybody waits for it, and an invocation of Lambda does not last for ever."""
OVERLAP_S = 600.0
"""How far behind the last look the next one begins: writers' clocks may differ, and writes take time."""
TIDY_EVERY_S = 60.0


class Log(Protocol):
    """Where revocations are read from; `stores.revocation_log` is one."""

    async def since(self, moment: float) -> list[Revocation]:
        """Return every revocation that was written after *moment*, and perhaps some from before."""
        ...


class RevocationWatch:
    """The revocations that are in force now, as far as a process knows.

    Args:
        log: where they are read from.
        refresh_s: how old what is known may be before the log is looked at.
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
    """

    def __init__(self, log: Log, refresh_s: float, wall: Clock, monotonic: Clock) -> None:
        self.known = RevocationSet()
        self._log = log
        self._refresh_s = refresh_s
        self._wall = wall
        self._elapsed = Elapsed(wall, monotonic)
        self._looked: Instant | None = None
        """When the last look that brought an answer began."""
        self._failed: Instant | None = None
        self._tidied = self._elapsed.now()
        self._begun = 0
        self._ended = 0
        """The number of the last look that came to an end; one that was cancelled never does."""
        self._looking: asyncio.Lock | None = None

    async def check(self, identity: Identity, project: str, *, strict: bool) -> None:
        """Refuse *identity*, whose token is one of *project*, if it has been taken back.

        Args:
            identity: who a verified token says is calling.
            project: the project whose tokens the route takes.
            strict: ask the log now, whatever is known.

        Raises:
            TokenRevokedError: it has been.
            AuthUnavailableError: it cannot be said: nothing is known, or nothing recent enough.
        """
        if strict or self.age_s() >= self._refresh_s:
            await self._refresh(strict=strict)
        if self.known.holds(identity, project, self._wall()):
            raise TokenRevokedError

    def age_s(self) -> float:
        """Return how old what is known is, in seconds; endless if nothing is."""
        return float("inf") if self._looked is None else self._elapsed.since(self._looked)

    async def _refresh(self, *, strict: bool) -> None:
        arrived = self._begun
        # Made here, not in __init__: a lock belongs to the loop that first waits on it.
        self._looking = self._looking or asyncio.Lock()
        async with self._looking:
            # A look that began while this call waited is as good as one of its own.
            if self._ended <= arrived and (strict or self._is_due()):
                await self._look()
        if self.age_s() >= CLOSED_AFTER_S or (strict and self._failed is not None):
            raise AuthUnavailableError

    def _is_due(self) -> bool:
        quiet = self._failed is not None and self._elapsed.since(self._failed) < RETRY_S
        return not quiet and self.age_s() >= self._refresh_s

    async def _look(self) -> None:
        began = self._elapsed.now()
        self._begun += 1
        number = self._begun
        try:
            looking = self._log.since(self._looked.wall - OVERLAP_S if self._looked else 0)
            rows = await asyncio.wait_for(looking, LOOK_S)
        except Exception as error:  # noqa: BLE001  # whatever the store raises: what is known is kept, for a while
            self._failed, self._ended = self._elapsed.now(), number
            logs.error("revocations not read", reason=type(error).__name__, **metrics.store_failed("revocations"))
            return
        self.known.add(rows)
        self._looked, self._failed, self._ended = began, None, number
        if self._elapsed.since(self._tidied) >= TIDY_EVERY_S:
            self.known.forget(self._wall())
            self._tidied = self._elapsed.now()
