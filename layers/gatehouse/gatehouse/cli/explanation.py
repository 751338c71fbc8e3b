"""What the gateway would do with a request, and why, as one document. Every rule is asked where the gateway has it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from gatehouse import claims, edge, grants, sessions
from gatehouse.build import entries
from gatehouse.call import Call, Identity
from gatehouse.cli import dry_run, near
from gatehouse.cli.dry_run import OWN_ORGANIZATION, Outcome
from gatehouse.clock import Clock, iso
from gatehouse.counting import IP, KEY, ORGANIZATION, SUBJECT, limits_of
from gatehouse.credentials_of import described, is_there
from gatehouse.errors import NO_ROUTE, BadPathError, ForbiddenError
from gatehouse.headers import Headers
from gatehouse.paths import canonical, check_query
from gatehouse.projects import Project, Projects, Route
from gatehouse.projects.checks import RESERVED
from gatehouse.projects.model import GATEWAY
from gatehouse.routes import below, pattern, split
from gatehouse.stages.forward import location, passage, target_of

ADDRESS, REQUEST_ID = "(the client's address)", "(a new one for each request)"
Found = tuple[Project, Route, str]
Document = dict[str, Any]
_HIDDEN = re.compile(r"authorization|cookie|credential|key|passw|secret|signature|token", re.IGNORECASE)


class _NoBody:
    async def read(self) -> bytes:
        return b""


def request(method: str, path: str, query: str, headers: Headers, *, scheme: str = "https") -> Call:
    """Return the call that a request of this form becomes at the edge."""
    known = "x-request-id" in headers
    return Call(
        method=method,
        path=path,
        query=query,
        headers=headers,
        body=_NoBody(),
        client_ip=ADDRESS,
        scheme=scheme,
        request_id=edge.request_id(headers) if known else REQUEST_ID,
        route=NO_ROUTE,
    )


def explained(projects: Projects, call: Call, clock: Clock = time.time) -> Document:
    """Return what becomes of *call* at a gateway with *projects*, without keys and stores: signatures count as good."""
    document: Document = {"method": call.method, "path": call.path, "query": call.query, "canonical": None}
    seen = asyncio.run(dry_run.outcome(projects, call, clock))
    try:
        clean = replace(call, path=canonical(call.path), query=check_query(call.query), identity=seen.identity)
    except BadPathError:
        return {**document, "route": None, "near": _near(call.path, projects), "outcome": _outcome(seen)}
    document["canonical"] = clean.path
    first = clean.path[1:].partition("/")[0]
    if first in RESERVED:
        return {**document, "route": None, "near": [], "outcome": _own(first)}
    matching = _matching(projects, clean.path)
    if not matching:
        return {**document, "route": None, "near": _near(clean.path, projects), "outcome": _outcome(seen)}
    return {
        **document,
        "route": _route(matching),
        "near": [],
        "callers": _callers(matching[0], clean, seen.identity),
        "limits": _limits(matching[0], clean),
        "upstream": _upstream(matching[0], clean),
        "outcome": {**_outcome(seen), **_provided(matching[0], clean, seen)},
    }


def _matching(projects: Projects, path: str) -> list[Found]:
    """Return the routes that *path* matches, the one that it is of first."""
    found = [one for one in entries(projects) if pattern(one[2]).matches(split(path))]
    return sorted(found, key=lambda one: pattern(one[2]).rank)


def _near(path: str, projects: Projects) -> list[Document]:
    return [asdict(miss) for miss in near.misses(path, projects)]


def _own(first: str) -> Document:
    message = f"Paths under /{first} are kept for the gateway's own functions; no project file routes them."
    return {"kind": "own", "status": None, "code": None, "message": message, "allow": None}


def _outcome(seen: Outcome) -> Document:
    reply = seen.reply
    if seen.outbound:
        return {"kind": "forwarded", "status": None, "code": None, "message": None, "allow": None, "if": ""}
    body = json.loads(reply.whole) if reply.whole else {}
    allow = reply.headers.get("allow") or None
    kind = "refused" if body else "answered"
    return {
        "kind": kind,
        "status": reply.status,
        "code": body.get("code"),
        "message": body.get("message"),
        "allow": allow,
    }


def _provided(found: Found, call: Call, seen: Outcome) -> Document:
    """Return what has to be true for a request that would be forwarded, in words to go on with."""
    project, route, _ = found
    if seen.outbound is None or seen.identity is None or is_public(found, call):
        return {}
    ours = seen.identity.kind == GATEWAY
    named = bool(project.organization and route.organization != "none" and seen.identity.organization)
    conditions = [", if the credential is good", " and not revoked" if ours else ""]
    return {"if": "".join((*conditions, " and its organization is confirmed" if named else ""))}


def _route(matching: list[Found]) -> Document:
    (project, route, path), *others = matching
    return {
        "project": project.project,
        "name": route.name,
        "path": path,
        "methods": list(route.methods),
        "others": [{"project": one.project, "name": other.name, "path": text} for one, other, text in others],
    }


def _callers(found: Found, call: Call, identity: Identity | None) -> Document:
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


def _limits(found: Found, call: Call) -> list[Document]:
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


def _as_forwarded(found: Found, identity: Identity | None) -> Identity | None:
    """Return *identity* as it is at the end of the pipeline: the organisation is the confirmed one, or none."""
    project, route, _ = found
    if identity is None or project.organization is None:
        return identity
    known = route.organization != "none" and identity.organization
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


def _upstream(found: Found, call: Call) -> Document:
    project, route, path = found
    target = target_of(route, path, project)
    call = replace(call, identity=_as_forwarded(found, call.identity))
    there = location(target, call)
    where: Document = {"url": there if route.upstream else None, "path": there.removeprefix(target.address)}
    try:
        fields = passage(target, call, dry_run.AnySecret())
    except ForbiddenError as error:
        return {**where, "kept": [], "removed": [], "added": [], "unfilled": [], "problem": str(error)}
    said = {name for name, _ in fields.added}
    unfilled = {name.lower(): value for name, value in route.set_headers.items() if name.lower() not in said}
    return {
        **where,
        "kept": [{"name": name, "value": _shown(name, value)} for name, value in fields.kept],
        "removed": [{"name": name, "why": why} for name, why in fields.removed],
        "added": [{"name": name, "value": _shown(name, value)} for name, value in fields.added],
        "unfilled": [{"name": name, "value": _template(value)} for name, value in unfilled.items()],
        "problem": None,
    }


def _shown(name: str, value: str) -> str:
    """Return *value* as people may see it: what may be a secret is only measured."""
    text = value.encode("latin-1", "replace").decode("utf-8", "replace")
    return f"({len(text)} characters)" if _HIDDEN.search(name) else text


def _template(value: str | Mapping[str, Any]) -> str:
    return value if isinstance(value, str) else json.dumps(value)
