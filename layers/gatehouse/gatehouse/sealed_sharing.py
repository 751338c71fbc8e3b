"""What processes share, sealed under the key ring: for what is not about a credential that could seal it.

Who may write to the table could else say who belongs to which organisation, and who may read it, who does.
"""

from __future__ import annotations

import json

from gatehouse.asking import Shared
from gatehouse.clock import Clock
from gatehouse.errors import AuthUnavailableError
from gatehouse.sealed import seal, unseal
from gatehouse.tokens import Ring

_LABEL = "gatehouse: what processes share"


class SealedSharing:
    """An `asking.Shared` that seals what another one keeps. After a change of the current key it knows nothing.

    Args:
        shared: what keeps it.
        ring: the keys; the current one seals.
        wall: seconds since the epoch.
    """

    def __init__(self, shared: Shared, ring: Ring, wall: Clock) -> None:
        self._shared = shared
        self._ring = ring
        self._wall = wall

    async def read(self, key: str) -> tuple[str, float] | None:
        """Return the text under *key* and until when it holds, in seconds since the epoch; None if there is none.

        The moment inside counts: nobody prolongs it.
        """
        secret, found = await self._secret(), await self._shared.read(key)
        opened = unseal(found[0], secret, _label(key)) if secret and found else None
        if opened is None:
            return None
        text, expires_at = json.loads(opened)  # nothing else opens
        return (text, expires_at) if expires_at > self._wall() else None

    async def write(self, key: str, text: str, expires_at: float) -> None:
        """Keep *text* under *key* until *expires_at*, in seconds since the epoch."""
        secret = await self._secret()
        if secret:
            await self._shared.write(key, seal(json.dumps([text, expires_at]), secret, _label(key)), expires_at)

    async def _secret(self) -> bytes:
        """Return what to seal with; nothing if there is no key now. Sharing is a comfort: nobody fails for it."""
        try:
            return (await self._ring.current()).current.secret
        except AuthUnavailableError:
            return b""


def _label(key: str) -> str:
    return json.dumps([_LABEL, key])
