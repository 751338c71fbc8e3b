"""Find out who is calling, by the credentials that the route accepts, in their order."""

from __future__ import annotations

from dataclasses import replace

from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.credentials import Credential
from gatehouse.errors import MissingTokenError


def authenticate(credentials: tuple[Credential, ...], *, required: bool) -> Stage:
    """Return the stage that tries *credentials*; without any, a *required* route refuses.

    A credential that is there and not good is refused everywhere, by the exception it raises.
    """

    async def authenticate(call: Call, forward: Handler) -> Reply:
        for prove in credentials:
            identity = await prove(call)
            if identity is not None:
                return await forward(replace(call, identity=identity))
        if required:
            raise MissingTokenError
        return await forward(call)

    return authenticate
