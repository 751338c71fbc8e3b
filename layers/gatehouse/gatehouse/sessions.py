"""A login and the tokens it is refreshed to: who it is, until when, and how it ends."""

from __future__ import annotations

from typing import Any

from gatehouse import grants, token_ids
from gatehouse.call import Identity
from gatehouse.clock import iso
from gatehouse.errors import ForbiddenError, InvalidTokenError
from gatehouse.keys import KeyRing
from gatehouse.projects.model import Project
from gatehouse.revocations import LEEWAY_S, Revocation
from gatehouse.tokens import LONGEST_S, Issued, mint

LONGEST_SESSION_S = 12 * 3600
"""Nobody stays logged in longer without saying their password again."""
GRACE_S = 30
"""How long the token that was refreshed is still good: answers get lost, and requests are on their way."""
_REGISTERED = frozenset({"iss", "aud", "iat", "exp", "nbf", "jti"})


def view(project: Project, identity: Identity) -> dict[str, Any]:
    """Return what `GET /auth/session` says of *identity*, which a token of *project* proved."""
    claims = identity.claims
    return {
        "kind": kind(identity),
        "subject": identity.subject,
        "project": project.project,
        "service": claims.get("service"),
        "route": claims.get("route"),
        "scopes": sorted(identity.scopes),
        "environment": claims.get("environment"),
        "jti": claims.get("jti"),
        "issuedAt": iso(claims["iat"]),
        "expiresAt": iso(claims["exp"]),
        "authenticatedAt": iso(_authenticated_at(identity)),
        "refreshableUntil": None if grants.is_service(identity) else iso(_over_at(identity)),
    }


def kind(identity: Identity) -> str:
    """Return what sort of token proved *identity*: that of a `service`, a `guest` or a `login`."""
    if grants.is_service(identity):
        return "service"
    return "guest" if grants.is_guest(identity) else "login"


def refreshed(ring: KeyRing, project: Project, identity: Identity, now: float) -> Issued:
    """Return a new token for the session of *identity*: the same claims, and never past the session's end.

    Raises:
        ForbiddenError: tokens of services are not refreshed.
        InvalidTokenError: the session is over.
    """
    tokens = project.tokens
    if tokens is None or grants.is_service(identity):
        raise ForbiddenError("Service tokens are not refreshed: an administrator issues a new one.")
    over_at = _over_at(identity)
    if now >= over_at:
        raise InvalidTokenError("The session is over: log in again.")
    ttl_s = min(tokens.ttl, max(over_at, identity.claims["exp"]) - int(now))
    session = token_ids.session_of(identity.token_id)
    return mint(
        ring,
        grants.issuer_of(project),
        {
            **{name: value for name, value in identity.claims.items() if name not in _REGISTERED},
            "sub": identity.subject,
            "auth_time": _authenticated_at(identity),
            "jti": token_ids.for_session(int(now) + int(ttl_s), session),
        },
        ttl_s=ttl_s,
        now=now,
    )


def superseded(identity: Identity, now: float) -> Revocation:
    """Return the revocation of the token that was just refreshed: after GRACE_S."""
    ends_at: int = identity.claims["exp"]
    return Revocation(kind="jti", value=identity.token_id, since=now + GRACE_S, expires_at=ends_at + LEEWAY_S)


def ended(identity: Identity) -> tuple[Revocation, ...]:
    """Return what revokes the session of *identity*: its token and all that it was refreshed to."""
    return _ended(identity.token_id, identity.claims["exp"])


def ended_by_id(jti: str) -> tuple[Revocation, ...]:
    """Return what revokes the session that *jti* names; nothing if it is no id of a session's token."""
    read = token_ids.SessionTokenId.read(jti)
    return _ended(jti, read.ends_at) if read else ()


def foreign(jti: str, now: float) -> tuple[Revocation, ...]:
    """Return what revokes a token that this gateway did not issue and knows nothing of."""
    return _ended(jti, int(now) + LONGEST_S)


def everything(*, project: str, subject: str, before: float) -> Revocation:
    """Return the revocation of all that was issued before *before*: of *subject*, of *project*, or of it there."""
    kind = "subject" if subject else "project"
    expires_at = int(before) + LONGEST_S + LEEWAY_S
    return Revocation(kind=kind, value=subject, project=project, before=before, expires_at=expires_at)


def _ended(jti: str, ends_at: int) -> tuple[Revocation, ...]:
    # A token that this one was refreshed to ends no later than a whole session after it.
    over_at = ends_at + LONGEST_SESSION_S + LEEWAY_S
    session = Revocation(kind="session", value=token_ids.session_of(jti), expires_at=over_at)
    if token_ids.SessionTokenId.read(jti):
        return (session,)
    # An id of another form does not name the session that its token was refreshed to, and so is revoked beside it.
    return Revocation(kind="jti", value=jti, expires_at=ends_at + LEEWAY_S), session


def _authenticated_at(identity: Identity) -> int:
    moment: int = identity.claims.get("auth_time", identity.claims["iat"])
    return moment


def _over_at(identity: Identity) -> int:
    return _authenticated_at(identity) + LONGEST_SESSION_S
