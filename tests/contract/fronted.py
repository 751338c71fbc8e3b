"""A DynamoDB with something in front of it that counts what it is asked, and that tests can have fail."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from local.servers import listen, served

Said: TypeAlias = tuple[int, bytes]
"""A status and a body."""
Ask: TypeAlias = Callable[[], Awaitable[Said]]
"""Asks the DynamoDB behind."""
Trouble: TypeAlias = Callable[[str, Any, Ask], Awaitable[Said]]
"""What is answered in place of what DynamoDB says; with the operation, what it is asked, and how to ask it."""


@dataclass
class Front:
    """What stands in front of the DynamoDB at `behind`.

    Attributes:
        behind: its URL.
        url: where this is asked.
        asked: the operations, in order, each with what it is about.
        trouble: what is wrong with it now.
    """

    behind: str
    url: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    trouble: Trouble | None = None

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = await _whole(receive)
        operation, document = headers["x-amz-target"].rpartition(".")[2], json.loads(body)
        self.asked.append((operation, document))

        async def ask() -> Said:
            return await asyncio.to_thread(_passed_on, self.behind, headers, body)

        status, answer = await (self.trouble(operation, document, ask) if self.trouble else ask())
        said = [(b"content-type", b"application/x-amz-json-1.0"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": said})
        await send({"type": "http.response.body", "body": answer})


async def _whole(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _passed_on(behind: str, headers: Mapping[str, str], body: bytes) -> Said:
    connection = http.client.HTTPConnection(urlsplit(behind).netloc, timeout=20)
    try:
        connection.request("POST", "/", body, {name: value for name, value in headers.items() if name != "host"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@contextmanager
def fronted(behind: str) -> Iterator[Front]:
    """Stand in front of the DynamoDB at *behind*."""
    front = Front(behind)
    listening = listen("127.0.0.1", 0)
    front.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with served(front, [listening]):
        yield front
