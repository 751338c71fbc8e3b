"""The stages of routes with a cache and without one, in process: no log is written, and the upstream is not far."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from unittest import mock

from gatehouse import build
from gatehouse.caching.opened import opened
from gatehouse.call import Call, Handler, Identity, Reply
from gatehouse.headers import Headers
from gatehouse.kit import Kit
from gatehouse.projects import load
from gatehouse.settings import CACHE_MEMORY_BYTES, read
from gatehouse.upstreams import Outbound

ROUNDS = 40
ASKED = 500
PROJECT = """\
project: kept
providers: {s: {type: session, cookie: sid, url: "http://127.0.0.1:9/s"}}
defaults: {upstream: "${BENCH_UPSTREAM}", auth: none}
routes:
  - {name: asked, path: /asked}
  - {name: kept, path: /kept, cache: {ttl: 1h, by: public}}
  - {name: asked-by, path: /asked-by, auth: required, accept: [s]}
  - {name: kept-by, path: /kept-by, auth: required, accept: [s], cache: {ttl: 1h, by: subject}}
"""
EMPTY, EMPTY_KNOWN = "no cache, and an end that answers at once", "the same, a caller with 10 claims"
ASKING, ASKING_KNOWN = "no cache, forwarded", "the same, a caller with 10 claims, forwarded"
HIT, OWN = "hit in memory", "hit in memory, by: subject, 10 claims"
VARYING, MISS = "hit in memory, Vary: Accept-Encoding", "miss, and keep"
BESIDE = {ASKING: EMPTY, HIT: EMPTY, VARYING: EMPTY, MISS: EMPTY, ASKING_KNOWN: EMPTY_KNOWN, OWN: EMPTY_KNOWN}
"""What each is held against."""

_BODY = b"x" * 1024
_CLAIMS = {f"claim-{number}": f"value {number}" for number in range(8)}
_ENVIRON = {"BENCH_UPSTREAM": "http://upstream.test", "BENCH_ISSUER": "bench", "BENCH_AUDIENCE": "bench"}
_HEADERS = Headers(
    (
        ("host", "gateway.test"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, br"),
        ("user-agent", "bench"),
        ("x-forwarded-proto", "https"),
    )
)


class AtOnce:
    """An upstream that answers at once; what is under `/varying` varies by what the client takes."""

    async def send(self, outbound: Outbound) -> Reply:
        """Answer."""
        varies = (("vary", "Accept-Encoding"),) if "/varying" in outbound.url else ()
        return Reply(status=200, headers=Headers((("content-type", "text/plain"), *varies)), body=_BODY)

    async def close(self) -> None:
        """Close nothing."""


class NoBody:
    """The body of a GET."""

    async def read(self) -> bytes:
        """Return nothing."""
        return b""

    async def gone(self) -> None:
        """Wait for a client that never hangs up."""
        await asyncio.Event().wait()


def call(path: str) -> Call:
    """Return a GET of *path* as the edge hands it over."""
    return Call(
        method="GET",
        path=path,
        query="",
        headers=_HEADERS,
        body=NoBody(),
        client_ip="203.0.113.7",
        scheme="https",
        request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        route="CORE",
    )


def gateway(folder: Path, table: str = "") -> Handler:
    """Return the gateway of the project files in *folder*, which knows nothing yet and shares *table*, if any."""
    kit = Kit(read({"ENVIRONMENT": "local"}))
    kit.__dict__["upstream"] = AtOnce()
    kit.__dict__["answers"] = opened(table, CACHE_MEMORY_BYTES, time.time, time.monotonic)
    kit._credentials["kept", "s"] = _caller  # noqa: SLF001  # nobody is asked who is calling
    return build.gateway(load(folder, {**os.environ, **_ENVIRON}), kit)


async def _caller(_: Call) -> Identity | None:
    """Prove that the one caller there is calls."""
    claims = {**_CLAIMS, "iat": 1_800_000_000, "jti": "3f6d0d6e"}
    return Identity(kind="session", subject="ada", user="user-ada", email="ada@example.com", claims=claims)


async def _end(_: Call) -> Reply:
    return Reply(status=200, headers=Headers((("content-type", "text/plain"),)), body=_BODY)


def measured(folder: Path) -> dict[str, float]:
    """Return how long each takes, in us. They take turns, and each keeps its quietest one."""
    handle, numbers = gateway(folder), count()
    with mock.patch.object(build, "forward", return_value=_end):
        ending = gateway(folder)
    turns: dict[str, tuple[Handler, Callable[[], str]]] = {
        EMPTY: (ending, lambda: "/asked/x"),
        ASKING: (handle, lambda: "/asked/x"),
        HIT: (handle, lambda: "/kept/x"),
        VARYING: (handle, lambda: "/kept/varying"),
        MISS: (handle, lambda: f"/kept/{next(numbers)}"),
        EMPTY_KNOWN: (ending, lambda: "/asked-by/x"),
        ASKING_KNOWN: (handle, lambda: "/asked-by/x"),
        OWN: (handle, lambda: "/kept-by/x"),
    }
    best = dict.fromkeys(turns, float("inf"))
    for _ in range(ROUNDS):
        for name, (end, path) in turns.items():
            best[name] = min(best[name], asyncio.run(_timed(end, [call(path()) for _ in range(ASKED)])))
    return best


async def _timed(handle: Handler, calls: list[Call]) -> float:
    """Return how long one of *calls* takes, in us."""
    await handle(call(calls[0].path))
    started = time.perf_counter()
    for one in calls:
        await handle(one)
    return (time.perf_counter() - started) / len(calls) * 1e6
