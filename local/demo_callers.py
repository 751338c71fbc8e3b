"""Whom the demo services know: a person with a session and an API key, their organisation, and an Access login."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from gatehouse import asymmetric, jose
from gatehouse.keys import Key

Said: TypeAlias = Any
"""A JSON value, or a text that goes out as it is."""
SESSION, UNATTACHED = "demo-session", "demo-session-without-organization"
KEY = "demo-key"
"""What comes after the prefix of the one API key that the demo knows."""
USER, ORGANIZATION, EMAIL = "demo-user", "demo-organization", "ada@example.com"
AUDIENCE = "demo"
KNOWING = frozenset({"AUTH_SERVICE_URL", "ORG_SERVICE_URL", "USER_SERVICE_URL", "CF_ACCESS_URL"})
"""The variables whose demo services know credentials; all others echo."""
TOKEN_S = 900
_BY_AUTH_ID = "/by-auth-id/"


@dataclass(frozen=True)
class Asked:
    """One request to a demo service."""

    service: str
    method: str
    path: str
    query: str
    headers: list[list[str]]
    body: bytes

    def get(self, name: str) -> str:
        """Return the first header called *name*, or nothing."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass
class Callers:
    """The keys that the demo's tokens are signed with, made when first asked for; `issuer` signs Access tokens."""

    issuer: str = ""
    audience: str = AUDIENCE
    _kid: str = field(default_factory=lambda: uuid.uuid4().hex)

    @cached_property
    def _rsa(self) -> Any:
        from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415  # 50 ms, and not always needed

        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def _session_key(self) -> Key:
        pem = asymmetric.generated(asymmetric.EDDSA).encode()
        return Key(kid="demo", algorithm=asymmetric.EDDSA, secret=pem)

    def access_token(self, email: str = EMAIL) -> str:
        """Return a token as Cloudflare Access gives one to a person."""
        import jwt  # noqa: PLC0415  # only who asks for one waits for it

        now = int(time.time())
        claims = {"iss": self.issuer, "aud": [self.audience], "sub": USER, "email": email, "iat": now}
        return jwt.encode({**claims, "exp": now + TOKEN_S}, self._rsa, "RS256", headers={"kid": self._kid})

    def certs(self) -> dict[str, Any]:
        """Return the keys of those tokens (RFC 7517)."""
        from jwt.algorithms import RSAAlgorithm  # noqa: PLC0415

        public = json.loads(RSAAlgorithm.to_jwk(self._rsa.public_key()))
        return {"keys": [{**public, "kid": self._kid, "alg": "RS256", "use": "sig"}]}

    def session_token(self) -> str:
        """Return the token that an auth service hands upstreams for a session."""
        now = int(time.time())
        claims = {"iss": "demo-auth", "aud": "demo", "sub": USER, "email": EMAIL, "iat": now, "exp": now + TOKEN_S}
        return jose.compact(claims, self._session_key)


def answer(asked: Asked, callers: Callers) -> tuple[int, Said] | None:
    """Return what its service says to *asked*, as status and value; None where it echoes."""
    if asked.service == "AUTH_SERVICE_URL":
        return _of_auth(asked, callers)
    if asked.service in {"ORG_SERVICE_URL", "USER_SERVICE_URL"} and _BY_AUTH_ID in asked.path:
        return _resolved(asked.path)
    if asked.service == "CF_ACCESS_URL":
        return _of_access(asked.path, callers)
    return (200, _completion(asked)) if asked.service == "CF_AI_GATEWAY_URL" else None


def _of_access(path: str, callers: Callers) -> tuple[int, Said] | None:
    if path == "/cdn-cgi/access/certs":
        return 200, callers.certs()
    return (200, callers.access_token()) if path == "/token" else None


def _of_auth(asked: Asked, callers: Callers) -> tuple[int, Said] | None:
    if asked.path == "/get-session":
        return 200, _session(asked.get("cookie"), callers)
    if (asked.method, asked.path) == ("POST", "/api-key/verify"):
        return 200, _key(asked.body, callers)
    return None


def _session(cookie: str, callers: Callers) -> Said:
    value = cookie.partition("=")[2]
    if value not in {SESSION, UNATTACHED}:
        return None
    active = ORGANIZATION if value == SESSION else None
    session = {"id": "demo", "userId": USER, "activeOrganizationId": active}
    return {"session": session, "user": {"id": USER, "email": EMAIL, "name": "Ada"}, "jwt": callers.session_token()}


def _key(body: bytes, callers: Callers) -> Said:
    try:
        key = json.loads(body)["key"]
    except (ValueError, KeyError, TypeError):
        key = None
    if not (isinstance(key, str) and key.endswith(KEY)):
        return {"valid": False, "error": {"code": "INVALID_API_KEY", "message": "Invalid API key."}, "key": None}
    known = {"id": "demo", "name": "demo", "userId": USER, "metadata": {"organizationId": ORGANIZATION}}
    return {"valid": True, "error": None, "key": known, "jwt": callers.session_token()}


def _resolved(path: str) -> tuple[int, Said]:
    """Answer as a service that knows its own ids for those of the auth service."""
    asked = path.rpartition("/")[2]
    organization = {"id": _own(ORGANIZATION), "authId": ORGANIZATION, "name": "Demo"}
    if asked == ORGANIZATION:
        return 200, organization
    if asked == USER:
        return 200, {"id": _own(USER), "authId": USER, "organizations": [organization]}
    return 404, {"error": "not found"}


def _own(auth_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"demo:{auth_id}"))


def _completion(asked: Asked) -> Said:
    """Answer as a model would, and say what the gateway told it of the caller."""
    content = f"Hello. The gateway says that you are {asked.get('cf-aig-metadata') or 'nobody'}."
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "model": "demo",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14},
        "path": asked.path,
    }
