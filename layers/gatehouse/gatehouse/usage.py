"""When each service token was last used, to within a quarter of an hour and without a write per request."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from gatehouse import logs, metrics
from gatehouse.call import Identity
from gatehouse.clock import Clock

EVERY_S = 900
"""A process writes this often for a token that is in use: what the registry says may be so much too old."""
REMEMBERED = 4096


class LastUse:
    """Notes the use of service tokens by *write*, which takes the token's id and the time in whole seconds."""

    def __init__(self, write: Callable[[str, int], Awaitable[None]], clock: Clock) -> None:
        self._write = write
        self._now = clock
        self._written: OrderedDict[str, float] = OrderedDict()

    def note(self, identity: Identity) -> asyncio.Task[None] | None:
        """Begin to note that the token of *identity* was used now; None if there is nothing to do.

        Whoever gets a task waits for it before the answer leaves: a process may be frozen after that.
        """
        jti, now = identity.token_id, self._now()
        if "service" not in identity.claims or now < self._written.get(jti, 0) + EVERY_S:
            return None
        self._written[jti] = now
        self._written.move_to_end(jti)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        return asyncio.create_task(self._noted(jti, int(now)))

    async def _noted(self, jti: str, now: int) -> None:
        """Write it down, or not: nobody's request fails for it."""
        try:
            await self._write(jti, now)
        except Exception as error:  # noqa: BLE001  # it is a comfort
            logs.error("last use not noted", reason=type(error).__name__, **metrics.store_failed("last use"))
