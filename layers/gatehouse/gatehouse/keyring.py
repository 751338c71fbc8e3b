"""The key ring that is in force now: fetched when first needed, kept for a while, served stale on trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from gatehouse import logs, metrics
from gatehouse.audit import audit
from gatehouse.clock import Clock, Elapsed, Instant
from gatehouse.errors import AuthUnavailableError
from gatehouse.keys import KeyRing, KeyRingError, parse

FRESH_S = 300.0
GRACE_S = 30.0
"""How much older a ring may be while somebody is fetching another. A process that was frozen may wake up with one that
is hours old: then everybody waits for the other one."""
QUIET_S = 30.0
"""How long nothing is fetched after a failure with a ring at hand, or after a key id that the ring did not have."""
EMPTY_QUIET_S = 2.0
"""How long nothing is fetched after a failure with no ring at all: callers get 503 at once meanwhile."""


class LiveKeyRing:
    """Keeps the key ring that *fetch* gives, one fetch at a time.

    Args:
        fetch: returns the secret's text, or raises any exception when it cannot.
        monotonic: a steady clock, in seconds.
        wall: seconds since the epoch. The larger of what both say has passed counts: see `Elapsed`.
        ring: one that was fetched just now, if there is one.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[str]],
        monotonic: Clock,
        *,
        wall: Clock = time.time,
        ring: KeyRing | None = None,
    ) -> None:
        self._fetch = fetch
        self._elapsed = Elapsed(wall, monotonic)
        self._ring = ring
        self._fetched: Instant | None = self._elapsed.now() if ring else None
        """When the last fetch that brought a ring ended."""
        self._failed: Instant | None = None
        """When the last fetch ended, if it brought none."""
        self._sought: Instant | None = None
        """When a key id was last looked for that the ring did not have."""
        self._fetching: asyncio.Lock | None = None

    @property
    def ring(self) -> KeyRing | None:
        """Return the ring as it is, if there is one yet."""
        return self._ring

    async def current(self) -> KeyRing:
        """Return the ring, fetched anew if it is older than FRESH_S.

        Raises:
            AuthUnavailableError: there is no ring yet and none can be had.
        """
        if self._ring is not None and not self._is_due():
            return self._ring
        tried = self._failed or self._fetched
        if self._ring is not None and self._is_fetching() and self._is_within(FRESH_S + GRACE_S, tried):
            return self._ring  # nobody else waits for what they can do without
        return await self._refreshed()

    async def with_key(self, kid: str) -> KeyRing:
        """Return a ring for a token that names *kid*: looked for once more if the ring has no such key.

        Raises:
            AuthUnavailableError: there is no ring yet and none can be had.
        """
        ring = await self.current()
        if kid in ring.keys:
            return ring
        if self._is_fetching():  # for this very key, perhaps: what comes is waited for
            return await self._refreshed()
        if self._is_within(QUIET_S, self._sought):
            return ring
        self._sought = self._elapsed.now()
        return await self._refreshed(kid)

    def _is_fetching(self) -> bool:
        return self._fetching is not None and self._fetching.locked()

    def _is_within(self, seconds: float, moment: Instant | None) -> bool:
        return moment is not None and self._elapsed.since(moment) < seconds

    def _is_due(self) -> bool:
        """Say whether a fetch is due: what there is is no longer fresh, and the last failure lies back far enough."""
        if self._failed is not None:
            return not self._is_within(QUIET_S if self._ring else EMPTY_QUIET_S, self._failed)
        return not self._is_within(FRESH_S, self._fetched)

    async def _refreshed(self, sought: str = "") -> KeyRing:
        # Made here, not in __init__: a lock belongs to the loop that first waits on it.
        self._fetching = self._fetching or asyncio.Lock()
        async with self._fetching:
            lacks = bool(sought) and self._ring is not None and sought not in self._ring.keys
            if self._is_due() or lacks:
                await self._try()
            if self._ring is None:
                raise AuthUnavailableError
            return self._ring

    async def _try(self) -> None:
        try:
            ring = parse(await self._fetch())
        except KeyRingError as error:
            logs.error("key ring refused", reason=str(error))
        except Exception as error:  # noqa: BLE001  # whatever the store raises: good keys are kept, none means 503
            logs.error("key ring not fetched", reason=type(error).__name__, **metrics.store_failed("secrets"))
        else:
            self._take(ring)
            self._fetched, self._failed = self._elapsed.now(), None
            return
        self._failed = self._elapsed.now()

    def _take(self, ring: KeyRing) -> None:
        if self._ring is None:
            self._ring = ring
        elif ring != self._ring:  # the same keys stay the same object, so what was verified with them stays remembered
            if (ring.current, ring.keys) != (self._ring.current, self._ring.keys):
                current, changes = ring.current.kid, _changes(self._ring, ring)
                audit("key ring changed", who="secret", result="ok", current=current, **changes)
            self._ring = ring


def _changes(before: KeyRing, after: KeyRing) -> dict[str, str]:
    """Return the ids of the keys that came, that went, and that are another key under the same id, as texts."""
    both = before.keys.keys() & after.keys.keys()
    replaced = {
        kid
        for kid in both
        if (before.keys[kid].algorithm, before.keys[kid].secret) != (after.keys[kid].algorithm, after.keys[kid].secret)
    }
    changed = {
        "added": after.keys.keys() - both,
        "removed": before.keys.keys() - both,
        "replaced": replaced,
    }
    return {name: ", ".join(sorted(kids)) for name, kids in changed.items() if kids}
