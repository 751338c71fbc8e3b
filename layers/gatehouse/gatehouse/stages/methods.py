"""Let only the methods through that the route takes."""

from __future__ import annotations

from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.errors import MethodNotAllowedError


def methods(allowed: tuple[str, ...]) -> Stage:
    """Return the stage that takes *allowed* and nothing else."""
    allow = (("allow", ", ".join(allowed)),)

    async def methods(call: Call, forward: Handler) -> Reply:
        if call.method not in allowed:
            raise MethodNotAllowedError(headers=allow)
        return await forward(call)

    return methods
