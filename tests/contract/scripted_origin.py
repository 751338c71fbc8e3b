"""An origin on loopback that says what it is told to say next, down to hanging up, and a clock that tests drive.

It writes to the socket itself: a server would not break off in the middle, or leave `Date` away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import gmtime, strftime
from typing import Any, Literal, TypeAlias

from local.servers import listen

START = 1_800_000_000.0
LONGEST_WAIT_S = 5.0
BODILESS = frozenset({204, 304})
FORMS = {
    "imf": "%a, %d %b %Y %H:%M:%S GMT",
    "rfc850": "%A, %d-%b-%y %H:%M:%S GMT",
    "asctime": "%a %b %e %H:%M:%S %Y",
    "zone": "%a, %d %b %Y %H:%M:%S +0000",
}


class DrivenClock:
    """The wall clock and the steady clock of a gateway; they move when a test says so."""

    def __init__(self) -> None:
        self.now = START

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - START + 1000

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class At:
    """A moment, so many seconds after the script began, and the form that it is written in."""

    seconds: float
    form: str = "imf"

    def written(self, began: float) -> str:
        return strftime(FORMS[self.form], gmtime(began + self.seconds))


Value: TypeAlias = str | At | tuple[str | At, ...]
"""A field's value; several are several lines."""
How: TypeAlias = Literal["whole", "in chunks", "cut", "in chunks, cut", "hangs up", "refuses", "until closed", "stalls"]
"""How the origin answers: all of it with its length; in chunks; the same but less than it promised; it takes the
request and closes; nobody listens; with no length, until it closes; it takes the request and says nothing."""


@dataclass(frozen=True, kw_only=True)
class Says:
    """One answer of the origin.

    Attributes:
        body: of the answer, as text.
        status: of the answer.
        fields: of the answer; `date` is said without being named, unless it is named (empty: not at all).
        how: see `How`.
        takes_s: how long the clock goes on between the request and the answer.
        answers_304: whether a condition that the request states is judged: then the answer may be a 304.
    """

    body: str = ""
    status: int = 200
    fields: Mapping[str, Value] = field(default_factory=dict)
    how: How = "whole"
    takes_s: float = 0
    answers_304: bool = False


@dataclass(frozen=True)
class Seen:
    """One request that came."""

    method: str
    target: str
    pairs: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]

    def get(self, name: str) -> str | None:
        """Return all that was said under *name* as one value; None if nothing was."""
        return ", ".join(self.all(name)) if self.all(name) else None


def lines(fields: Mapping[str, Value], began: float) -> list[tuple[str, str]]:
    """Return *fields* as they are written, with moments counted from *began*."""
    values = [(name, value if isinstance(value, tuple) else (value,)) for name, value in fields.items()]
    return [(name, one.written(began) if isinstance(one, At) else one) for name, several in values for one in several]


def _unchanged(says: Says, seen: Seen, began: float) -> bool:
    """Judge the request's condition (RFC 9110 section 13.2.2), as far as a script needs it."""
    said = dict(lines(says.fields, began))
    matching, since = seen.get("if-none-match"), seen.get("if-modified-since")
    if matching is not None:
        known = [tag.strip().removeprefix("W/") for tag in matching.split(",")]
        return "*" in known or said.get("etag", "").removeprefix("W/") in known
    return since is not None and since == said.get("last-modified")


class ScriptedOrigin:
    """An origin that says what it was last told to say, and remembers what it was asked."""

    def __init__(self, clock: DrivenClock) -> None:
        self.clock = clock
        self.port = 0
        self.seen: list[Seen] = []
        self.released = threading.Event()
        self.released.set()
        self._says: tuple[Says, ...] = ()
        self._began = START
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._open: dict[asyncio.StreamWriter, asyncio.Task[Any]] = {}
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begin(self) -> None:
        """Count moments (`At`) from now on."""
        self._began = self.clock.now

    def say(self, *says: Says) -> None:
        """Say these, one to each request and the last to all that follow, and forget what was asked before."""
        with self._changed:
            self.seen = []
            self._says = says
        refusing = any(one.how == "refuses" for one in says)
        if refusing is (self._server is not None):
            self._on_loop(self._stop() if refusing else self._listen())

    def wait_for(self, requests: int) -> None:
        """Wait until so many have come."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.seen) >= requests, LONGEST_WAIT_S)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Answer nobody until the context ends."""
        self.released.clear()
        try:
            yield
        finally:
            self.released.set()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve from a thread for as long as the context lasts."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        self._on_loop(self._listen())
        try:
            yield
        finally:
            if self._server:
                self._on_loop(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(LONGEST_WAIT_S)
            self._loop.close()

    def _on_loop(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LONGEST_WAIT_S)

    async def _listen(self) -> None:
        listening = listen("127.0.0.1", self.port)
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._connection, sock=listening)

    async def _stop(self) -> None:
        assert self._server
        self._server.close()
        self._server = None
        open_still = tuple(self._open.values())
        for writer in self._open:
            writer.transport.abort()
        if open_still:
            await asyncio.wait(open_still)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving
        self._open[writer] = serving
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            del self._open[writer]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request and answer it; say whether the connection stays open."""
        seen = await _request(reader)
        with self._changed:
            self.seen.append(seen)
            says = self._says[min(len(self.seen), len(self._says)) - 1] if self._says else UNEXPECTED
            self._changed.notify_all()
        await asyncio.to_thread(self.released.wait, LONGEST_WAIT_S) if not self.released.is_set() else None
        if says.how == "stalls":
            await reader.read()
        if says.how in {"hangs up", "stalls"}:
            return False
        self.clock.pass_by(says.takes_s)
        if says.answers_304 and _unchanged(says, seen, self._began):
            says = Says(status=304, fields=says.fields)
        writer.write(self._written(says, seen.method))
        await writer.drain()
        return says.how in {"whole", "in chunks"}

    def _written(self, says: Says, method: str) -> bytes:
        fields = {name: value for name, value in {"date": AN_EMPTY_DATE, **says.fields}.items() if value != ""}
        if fields.get("date") is AN_EMPTY_DATE:
            fields["date"] = At(0).written(self.clock.now)
        body, silent = says.body.encode(), method == "HEAD" or says.status in BODILESS
        if says.how in {"whole", "cut"}:
            length = len(body) + 7 if says.how == "cut" else len(body)
            fields.setdefault("content-length", str(length)) if not silent or method == "HEAD" else None
        elif says.how in {"in chunks", "in chunks, cut"}:
            fields["transfer-encoding"] = "chunked"
            half = len(body) // 2
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part)
            body += b"0\r\n\r\n" if says.how == "in chunks" else b"5\r\nab"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines(fields, self._began))
        return f"HTTP/1.1 {says.status} Said\r\n{head}\r\n".encode() + (b"" if silent else body)


UNEXPECTED = Says(body="nobody was to ask the origin now", status=500)
AN_EMPTY_DATE = "the moment at which it is said"


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head[:-4].split("\r\n")
    method, target, _ = first.split(" ")
    pairs = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in rest))
    length = next((int(value) for name, value in pairs if name == "content-length"), 0)
    return Seen(method, target, pairs, await reader.readexactly(length))


@contextmanager
def scripted_origin() -> Iterator[ScriptedOrigin]:
    """Serve an origin on a clock of its own (`origin.clock`)."""
    origin = ScriptedOrigin(DrivenClock())
    with origin.served():
        yield origin
