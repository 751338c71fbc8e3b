"""Gateways that keep answers, behind each of their hosts, and whose cache runs on a clock that tests drive."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gatehouse import edge, grants, keys, lambda_http
from gatehouse.build import gateway
from gatehouse.caching.opened import opened
from gatehouse.call import Call, Identity
from gatehouse.edge import App, Receive, Scope, Send
from gatehouse.keyring import LiveKeyRing
from gatehouse.kit import Kit
from gatehouse.projects import Projects, load
from gatehouse.settings import read
from local.servers import listen, served
from tests.contract.caching.case import Door, Keeping
from tests.contract.conftest import SECRET, Answer, invoke
from tests.contract.conftest import Send as Sender
from tests.contract.rest_event import rest_event
from tests.contract.scripted_origin import LONGEST_WAIT_S, DrivenClock, ScriptedOrigin
from tests.unit.fakes import FakeOrganizations, FakeRevocations

HOST = "gateway.example"
MEMBERS = {"ada": "o1", "kim": "o1", "rook": "o2"}
MEMORY_BYTES = 64_000_000
BROKEN_OFF = 0
"""The status of an answer that ended before it was whole."""
DOORS: Mapping[str, Mapping[str, Any]] = {
    "open": {"auth": "none"},
    "cookies": {"auth": "none", "cookies": True},
    "optional": {"auth": "optional", "accept": ["gateway"]},
    "required": {"auth": "required", "accept": ["gateway"]},
    "members": {"auth": "required", "accept": ["s"], "organization": "required"},
    "told": {"auth": "required", "accept": ["gateway"], "set_headers": {"X-User-Id": "${identity.subject}"}},
    "pages": {"auth": "none"},
    "uncached": {"auth": "none", "cache": False},
}


@dataclass(frozen=True)
class Place:
    """A route for every door and way of keeping."""

    door: Door
    keeping: Keeping

    @property
    def name(self) -> str:
        kept = self.keeping
        return f"{self.door}-{kept.by}-{kept.ttl}-{kept.stale_if_error}-{kept.stale_while_revalidate}"


def write_projects(folder: Path, places: Iterable[Place]) -> None:
    """Write project files with a route for each of *places*; those for pages are a project of their own."""
    routes: dict[str, list[dict[str, Any]]] = {"kept": [], "pages": []}
    for place in sorted(places, key=lambda one: one.name):
        route = {"name": place.name, "path": f"/{place.name}", "cache": vars(place.keeping), **DOORS[place.door]}
        routes["pages" if place.door == "pages" else "kept"].append(route)
    common: dict[str, Any] = {
        "defaults": {"upstream": "${ORIGIN_URL}", "strip_prefix": False, "timeout": "5s"},
    }
    kept = {
        "tokens": {"issuer": "kept.example", "audience": "kept", "elevated": ["ALL"]},
        "providers": {"s": {"type": "session", "cookie": "sid", "url": "http://127.0.0.1:9/s"}},
        "organization": {"session": "http://127.0.0.1:9/{organization}", "membership": "http://127.0.0.1:9/{user}"},
    }
    pages = {"cors": {"origins": ["https://a.example", "https://b.example"]}}
    for name, special in (("kept", kept), ("pages", pages)):
        if routes[name]:
            text = json.dumps({"project": name, **common, **special, "routes": routes[name]})
            (folder / f"{name}.yaml").write_text(text)


async def _who(call: Call) -> Identity | None:
    user = call.headers.get("x-user")
    return Identity(kind="session", subject=user, organization=MEMBERS[user]) if user else None


class Arrivals:
    """How many requests a gateway has been given."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._changed = threading.Condition()
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with self._changed:
                self._number += 1
                self._changed.notify_all()
        await self._app(scope, receive, send)

    @contextmanager
    def more(self, number: int) -> Iterator[None]:
        """Wait, at the end of the context, until *number* more have come than had at its beginning."""
        begun = self._number
        yield
        with self._changed:
            assert self._changed.wait_for(lambda: self._number >= begun + number, LONGEST_WAIT_S)


@dataclass(frozen=True)
class DrivenGateway:
    """A gateway in front of a scripted origin; `address` is how its clients know it.

    It `freezes` if its process stops between an answer and the next request.
    """

    origin: ScriptedOrigin
    kit: Kit
    projects: Projects
    send: Sender
    address: str
    freezes: bool
    arrivals: Arrivals

    @property
    def clock(self) -> DrivenClock:
        return self.origin.clock

    def token_of(self, user: str) -> str:
        """Return a token that opens every route."""
        _, tokens = self.projects.issuing()
        ring = self.kit.keys.ring
        assert ring
        return grants.issue(ring, tokens, grants.login_claims(tokens, user, "admin"), time.time()).token

    def settle(self) -> None:
        """Wait until all that goes on behind answers is done."""
        for task in tuple(self.kit.answers.renewing):
            asyncio.run_coroutine_threadsafe(asyncio.wait({task}), task.get_loop()).result(LONGEST_WAIT_S)


def _kit(clock: DrivenClock, table: str, *, on_lambda: bool) -> Kit:
    client = "buffered" if on_lambda else "streaming"
    kit = Kit(read({"ENVIRONMENT": "local", "UPSTREAM_CLIENT": client, "CACHE_TABLE": table}))
    text = json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", "secret": SECRET}}})

    async def fetch() -> str:
        return text

    kit.__dict__["keys"] = LiveKeyRing(fetch, time.monotonic, ring=keys.parse(text))
    kit.__dict__["revocations"] = FakeRevocations()
    kit.__dict__["answers"] = opened(table, MEMORY_BYTES, clock.wall, clock.monotonic, freezes=on_lambda)
    kit.__dict__["organizations"] = lambda _: FakeOrganizations({"o1": "own-1", "o2": "own-2"})
    kit._credentials["kept", "s"] = _who
    return kit


@contextmanager
def driven_gateway(host: str, folder: Path, origin: ScriptedOrigin, *, table: str = "") -> Iterator[DrivenGateway]:
    """Serve the project files of *folder* in front of *origin*, on *host*: `uvicorn` or `mangum`.

    `table` is the DynamoDB table that it shares with others; its environment must say where DynamoDB is.
    """
    kit = _kit(origin.clock, table, on_lambda=host == "mangum")
    projects = load(folder, {**os.environ, "ORIGIN_URL": origin.url})
    app = Arrivals(edge.application(gateway(projects, kit), most_bytes=1_000_000, close=kit.close))

    if host == "mangum":
        yield DrivenGateway(origin, kit, projects, _by_event(app), f"https://{HOST}", True, app)
        lambda_http.event_loop().run_until_complete(kit.close())
        return
    listening = listen("127.0.0.1", 0)
    with served(app, [listening]):
        send = _by_socket(listening.getsockname()[1])
        yield DrivenGateway(origin, kit, projects, send, f"http://{HOST}", False, app)


def _by_event(app: App) -> Sender:
    function = SimpleNamespace(handler=lambda_http.lambda_function(app))

    def send(method: str, target: str, headers: Any = (), body: bytes = b"", **_: Any) -> Answer:
        return invoke(function, rest_event(method, target, _with_host(headers), body))

    return send


def _by_socket(port: int) -> Sender:
    def send(method: str, target: str, headers: Any = (), body: bytes = b"", **_: Any) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True, skip_host=True)
            for name, value in _with_host(headers):
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        except (http.client.IncompleteRead, ConnectionError):
            return Answer(BROKEN_OFF, [], b"")
        finally:
            connection.close()

    return send


def _with_host(headers: Any) -> list[tuple[str, str]]:
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    return pairs if any(name.lower() == "host" for name, _ in pairs) else [("Host", HOST), *pairs]
