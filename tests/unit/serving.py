"""Requests to an ASGI application, without a server: what it sends, and the lines it leaves in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gatehouse import logs
from gatehouse.edge import App


@dataclass(frozen=True)
class Answered:
    """What was answered."""

    status: int
    body: bytes


Send = Callable[[Any], Awaitable[None]]


def scope(path: str, method: str = "GET", *fields: tuple[str, str], query: str = "") -> dict[str, Any]:
    """Return what a server says of a request."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": query.encode(),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields],
        "client": ("192.0.2.7", 4711),
        "scheme": "https",
    }


async def answered(
    app: App, path: str, method: str = "GET", *fields: tuple[str, str], query: str = "", send: Send | None = None
) -> Answered:
    """Return what *app* answers; *send* is told of each message before."""
    sent: list[Any] = []
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        message = next(asked, None)
        return message or await asyncio.Event().wait()  # a client that stays

    async def keep(message: Any) -> None:
        if send:
            await send(message)
        sent.append(message)

    await app(scope(path, method, *fields, query=query), receive, keep)
    return Answered(sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]))


@contextmanager
def written() -> Iterator[list[dict[str, Any]]]:
    """Give the list that lines of the log are put into meanwhile."""
    records: list[dict[str, Any]] = []
    with logs.also_to(lambda line: records.append(json.loads(line))):
        yield records
