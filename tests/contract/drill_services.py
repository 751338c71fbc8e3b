"""What stands behind the gateway of the drill, and knows everybody; and the project files that lead there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.servers import listen, served
from tests.contract.callers import COOKIE, FUTURE, Asked, Double, Said, address, upstream_token
from tests.unit.fakes import write
from tests.unit.issuers import key_set

MODEL = "claude-small"
UPSTREAM, AUTH, ISSUER = "UPSTREAM_URL", "AUTH_SERVICE_URL", "ISSUER_URL"
ORGANIZATIONS, USERS = "ORG_SERVICE_URL", "USER_SERVICE_URL"
SECRETS = {name: f"{name.lower()}-0123456789-of-the-drill" for name in ("INTERNAL_GATEWAY_KEY", "MODEL_KEY", "ORG_KEY")}
PROJECT = """
project: drill
tokens:
  issuer: gateway.drill.example
  audience: drill
  ttl: 12h
  default: true
  elevated: [AUTH]
  guest_routes: [OPEN]
providers:
  access:
    type: jwks
    issuer: "${ISSUER_URL}"
    audience: drill
    jwks_url: "${ISSUER_URL}/certs"
    headers: [cf-access-token]
    require: [email]
    retry: [10ms]
  session: {type: session, cookie: better-auth.session_token, url: "${AUTH_SERVICE_URL}/get-session"}
  api_key: {type: api_key, prefix: crow_, headers: [x-api-key], url: "${AUTH_SERVICE_URL}/api-key/verify"}
organization:
  session: "${ORG_SERVICE_URL}/organizations/by-auth-id/{organization}"
  membership: "${USER_SERVICE_URL}/users/by-auth-id/{user}"
  api_key: "${USER_SERVICE_URL}/users/by-auth-id/{user}"
  headers: {X-API-Key: "${secret:ORG_KEY}"}
limits:
  often: {requests: 1000, per: 1m, by: ip}
defaults: {upstream: "${UPSTREAM_URL}", timeout: 2s}
routes:
  - {name: OPEN, path: /open, auth: optional, accept: [gateway]}
  - {name: SHUT, path: /shut, accept: [gateway], set_headers: {X-User-Id: "${identity.subject}"}}
  - name: STRICT
    path: /strict
    accept: [gateway]
    revocation: strict
    set_headers: {X-User-Id: "${identity.subject}"}
  - {name: LIMITED, path: /limited, auth: none, limit: often}
  - {name: KEPT, path: /kept, auth: none, cache: {ttl: 1h, by: public}}
  - name: TEAM
    path: /team
    accept: [session, api_key]
    organization: required
    set_headers: {X-Internal-Key: "${secret:INTERNAL_GATEWAY_KEY}", X-User-Id: "${identity.user}"}
  - name: AI
    path: /ai
    methods: [POST]
    accept: [access]
    ai: {}
    set_headers: {Authorization: "Bearer ${secret:MODEL_KEY}", X-User-Id: "${identity.email}"}
"""
MACHINES = """
project: machines
routes:
  - name: PRESS
    path: /press
    upstream: "${UPSTREAM_URL}"
    accept: [gateway]
    timeout: 2s
    claims: {project: machines, service: [press]}
    set_headers: {X-User-Id: "${claims.service}"}
"""


def written(folder: Path) -> Path:
    """Put the project files into *folder*."""
    write(folder, PROJECT, "drill.yaml")
    return write(folder, MACHINES, "machines.yaml")


@dataclass(frozen=True)
class Behind:
    """The services, by the variables that project files know them by, and where each is."""

    doubles: dict[str, Double]
    addresses: dict[str, str]

    @property
    def upstream(self) -> Double:
        return self.doubles[UPSTREAM]


@contextmanager
def behind() -> Iterator[Behind]:
    """Serve the services, each on a port of its own."""
    knows = {UPSTREAM: _upstream, AUTH: _auth, ORGANIZATIONS: _organization, USERS: _user, ISSUER: _keys}
    doubles = {name: Double(what) for name, what in knows.items()}
    listening = [listen("127.0.0.1", 0) for _ in doubles]
    ports = [one.getsockname()[1] for one in listening]
    apps = dict(zip(ports, doubles.values(), strict=True))

    async def each(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await apps[scope["server"][1]](scope, receive, send)

    with served(each, listening):
        yield Behind(doubles, {name: address(port) for name, port in zip(doubles, ports, strict=True)})


def _upstream(asked: Asked) -> Said:
    if asked.method != "POST":
        return 200, {"path": asked.path}
    message = {"role": "assistant", "content": "Yes."}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return 200, {"object": "chat.completion", "model": MODEL, "choices": choices, "usage": usage}


def _auth(asked: Asked) -> Said:
    """Know every session and every key: each is somebody's of their own, in an organisation of their own."""
    if asked.path == "/get-session":
        name = re.sub(rf".*{re.escape(COOKIE)}=", "", asked.get("cookie"))
        session = {"id": name, "userId": f"user-{name}", "activeOrganizationId": f"team-{name}", "expiresAt": FUTURE}
        user = {"id": f"user-{name}", "email": f"{name}@example.com"}
        return 200, {"session": session, "user": user, "jwt": upstream_token(f"user-{name}")}
    name = json.loads(asked.body)["key"].removeprefix("crow_")
    known = {"id": name, "userId": f"user-{name}", "metadata": {"organizationId": f"team-{name}"}, "expiresAt": FUTURE}
    return 200, {"valid": True, "error": None, "key": known, "jwt": upstream_token(f"user-{name}")}


def _organization(asked: Asked) -> Said:
    auth_id = asked.path.rpartition("/")[2]
    return 200, {"id": f"own-{auth_id}", "authId": auth_id}


def _user(asked: Asked) -> Said:
    auth_id = asked.path.rpartition("/")[2]
    team = "team-" + auth_id.removeprefix("user-")
    return 200, {"id": f"own-{auth_id}", "authId": auth_id, "organizations": [{"id": f"own-{team}", "authId": team}]}


def _keys(_: Asked) -> Said:
    return 200, json.loads(key_set())
