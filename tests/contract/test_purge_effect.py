"""What becomes of kept answers when they are purged: two processes that share a table, through both hosts."""

from __future__ import annotations

import asyncio
import http.client
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gatehouse import edge, lambda_http
from gatehouse.build import gateway
from gatehouse.caching.opened import opened
from gatehouse.caching.purging import EFFECTIVE_WITHIN_S
from gatehouse.caching.sharing import Budget
from gatehouse.call import Identity, Reply
from gatehouse.kit import Kit
from gatehouse.projects import load
from gatehouse.settings import read
from gatehouse.stores.purge_log import PurgeLog
from gatehouse.upstreams import Outbound, Upstream
from local.house import House
from local.servers import listen, served
from tests.contract.conftest import SHELF, Answer, Send, bearer
from tests.contract.test_limits import Get, over_mangum
from tests.contract.upstream import Lab
from tests.unit.fakes import FakeClock, FakeOrganizations

MOST_BYTES = 1024 * 1024
OPEN, OTHER, TEAM = "/shelf/open/7", "/shelf/open/8?a=1", "/shelf/v1/teams/7"
KEPT = ((OPEN, ""), (OTHER, ""), (TEAM, "o1"), (TEAM, "o2"))
"""What is kept: paths, and the organisation of whoever asks for them."""


class Interrupted:
    """An upstream; *meanwhile* is done when its answer has left it and has not arrived."""

    def __init__(self, inner: Upstream) -> None:
        self._inner = inner
        self.meanwhile: Callable[[], object] | None = None

    async def send(self, outbound: Outbound) -> Reply:
        reply = await self._inner.send(outbound)
        if self.meanwhile:
            await asyncio.to_thread(self.meanwhile)
        return reply

    async def close(self) -> None:
        await self._inner.close()


@dataclass
class Shelf:
    """A gateway as two processes would run it, with one table and one clock, and the upstream behind it."""

    gets: tuple[Get, Get]
    upstreams: tuple[Interrupted, Interrupted]
    clock: FakeClock
    lab: Lab
    log: PurgeLog

    def asks(self, path: str, organization: str = "", process: int = 0) -> bool:
        """Get it, and say whether the upstream was asked for it."""
        before = len(self.lab.seen)
        answer = self.gets[process](path, {"X-Organization": organization})
        assert answer.status == 200, answer.body
        asked = len(self.lab.seen) > before
        assert ("gatehouse; hit" in answer.get("cache-status")) is not asked
        return asked

    def asked(self, process: int = 0) -> list[tuple[str, str]]:
        """Get all that is kept, and return that for which the upstream was asked."""
        return [one for one in KEPT if self.asks(*one, process)]


@pytest.fixture(params=["uvicorn", "mangum"])
def shelf(
    request: pytest.FixtureRequest, house: House, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shelf]:
    monkeypatch.setenv("UPSTREAM_CLIENT", "streaming" if request.param == "uvicorn" else "buffered")
    monkeypatch.setattr(Kit, "organizations", lambda *_: FakeOrganizations({"o1": "own-1", "o2": "own-2"}))
    monkeypatch.setattr(Budget.__init__, "__defaults__", (20.0,))  # a slow machine is no table that is down
    (tmp_path / "shelf.yaml").write_text(SHELF)
    table = house.template.made["CacheTable"]["Ref"]
    log, clock = PurgeLog(table), FakeClock(time.time())
    log.add("shelf")  # of what other tests have kept, nothing is left
    kits = (Kit(read(os.environ)), Kit(read(os.environ)))
    hosts, gets = [], []
    for kit in kits:
        kit.__dict__["answers"] = opened(table, MOST_BYTES, clock, clock)
        kit.__dict__["upstream"] = Interrupted(kit.upstream)
        kit._credentials["shelf", "keys"] = who
        app = edge.application(gateway(load(tmp_path, os.environ), kit), most_bytes=1024, close=kit.close)
        hosts.append(over_uvicorn(app) if request.param == "uvicorn" else over_mangum(app))
        gets.append(next(hosts[-1]))
    yield Shelf((gets[0], gets[1]), (kits[0].upstream, kits[1].upstream), clock, lab, log)
    for host in hosts:
        next(host, None)
    if request.param == "mangum":
        for kit in kits:
            lambda_http.event_loop().run_until_complete(kit.close())


def over_uvicorn(app: Any) -> Iterator[Get]:
    """Give what asks *app* by one name, whatever its port: another host has other answers."""
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]

    def get(path: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", path, headers={"Host": "gateway.example", **headers})
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    with served(app, [listening]):
        yield get


async def who(call: Any) -> Identity:
    organization = call.headers.get("x-organization")
    return Identity(kind="api_key", subject=f"somebody-of-{organization}", organization=organization)


def purge(send: Send, token: str, **asked: str) -> None:
    answer = send("DELETE", f"/auth/cache?{urlencode({'project': 'shelf', **asked})}", bearer(token))
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({}, [0, 1, 2, 3]),
        ({"route": "OPEN"}, [0, 1]),
        ({"path": "/shelf/open/8"}, [1]),
        ({"path": "/shelf/open/*"}, [0, 1]),
        ({"path": "/shelf/*", "route": "TEAMS"}, [2, 3]),
        ({"organization": "own-2"}, [3]),
        ({"path": "/shelf/v1/teams/7", "organization": "own-1"}, [2]),
        ({"path": "/shelf/open/9"}, []),
    ],
)
def test_after_five_seconds_the_upstream_is_asked_for_exactly_what_was_purged(
    shelf: Shelf, mangum_send: Send, admin_token: str, asked: dict[str, str], gone: list[int]
):
    assert shelf.asked() == list(KEPT)
    assert shelf.asked(process=1) == []
    purge(mangum_send, admin_token, **asked)
    shelf.clock.now += EFFECTIVE_WITHIN_S
    assert shelf.asked() == [KEPT[number] for number in gone]
    assert shelf.asked(process=1) == []  # it knows of the purge as well, and finds what the first one has asked for
    shelf.clock.now += EFFECTIVE_WITHIN_S
    assert shelf.asked() == []


def test_until_then_a_process_may_go_on_with_what_it_has(shelf: Shelf, mangum_send: Send, admin_token: str):
    assert shelf.asks(OPEN)
    purge(mangum_send, admin_token)
    shelf.clock.now += EFFECTIVE_WITHIN_S - 0.001
    assert not shelf.asks(OPEN)
    shelf.clock.now += 0.001
    assert shelf.asks(OPEN)


def test_a_process_that_has_nothing_in_its_memory_does_not_find_what_was_purged(
    shelf: Shelf, mangum_send: Send, admin_token: str
):
    assert shelf.asks(OPEN)
    purge(mangum_send, admin_token)
    assert shelf.asks(OPEN, process=1)


def test_an_answer_that_was_on_its_way_when_it_was_purged_is_not_used(shelf: Shelf):
    shelf.upstreams[0].meanwhile = lambda: shelf.log.add("shelf", path=OPEN)
    assert shelf.asks(OPEN)
    shelf.upstreams[0].meanwhile = None
    shelf.clock.now += EFFECTIVE_WITHIN_S
    assert shelf.asks(OPEN)
    assert not shelf.asks(OPEN, process=1)
