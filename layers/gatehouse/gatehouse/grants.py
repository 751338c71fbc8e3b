"""Which token opens which route, and which token a login or a guest gets. Nobody chooses their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatehouse.call import Identity
from gatehouse.errors import InvalidRouteError
from gatehouse.keys import KeyRing
from gatehouse.projects.model import Project, Route, Tokens
from gatehouse.tokens import GUEST, Issued, Issuer, mint, service_subject

ADMIN = "admin"
PRODUCTION, STAGING = "production", "staging"


def opens(identity: Identity, route: Route, project: Project) -> bool:
    """Say whether a token of *identity* opens *route* of *project*.

    It does if it was issued for that route; if it is elevated: issued for one of the `elevated` names to somebody who
    is not a guest; or if it is the token of a service called like the route. Where the route's `claims` ask for a
    project, the tokens of services are judged by those claims instead, in the stage after this one.
    """
    elevated = project.tokens.elevated if project.tokens else ()
    if is_service(identity):
        return "project" in route.claims or identity.claims.get("service") == route.name
    granted = identity.claims.get("route")
    if granted == route.name:
        return granted not in elevated or not is_guest(identity)
    return granted in elevated and not is_guest(identity)


def is_service(identity: Identity) -> bool:
    """Say whether *identity* is a service's: its token names a project and a service, and nothing that elevates."""
    return bool(service_subject(identity.claims)) and "route" not in identity.claims


def is_guest(identity: Identity) -> bool:
    """Say whether *identity* is a guest's: nothing but the guest's scope, or the guest's name."""
    return not identity.scopes - {GUEST} or identity.subject == GUEST


def is_admin(identity: Identity, project: Project) -> bool:
    """Say whether *identity*, proved by a token of *project*, may administer the gateway.

    Its token must be elevated, of somebody who is not a guest, and have the scope `admin`.
    """
    elevated = project.tokens.elevated if project.tokens else ()
    return identity.claims.get("route") in elevated and not is_guest(identity) and ADMIN in identity.scopes


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


def issue(ring: KeyRing, tokens: Tokens, claims: Mapping[str, Any], now: float) -> Issued:
    """Return a token with *claims*, as the project's *tokens* say it has to be: the first of a session."""
    issuer = Issuer(issuer=tokens.issuer, audience=tokens.audience)
    return mint(ring, issuer, {**claims, "auth_time": int(now)}, ttl_s=tokens.ttl, now=now)


def issuer_of(project: Project, route: Route | None = None) -> Issuer:
    """Return whose tokens *project* believes, on *route* if that says more."""
    projects = frozenset(route.claims.get("project", ())) if route else frozenset()
    return Issuer(issuer=project.issuer, audience=project.audience, projects=projects)


def _claims(subject: str, route: str, scope: str, environment: str, issuer: str) -> dict[str, Any]:
    return {
        "sub": subject,
        "projectId": subject,
        "route": route,
        "scopes": [scope],
        "environment": environment,
        "issuedBy": issuer,
    }
