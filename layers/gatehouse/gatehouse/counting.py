"""What a limit of a route counts, and in whose bucket.

Two routes that name one limit share its buckets. A bucket's name holds nothing that a person could be known by: whom it
is about stands there as SHA-256.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from gatehouse import grants
from gatehouse.addresses import site
from gatehouse.call import Call, Identity
from gatehouse.gcra import Rate
from gatehouse.projects.model import GATEWAY, Limit, Project, Route
from gatehouse.token_ids import session_of

IP, SUBJECT, ORGANIZATION, KEY = "ip", "subject", "organization", "key"
ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLimit:
    """One of the limits of a project, as its routes keep it.

    Attributes:
        project: the project's name.
        name: what the project calls it.
        rate: how many, in how long.
        by: whose requests are counted together: `ip`, `subject`, `organization` or `key`.
        shadow: whether it only counts, and refuses nothing.
    """

    project: str
    name: str
    rate: Rate
    by: str
    shadow: bool = False


def limits_of(route: Route, project: Project, *by: str) -> tuple[RouteLimit, ...]:
    """Return the limits of *route* of *project* that count by one of *by*, in the order that the route has."""
    named = [(name, project.limits[name]) for name in route.limit]
    return tuple(
        RouteLimit(project=project.project, name=name, rate=rate_of(limit), by=limit.by, shadow=limit.shadow)
        for name, limit in named
        if limit.by in by
    )


def rate_of(limit: Limit) -> Rate:
    """Return the rate that *limit* means: without `burst` all of its requests may come at once.

    Raises:
        ValueError: it is out of bounds.
    """
    return Rate(limit.requests, limit.per, limit.requests if limit.burst is None else limit.burst)


def bucket(limit: RouteLimit, call: Call) -> str:
    """Return the name of the bucket that *call* is counted in under *limit*."""
    return f"route-{limit.project}#{limit.name}#{limit.by}#{digest(limit.by, call)}"


def digest(by: str, call: Call) -> str:
    """Return who *call* is counted as by *by*, as SHA-256 in hex."""
    return sha256(json.dumps(_counted(by, call)).encode()).hexdigest()


def _counted(by: str, call: Call) -> tuple[str, ...]:
    """Return who *call* is counted as, and what kind of thing that is: an address is no user of that name.

    Whoever has none of what a limit counts by is counted as the caller, and who is nobody in particular by address.
    """
    identity = call.identity
    if by == IP or identity is None or _is_anyone(identity):
        return (IP, site(call.client_ip))
    if by == ORGANIZATION and identity.organization:
        return (ORGANIZATION, identity.organization)
    key = _key(identity) if by == KEY else ""
    if key:
        return (KEY, identity.kind, key)
    issuer = identity.claims.get("iss") if identity.kind == "jwks" else ""
    # Two issuers may call two people the same.
    return (SUBJECT, identity.kind, str(issuer), identity.subject)


def _is_anyone(identity: Identity) -> bool:
    """Say whether *identity* is to be had for nothing, as many as one likes: it would be a bucket for every request."""
    if identity.kind == GATEWAY:
        return grants.is_guest(identity) and not grants.is_service(identity)
    return identity.kind == ANONYMOUS


def _key(identity: Identity) -> str:
    """Return what names the credential of *identity*; empty for one that has no name, as a session's cookie.

    Of our own tokens all of one login are one: whoever refreshes theirs gets no second bucket.
    """
    if identity.kind == GATEWAY:
        return session_of(identity.token_id)
    key = identity.claims.get("key") if identity.kind == "api_key" else None
    return str(key.get("id") or "") if isinstance(key, dict) else ""
