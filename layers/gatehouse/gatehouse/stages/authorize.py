"""Let a known caller onto the route only if the token was granted for it."""

from __future__ import annotations

from gatehouse import grants
from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.errors import InsufficientTokenError
from gatehouse.projects.model import Tokens
from gatehouse.tokens import KIND


def authorize(route: str, tokens: Tokens) -> Stage:
    """Return the stage that keeps the route rule of *tokens* for the route called *route*."""

    async def authorize(call: Call, forward: Handler) -> Reply:
        identity = call.identity
        if identity is not None and identity.kind == KIND and not grants.opens(identity, route, tokens):
            raise InsufficientTokenError
        return await forward(call)

    return authorize
