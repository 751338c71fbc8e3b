"""Streams between real sockets: what comes leaves at once, nobody is waited for in vain, and nothing piles up."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from local.house import NEVER_REAL
from local.servers import listen, served
from local.template import ROOT
from tests.contract.callers import HOSTS, Gate, on_uvicorn
from tests.contract.conftest import check_error
from tests.contract.test_cache_crowd import process
from tests.unit.scripted import Connection, Scripted, serving

PATIENCE_S = 5.0
SOON_S = 1.0
STREAMED_MB = 1024
MOST_GROWTH_MB = 20
STREAMS, EVENTS = 50, 4
PROJECT = """
project: streams
routes:
  - name: FLOW
    path: /flow
    upstream: "${UP_URL}"
    auth: none
    timeout: 10s
    streaming: {keep_alive: 1s, idle: 10s, total: 60s}
  - {name: IDLE, path: /idle, upstream: "${UP_URL}", auth: none, streaming: {keep_alive: 1s, idle: 1s, total: 60s}}
  - {name: TOTAL, path: /total, upstream: "${UP_URL}", auth: none, streaming: {keep_alive: 1s, idle: 1s, total: 1s}}
"""
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
REQUEST = (
    b"POST /%s HTTP/1.1\r\nHost: gateway.test\r\nX-Request-Id: %s\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


FIRST, SECOND = b"data: first\n\n", b"data: second\n\n"


@dataclass
class Upstream:
    """What the upstream does with each connection, as the test says, and what came of it."""

    play: Callable[[Connection], None] = lambda _: None
    may_go_on: threading.Event = field(default_factory=threading.Event)
    went_on: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def __call__(self, connection: Connection) -> None:
        if connection.read():
            self.play(connection)

    def plays(self, play: Callable[[Connection], None]) -> None:
        for event in (self.may_go_on, self.went_on, self.left):
            event.clear()
        self.play = play


@dataclass(frozen=True)
class Stage:
    gate: Gate
    upstream: Upstream
    server: Scripted


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder, upstream = tmp_path_factory.mktemp("streams"), Upstream()
    (folder / "streams.yaml").write_text(PROJECT)
    with serving(upstream) as server, on_uvicorn(folder, {"UP_URL": server.address}) as gate:
        yield Stage(gate, upstream, server)


@contextmanager
def asking(port: int, path: bytes = b"flow/x", request_id: str = "any") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(REQUEST % (path, request_id.encode()))
        yield client


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Read until *end* has come, or the connection has ended."""
    said = b""
    while end not in said:
        more = client.recv(65536)
        if not more:
            break
        said += more
    return said


def read_out(client: socket.socket) -> bytes:
    """Read until the connection ends; that it ends rudely is an end too."""
    said = b""
    try:
        while more := client.recv(65536):
            said += more
    except ConnectionResetError:
        pass
    return said


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@dataclass
class Logged:
    """What the gateway has written of one request: other tests' may still come late."""

    capsys: pytest.CaptureFixture[str]
    id: str = field(default_factory=lambda: str(uuid4()))
    said: str = ""

    def line(self, event: str) -> dict[str, Any]:
        """Wait for the line that tells of *event*: clients may know before that all is over."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self.said += self.capsys.readouterr().out
            for line in lines(self.said):
                if (line["message"], line.get("requestId")) == (event, self.id):
                    return line
            threading.Event().wait(0.01)
        raise AssertionError(f"there is no line for {event} in {self.said!r}")


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Logged:
    return Logged(capsys)


# ----------------------------------------------------------------------------------------------------- without delay


@pytest.mark.parametrize(
    "head",
    [
        SSE,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["events", "lines", "bytes"],
)
def test_the_first_byte_is_there_before_the_upstream_has_said_its_second(stage: Stage, head: bytes):
    def play(connection: Connection) -> None:
        connection.say(head + chunk(FIRST))
        stage.upstream.may_go_on.wait(PATIENCE_S)
        stage.upstream.went_on.set()
        connection.say(chunk(SECOND) + END)

    stage.upstream.plays(play)
    with asking(stage.gate.port) as client:
        assert FIRST in read_until(client, FIRST)
        assert not stage.upstream.went_on.is_set()
        stage.upstream.may_go_on.set()
        assert read_until(client, END) == chunk(SECOND) + END


def test_the_first_byte_of_a_short_answer_of_known_length_does_not_wait_for_the_rest(stage: Stage):
    def play(connection: Connection) -> None:
        connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        stage.upstream.may_go_on.wait(PATIENCE_S)
        connection.say(b"b")

    stage.upstream.plays(play)
    with asking(stage.gate.port) as client:
        assert read_until(client, b"\r\n\r\na").endswith(b"\r\n\r\na")
        stage.upstream.may_go_on.set()
        assert client.recv(10) == b"b"


def test_the_head_does_not_wait_for_the_body(stage: Stage):
    def play(connection: Connection) -> None:
        connection.say(SSE)
        stage.upstream.may_go_on.wait(PATIENCE_S)
        connection.say(chunk(FIRST) + END)

    stage.upstream.plays(play)
    with asking(stage.gate.port) as client:
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        stage.upstream.may_go_on.set()
        assert FIRST in read_until(client, END)


# ------------------------------------------------------------------------------------------------ clients that leave


def says_nothing_more(upstream: Upstream) -> Callable[[Connection], None]:
    def play(connection: Connection) -> None:
        connection.say(SSE + chunk(FIRST))
        upstream.left.set() if connection.wait_for_end() else None

    return play


def goes_on_and_on(upstream: Upstream) -> Callable[[Connection], None]:
    def play(connection: Connection) -> None:
        connection.say(SSE + chunk(FIRST))
        try:
            while True:
                connection.sock.sendall(chunk(SECOND))
                time.sleep(0.02)
        except OSError:
            upstream.left.set()

    return play


def says_nothing_at_all(upstream: Upstream) -> Callable[[Connection], None]:
    def play(connection: Connection) -> None:
        upstream.may_go_on.set()
        upstream.left.set() if connection.wait_for_end() else None

    return play


def hangs_up(client: socket.socket) -> None:
    client.close()


def hangs_up_rudely(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("leaves", [hangs_up, hangs_up_rudely])
@pytest.mark.parametrize("doing", [says_nothing_more, goes_on_and_on])
def test_a_client_that_leaves_is_left_by_the_upstream_within_a_second(
    stage: Stage,
    doing: Callable[[Upstream], Callable[[Connection], None]],
    leaves: Callable[[socket.socket], None],
    logged: Logged,
):
    stage.upstream.plays(doing(stage.upstream))
    with asking(stage.gate.port, request_id=logged.id) as client:
        read_until(client, FIRST)
        leaves(client)
        assert stage.upstream.left.wait(SOON_S)
    assert logged.line("request")["clientGone"] is True


@pytest.mark.parametrize("leaves", [hangs_up, hangs_up_rudely])
def test_a_client_that_leaves_before_the_upstream_has_answered_is_left_too(
    stage: Stage, leaves: Callable[[socket.socket], None]
):
    stage.upstream.plays(says_nothing_at_all(stage.upstream))
    with asking(stage.gate.port) as client:
        assert stage.upstream.may_go_on.wait(PATIENCE_S)
        leaves(client)
        assert stage.upstream.left.wait(SOON_S)


# ---------------------------------------------------------------------------------------------- upstreams that break


@pytest.mark.parametrize(
    "head", [SSE, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ids=["chunked", "of known length"]
)
@pytest.mark.parametrize("end", [Connection.close, Connection.reset])
def test_an_upstream_that_breaks_off_is_a_cut_and_no_end(
    stage: Stage, head: bytes, end: Callable[[Connection], None], logged: Logged
):
    def play(connection: Connection) -> None:
        connection.say(head + (chunk(FIRST) if head is SSE else FIRST))
        stage.upstream.may_go_on.wait(PATIENCE_S)
        end(connection)

    stage.upstream.plays(play)
    with asking(stage.gate.port, request_id=logged.id) as client:
        said = read_until(client, FIRST)
        stage.upstream.may_go_on.set()
        said += read_out(client)
    assert said.count(FIRST) == 1
    assert END not in said.partition(b"\r\n\r\n")[2]  # a head may end so, too
    assert logged.line("request")["cut"] is True


@pytest.mark.parametrize(
    ("path", "doing", "why"),
    [
        (b"idle/x", says_nothing_more, {"SilentError"}),
        (b"total/x", goes_on_and_on, {"OvertimeError", "TimeoutError"}),  # the client's own, a millisecond later
    ],
    ids=["idle", "total"],
)
def test_a_stream_that_outstays_its_time_is_a_cut_and_no_end(
    stage: Stage,
    path: bytes,
    doing: Callable[[Upstream], Callable[[Connection], None]],
    why: set[str],
    logged: Logged,
):
    stage.upstream.plays(doing(stage.upstream))
    started = time.monotonic()
    with asking(stage.gate.port, path, logged.id) as client:
        said = read_until(client, FIRST) + read_out(client)
    assert 0.9 < time.monotonic() - started < 3
    assert END not in said.partition(b"\r\n\r\n")[2]  # a head may end so, too
    assert stage.upstream.left.wait(SOON_S)
    assert logged.line("request")["cut"] is True
    assert logged.line("stream cut")["exception"] in why


def test_bytes_that_are_no_chunk_are_a_cut(stage: Stage):
    def play(connection: Connection) -> None:
        connection.say(SSE + chunk(FIRST))
        stage.upstream.may_go_on.wait(PATIENCE_S)
        connection.say(b"zz\r\nnot a chunk\r\n")

    stage.upstream.plays(play)
    with asking(stage.gate.port) as client:
        said = read_until(client, FIRST)
        stage.upstream.may_go_on.set()
        said += read_out(client)
    assert b"not a chunk" not in said
    assert END not in said.partition(b"\r\n\r\n")[2]  # a head may end so, too


# ----------------------------------------------------------------------------------------------------- both hosts


@pytest.mark.parametrize("host", HOSTS)
def test_a_stream_is_whole_on_every_host_and_one_that_breaks_off_is_not(tmp_path: Path, host: str):
    (tmp_path / "streams.yaml").write_text(PROJECT)
    upstream = Upstream()
    with serving(upstream) as server, HOSTS[host](tmp_path, {"UP_URL": server.address}) as gate:
        upstream.plays(lambda connection: connection.say(SSE + chunk(FIRST) + chunk(SECOND) + END))
        answer = gate.send("POST", "/flow/x", body=b"{}")
        assert (answer.status, answer.get("content-type"), answer.body) == (200, "text/event-stream", FIRST + SECOND)
        upstream.plays(lambda connection: connection.say(SSE + chunk(FIRST)))
        if host == "mangum":  # nothing has left yet
            check_error(gate.send("POST", "/flow/x", body=b"{}"), 502, "UPSTREAM_UNREACHABLE", "FLOW")


# ----------------------------------------------------------------------------------------------------- many, and much


class Pausing:
    """An upstream of many streams, each silent for longer than the gateway is."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
        await send(start)
        name = scope["raw_path"].rpartition(b"/")[2]
        for number in range(EVENTS):
            await send({"type": "http.response.body", "body": b"data: %s-%d\n\n" % (name, number), "more_body": True})
            await asyncio.sleep(1.2 if number == 1 else 0.05)
        await send({"type": "http.response.body", "body": b""})


def test_fifty_streams_at_once_are_whole_and_kept_alive(tmp_path: Path):
    async def one(port: int, number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /flow/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % number)
        said = await asyncio.wait_for(reader.read(), PATIENCE_S * 2)
        writer.close()
        return said

    async def work(port: int) -> list[bytes]:
        return await asyncio.gather(*(one(port, number) for number in range(STREAMS)))

    (tmp_path / "streams.yaml").write_text(PROJECT)
    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with served(Pausing(), [listening]), on_uvicorn(tmp_path, {"UP_URL": address}) as gate:
        answers = asyncio.run(work(gate.port))
    for number, said in enumerate(answers):
        assert [said.count(b"data: %d-%d\n\n" % (number, event)) for event in range(EVENTS)] == [1] * EVENTS
        assert b": keep-alive\n\n" in said
        assert said.endswith(END)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux says how much memory a process had")
def test_much_for_a_slow_client_does_not_pile_up(tmp_path: Path):
    piece = b"x" * 1_048_576

    def much(connection: Connection) -> None:
        connection.sock.settimeout(60)
        while asked := connection.read():
            size = int(asked.line.split(" ")[1].rpartition("/")[2])
            connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * len(piece)))
            for _ in range(size):
                connection.say(piece)

    (tmp_path / "streams.yaml").write_text(PROJECT)
    before = children()
    with serving(much) as server:
        environ = {**NEVER_REAL, "ENVIRONMENT": "local", "PROJECTS_DIR": str(tmp_path), "UP_URL": server.address}
        python_path = os.pathsep.join([str(ROOT / "layers/gatehouse"), str(ROOT)])
        with process({**os.environ, **environ, "PYTHONPATH": python_path}, tmp_path / "log") as port:
            (pid,) = children() - before
            drain(port, 8)  # so that what a first request loads is there
            before_kb = memory_kb(pid, "VmRSS")
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the most it has had counts from now
            drain(port, STREAMED_MB, stall_s=1.0)
            grown_mb = (memory_kb(pid, "VmHWM") - before_kb) / 1024
    assert grown_mb < MOST_GROWTH_MB


def drain(port: int, megabytes: int, stall_s: float = 0.0) -> None:
    """Ask for so much and throw it away, after having looked away for a while in the middle."""
    left, buffer = megabytes * 1_048_576, bytearray(1_048_576)
    with asking(port, b"flow/%d" % megabytes) as client:
        client.settimeout(60)
        head = read_until(client, b"\r\n\r\n")
        left -= len(head.partition(b"\r\n\r\n")[2])
        threading.Event().wait(stall_s)
        while left > 0:
            read = client.recv_into(buffer)
            assert read
            left -= read
    assert left == 0


def children() -> set[int]:
    """Return the processes that this one has started and that still run."""
    listed = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    return {int(pid) for pid in listed.split()}


def memory_kb(pid: int, what: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{what}:"))


def test_a_client_that_does_not_read_is_cut_off_when_its_stream_must_have_ended(stage: Stage) -> None:
    def play(connection: Any) -> None:
        connection.sock.settimeout(10 * PATIENCE_S)
        connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                connection.sock.sendall(b"x" * 1_000_000)
        except OSError:
            stage.upstream.left.set()

    stage.upstream.plays(play)
    with asking(stage.gate.port, b"total/x"):
        assert stage.upstream.left.wait(2 * PATIENCE_S)
