"""Tokens of another issuer: believed if a key that it publishes signed them, for us, and they are not over.

They are read by the one reader of tokens (`jose`), with the one algorithm that the key is for (RFC 8725 section 3.1).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Protocol, TypeAlias

from gatehouse import foreign_claims, jose
from gatehouse.call import Identity
from gatehouse.clock import Clock
from gatehouse.errors import ForeignTokenError, InvalidTokenError
from gatehouse.foreign_claims import Believed
from gatehouse.jwk_set import ForeignKey
from gatehouse.projects.model import JwksProvider
from gatehouse.signatures import is_good_by

REMEMBERED = 4096
Seen: TypeAlias = tuple[Identity, float, ForeignKey]
"""Who a token was of, when it expires (seconds since the epoch), and the key that proved it."""


class KeysOfIssuer(Protocol):
    """Where the keys are from; `foreign_keys.ForeignKeys` is it."""

    async def key(self, kid: str, deadline: float | None = None) -> ForeignKey | None:
        """Return the key called *kid*; None if the issuer has none."""
        ...


class ForeignTokens:
    """Believes the tokens of one provider, and remembers those it has seen until they expire.

    Args:
        provider: whose tokens, and what they must say.
        keys: the keys that its issuer publishes.
        wall: seconds since the epoch.
    """

    def __init__(self, provider: JwksProvider, keys: KeysOfIssuer, wall: Clock) -> None:
        self._believed = Believed(
            issuer=provider.issuer or "",
            audiences=frozenset(provider.audience or ()),
            require=provider.require,
            service_logins=provider.service_logins,
        )
        self._keys = keys
        self._now = wall
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()

    async def verify(self, token: str, deadline: float | None = None) -> Identity:
        """Return who *token* says is calling.

        Args:
            token: the token, as it came.
            deadline: on the steady clock, when the request stops waiting for keys.

        Raises:
            ForeignTokenError: the token is not one to believe, here and now.
            AuthUnavailableError: it cannot be said: there are no keys to check it with.
        """
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        seen = self._seen.get(digest)
        if seen is not None:
            identity, exp, key = seen
            foreign_claims.check_not_over(exp, self._now())
            if await self._keys.key(key.kid, deadline) == key:  # the very key that was believed, and still is
                self._remember(digest, seen)
                return identity
            self._seen.pop(digest, None)
        identity, key = await self._verified(token, deadline)
        self._remember(digest, (identity, foreign_claims.expires_at(identity.claims), key))
        return identity

    def _remember(self, digest: bytes, seen: Seen) -> None:
        self._seen[digest] = seen
        self._seen.move_to_end(digest)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    async def _verified(self, token: str, deadline: float | None) -> tuple[Identity, ForeignKey]:
        """Return who is calling and the key that proves it. What can be refused without a key is refused first."""
        try:
            form = jose.inspect(token, jose.FOREIGN)
        except InvalidTokenError as error:
            raise ForeignTokenError(str(error)) from error
        identity = foreign_claims.identity_of(form.claims, token, self._believed, self._now())
        key = await self._keys.key(form.kid, deadline) if form.kid else None
        if key is None or form.algorithm != key.algorithm or not is_good_by(key.public, form.signed, form.signature):
            raise ForeignTokenError
        return identity, key
