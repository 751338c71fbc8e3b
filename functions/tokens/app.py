"""Service tokens under `/auth/tokens`, sessions, purges, the public keys, and the description of all that."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from gatehouse import grants, registry, sessions, token_ids, web
from gatehouse.api import forms, openapi
from gatehouse.audit import audited
from gatehouse.caching import purging
from gatehouse.call import Identity
from gatehouse.callers import Caller, admin, caller
from gatehouse.clock import iso
from gatehouse.errors import (
    AuthUnavailableError,
    InvalidExpiryError,
    InvalidProjectError,
    InvalidServiceError,
    TokenNotFoundError,
)
from gatehouse.jwks import MAX_AGE_S, document
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.settings import read
from gatehouse.stores.waiting import stored
from gatehouse.taking_back import TakingBack, is_active
from gatehouse.token_pages import page

PUBLIC = {"Cache-Control": f"public, max-age={MAX_AGE_S}"}
NOT_PURGED = (
    "A store of the gateway does not answer, so this may not have been purged. Try again in a moment: "
    "purging it twice does no harm."
)
REFUSALS = {"project": InvalidProjectError, "service": InvalidServiceError, "expiresInDays": InvalidExpiryError}

kit = Kit(read(os.environ))
kit.start()
taking_back = TakingBack(kit)
routes, app = web.create_app("Gatehouse tokens", kit.projects.cors)


@routes.post("/auth/tokens", status_code=201)
async def issue(request: Request) -> dict[str, object]:
    """Issue a service token. This answer is the only place where it ever stands."""
    ring = await kit.keys.current()  # before it is asked who is calling: nothing slow may stand behind that
    by = await admin(web.call_of(request), kit, "token issue")
    with _audited(request, "token issue", by) as said:
        order = _order(await web.form(request, forms.TokenOrder, refusals=REFUSALS))
        said.update(project=order.project, forService=order.service)
        project = registry.check(order, kit.projects.all)
        token, record = registry.issue(ring, project, order, by=by.identity.subject, now=time.time())
        said["jti"] = record.jti
        await stored(kit.registry.put, record)
    return {
        "token": token,
        "jti": record.jti,
        "expiresAt": iso(record.expires_at),
        "project": record.project,
        "service": record.service,
    }


@routes.get("/auth/tokens")
async def find(request: Request) -> dict[str, object]:
    """List service tokens, newest first."""
    await admin(web.call_of(request), kit, "token list")
    asked = web.query(request, forms.Page)
    good = await _good()
    records, cursor = await stored(page, kit.registry, asked, good)
    return {"tokens": [registry.view(one, active=good(one)) for one in records], "cursor": cursor}


@routes.get("/auth/tokens/{jti}")
async def show(request: Request, jti: str) -> dict[str, object]:
    """Show what is kept of one service token."""
    await admin(web.call_of(request), kit, "token show")
    record = await stored(kit.registry.get, _checked(jti))
    if record is None:
        raise TokenNotFoundError
    return registry.view(record, active=(await _good())(record))


@routes.delete("/auth/tokens/{jti}")
async def revoke(request: Request, jti: str) -> dict[str, object]:
    """Revoke one token: a service's, or that of a login or guest with all that it was refreshed to."""
    by = await admin(web.call_of(request), kit, "token revoke")
    who = by.identity.subject
    with _audited(request, "token revoke", by) as said:
        said["jti"] = _checked(jti)
        asked = web.query(request, forms.Revoke)
        said["reason"] = reason = await _reason(request, asked.reason)
        foreign = asked.unregistered == "true"
        return await stored(taking_back.by_id, jti, by=who, reason=reason, unregistered=foreign)


@routes.delete("/auth/tokens")
async def revoke_many(request: Request) -> dict[str, object]:
    """Revoke whatever of a subject or a project was issued before a moment."""
    by = await admin(web.call_of(request), kit, "tokens revoke")
    with _audited(request, "tokens revoke", by) as said:
        asked = web.query(request, forms.RevokeMany)
        project, subject = asked.project or "", asked.subject or ""
        before = asked.before.timestamp() if asked.before else None
        said.update(project=project, subject=subject, before=iso(before))
        if project and project not in kit.projects.named:
            raise InvalidProjectError
        said["reason"] = reason = await _reason(request, asked.reason)
        by_whom = {"by": by.identity.subject, "reason": reason}
        return await stored(taking_back.everything, project=project, subject=subject, before=before, **by_whom)


@routes.delete("/auth/cache")
async def purge(request: Request) -> dict[str, object]:
    """Throw away answers that are kept in the cache."""
    by = await admin(web.call_of(request), kit, "cache purge")
    with _audited(request, "cache purge", by) as said:
        await web.form(request, forms.Nothing, empty=forms.Nothing())
        asked = web.query(request, forms.Purge)
        said.update(asked.model_dump(exclude_none=True))
        order = purging.order(kit.projects.all, **asked.model_dump())
        try:
            said["generation"] = generation = await stored(kit.purge_log.add, **asdict(order))
        except AuthUnavailableError as error:
            raise AuthUnavailableError(NOT_PURGED) from error
    return order.view(generation)


@routes.get("/auth/session")
async def session(request: Request) -> dict[str, object]:
    """Say who is calling, by which token, and until when it is good."""
    known = await caller(web.call_of(request), kit)
    return sessions.view(known.project, known.identity)


@routes.post("/auth/refresh")
async def refresh(request: Request) -> dict[str, object]:
    """Give a new token for a live one, which ends a little later."""
    await web.form(request, forms.Nothing, empty=forms.Nothing())
    ring = await kit.keys.current()
    known = await caller(web.call_of(request), kit)
    with _audited(request, "refresh", known) as said:
        issued = sessions.refreshed(ring, known.project, known.identity, time.time())
        await stored(_supersede, known.identity)
        said["jti"] = issued.jti
    return {"success": True, "token": issued.token, "expiresAt": iso(issued.expires_at)}


@routes.post("/auth/logout")
async def logout(request: Request) -> dict[str, object]:
    """Revoke the token that this is called with, and all that it was refreshed to."""
    await web.form(request, forms.Nothing, empty=forms.Nothing())
    known = await caller(web.call_of(request), kit)
    with _audited(request, "logout", known) as said:
        said["jti"] = known.identity.token_id
        await stored(kit.session_limits.charge, known.identity)
        await stored(taking_back.own, known.identity)
    return {"success": True}


@routes.get("/.well-known/jwks.json")
async def jwks() -> Response:
    """Publish the public keys that tokens can be checked with (RFC 7517)."""
    keys = document(await kit.keys.current())
    return JSONResponse(keys, headers=PUBLIC, media_type="application/jwk-set+json")


@routes.get("/auth/openapi.json")
async def described() -> Response:
    """Describe every address under /auth (OpenAPI 3.1)."""
    return JSONResponse(openapi.document(kit.projects), headers=PUBLIC)


def _checked(jti: str) -> str:
    """Return *jti*, if it can be an id at all."""
    if not re.fullmatch(token_ids.FORM, jti):
        raise TokenNotFoundError
    return jti


def _supersede(identity: Identity) -> None:
    """Let the token that was just refreshed end a little later: once, and not a guest's, who could as well ask anew."""
    if grants.is_guest(identity) or kit.revocations.known.mentions(identity.token_id):
        return
    kit.session_limits.charge(identity)
    taking_back.by_row(sessions.superseded(identity, time.time()), by=identity.subject, reason="refresh")


async def _reason(request: Request, asked: str | None) -> str:
    told = await web.form(request, forms.Reason, empty=forms.Reason())
    return told.reason or asked or ""


def _order(asked: forms.TokenOrder) -> registry.Order:
    return registry.Order(
        project=asked.project,
        service=asked.service,
        days=asked.expiresInDays or registry.DEFAULT_DAYS,
        description=asked.description or "",
        backend=asked.backend or "",
        created_by=asked.createdBy or "",
        metadata=asked.metadata or {},
    )


async def _good() -> Callable[[registry.Record], bool]:
    """Return what says of a record whether its token is good now."""
    ring = await kit.keys.current()
    return partial(is_active, known=kit.revocations.known, now=time.time(), kids=ring.keys.keys())


def _audited(request: Request, action: str, by: Caller) -> AbstractContextManager[dict[str, object]]:
    call = web.call_of(request)
    return audited(action, who=by.identity.subject, source_ip=call.client_ip, request_id=call.request_id)


handler = lambda_function(app)
