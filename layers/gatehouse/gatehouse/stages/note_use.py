"""Note that a service token was used, while the upstream works on the request."""

from __future__ import annotations

import asyncio

from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.tokens import KIND
from gatehouse.usage import LastUse

PATIENCE_S = 1.0
"""How long an answer is held back for it at most, once in `usage.EVERY_S`."""


def note_use(last_use: LastUse) -> Stage:
    """Return the stage that tells *last_use* of every token of ours that got this far."""

    async def note_use(call: Call, forward: Handler) -> Reply:
        ours = call.identity is not None and call.identity.kind == KIND
        writing = last_use.note(call.identity) if ours and call.identity else None
        if writing is None:
            return await forward(call)
        try:
            return await forward(call)
        finally:
            await asyncio.wait({writing}, timeout=PATIENCE_S)

    return note_use
