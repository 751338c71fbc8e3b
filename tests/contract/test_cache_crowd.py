"""Many who want the same answer at once, from several processes: one of them asks the upstream for it.

The processes are real ones, of the proxy function under uvicorn; they share a table, in a DynamoDB whose calls are
counted.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from local.house import NEVER_REAL
from local.servers import listen, served
from local.template import ROOT
from tests.contract.fronted import Front, fronted
from tests.log_watch import hear

PROCESSES, CLIENTS = 4, 200
UPSTREAM_S = 0.5
STOP_S = 10
LATE_S = 1.5
"""What a crowd may take beside the upstream's time: 200 connections, four processes and a table, on two processors."""
PROJECT = """
project: crowd
routes: [{name: C, path: /c, upstream: "${CROWD_URL}", auth: none, cache: {ttl: 10m, by: public}}]
"""
SERVE = """
import sys
sys.path.insert(0, "functions/proxy")
from app import app
from local.servers import listen, serve
listening = listen("127.0.0.1", 0)
serve(app, listening, lambda: print(listening.getsockname()[1], flush=True))
"""


@dataclass
class Slow:
    """An upstream that takes its time, counts what it is asked, and says something else each time."""

    asked: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode()
        self.asked[path] += 1
        body = f"{path} {self.asked[path]}".encode()
        await asyncio.sleep(UPSTREAM_S)
        fields = [(b"content-length", str(len(body)).encode())]
        fields += [(b"cache-control", b"no-store")] if "uncacheable" in path else []
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Given:
    """What one client was given, and how long it waited."""

    status: int
    body: bytes
    cache_status: str
    took_s: float


async def get(port: int, path: str) -> Given:
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Given(int(first.split(" ")[1]), body, fields.get("cache-status", ""), time.monotonic() - started)


@dataclass(frozen=True)
class Town:
    """Processes of the gateway, the table that they share, and the upstream behind them."""

    ports: tuple[int, ...]
    upstream: Slow
    front: Front
    environ: Mapping[str, str]

    def crowd(self, path: str, clients: int = CLIENTS) -> list[Given]:
        async def all_at_once() -> list[Given]:
            return await asyncio.gather(*(get(self.ports[n % len(self.ports)], path) for n in range(clients)))

        return asyncio.run(all_at_once())

    def one(self, port: int, path: str) -> Given:
        return asyncio.run(get(port, path))


@contextmanager
def process(environ: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run the proxy function under uvicorn; give its port."""
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-c", SERVE], cwd=ROOT, env=dict(environ), stdout=subprocess.PIPE, stderr=said, text=True
        ) as running,
    ):
        try:
            assert running.stdout
            port = running.stdout.readline()
            assert port, log.read_text()
            lines: list[str] = []  # of its log, read at once, lest the pipe be full
            reading = threading.Thread(target=lines.extend, args=(running.stdout,), daemon=True)
            reading.start()
            yield int(port)
        finally:
            running.terminate()
            running.wait(STOP_S)
            reading.join(STOP_S)
    hear("".join(lines) + log.read_text())


@contextmanager
def a_table(url: str) -> Iterator[str]:
    dynamodb = boto3.Session("local", "local", region_name="us-east-1").client("dynamodb", endpoint_url=url)
    name = f"crowd-{uuid4()}"
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield name
    dynamodb.close()


@pytest.fixture(scope="module")
def town(ministack: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder, upstream = tmp_path_factory.mktemp("crowd"), Slow()
    (folder / "crowd.yaml").write_text(PROJECT)
    listening = listen("127.0.0.1", 0)
    with (
        served(upstream, [listening]),
        fronted(ministack) as front,
        a_table(ministack) as table,
        ExitStack() as processes,
    ):
        environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            **NEVER_REAL,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "layers/gatehouse"), str(ROOT))),
            "ENVIRONMENT": "local",
            "PROJECTS_DIR": str(folder),
            "CROWD_URL": f"http://127.0.0.1:{listening.getsockname()[1]}",
            "AWS_ENDPOINT_URL_DYNAMODB": front.url,
            "CACHE_TABLE": table,
        }
        logs = [folder / f"{number}.log" for number in range(PROCESSES)]
        ports = tuple(processes.enter_context(process(environ, log)) for log in logs)
        yield Town(ports, upstream, front, environ)


def test_a_process_that_begins_reads_what_another_keeps_in_one_call_and_then_in_none(town: Town, tmp_path: Path):
    path = f"/c/{uuid4()}"
    first = town.one(town.ports[0], path)
    assert "stored" in first.cache_status
    with process(town.environ, tmp_path / "log") as port:
        town.front.asked.clear()
        second = town.one(port, path)
        assert town.front.operations == ["BatchGetItem"]
        third = town.one(port, path)
        assert town.front.operations == ["BatchGetItem"]
    assert [(one.status, one.body) for one in (second, third)] == [(200, first.body)] * 2
    assert [one.cache_status.partition("detail=")[2] for one in (second, third)] == ["table", "memory"]
    assert town.upstream.asked[path[2:]] == 1


def test_a_process_that_keeps_something_uses_four_calls_and_then_none(town: Town):
    path = f"/c/{uuid4()}"
    town.front.asked.clear()
    given = [town.one(town.ports[0], path) for _ in range(3)]
    look, claim, keep, release = "BatchGetItem", "UpdateItem", "PutItem", "UpdateItem"
    assert town.front.operations == [look, claim, keep, release]
    assert {one.body for one in given} == {given[0].body}


def test_what_must_not_be_kept_is_asked_for_by_everybody_and_soon_nobody_waits_for_another(town: Town):
    path = f"/c/uncacheable/{uuid4()}"
    unknown, known = town.crowd(path), town.crowd(path)
    for given in (unknown, known):
        assert {one.status for one in given} == {200}
        assert len({one.body for one in given}) == CLIENTS  # each has its own
    assert town.upstream.asked[path[2:]] == 2 * CLIENTS
    assert max(one.took_s for one in unknown) < 2 * UPSTREAM_S + LATE_S  # the first one's, and then their own
    assert max(one.took_s for one in known) < UPSTREAM_S + LATE_S


def test_two_hundred_who_miss_the_same_in_four_processes_are_one_request(town: Town):
    path = f"/c/{uuid4()}"
    given = town.crowd(path)
    assert town.upstream.asked[path[2:]] == 1
    assert {(one.status, one.body) for one in given} == {(200, f"{path[2:]} 1".encode())}
    assert sum("stored" in one.cache_status for one in given) == 1
    assert sum("collapsed" in one.cache_status for one in given) == CLIENTS - 1
    assert max(one.took_s for one in given) < UPSTREAM_S + LATE_S
