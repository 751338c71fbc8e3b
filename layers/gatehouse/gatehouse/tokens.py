"""Our own tokens: what is in them, how they are made, and when one is believed (RFC 7519, RFC 8725)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import jwt

from gatehouse import jose
from gatehouse.call import Identity
from gatehouse.clock import Clock
from gatehouse.errors import InvalidTokenError
from gatehouse.keys import Key, KeyRing

LEEWAY_S = 30
LONGEST_S = 365 * 86_400
LATEST = 1 << 53
REMEMBERED = 4096
KIND = "gateway"
GUEST = "guest"
TEXT_CLAIMS = ("iss", "sub", "jti", "route", "projectId", "project", "environment", "issuedBy")


class Ring(Protocol):
    """Where a verifier gets keys from."""

    async def with_key(self, kid: str) -> KeyRing:
        """Return the ring to check a token with that names *kid*."""
        ...

    async def current(self) -> KeyRing:
        """Return the ring that is in force."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Whose tokens a route believes: those with this issuer and audience."""

    issuer: str
    audience: str


def mint(ring: KeyRing, issuer: Issuer, claims: Mapping[str, Any], *, ttl_s: float, now: float) -> str:
    """Return a signed token with *claims* and the registered ones, good for *ttl_s* seconds."""
    issued = int(now)
    payload = {
        **claims,
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "iat": issued,
        "exp": issued + int(ttl_s),
        "jti": secrets.token_hex(16),
    }
    key = ring.current
    return jwt.encode(payload, key.secret, algorithm=key.algorithm, headers={"kid": key.kid})


class TokenVerifier:
    """Believes tokens of one issuer, and remembers those it has seen until they expire.

    Args:
        ring: the keys.
        issuer: whose tokens.
        clock: seconds since the epoch.
    """

    def __init__(self, ring: Ring, issuer: Issuer, clock: Clock) -> None:
        self._ring = ring
        self._issuer = issuer
        self._now = clock
        self._seen: OrderedDict[bytes, tuple[Identity, float, KeyRing]] = OrderedDict()

    async def verify(self, token: str) -> Identity:
        """Return who *token* says is calling.

        Raises:
            InvalidTokenError: the token is not one to believe, here and now.
            AuthUnavailableError: there are no keys to check it with.
        """
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        ring = await self._ring.current()
        seen = self._seen.get(digest)
        if seen and seen[2] is ring:
            if self._now() >= seen[1] + LEEWAY_S:
                raise InvalidTokenError("The token has expired. Get a new one.")
            self._seen.move_to_end(digest)
            return seen[0]
        form = jose.inspect(token)
        if form.kid:
            ring = await self._ring.with_key(form.kid)
        claims = self._checked(token, form, _key(ring, form))
        identity = _identity(claims, token)
        self._seen[digest] = (identity, claims["exp"], ring)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return identity

    def _checked(self, token: str, form: jose.Form, key: Key) -> dict[str, Any]:
        """Return the claims of *token* after its signature, its times and its addressee were checked."""
        if form.algorithm != key.algorithm:  # the key says which algorithm, never the token (RFC 8725 section 3.1)
            raise InvalidTokenError
        if not key.legacy and not (form.typed and form.kid):
            raise InvalidTokenError
        required = ["exp", "iat", "iss", "aud", *([] if key.legacy else ["jti", "sub"])]
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.secret,
                algorithms=[key.algorithm],
                issuer=self._issuer.issuer,
                audience=self._issuer.audience,
                options={"require": required, "verify_signature": True, "verify_exp": False,
                         "verify_iat": False, "verify_nbf": False},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            raise InvalidTokenError from error
        self._check_times(claims)
        _check_types(claims)
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """Check `exp`, `iat` and `nbf` (RFC 7519 section 4.1), with LEEWAY_S for clocks that differ."""
        for name in ("exp", "iat", "nbf"):
            if name in claims and not (type(claims[name]) is int and 0 <= claims[name] < LATEST):
                raise InvalidTokenError(f"The token's {name} is not a time.")
        now = self._now()
        if now >= claims["exp"] + LEEWAY_S:
            raise InvalidTokenError("The token has expired. Get a new one.")
        if max(claims["iat"], claims.get("nbf", 0)) > now + LEEWAY_S:
            raise InvalidTokenError("The token is not valid yet.")
        if not 0 < claims["exp"] - claims["iat"] <= LONGEST_S:
            raise InvalidTokenError("The token's lifetime is not one that this gateway gives.")


def _key(ring: KeyRing, form: jose.Form) -> Key:
    key = ring.keys.get(form.kid) if form.kid else ring.legacy
    if key is None:
        raise InvalidTokenError
    return key


def _check_types(claims: Mapping[str, Any]) -> None:
    for name in TEXT_CLAIMS:
        if name in claims and not (isinstance(claims[name], str) and claims[name] and _encodes(claims[name])):
            raise InvalidTokenError(f"The token's {name} is not a text.")
    scopes = claims.get("scopes", [])
    if not isinstance(scopes, list) or not all(isinstance(scope, str) and scope for scope in scopes):
        raise InvalidTokenError("The token's scopes are not a list of texts.")


def _encodes(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _identity(claims: Mapping[str, Any], token: str) -> Identity:
    user = claims.get("projectId", "")
    return Identity(
        kind=KIND,
        subject=claims.get("sub") or user or claims.get("jti", ""),
        user=user,
        scopes=frozenset(claims.get("scopes", ())),
        claims=claims,
        token=token,
    )
