"""`POST /auth/guest`: a token for somebody who has no account, for the routes that guests may have."""

from __future__ import annotations

import os
import time

from fastapi import Request
from pydantic import Field

from gatehouse import grants, web
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.settings import read

kit = Kit(read(os.environ))


class Guest(web.Form):
    """What a guest sends: nothing, or the route that the token is for."""

    route: str | None = Field(default=None, max_length=64)
    project: str | None = None


routes, app = web.create_app("Gatehouse guest", kit.projects.cors)


@routes.post("/auth/guest")
async def guest(request: Request) -> dict[str, object]:
    """Answer with a token for one route, as the metacogna gateway's clients expect it."""
    asked = await web.form(request, Guest, empty=Guest())
    project, tokens = kit.projects.issuing(asked.project)
    route = grants.guest_route(project, tokens, asked.route)
    claims = grants.guest_claims(tokens, route)
    token = grants.issue(await kit.keys.current(), tokens, claims, time.time())
    return {"success": True, "token": token, "route": route}


handler = lambda_function(app)
