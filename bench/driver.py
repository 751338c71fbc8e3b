"""The load driver where `wrk` is not installed: `python -m bench.driver URL TOKEN CONNECTIONS SECONDS`.

It is slower than what it measures can be (nginx, say), so its figures are floors.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

OK = b"HTTP/1.1 200 "


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bool:
    """Send *request*, read the whole answer, and say whether it was a good one."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), b"0"
    )
    await reader.readexactly(int(length))
    return head.startswith(OK)


async def _client(host: str, port: int, request: bytes, until: float, times: list[float]) -> int:
    """Send one request after the other on one connection; return how many failed."""
    reader, writer = await asyncio.open_connection(host, port)
    errors = 0
    while (started := time.perf_counter()) < until:
        errors += not await _exchange(reader, writer, request)
        times.append(time.perf_counter() - started)
    writer.close()
    return errors


async def main(url: str, token: str, connections: int, seconds: int) -> None:
    """Run all connections for *seconds*, and print what came of it as one line of JSON."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    known = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{known}\r\n".encode()
    times: list[float] = []
    started = time.perf_counter()
    until = started + seconds
    errors = await asyncio.gather(*(_client(host, port, request, until, times) for _ in range(connections)))
    times.sort()
    figures = {
        "requests": len(times),
        "seconds": time.perf_counter() - started,
        "p50_us": times[len(times) // 2] * 1e6,
        "p99_us": times[len(times) * 99 // 100] * 1e6,
        "errors": sum(errors),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
