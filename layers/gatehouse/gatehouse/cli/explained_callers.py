"""Who may call a route, whom a request's credential would prove, and which limits count it: part of `explanation`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gatehouse import claims, grants, sessions
from gatehouse.call import Call, Identity
from gatehouse.cli.dry_run import OWN_ORGANIZATION
from gatehouse.clock import iso
from gatehouse.counting import IP, KEY, ORGANIZATION, SUBJECT, limits_of
from gatehouse.credentials_of import described, is_there
from gatehouse.projects import Project, Route
from gatehouse.projects.model import GATEWAY
from gatehouse.routes import below, split

Found = tuple[Project, Route, str]
Document = dict[str, Any]


def callers(found: Found, call: Call, identity: Identity | None) -> Document:
    """Return whom the route takes, and who *identity* is, which what was sent with *call* would prove."""
    project, route, _ = found
    accepted = [_credential(name, found, call) for name in route.accept]
    return {
        "auth": route.auth,
        "public": is_public(found, call),
        "organization": route.organization if project.organization else None,
        "accept": accepted,
        "identity": _identity(identity, project, route) if identity else None,
        "claims": [
            {"name": name, "allowed": list(allowed), "met": _meets(name, allowed, identity)}
            for name, allowed in route.claims.items()
        ],
        "revocation": route.revocation if GATEWAY in route.accept else None,
    }


def limits(found: Found, call: Call) -> list[Document]:
    """Return the limits that *call* is counted under, in their order; public requests are by address alone."""
    project, route, _ = found
    kinds = ((IP,),) if is_public(found, call) else ((IP,), (SUBJECT, KEY), (ORGANIZATION,))
    return [
        {
            "name": one.name,
            "requests": one.rate.requests,
            "perSeconds": one.rate.per_s,
            "burst": one.rate.burst,
            "by": one.by,
            "shadow": one.shadow,
        }
        for by in kinds
        for one in limits_of(route, project, *by)
    ]


def is_public(found: Found, call: Call) -> bool:
    """Say whether *call*, whose path is canonical, is one that the route has `public`."""
    _, route, path = found
    return (call.method, below(call.path, len(split(path)))) in route.public


def as_forwarded(found: Found, identity: Identity | None) -> Identity | None:
    """Return *identity* as it is at the end of the pipeline: the organisation is the confirmed one, or none."""
    project, route, _ = found
    if identity is None:
        return None
    known = project.organization and route.organization != "none" and identity.organization
    return replace(identity, organization=OWN_ORGANIZATION if known else "")


def _meets(name: str, allowed: tuple[str, ...], identity: Identity | None) -> bool | None:
    return None if identity is None else not claims.unmet({name: allowed}, identity.claims)


def _credential(name: str, found: Found, call: Call) -> Document:
    project, route, _ = found
    if name != GATEWAY:
        provider = project.providers[name]
        what = described(provider) or "a token for visitors, made for whoever has no other credential"
        return {"name": name, "type": provider.type, "what": what, "sent": is_there(call.headers, provider)}
    issuer = grants.issuer_of(project, route)
    return {
        "name": name,
        "header": "Authorization: Bearer",
        "issuer": issuer.issuer,
        "audience": issuer.audience,
        "sent": "authorization" in call.headers,
    }


def _identity(identity: Identity, project: Project, route: Route) -> Document:
    if identity.kind != GATEWAY:
        return {
            "kind": identity.kind,
            "subject": identity.subject,
            "scopes": sorted(identity.scopes),
            "jti": None,
            "expiresAt": None,
            "opens": True,
            "verified": False,
        }
    return {
        "kind": sessions.kind(identity),
        "subject": identity.subject,
        "scopes": sorted(identity.scopes),
        "jti": identity.claims.get("jti"),
        "expiresAt": iso(identity.claims["exp"]),
        "opens": grants.opens(identity, route, project),
        "verified": False,
    }
