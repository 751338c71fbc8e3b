"""The services that know who is calling, as doubles on loopback, and gateways in front of which they stand.

A double says what it knows, counts what it is asked, and can be told to fail in every way that services do.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import jwt
import pytest

from gatehouse import edge, keys, lambda_http
from gatehouse.build import gateway
from gatehouse.edge import App
from gatehouse.keyring import LiveKeyRing
from gatehouse.kit import Kit
from gatehouse.projects import Projects, load
from gatehouse.settings import read
from local.servers import listen, served
from tests.contract.conftest import SECRET, Answer, Send, invoke
from tests.contract.rest_event import rest_event
from tests.contract.upstream import Lab
from tests.unit.fakes import FakeRevocations
from tests.unit.issuers import RSA_1, jwk, key_set

Said: TypeAlias = tuple[int, Any]
"""A status, and a value that is sent as JSON."""
Trouble: TypeAlias = Callable[[Said, Any, Any], Awaitable[None]]
"""What a double does in place of saying what it knows; with what it knows, and ASGI's `receive` and `send`."""

INTERNAL_KEY = "what-services-know-the-gateway-by-0123456789"
SERVICE_KEY = "what-organisations-know-the-gateway-by-0123456789"
TOKEN_SECRET = "what-the-auth-service-signs-its-own-tokens-with"
COOKIE, ACCESS_COOKIE = "better-auth.session_token", "CF_Authorization"
ADA, KIM, VISITOR = "user-ada", "user-kim", "user-nobody-knows"
CROW, ROOK = "auth-id-of-crow", "auth-id-of-rook"
"""What the auth service calls two organisations: Ada and Kim are in the first, and nobody we know is in the other."""
OWN_CROW, OWN_ROOK = "0b7c5f1e-crow", "91d2ab44-rook"
PAST, FUTURE = "2020-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"

# --------------------------------------------------------------------------------------------------- what goes wrong


async def _spoken(send: Any, status: int, body: bytes, *fields: tuple[bytes, bytes]) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def says(body: bytes, status: int = 200, *fields: tuple[bytes, bytes]) -> Trouble:
    async def say(_: Said, receive: Any, send: Any) -> None:
        await _spoken(send, status, body, *fields)

    return say


def says_it_with(status: int, *fields: tuple[bytes, bytes]) -> Trouble:
    """Say all that the service knows, and with a status or a field by which it counts for nothing."""

    async def say(said: Said, receive: Any, send: Any) -> None:
        await _spoken(send, status, json.dumps(said[1]).encode(), *fields)

    return say


async def stalls(_: Said, receive: Any, send: Any) -> None:
    await receive()  # which is, after the body, that whoever asked has hung up


async def breaks_off(said: Said, receive: Any, send: Any) -> None:
    body = json.dumps(said[1]).encode()
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})  # uvicorn hangs up


async def stalls_half_way(said: Said, receive: Any, send: Any) -> None:
    body = json.dumps(said[1]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await receive()


async def says_5_mb(said: Said, receive: Any, send: Any) -> None:
    await _spoken(send, 200, json.dumps(said[1]).encode() + b" " * 5_000_000)


async def says_5_mb_in_chunks(said: Said, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (json.dumps(said[1]).encode(), *[b" " * 65_536] * 80):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


HTML = (b"content-type", b"text/html")
TROUBLES: Mapping[str, Trouble] = {
    "slow": stalls,
    "half an answer, then slow": stalls_half_way,
    "half an answer": breaks_off,
    "500": says_it_with(500),
    "503": says_it_with(503),
    "204": says(b"", 204),
    "418": says(b'{"error": "teapot"}', 418),
    "429": says_it_with(429, (b"retry-after", b"1")),
    "redirect": says_it_with(302, (b"location", b"/elsewhere")),
    "HTML": says(b"<!doctype html><title>Sign in</title>", 200, HTML),
    "a list": says(b"[]"),
    "a text": says(b'"ok"'),
    "nothing": says(b""),
    "no text": says(b"\xff\xfe{"),
    "deep": says(b"[" * 50_000),
    "another answer": says(b'{"status": "ok"}'),
    "compressed": says_it_with(200, (b"content-encoding", b"gzip")),
    "5 MB": says_5_mb,
    "5 MB in chunks": says_5_mb_in_chunks,
}
SLOW = frozenset({"slow", "half an answer, then slow"})

# ------------------------------------------------------------------------------------------------------- the doubles


@dataclass(frozen=True)
class Asked:
    """One request to a double."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


@dataclass
class Double:
    """A service that says what it knows, unless it is told to be in trouble."""

    knows: Callable[[Asked], Said]
    trouble: str = ""
    asked: list[Asked] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        asked = Asked(scope["method"], scope["raw_path"].decode("latin-1"), headers, bytes(body))
        self.asked.append(asked)
        said = self.knows(asked)
        if self.trouble:
            await TROUBLES[self.trouble](said, receive, send)
        else:
            await _spoken(send, said[0], json.dumps(said[1]).encode(), (b"content-type", b"application/json"))

    @property
    def paths(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]


def upstream_token(user: str, **claims: Any) -> str:
    """The token that the auth service gives services for *user*; the gateway does not know how it is signed."""
    return jwt.encode({"iss": "auth", "sub": user, "exp": 4_000_000_000, **claims}, TOKEN_SECRET, "HS256")


def _session(user: str = ADA, organization: str | None = CROW, expires_at: str = FUTURE) -> dict[str, Any]:
    session = {"id": "s1", "userId": user, "activeOrganizationId": organization, "expiresAt": expires_at}
    return {
        "session": session,
        "user": {"id": user, "email": f"{user}@example.com"},
        "jwt": upstream_token(user),
    }


def _key(user: str = KIM, organization: str | None = CROW, expires_at: str = FUTURE) -> dict[str, Any]:
    metadata = {"organizationId": organization} if organization else None
    known = {"id": "k1", "userId": user, "metadata": metadata, "expiresAt": expires_at}
    return {"valid": True, "error": None, "key": known, "jwt": upstream_token(user)}


SESSIONS = {
    "good-session": _session(),
    "another-session": _session(KIM),
    "session-of-nobody-else": _session(organization=None),
    "session-of-a-stranger": _session(organization=ROOK),
    "expired-session": _session(expires_at=PAST),
    "session-of-a-visitor": {**_session(VISITOR, None), "user": {"id": VISITOR, "isAnonymous": True}},
    "session-with-an-expired-token": {**_session(), "jwt": upstream_token(ADA, exp=1_500_000_000)},
}
KEYS = {
    "crow_good": _key(),
    "crow_another": _key(ADA),
    "crow_of-nobody-else": _key(organization=None),
    "crow_of-a-stranger": _key(organization=ROOK),
    "crow_expired": _key(expires_at=PAST),
}
REFUSED_KEY = {"valid": False, "error": {"code": "INVALID_API_KEY", "message": "Invalid API key."}, "key": None}
ORGANIZATIONS = {
    CROW: {"id": OWN_CROW, "authId": CROW, "members": [{"userId": ADA}, {"userId": KIM}]},
    ROOK: {"id": OWN_ROOK, "authId": ROOK, "members": [{"userId": "somebody-else"}]},
}
USERS = {
    user: {"id": f"own-{user}", "authId": user, "organizations": [{"id": OWN_CROW, "authId": CROW}]}
    for user in (ADA, KIM)
}


def auth_knows(asked: Asked) -> Said:
    if (asked.method, asked.path) == ("GET", "/get-session"):
        return 200, SESSIONS.get(asked.get("cookie").partition("=")[2])
    if (asked.method, asked.path) == ("POST", "/api-key/verify"):
        return 200, KEYS.get(json.loads(asked.body)["key"], REFUSED_KEY)
    return 404, {"error": "not found"}


def _by_auth_id(asked: Asked, known: Mapping[str, Any]) -> Said:
    if asked.get("x-api-key") != SERVICE_KEY:
        return 401, {"error": "who are you?"}
    found = known.get(asked.path.rpartition("/")[2])
    return (200, found) if found else (404, {"error": "not found"})


@dataclass(frozen=True)
class Services:
    """Every double, and the upstream behind the gateway; `environment` is how a project file finds them."""

    auth: Double = field(default_factory=lambda: Double(auth_knows))
    organizations: Double = field(default_factory=lambda: Double(lambda asked: _by_auth_id(asked, ORGANIZATIONS)))
    users: Double = field(default_factory=lambda: Double(lambda asked: _by_auth_id(asked, USERS)))
    issuer: Double = field(default_factory=lambda: Double(lambda _: (200, json.loads(key_set(jwk(RSA_1))))))
    upstream: Lab = field(default_factory=Lab)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def doubles(self) -> tuple[Double, ...]:
        return self.auth, self.organizations, self.users, self.issuer

    @property
    def asked(self) -> int:
        """How often any of them was asked anything."""
        return sum(len(double.asked) for double in self.doubles)

    def rest(self) -> None:
        """Be well again, and forget what was asked."""
        for double in self.doubles:
            double.trouble = ""
            double.asked.clear()
        self.upstream.seen.clear()


VARIABLES = ("AUTH_SERVICE_URL", "ORG_SERVICE_URL", "USER_SERVICE_URL", "ISSUER_URL", "LAB_URL")


@contextmanager
def services() -> Iterator[Services]:
    """Serve every double on a port of its own."""
    made = Services()
    listening = [listen("127.0.0.1", 0) for _ in VARIABLES]
    ports = [one.getsockname()[1] for one in listening]
    apps = dict(zip(ports, (*made.doubles, made.upstream), strict=True))
    made.environment.update({name: address(port) for name, port in zip(VARIABLES, ports, strict=True)})

    async def each(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await apps[scope["server"][1]](scope, receive, send)

    with served(each, listening):
        yield made


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@contextmanager
def closed_port() -> Iterator[socket.socket]:
    """A port where nobody listens until somebody does; no one else gets it meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


# ------------------------------------------------------------------------------------------------------ the gateways


class Wall:
    """The wall clock of the gateways, which tests may put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s

    def pass_by(self, seconds: float) -> None:
        self.ahead_s += seconds


class Gate:
    """A gateway behind one of its hosts, which `renew` makes forget all that it knew.

    Args:
        client: which client requests leave by; the hosts differ in it.
        folder: where the project file is.
        environ: what fills it.
    """

    def __init__(self, client: str, folder: Path, environ: Mapping[str, str]) -> None:
        self.wall = Wall()
        self.port = 0
        self.send: Send
        self._client = client
        self._folder = folder
        self._environ = {"ENVIRONMENT": "local", **environ}
        self._loaded: dict[str, Projects] = {}
        self._kit = self._new_kit()
        self.renew()

    def renew(self, **environ: str) -> None:
        """Begin anew, with *environ* over what fills the project file."""
        self.wall.ahead_s = 0.0
        kit = self._new_kit()
        kit.__dict__["upstream"] = self._kit.upstream
        self.revocations = kit.__dict__["revocations"] = FakeRevocations()
        secrets = {"INTERNAL_GATEWAY_KEY": INTERNAL_KEY, "SERVICE_API_KEY_ORG_SERVICE": SERVICE_KEY}
        text = json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", "secret": SECRET}}, "secrets": secrets})

        async def fetch() -> str:
            return text

        kit.__dict__["keys"] = LiveKeyRing(fetch, time.monotonic, ring=keys.parse(text))
        if str(environ) not in self._loaded:  # a tenth of a second for a file of many routes
            self._loaded[str(environ)] = load(self._folder, {**self._environ, **environ}, secrets)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gatehouse.kit.time", SimpleNamespace(time=self.wall.time, monotonic=time.monotonic))
            self._app = edge.application(
                gateway(self._loaded[str(environ)], kit), most_bytes=1_000_000, close=kit.close
            )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def close(self) -> None:
        await self._kit.close()

    def _new_kit(self) -> Kit:
        return Kit(read({"ENVIRONMENT": "local", "UPSTREAM_CLIENT": self._client}))


@contextmanager
def on_uvicorn(folder: Path, environ: Mapping[str, str]) -> Iterator[Gate]:
    gate = Gate("streaming", folder, environ)
    listening = listen("127.0.0.1", 0)
    with served(gate, [listening]):
        gate.port = listening.getsockname()[1]
        gate.send = sender(gate.port)
        yield gate


@contextmanager
def on_mangum(folder: Path, environ: Mapping[str, str]) -> Iterator[Gate]:
    gate = Gate("buffered", folder, environ)
    app: App = gate
    function = SimpleNamespace(handler=lambda_http.lambda_function(app))

    def send(method: str, target: str, headers: Any = (), body: bytes = b"") -> Answer:
        pairs = [("Host", "gateway.example"), *_pairs(headers)]
        return invoke(function, rest_event(method, target, pairs, body))

    gate.send = send
    yield gate
    lambda_http.event_loop().run_until_complete(gate.close())


HOSTS = {"uvicorn": on_uvicorn, "mangum": on_mangum}


def sender(port: int) -> Send:
    """What sends requests to *port* of this machine, with each header as often as it is said."""

    def send(method: str, target: str, headers: Any = (), body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in _pairs(headers):
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    return send


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, dict) else list(headers)
