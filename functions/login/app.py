"""`POST /auth/login`: a username and a password in, a token out."""

from __future__ import annotations

import asyncio
import os
import time

from fastapi import Request
from pydantic import Field

from gatehouse import grants, web
from gatehouse.accounts import USERNAME, log_in
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.passwords import LONGEST
from gatehouse.settings import read

kit = Kit(read(os.environ))


class Login(web.Form):
    """What a login sends. `project` is needed only where several projects issue tokens."""

    username: str = Field(pattern=f"^{USERNAME}$")
    password: str = Field(min_length=1, max_length=LONGEST)
    project: str | None = None


routes, app = web.create_app("Gatehouse login", kit.projects.cors)


@routes.post("/auth/login")
async def login(request: Request) -> dict[str, object]:
    """Answer with a token for the account, as the metacogna gateway's clients expect it."""
    asked = await web.form(request, Login)
    _, tokens = kit.projects.issuing(asked.project)
    account = await asyncio.to_thread(log_in, kit.admins, asked.username, asked.password)
    claims = grants.login_claims(tokens, account.username, account.role)
    token = grants.issue(await kit.keys.current(), tokens, claims, time.time())
    return {"success": True, "token": token, "user": {"username": account.username, "role": account.role}}


handler = lambda_function(app)
