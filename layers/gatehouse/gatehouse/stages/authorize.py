"""Let a known caller onto the route only if the token was granted for it."""

from __future__ import annotations

from gatehouse import grants
from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.errors import InsufficientTokenError
from gatehouse.projects.model import Project, Route
from gatehouse.tokens import KIND


def authorize(route: Route, project: Project) -> Stage:
    """Return the stage that keeps the rules of `grants.opens` for *route* of *project*."""

    async def authorize(call: Call, forward: Handler) -> Reply:
        identity = call.identity
        if identity is not None and identity.kind == KIND and not grants.opens(identity, route, project):
            raise InsufficientTokenError
        return await forward(call)

    return authorize
