"""What the gateway's own addresses answer. The OpenAPI document is made from these; tests hold the answers to them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """An answer: these keys and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class User(Answer):
    """Who logged in."""

    username: str
    role: str


class LoggedIn(Answer):
    """A token for somebody who said their password."""

    success: Literal[True]
    token: str
    user: User


class LetIn(Answer):
    """A token for a guest."""

    success: Literal[True]
    token: str
    route: str


class IssuedToken(Answer):
    """A new service token. It is never shown again."""

    token: str
    jti: str
    expiresAt: str  # noqa: N815  # names of the API
    project: str
    service: str


class TokenRecord(Answer):
    """What is kept of a service token. Times are ISO 8601; `lastUsedAt` may be a quarter of an hour too old."""

    jti: str
    project: str
    service: str
    active: bool
    createdAt: str  # noqa: N815
    expiresAt: str  # noqa: N815
    lastUsedAt: str | None  # noqa: N815
    createdBy: str  # noqa: N815
    issuedBy: str  # noqa: N815
    description: str
    backend: str
    metadata: dict[str, Any]
    sha256: str
    kid: str
    revokedAt: str | None  # noqa: N815
    revokedBy: str | None  # noqa: N815
    revokedReason: str | None  # noqa: N815


class TokenPage(Answer):
    """Service tokens, newest first; with `cursor`, if there may be more."""

    tokens: list[TokenRecord]
    cursor: str | None


class RevokedSession(Answer):
    """A session that was ended by the id of one of its tokens, or the revocation of a foreign id."""

    jti: str
    active: Literal[False]
    revokedAt: str  # noqa: N815
    revokedBy: str  # noqa: N815
    revokedReason: str | None  # noqa: N815


class RevokedMany(Answer):
    """Whose tokens, issued before when, were revoked."""

    project: str | None
    subject: str | None
    before: str
    revokedBy: str  # noqa: N815
    revokedReason: str | None  # noqa: N815


class Purged(Answer):
    """What was thrown away, as which purge of the project, and within how many seconds every process heeds it."""

    project: str
    route: str | None
    path: str | None
    organization: str | None
    generation: int
    effectiveWithinSeconds: int  # noqa: N815


class Session(Answer):
    """Who is calling, by which token, and until when it is good."""

    kind: Literal["login", "guest", "service"]
    subject: str
    project: str
    service: str | None
    route: str | None
    scopes: list[str]
    environment: str | None
    jti: str | None
    issuedAt: str  # noqa: N815
    expiresAt: str  # noqa: N815
    authenticatedAt: str  # noqa: N815
    refreshableUntil: str | None  # noqa: N815


class Refreshed(Answer):
    """A new token for the same session."""

    success: Literal[True]
    token: str
    expiresAt: str  # noqa: N815


class Done(Answer):
    """It is done."""

    success: Literal[True]


class PublicKey(BaseModel):
    """A public key (RFC 7517)."""

    model_config = ConfigDict(extra="allow")

    kty: str
    kid: str
    alg: str
    use: Literal["sig"]


class PublicKeys(Answer):
    """The public keys that tokens can be checked with."""

    keys: list[PublicKey]


class Failure(Answer):
    """The body of every failure."""

    route: str
    status: int
    code: str
    message: str
    requestId: str  # noqa: N815
    timestamp: str
    details: dict[str, Any] | None = None


class Described(BaseModel):
    """An OpenAPI document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
    paths: dict[str, Any]
