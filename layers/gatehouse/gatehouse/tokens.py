"""Our own tokens: what is in them, how they are made, and when one is believed (RFC 7519, RFC 8725)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from gatehouse import jose, token_ids
from gatehouse.call import Identity
from gatehouse.clock import Clock
from gatehouse.errors import InvalidTokenError
from gatehouse.keys import LATEST, Key, KeyRing
from gatehouse.signatures import is_good

LEEWAY_S = 30
LONGEST_S = 365 * 86_400
REMEMBERED = 4096
KIND = "gateway"
GUEST = "guest"
TEXT_CLAIMS = ("iss", "sub", "jti", "route", "projectId", "project", "service", "environment", "issuedBy")
TIME_CLAIMS = ("exp", "iat", "nbf", "auth_time")


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
    """Whose tokens a route believes: those with this issuer and audience.

    Attributes:
        issuer: the `iss` of its tokens.
        audience: the `aud` of its tokens.
        projects: tokens of the original captionacc gateway, which name no issuer and no audience, are believed if
            the legacy key signed them and they name one of these.
    """

    issuer: str
    audience: str
    projects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token, and what is known of it."""

    token: str = field(repr=False)
    jti: str
    kid: str
    issued_at: int
    expires_at: int


def mint(ring: KeyRing, issuer: Issuer, claims: Mapping[str, Any], *, ttl_s: float, now: float) -> Issued:
    """Return a signed token with *claims* and the registered ones, good for *ttl_s* seconds.

    Without a `jti` among the claims it begins a session.
    """
    issued_at = int(now)
    expires_at = issued_at + int(ttl_s)
    jti = claims.get("jti") or token_ids.for_session(expires_at)
    registered = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "iat": issued_at,
        "exp": expires_at,
        "jti": jti,
    }
    token = jose.compact({**claims, **registered}, ring.current)
    return Issued(token=token, jti=jti, kid=ring.current.kid, issued_at=issued_at, expires_at=expires_at)


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
        claims = self._checked(form, _key(ring, form))
        identity = identity_of(claims, token)
        self._seen[digest] = (identity, claims["exp"], ring)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return identity

    def _checked(self, form: jose.Form, key: Key) -> Mapping[str, Any]:
        """Return the claims of *form* after its signature, its times and its addressee were checked."""
        if form.algorithm != key.algorithm:  # the key says which algorithm, never the token (RFC 8725 section 3.1)
            raise InvalidTokenError
        if not key.legacy and not (form.typed and form.kid):
            raise InvalidTokenError
        if not is_good(key, form.signed, form.signature):
            raise InvalidTokenError
        return self.claims_of(form, legacy=key.legacy)

    def claims_of(self, form: jose.Form, *, legacy: bool) -> Mapping[str, Any]:
        """Return the claims of *form*, if their types, their addressee and their times are right, whoever signed it.

        Raises:
            InvalidTokenError: they are not.
        """
        _check_types(form.claims)
        required = ("exp", "iat") if legacy else ("exp", "iat", "jti", "sub")
        if not all(name in form.claims for name in required):
            raise InvalidTokenError
        self._check_addressee(form.claims, legacy=legacy)
        self._check_times(form.claims)
        return form.claims

    def _check_addressee(self, claims: Mapping[str, Any], *, legacy: bool) -> None:
        """Check `iss` and `aud` (RFC 7519 section 4.1), which may be missing only from an original's token."""
        unaddressed = legacy and claims.get("project") in self._issuer.projects
        named = claims.get("aud")
        audiences = named if isinstance(named, list) else [named]
        if "aud" in claims and not all(isinstance(one, str) for one in audiences):
            raise InvalidTokenError
        if not (claims.get("iss") == self._issuer.issuer or (unaddressed and "iss" not in claims)):
            raise InvalidTokenError
        if not (self._issuer.audience in audiences or (unaddressed and "aud" not in claims)):
            raise InvalidTokenError

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        """Check `exp`, `iat` and `nbf` (RFC 7519 section 4.1), with LEEWAY_S for clocks that differ."""
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
    for name in TIME_CLAIMS:
        if name in claims and not (type(claims[name]) is int and 0 <= claims[name] < LATEST):
            raise InvalidTokenError(f"The token's {name} is not a time.")
    for name in TEXT_CLAIMS:
        if name in claims and not (isinstance(claims[name], str) and claims[name] and _encodes(claims[name])):
            raise InvalidTokenError(f"The token's {name} is not a text.")
    scopes = claims.get("scopes", [])
    if not isinstance(scopes, list) or not all(isinstance(scope, str) and scope for scope in scopes):
        raise InvalidTokenError("The token's scopes are not a list of texts.")


def _encodes(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def identity_of(claims: Mapping[str, Any], token: str) -> Identity:
    """Return who is calling, as the *claims* of *token* have it, which were checked."""
    user = claims.get("projectId", "")
    jti = claims.get("jti") or token_ids.of_text(token)
    return Identity(
        kind=KIND,
        subject=claims.get("sub") or user or service_subject(claims) or jti,
        user=user,
        scopes=frozenset(claims.get("scopes", ())),
        claims=claims,
        token=token,
        token_id=jti,
    )


def service_subject(claims: Mapping[str, Any]) -> str:
    """Return the subject of the token of a service; empty if *claims* are not of one.

    No username holds a slash, so a service never passes for a person.
    """
    project, service = claims.get("project"), claims.get("service")
    return f"{project}/{service}" if project and service else ""
