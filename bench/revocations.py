"""What revoked tokens cost a process: memory, time per request, and the first look at the log."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from gatehouse import token_ids
from gatehouse.call import Identity
from gatehouse.revocations import Revocation, RevocationSet
from gatehouse.stores import aws_json
from gatehouse.stores.revocation_log import RevocationLog

NOW = 1_800_000_000
SIZES = (0, 1_000, 100_000, 1_000_000)
LINES_OF_A_PAGE = 6_000
"""About as many as DynamoDB puts into its megabyte."""
ASKED = 20_000
RUNS = 7
MOST_READ = 100_000


def run() -> None:
    """Print a table."""
    os.environ.update(AWS_ACCESS_KEY_ID="bench", AWS_SECRET_ACCESS_KEY="bench", AWS_REGION="us-east-1")  # noqa: S106
    print("| revoked tokens | memory | look-up per request | first look, over loopback |\n|---|---|---|---|")
    for size in SIZES:
        print(_row(size), flush=True)


def _row(size: int) -> str:
    tracemalloc.start()
    known = RevocationSet()
    known.add(Revocation(kind="jti", value=token_ids.for_service(), expires_at=NOW + number) for number in range(size))
    memory, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    claims = {"iat": NOW}
    caller = Identity(kind="gateway", subject="ada", claims=claims, token_id=token_ids.for_session(NOW + 3600))
    best = min(_timed(known, caller) for _ in range(RUNS))
    first = f"{_first_look(size):.2f} s" if size <= MOST_READ else "-"
    return f"| {size:,} | {memory / 1e6:.1f} MB | {best * 1e6:.1f} µs | {first} |"


def _timed(known: RevocationSet, caller: Identity) -> float:
    started = time.perf_counter()
    for _ in range(ASKED):
        known.holds(caller, "metacogna", NOW)
    return (time.perf_counter() - started) / ASKED


def _first_look(size: int) -> float:
    """Return how long it takes to read *size* lines from what answers as DynamoDB does, at once and from memory."""
    pages = [_page(min(LINES_OF_A_PAGE, size - at), last=at + LINES_OF_A_PAGE >= size)
             for at in range(0, max(size, 1), LINES_OF_A_PAGE)]  # fmt: skip
    with _answering(pages) as address:
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = address
        started = time.perf_counter()
        rows = asyncio.run(RevocationLog("tokens").since(0))
        took = time.perf_counter() - started
        aws_json.close()  # the server waits for its connections
    if len(rows) != size:
        raise RuntimeError("the log was not read whole")
    return took


def _page(lines: int, *, last: bool) -> bytes:
    def line() -> dict[str, Any]:
        texts = {"kind": "jti", "value": token_ids.for_service(), "of_project": ""}
        numbers = {"before": "0", "since": "0", "expires_at": str(NOW)}
        return {**{k: {"S": v} for k, v in texts.items()}, **{k: {"N": v} for k, v in numbers.items()}}

    more = {} if last else {"LastEvaluatedKey": {"pk": {"S": "revocations"}, "sk": {"S": "0"}}}
    return json.dumps({"Items": [line() for _ in range(lines)], **more}).encode()


@contextmanager
def _answering(pages: list[bytes]) -> Iterator[str]:
    left = iter(pages)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = next(left)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()
