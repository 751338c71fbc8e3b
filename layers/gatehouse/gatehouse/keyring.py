"""The key ring that is in force now: fetched when first needed, kept for a while, served stale on trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gatehouse import logs
from gatehouse.clock import Clock
from gatehouse.errors import AuthUnavailableError
from gatehouse.keys import KeyRing, KeyRingError, parse

FRESH_S = 300.0
QUIET_S = 30.0
"""How long nothing is fetched after a failure with a ring at hand, or after a key id that the ring did not have."""
EMPTY_QUIET_S = 2.0
"""How long nothing is fetched after a failure with no ring at all: callers get 503 at once meanwhile."""


class LiveKeyRing:
    """Keeps the key ring that *fetch* gives, one fetch at a time.

    Args:
        fetch: returns the secret's text, or raises any exception when it cannot.
        monotonic: a steady clock, in seconds.
    """

    def __init__(self, fetch: Callable[[], Awaitable[str]], monotonic: Clock) -> None:
        self._fetch = fetch
        self._now = monotonic
        self._ring: KeyRing | None = None
        self._stale_at = float("-inf")
        self._quiet_until = float("-inf")
        self._fetching: asyncio.Lock | None = None

    async def current(self) -> KeyRing:
        """Return the ring, fetched anew if it is older than FRESH_S.

        Raises:
            AuthUnavailableError: there is no ring yet and none can be had.
        """
        if self._ring is not None and (self._now() < self._stale_at or self._is_fetching()):
            return self._ring
        return await self._refreshed()

    def _is_fetching(self) -> bool:
        """Say whether somebody is fetching already: then nobody else waits for what they can do without."""
        return self._fetching is not None and self._fetching.locked()

    async def with_key(self, kid: str) -> KeyRing:
        """Return a ring for a token that names *kid*: looked for once more if the ring has no such key."""
        ring = await self.current()
        if kid in ring.keys:
            return ring
        if self._is_fetching():  # for this very key, perhaps: what comes is waited for
            return await self._refreshed()
        if self._now() < self._quiet_until:
            return ring
        self._quiet_until = self._now() + QUIET_S
        self._stale_at = self._now()
        return await self._refreshed()

    async def _refreshed(self) -> KeyRing:
        # Made here, not in __init__: a lock belongs to the loop that first waits on it.
        self._fetching = self._fetching or asyncio.Lock()
        async with self._fetching:
            if self._ring is not None and self._now() < self._stale_at:
                return self._ring
            if self._now() >= self._stale_at:
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
            logs.error("key ring not fetched", reason=type(error).__name__)
        else:
            # The same keys stay the same object, so what was verified with them stays remembered.
            self._ring = self._ring if ring == self._ring else ring
            self._stale_at = self._now() + FRESH_S
            return
        self._stale_at = self._now() + (QUIET_S if self._ring else EMPTY_QUIET_S)
