"""Which token opens which route, and which token a login or a guest gets. Nobody chooses their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatehouse.call import Identity
from gatehouse.errors import InvalidRouteError
from gatehouse.keys import KeyRing
from gatehouse.projects.model import Project, Tokens
from gatehouse.tokens import GUEST, Issuer, mint

PRODUCTION, STAGING = "production", "staging"


def opens(identity: Identity, route: str, tokens: Tokens) -> bool:
    """Say whether a token of *identity* opens the route called *route*.

    It does if it was issued for that route, or is elevated: issued for one of the `elevated` names to
    somebody who is not a guest.
    """
    granted = identity.claims.get("route")
    if granted == route:
        return granted not in tokens.elevated or not is_guest(identity)
    return granted in tokens.elevated and not is_guest(identity)


def is_guest(identity: Identity) -> bool:
    """Say whether *identity* is a guest's: nothing but the guest's scope, or the guest's name."""
    return not identity.scopes - {GUEST} or identity.subject == GUEST


def login_claims(tokens: Tokens, username: str, role: str) -> dict[str, Any]:
    """Return what the token of an administrator says."""
    route = tokens.login_route or tokens.elevated[0]
    return _claims(username, route, role, PRODUCTION, tokens.issuer)


def guest_claims(tokens: Tokens, route: str) -> dict[str, Any]:
    """Return what the token of a guest says."""
    return _claims(GUEST, route, GUEST, STAGING, tokens.issuer)


def guest_route(project: Project, tokens: Tokens, asked: str | None) -> str:
    """Return the route that a guest who asked for *asked* gets: that one, or the first that guests may have.

    Raises:
        InvalidRouteError: there is such a route and guests may not have it.
    """
    allowed = tokens.guest_routes
    if asked in allowed:
        return asked
    refused = {*tokens.elevated, *(route.name for route in project.routes)} - set(allowed)
    if not allowed or (asked and asked.upper() in {name.upper() for name in refused}):
        wanted = f"Guests of {project.project} may have: {', '.join(allowed) or 'no route'}."
        raise InvalidRouteError(wanted)
    return allowed[0]


def issue(ring: KeyRing, tokens: Tokens, claims: Mapping[str, Any], now: float) -> str:
    """Return a token with *claims*, as the project's *tokens* say it has to be."""
    return mint(ring, issuer_of(tokens), claims, ttl_s=tokens.ttl, now=now)


def issuer_of(tokens: Tokens) -> Issuer:
    """Return whose tokens a project with *tokens* issues and believes."""
    return Issuer(issuer=tokens.issuer, audience=tokens.audience)


def _claims(subject: str, route: str, scope: str, environment: str, issuer: str) -> dict[str, Any]:
    return {
        "sub": subject,
        "projectId": subject,
        "route": route,
        "scopes": [scope],
        "environment": environment,
        "issuedBy": issuer,
    }
