"""`POST /auth/login`: a username and a password in, a token out."""

from __future__ import annotations

import asyncio
import os
import time

from fastapi import Request

from gatehouse import grants, web
from gatehouse.accounts import Account, log_in
from gatehouse.api import forms
from gatehouse.audit import audited
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.settings import read

kit = Kit(read(os.environ))
kit.start()


routes, app = web.create_app("Gatehouse login", kit.projects.cors)


@routes.post("/auth/login")
async def login(request: Request) -> dict[str, object]:
    """Answer with a token for the account, as the metacogna gateway's clients expect it."""
    asked = await web.form(request, forms.Login)
    call = web.call_of(request)
    with audited("login", who=asked.username, source_ip=call.client_ip, request_id=call.request_id) as said:
        project, tokens = kit.projects.issuing(asked.project)
        call.notes["project"] = project.project
        account = await asyncio.to_thread(_account, asked, call.client_ip)
        call.notes.update(credential="login", subject=account.username)
        claims = grants.login_claims(tokens, account.username, account.role)
        issued = grants.issue(await kit.keys.current(), tokens, claims, time.time())
        said.update(project=project.project, route=claims["route"], role=account.role, jti=issued.jti)
    return {"success": True, "token": issued.token, "user": {"username": account.username, "role": account.role}}


def _account(asked: forms.Login, client_ip: str) -> Account:
    """Return whose login it is, if not too many have failed; blocks."""
    with kit.login_limits.charged(asked.username, client_ip):
        return log_in(kit.admins, asked.username, asked.password)


handler = lambda_function(app)
