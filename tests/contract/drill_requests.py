"""One request of each kind that the drill makes, time and again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gatehouse import grants
from gatehouse.keys import KeyRing
from gatehouse.projects.model import Tokens
from gatehouse.tokens import Issued, Issuer, mint
from tests.contract.callers import COOKIE
from tests.contract.drill_services import MODEL
from tests.unit.issuers import token

PATIENT_MS = 29_000
LONG_S = 12 * 3600
"""How long tokens are good: longer than anything is down."""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        mark: what stands in it and in no other, where it may reach an upstream.
        takes_back: the token that is not good any more once this is answered with success.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    mark: str = ""
    takes_back: str = ""


class Somebody:
    """Makes the credentials that requests carry: some once, which become known, and some anew each time.

    Args:
        ring: signs our tokens.
        tokens: of the project.
        login: a username and a password.
        issuer: what the other issuer is called.
        name: tells this one from all others.
    """

    def __init__(self, ring: KeyRing, tokens: Tokens, login: tuple[str, str], issuer: str, name: str) -> None:
        self._ring = ring
        self._tokens = tokens
        self._issuer = issuer
        self._number = 0
        self.login = login
        self.name = name
        self.token = self.fresh().token
        self.access = token(iss=issuer, aud=["drill"], iat=int(time.time()), nbf=0, exp=int(time.time()) + LONG_S)
        machine = {"sub": "machines/press", "project": "machines", "service": "press"}
        issuer_of_machines = Issuer(issuer="gatehouse", audience="machines")
        self.service = mint(ring, issuer_of_machines, machine, ttl_s=LONG_S, now=time.time()).token

    def fresh(self) -> Issued:
        """Return a login's token that nobody has seen yet."""
        claims = grants.login_claims(self._tokens, self.login[0], "admin")
        return grants.issue(self._ring, self._tokens, claims, time.time())

    def mark(self) -> str:
        self._number += 1
        return f"{self.name}m{self._number}x"


Make = Callable[[Somebody], Request]


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Attributes:
        name: at the head of a column.
        means: what it is, for who reads the table.
        make: makes one.
        well: what it is answered when nothing is down.
        proxied: whether it is one for an upstream.
        proves: whether that is told who is calling.
        reports: whether it is answered by a word for how things are, in no error body.
        opens: the path that the token in its answer opens.
    """

    name: str
    means: str
    make: Make
    well: str = "200"
    proxied: bool = False
    proves: bool = False
    reports: bool = False
    opens: str = ""


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _login(who: Somebody) -> Request:
    username, password = who.login
    return Request("POST", "/auth/login", body=_json({"username": username, "password": password}))


def _issue(who: Somebody) -> Request:
    return Request("POST", "/auth/tokens", bearer(who.token), _json({"project": "machines", "service": "press"}))


def _revoke(who: Somebody) -> Request:
    lost = who.fresh()
    return Request("DELETE", f"/auth/tokens/{lost.jti}", bearer(who.token), takes_back=lost.token)


def _refresh(who: Somebody) -> Request:
    return Request("POST", "/auth/refresh", bearer(who.fresh().token))


def _logout(who: Somebody) -> Request:
    leaving = who.fresh().token
    return Request("POST", "/auth/logout", bearer(leaving), takes_back=leaving)


def _model(who: Somebody) -> Request:
    mark = who.mark()
    said = {"model": MODEL, "messages": [{"role": "user", "content": "Are you there?"}]}
    return Request("POST", f"/ai/{mark}", {"cf-access-token": who.access, "Content-Type": "application/json"},
                   _json(said), mark)  # fmt: skip


def _get(path: str, credential: Callable[[Somebody], dict[str, str]] = lambda _: {}) -> Make:
    def make(who: Somebody) -> Request:
        mark = who.mark()
        return Request("GET", f"{path}/{mark}", credential(who), mark=mark)

    return make


def _kept(who: Somebody) -> Request:
    return Request("GET", f"/kept/{who.name}-kept", mark=f"{who.name}-kept")


def _session(name: str) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={name}"}


def _key(name: str) -> dict[str, str]:
    return {"X-API-Key": f"crow_{name}"}


KINDS = (
    Kind("login", "`POST /auth/login` with the right password", _login, opens="/strict/x"),
    Kind("guest", "`POST /auth/guest`", lambda _: Request("POST", "/auth/guest"), opens="/open/x"),
    Kind("open", "no token, on an `optional` route", _get("/open"), proxied=True),
    Kind("token", "a token of a login", _get("/shut", lambda who: bearer(who.token)), proxied=True, proves=True),
    Kind("strict", "the same on a `strict` route", _get("/strict", lambda who: bearer(who.token)), proxied=True,
         proves=True),
    Kind("service", "a service token", _get("/press", lambda who: bearer(who.service)), proxied=True, proves=True),
    Kind("issue", "`POST /auth/tokens`", _issue, well="201", opens="/press/x"),
    Kind("revoke", "`DELETE /auth/tokens/ID`", _revoke),
    Kind("refresh", "`POST /auth/refresh`", _refresh, opens="/strict/x"),
    Kind("logout", "`POST /auth/logout`", _logout),
    Kind("jwks", "`/.well-known/jwks.json`", lambda _: Request("GET", "/.well-known/jwks.json")),
    Kind("ping", "`GET /ping`", lambda _: Request("GET", "/ping")),
    Kind("ready", "`GET /ready`", lambda _: Request("GET", "/ready"), well="200 ready", reports=True),
    Kind("session", "a session that was asked about a moment ago", _get("/team", lambda who: _session(who.name)),
         proxied=True, proves=True),
    Kind("key", "an API key that was", _get("/team", lambda who: _key(who.name)), proxied=True, proves=True),
    Kind("new session", "a session that nobody was asked about yet", _get("/team", lambda who: _session(who.mark())),
         proxied=True, proves=True),
    Kind("new key", "such an API key", _get("/team", lambda who: _key(who.mark())), proxied=True, proves=True),
    Kind("model", "a call of a model with a token of another issuer", _model, proxied=True, proves=True),
    Kind("limited", "no token, on a route with a limit", _get("/limited"), proxied=True),
    Kind("kept", "what was asked for a moment ago, on a route with a cache", _kept, proxied=True),
)  # fmt: skip
