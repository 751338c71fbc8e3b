"""What the gateway would do with a request, and why, as one document. Every rule is asked where the gateway has it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from gatehouse import edge
from gatehouse.build import entries
from gatehouse.call import Call
from gatehouse.cli import dry_run, near
from gatehouse.cli.dry_run import Outcome
from gatehouse.cli.explained_callers import Document, Found, as_forwarded, callers, is_public, limits
from gatehouse.clock import Clock
from gatehouse.errors import NO_ROUTE, BadPathError, ForbiddenError
from gatehouse.headers import Headers
from gatehouse.paths import canonical, check_query
from gatehouse.projects import Projects
from gatehouse.projects.checks import RESERVED
from gatehouse.projects.model import GATEWAY
from gatehouse.routes import pattern, split
from gatehouse.stages.forward import location, passage, target_of

ADDRESS, REQUEST_ID = "(the client's address)", "(a new one for each request)"
_HIDDEN = re.compile(r"authorization|cookie|credential|key|passw|secret|signature|token", re.IGNORECASE)


class _NoBody:
    async def read(self) -> bytes:
        return b""

    async def gone(self) -> None:
        await asyncio.Event().wait()


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
        "callers": callers(matching[0], clean, seen.identity),
        "limits": limits(matching[0], clean),
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


def _upstream(found: Found, call: Call) -> Document:
    project, route, path = found
    target = target_of(route, path, project)
    call = replace(call, identity=as_forwarded(found, call.identity))
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
