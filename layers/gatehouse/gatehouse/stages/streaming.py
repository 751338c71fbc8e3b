"""Hand a streamed answer on as it comes, and not for ever: with signs of life, and an end to silence and to length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.clock import Clock
from gatehouse.errors import ClientGoneError
from gatehouse.headers import Headers
from gatehouse.projects.model import Streaming

EVENTS = "text/event-stream"
COMMENT = b": keep-alive\n\n"
"""An event stream's comment: clients pass over it (WHATWG HTML, section 9.2.6)."""
_END_OF_EVENT = b"\r\n\r\n"
_BETWEEN_EVENTS = (b"\n\n", b"\r\n\r\n", b"\r\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a streamed answer may come, in seconds.

    Attributes:
        keep_alive_s: after how much silence of the upstream the client of an event stream is sent a comment.
        idle_s: how long the upstream may be silent.
        total_s: how long the answer may take, from the request to its last byte.
    """

    keep_alive_s: float
    idle_s: float
    total_s: float


def pace_of(said: Streaming) -> Pace:
    """Return what a project file's `streaming` means."""
    return Pace(keep_alive_s=said.keep_alive, idle_s=said.idle, total_s=said.total)


class SilentError(Exception):
    """The upstream was silent for too long, in the middle of its answer: the stream is cut."""


class OvertimeError(Exception):
    """The answer took longer than streams may: it is cut."""


def streaming(pace: Pace, monotonic: Clock) -> Stage:
    """Return the stage that holds the streams of a route to *pace*; answers that came whole are not its matter."""

    async def streaming(call: Call, forward: Handler) -> Reply:
        until = monotonic() + pace.total_s
        until = until if call.deadline is None else min(until, call.deadline)
        reply = await _while_wanted(call, forward)
        if isinstance(reply.body, bytes):
            return reply
        comments = _takes_comments(reply.headers)
        paced = _paced(reply.body, _Watch(pace, until, monotonic, comments=comments))
        await anext(paced)  # begun, so that closing it closes the upstream's also if nobody reads it
        # Comments make an event stream longer than it was said to be.
        headers = reply.headers.without("content-length") if comments else reply.headers
        return replace(reply, body=paced, headers=headers, until=until)

    return streaming


async def _while_wanted(call: Call, forward: Handler) -> Reply:
    """Return the answer to *call*; models take their time, and nobody waits for one whose client has hung up.

    Raises:
        ClientGoneError: it has.
    """
    await call.body.read()  # before anybody listens for the end of what the client sends
    asking = asyncio.ensure_future(forward(call))
    leaving = asyncio.ensure_future(call.body.gone())
    try:
        await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            return asking.result()
    except asyncio.CancelledError:
        await _unwanted(asking)
        raise
    finally:
        leaving.cancel()
        await asyncio.wait({leaving})
    await _unwanted(asking)
    raise ClientGoneError


async def _unwanted(asking: asyncio.Future[Reply]) -> None:
    """Stop *asking*; an answer that came all the same is closed."""
    asking.cancel()
    await asyncio.wait({asking})
    if asking.cancelled() or asking.exception() is not None:
        return
    body = asking.result().body
    if not isinstance(body, bytes):
        await body.aclose()


def _takes_comments(headers: Headers) -> bool:
    kinds, codings = headers.get_all("content-type"), headers.get_all("content-encoding")
    plain = all(coding.strip().lower() in {"", "identity"} for coding in codings)
    return plain and [kind.partition(";")[0].strip().lower() for kind in kinds] == [EVENTS]


class _Watch:
    """What has to be done while the upstream is silent, and when."""

    def __init__(self, pace: Pace, until: float, monotonic: Clock, *, comments: bool) -> None:
        self._pace = pace
        self._until = until
        self._monotonic = monotonic
        self._comments = comments
        self._ending = _END_OF_EVENT
        self._since = self._spoke = monotonic()

    def listen(self) -> None:
        """Count silence from now on; time that the client takes is not the upstream's."""
        self._since = self._spoke = self._monotonic()

    @property
    def wait_s(self) -> float:
        """How long to wait before something has to be done."""
        ends = [self._until, self._since + self._pace.idle_s]
        ends += [self._spoke + self._pace.keep_alive_s] if self._speaks else []
        return max(0.0, min(ends) - self._monotonic())

    @property
    def _speaks(self) -> bool:
        """Whether a comment may stand here: in the middle of an event it would end that."""
        return self._comments and self._ending.endswith(_BETWEEN_EVENTS)

    def silent(self) -> bytes:
        """Return what the client is sent after `wait_s` of silence.

        Raises:
            OvertimeError, SilentError: nothing any more.
        """
        now = self._monotonic()
        self._check(now)
        if now - self._since >= self._pace.idle_s:
            raise SilentError
        if not self._speaks or now - self._spoke < self._pace.keep_alive_s:
            return b""
        self._spoke = now
        return COMMENT

    def heard(self, chunk: bytes) -> bytes:
        """Return *chunk*, which the client is sent.

        Raises:
            OvertimeError: nothing any more.
        """
        self._check(self._monotonic())
        self._ending = (self._ending + chunk[-len(_END_OF_EVENT) :])[-len(_END_OF_EVENT) :]
        return chunk

    def _check(self, now: float) -> None:
        if now >= self._until:
            raise OvertimeError


async def _paced(body: AsyncGenerator[bytes, None], watch: _Watch) -> AsyncGenerator[bytes, None]:
    """Yield what *body* yields, and what *watch* says while it is silent."""
    reading: asyncio.Future[bytes | None] | None = None
    async with aclosing(body):
        yield b""
        try:
            while True:
                if reading is None:
                    watch.listen()
                    reading = asyncio.ensure_future(anext(body, None))
                await asyncio.wait({reading}, timeout=watch.wait_s)
                if not reading.done():
                    yield watch.silent()
                    continue
                chunk, reading = reading.result(), None
                if chunk is None:
                    return
                yield watch.heard(chunk)
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})
