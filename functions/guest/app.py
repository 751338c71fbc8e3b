"""`POST /auth/guest`: a token for somebody who has no account, for the routes that guests may have."""

from __future__ import annotations

import os
import time

from fastapi import Request

from gatehouse import grants, web
from gatehouse.api import forms
from gatehouse.audit import audited
from gatehouse.kit import Kit
from gatehouse.lambda_http import lambda_function
from gatehouse.settings import read
from gatehouse.tokens import GUEST

kit = Kit(read(os.environ))
kit.start()


routes, app = web.create_app("Gatehouse guest", kit.projects.cors)


@routes.post("/auth/guest")
async def guest(request: Request) -> dict[str, object]:
    """Answer with a token for one route, as the metacogna gateway's clients expect it."""
    asked = await web.form(request, forms.Guest, empty=forms.Guest())
    call = web.call_of(request)
    with audited("guest", who=GUEST, source_ip=call.client_ip, request_id=call.request_id) as said:
        project, tokens = kit.projects.issuing(asked.project)
        call.notes["project"] = project.project
        route = grants.guest_route(project, tokens, asked.route)
        issued = grants.issue(await kit.keys.current(), tokens, grants.guest_claims(tokens, route), time.time())
        said.update(project=project.project, route=route, jti=issued.jti)
    return {"success": True, "token": issued.token, "route": route}


handler = lambda_function(app)
