"""Where ASGI ends and the pipeline begins, for the proxy. It knows requests and answers, and no policy."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import aclosing
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

from gatehouse import access_log, logs
from gatehouse.access_log import CLIENT_GONE, Ended
from gatehouse.call import Call, Handler, Reply
from gatehouse.errors import (
    NO_ROUTE,
    ClientGoneError,
    InternalError,
    PayloadTooLargeError,
    UpstreamUnreachableError,
    render,
)
from gatehouse.headers import Headers, from_raw, to_raw
from gatehouse.stages.security_headers import bare

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class App(Protocol):
    """An ASGI application."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Serve one connection."""
        ...


MOST_DIGITS = 18
BODILESS_STATUS = frozenset({204, 304})
DEADLINE = "gatehouse.deadline"
"""Where a host that ends invocations puts the moment it will, on the clock of `time.monotonic`."""
INVOCATION = "gatehouse.invocation"
"""Where such a host puts the invocation's id."""
_starts = iter((True,))
"""What the first request of a process takes, and nobody after it."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=+/@-]{1,128}")


class CutError(Exception):
    """An answer broke off after its first byte had left: the connection must be cut, not ended politely."""


class _Body:
    """The request's body, as it comes from the server."""

    def __init__(self, receive: Receive, declared: str, most_bytes: int) -> None:
        self._receive = receive
        self._declared = declared
        self._most_bytes = most_bytes
        self._whole: bytes | None = None

    async def read(self) -> bytes:
        """Return the whole body; see `RequestBody.read`."""
        if self._whole is None:
            self._whole = await self._read()
        return self._whole

    async def _read(self) -> bytes:
        if (
            self._declared.isascii()
            and self._declared.isdigit()
            and (len(self._declared) > MOST_DIGITS or int(self._declared) > self._most_bytes)
        ):
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._most_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def gone(self) -> None:
        """Return when the client has hung up; see `RequestBody.gone`. What it still sends is read over."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(f"The request's body is larger than the {self._most_bytes} bytes taken here.")


def application(handle: Handler, *, most_bytes: int, close: Callable[[], Awaitable[None]] | None = None) -> App:
    """Return the ASGI application that answers every request by *handle*.

    Args:
        handle: the gateway.
        most_bytes: the longest request body that is taken.
        close: what to do when a server stops.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send, close)
        elif scope["type"] == "http":
            await _answer(handle, read(scope, receive, most_bytes), send)

    return app


def read(scope: Scope, receive: Receive, most_bytes: int) -> Call:
    """Take a `Call` from an ASGI request. The path is as the client sent it: nobody has judged it yet."""
    # A copy: httptools adds the trailers of a chunked body to this list once the body was read.
    headers = from_raw(tuple(scope["headers"]))
    client = scope.get("client")
    return Call(
        method=scope["method"],
        path=_path(scope),
        query=scope.get("query_string", b"").decode("utf-8", "surrogateescape"),
        headers=headers,
        body=_Body(receive, headers.get("content-length"), most_bytes),
        client_ip=client[0] if client and client[0] else "",
        scheme=scope.get("scheme", "http"),
        request_id=request_id(headers),
        route=NO_ROUTE,
        deadline=scope.get(DEADLINE),
        notes={"invocationId": invoked} if (invoked := scope.get(INVOCATION)) else {},
    )


def request_id(headers: Headers) -> str:
    """Return the client's own request id, if it is one, or a new one."""
    sent = headers.get("x-request-id")
    return sent if _REQUEST_ID.fullmatch(sent) else str(uuid4())


def _path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    return raw.partition(b"?")[0].decode("utf-8", "surrogateescape")


async def _answer(handle: Handler, call: Call, send: Send) -> None:
    started, cold = time.monotonic(), next(_starts, False)
    try:
        reply = await handle(call)
    except ClientGoneError:
        call.notes["clientGone"] = True
        gone_s = time.monotonic() - started
        ended = Ended(status=CLIENT_GONE, sent_bytes=0, head_s=gone_s, total_s=gone_s, cold=cold)
        logs.info("request", **access_log.line(call, ended))
        return
    except Exception as error:  # noqa: BLE001  # nothing leaves this gateway without our error body
        logs.crash("unexpected failure", error, requestId=call.request_id)
        call.notes["error"] = InternalError.code
        reply = render(InternalError(), call)
    head_s, cut, sent = time.monotonic() - started, False, _Sent(send)
    try:
        await _write(call, reply, sent)
    except CutError:
        cut = True
        raise
    finally:
        total_s = time.monotonic() - started
        ended = Ended(status=reply.status, sent_bytes=sent.bytes, head_s=head_s, total_s=total_s, cut=cut, cold=cold)
        logs.info("request", **access_log.line(call, ended))


class _Sent:
    """A `Send` that counts what leaves of the body."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.bytes = 0

    async def __call__(self, message: Message) -> None:
        await self._send(message)
        self.bytes += len(message.get("body", b""))


async def _write(call: Call, reply: Reply, send: Send) -> None:
    """Send *reply*. After the first byte a failure can only cut it short (`CutError`)."""
    silent = call.method == "HEAD" or reply.status in BODILESS_STATUS
    headers = reply.headers
    if reply.status in BODILESS_STATUS:  # a 304 may name the length that a 200 would have had: servers then wait for it
        headers = headers.without("content-length")
    if isinstance(reply.body, bytes) and "content-length" not in headers and not silent:
        headers = headers.adding((("content-length", str(len(reply.body))),))
    await send({"type": "http.response.start", "status": reply.status, "headers": to_raw(headers)})
    if isinstance(reply.body, bytes):
        await send({"type": "http.response.body", "body": b"" if silent else reply.body})
    else:
        await _stream(call, reply.body, send, reply.until)


async def _stream(call: Call, body: AsyncGenerator[bytes, None], send: Send, until: float | None) -> None:
    """Send *body* as it comes; where the client hangs up, or the body breaks off, it is closed at once.

    It is cut at *until*, also if the client does not read: it would hold the upstream's connection for ever.

    Raises:
        CutError: it broke off, and the client must see that.
    """
    sending = asyncio.create_task(_sent(body, send))
    leaving = asyncio.create_task(call.body.gone())
    left_s = None if until is None else max(0.0, until - time.monotonic())
    try:
        async with asyncio.timeout(left_s):
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() or leaving.exception() is not None:
                await sending
            else:
                call.notes["clientGone"] = True
    except Exception as error:  # the upstream broke off, or it is time: the client must see that too
        logs.crash("stream cut", error, requestId=call.request_id)
        raise CutError from error
    finally:
        leaving.cancel()
        sending.cancel()
        await asyncio.wait({sending, leaving})


async def _sent(body: AsyncGenerator[bytes, None], send: Send) -> None:
    async with aclosing(body) as chunks:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _lifespan(receive: Receive, send: Send, close: Callable[[], Awaitable[None]] | None) -> None:
    """Answer a server's start and stop. Nothing may depend on the start: Lambda has none."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            if close:
                await close()
            await send({"type": "lifespan.shutdown.complete"})
            return


def whole(app: App) -> App:
    """Return *app* with its answers held back until they are whole, so that a broken-off one becomes a failure."""

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        try:
            await app(scope, receive, hold)
        except CutError:
            held = _messages(bare(UpstreamUnreachableError(), scope.get(INVOCATION, "")))
        except Exception as error:  # noqa: BLE001  # the host's own answer to it is plain text
            logs.crash("unexpected failure", error)
            held = _messages(bare(InternalError(), scope.get(INVOCATION, "")))
        for message in held:
            await send(message)

    return whole


def _messages(reply: Reply) -> list[Message]:
    return [
        {"type": "http.response.start", "status": reply.status, "headers": to_raw(reply.headers)},
        {"type": "http.response.body", "body": reply.whole},
    ]
