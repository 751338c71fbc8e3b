"""Find out who is calling, by the credentials that the route accepts, in their order."""

from __future__ import annotations

import time
from dataclasses import replace

from gatehouse.call import Call, Handler, Identity, Reply, Stage
from gatehouse.clock import Clock
from gatehouse.credentials import Credential
from gatehouse.errors import MissingTokenError

ANONYMOUS = "anonymous"
"""The kind of identity that every visitor has."""

UNTAKEN = "The Authorization header holds no credential that this route takes."


def authenticate(
    credentials: tuple[Credential, ...],
    *,
    required: bool,
    visitors: Credential | None = None,
    missing: str = MissingTokenError.message,
) -> Stage:
    """Return the stage that tries *credentials*; without any, a *required* route refuses.

    A credential that is there and not good is refused everywhere, by the exception it raises. So is what stands in
    Authorization and is nobody's: whoever tried to say who they are never becomes a visitor, nor nobody.

    Args:
        credentials: what is looked for, in this order.
        required: whether somebody must be calling.
        visitors: gives everybody else an identity, if there is such a thing on the route. Without it a visitor whom an
            auth service knows as such (an anonymous session) counts as having no credential.
        missing: what callers without a credential are told.
    """

    async def authenticate(call: Call, forward: Handler) -> Reply:
        identity, visit = await _proved(credentials, call)
        if identity is None and "authorization" in call.headers:
            raise MissingTokenError(f"{UNTAKEN} {missing}")
        if identity is None and visitors is not None:
            identity = visit if visit and visit.token else await visitors(call)
        if identity is not None:
            call.notes.update(credential=identity.kind, subject=identity.subject)
            return await forward(replace(call, identity=identity))
        if required:
            raise MissingTokenError(missing)
        return await forward(call)

    return authenticate


async def _proved(credentials: tuple[Credential, ...], call: Call) -> tuple[Identity | None, Identity | None]:
    """Return whom the first credential that is somebody's proves, and the visitor whom an auth service knows.

    A visitor's session is easily had. It ends no search: what comes with it is looked at as if it were not there.
    """
    visit: Identity | None = None
    for prove in credentials:
        identity = await prove(call)
        if identity is not None and identity.kind != ANONYMOUS:
            return identity, None
        visit = visit or identity
    return None, visit


def within(seconds: float, monotonic: Clock = time.monotonic) -> Stage:
    """Return the stage that gives what comes after it *seconds* in all: asking who is calling takes its share."""

    async def within(call: Call, forward: Handler) -> Reply:
        end = monotonic() + seconds
        return await forward(replace(call, deadline=end if call.deadline is None else min(call.deadline, end)))

    return within
