"""Prove who is calling by a token of our own in `Authorization: Bearer …` (RFC 6750 section 2.1)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gatehouse.call import Call, Identity
from gatehouse.credentials import Credential
from gatehouse.errors import MissingTokenError
from gatehouse.tokens import TokenVerifier

MOST_LAG_S = 3600.0
"""What is said where nothing is known of revocations, in seconds: a number, which endless is not."""


class Revocations(Protocol):
    """What knows which tokens were taken back; `revocation_watch.RevocationWatch` is one."""

    def check(self, identity: Identity, project: str, *, strict: bool) -> Awaitable[None]:
        """Refuse *identity*, proved by a token for *project*, if it was taken back."""
        ...

    def age_s(self) -> float:
        """Return how old what is known of them is, in seconds."""
        ...


def gateway(verifier: TokenVerifier, revocations: Revocations, project: str, *, strict: bool) -> Credential:
    """Return the credential that *verifier* believes and *revocations* do not know.

    Args:
        verifier: believes the tokens of the project.
        revocations: what has been taken back.
        project: the project's name.
        strict: whether they are asked anew for every request.
    """

    async def prove(call: Call) -> Identity | None:
        if "authorization" not in call.headers:
            return None
        identity = await verifier.verify(bearer(call))
        try:
            await revocations.check(identity, project, strict=strict)
        finally:  # also where nobody is let through: that is when operators look at it
            call.notes["revocationLagS"] = round(min(revocations.age_s(), MOST_LAG_S), 3)
        return identity

    return prove


def bearer(call: Call) -> str:
    """Return the token in the Authorization header of *call*, which has one.

    Raises:
        MissingTokenError: it holds something else. Somebody tried to say who they are: that never becomes "nobody".
    """
    scheme, _, token = call.headers.get("authorization").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        raise MissingTokenError("The Authorization header holds no bearer token. Send 'Bearer <token>'.")
    return token
