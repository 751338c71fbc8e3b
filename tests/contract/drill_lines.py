"""TCP lines to services, that can be cut, held, and made to say nonsense in the service's place.

A line takes connections on a port of its own and hands on what is said. It hands on bytes, so the clients before
it are the real ones to the last; and it keeps what they said, so that nobody has to believe that they did not.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from local.servers import listen

REFUSES, HANGS = "refuses connections", "never answers"
SLOW = "is slow, and answers in its time"
NOT_HTTP, BREAKS_OFF, ABSURD = "answers what is not HTTP", "breaks off in the middle", "answers with status 999"
_SAYS: Final = {
    NOT_HTTP: b"220 mail.example.com ESMTP\r\n",
    BREAKS_OFF: b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{"path": "/',
    ABSURD: b"HTTP/1.1 999 Whatever\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nno",
}
NONSENSE = tuple(_SAYS)
SLOWLY_S = 0.1
"""How long a slow service takes."""
WAIT_S = 10


class Line:
    """The line to one service. Its methods are for the loop that it lives on.

    Attributes:
        port: where it is reached; nobody else gets it while the line refuses connections.
        said: what clients said, piece by piece.
        unanswered: how many requests were not answered, and not refused either.
    """

    def __init__(self, behind: str) -> None:
        self.said: list[bytes] = []
        self.unanswered = 0
        self._behind = urlsplit(behind)
        self._trouble = ""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._kept = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._kept.bind(("127.0.0.1", 0))
        self.port: int = self._kept.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def times(self, mark: str) -> int:
        """Say how often something with *mark* in it was sent."""
        return b"".join(self.said).count(mark.encode())

    async def be(self, trouble: str) -> None:
        """Be in *trouble* from now on, or well (empty). Connections that are open stay so while nobody answers."""
        if trouble != HANGS:
            await self._drop()
        if self._server and trouble == REFUSES:
            self._server.close()
            self._server = None
        elif self._server is None and trouble != REFUSES:
            self._server = await asyncio.start_server(self._connection, sock=listen("127.0.0.1", self.port))
        self._trouble = trouble

    async def close(self) -> None:
        await self.be(REFUSES)
        self._kept.close()

    async def _drop(self) -> None:
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await self._conversation(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _conversation(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back: asyncio.StreamWriter | None = None
        answers: asyncio.Task[None] | None = None
        try:
            while data := await reader.read(65_536):
                self.said.append(data)
                if self._trouble in NONSENSE:
                    writer.write(_SAYS[self._trouble])
                    await writer.drain()
                    return
                if self._trouble == HANGS:
                    self.unanswered += data.count(b" HTTP/1.1\r\n")
                    continue
                if self._trouble == SLOW:
                    await asyncio.sleep(SLOWLY_S)
                if back is None:
                    front, back = await asyncio.open_connection(self._behind.hostname, self._behind.port)
                    answers = asyncio.create_task(_handed_on(front, writer))
                back.write(data)
        finally:
            if answers and back:
                answers.cancel()
                back.close()


async def _handed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


class Lines:
    """Lines to services, each under a name, on a loop in a thread of their own."""

    def __init__(self, services: dict[str, str]) -> None:
        self._loop = asyncio.new_event_loop()
        self.named = {name: Line(behind) for name, behind in services.items()}

    def be(self, trouble: str, names: Iterable[str]) -> None:
        """Have the lines called *names* be in *trouble*, or well (empty), from now on."""
        for name in names:
            self._run(self.named[name].be(trouble))

    def ports(self, names: Iterable[str]) -> frozenset[int | None]:
        return frozenset(self.named[name].port for name in names)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Serve them for as long as the context lasts."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            self.be("", self.named)
            yield
        finally:
            for line in self.named.values():
                self._run(line.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(WAIT_S)
            self._loop.close()

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)  # type: ignore[arg-type]  # a coroutine
