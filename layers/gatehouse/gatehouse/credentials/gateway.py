"""Prove who is calling by a token of our own in `Authorization: Bearer …` (RFC 6750 section 2.1)."""

from __future__ import annotations

from gatehouse.call import Call, Identity
from gatehouse.credentials import Credential
from gatehouse.errors import MissingTokenError
from gatehouse.tokens import TokenVerifier


def gateway(verifier: TokenVerifier) -> Credential:
    """Return the credential that *verifier* believes."""

    async def prove(call: Call) -> Identity | None:
        if "authorization" not in call.headers:
            return None
        scheme, _, token = call.headers.get("authorization").partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or not token:
            # Somebody tried to say who they are: that never becomes "nobody".
            raise MissingTokenError("The Authorization header holds no bearer token. Send 'Bearer <token>'.")
        return await verifier.verify(token)

    return prove
