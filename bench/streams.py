"""Many event streams at once, for a while: whether one breaks, and how much later events come than without a gateway.

`python -m bench.streams PORT` is the upstream: it says the time ten times a second on every stream, and is silent for
a while on some, so that the gateway has to keep them alive.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import LOOPBACK, BenchError, free_port, started
from bench.surroundings import LAYER, ROOT, Surroundings
from bench.table import table

STREAMS = 200
SECONDS = 30
EVENTS_PER_S = 10
SILENT_S = 3
SILENT_EACH = 10
"""Every tenth stream falls silent once, for so long that comments come."""
PATIENCE_S = SECONDS + SILENT_S + 20
PROJECT = """\
project: flows
routes:
  - name: FLOW
    path: /flow
    upstream: "${BENCH_UPSTREAM}"
    auth: none
    streaming: {keep_alive: 1s, idle: 10s, total: 300s}
"""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
LAST, COMMENT = b"data: end\n\n", b": keep-alive\n\n"


@dataclass
class Heard:
    """What came of one turn of all streams; delays are in milliseconds."""

    broken: int = 0
    comments: int = 0
    delays: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)


def run() -> None:
    """Measure, and print the table.

    Raises:
        BenchError: a stream broke.
    """
    with Surroundings() as around:
        (around.projects / "flows.yaml").write_text(PROJECT)
        with _upstream(around) as upstream, _gateway(around, upstream) as (place, pid):
            asyncio.run(_heard(place, 1, 1))  # what a first request loads
            direct = asyncio.run(_heard(upstream, STREAMS, SECONDS))
            before_mb, cpu_s = _memory_mb(pid), _cpu_s(pid)
            through = asyncio.run(_heard(place, STREAMS, SECONDS))
            memory_mb, cpu_s = _memory_mb(pid) - before_mb, _cpu_s(pid) - cpu_s
    print(_rows(direct, through))
    print(f"  {STREAMS} streams for {SECONDS} s: {cpu_s:.1f} s of processor time, {memory_mb:+.1f} MB in the gateway")
    if direct.broken or through.broken:
        raise BenchError(f"{direct.broken} streams broke without the gateway, {through.broken} with it")


def _rows(direct: Heard, through: Heard) -> str:
    rows: list[tuple[str, ...]] = [
        ("", "broken", "events", "comments", "first byte p50 ms", "delay p50 ms", "p99 ms", "most ms")
    ]
    for name, heard in (("direct to upstream", direct), ("gatehouse", through)):
        delays = sorted(heard.delays)
        figures = (statistics.median(heard.first_ms), statistics.median(delays), delays[len(delays) * 99 // 100])
        counts = (str(heard.broken), str(len(delays)), str(heard.comments))
        rows.append((name, *counts, *(f"{figure:.2f}" for figure in (*figures, delays[-1]))))
    return table(rows)


async def _heard(place: str, streams: int, seconds: int) -> Heard:
    """Listen to so many streams at once."""
    heard = Heard()
    await asyncio.gather(*(_listen(place, number, seconds, heard) for number in range(streams)))
    return heard


async def _listen(place: str, number: int, seconds: int, heard: Heard) -> None:
    host, _, port = place.partition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        asked = time.monotonic()
        writer.write(f"GET /flow/{number}/{seconds} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b"\r\n\r\n")
            heard.first_ms.append((time.monotonic() - asked) * 1000)
            whole = await _events(reader, heard)
        writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        whole = False
    heard.broken += not whole


async def _events(reader: asyncio.StreamReader, heard: Heard) -> bool:
    """Read a body; say whether every event came, in order, up to the end of it."""
    expected, ended = 0, False
    while size := int(await reader.readline(), 16):
        chunk = (await reader.readexactly(size + 2))[:-2]
        now = time.monotonic_ns()
        for event in chunk.split(b"\n\n"):
            if event == COMMENT[:-2]:
                heard.comments += 1
            elif event == LAST[:-2]:
                ended = True
            elif event:
                number, _, said = event.removeprefix(b"data: ").partition(b" ")
                if int(number) != expected:
                    return False
                expected += 1
                heard.delays.append((now - int(said)) / 1e6)
    return ended


# ------------------------------------------------------------------------------------------------- what runs beside


@contextmanager
def _upstream(around: Surroundings) -> Iterator[str]:
    port = free_port()
    with started([sys.executable, "-m", "bench.streams", str(port)], port, around.folder / "streams.out", folder=ROOT):
        yield f"{LOOPBACK}:{port}"


@contextmanager
def _gateway(around: Surroundings, upstream: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    environ = {
        **around.environment(f"http://{upstream}", "streaming"),
        "PYTHONPATH": os.pathsep.join([str(LAYER), str(ROOT)]),
    }
    with started([sys.executable, "-m", "bench.serve", str(port)], port, Path(os.devnull), environ, ROOT) as pid:
        yield f"{LOOPBACK}:{port}", pid


def _memory_mb(pid: int) -> float:
    """Return what the process has in memory; 0 where nobody says."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def _cpu_s(pid: int) -> float:
    """Return how long the process has been computing; 0 where nobody says."""
    stat = Path(f"/proc/{pid}/stat")
    fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["0"] * 13
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve streams on one connection until the client has had enough."""
    try:
        while True:
            target = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
            *_, number, seconds = target.split(b"/")
            await _stream(writer, silent=int(number) % SILENT_EACH == 0, seconds=int(seconds))
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _stream(writer: asyncio.StreamWriter, *, silent: bool, seconds: int) -> None:
    writer.write(HEAD)
    events = seconds * EVENTS_PER_S
    for number in range(events):
        event = b"data: %d %d\n\n" % (number, time.monotonic_ns())
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(SILENT_S if silent and number == events // 2 else 1 / EVENTS_PER_S)
    writer.write(b"%x\r\n%s\r\n" % (len(LAST), LAST) + END)
    await writer.drain()


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_say, LOOPBACK, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
