"""The client for hosts that serve many requests at once: aiohttp, whose answers can be streams."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from gatehouse.call import Body, Reply
from gatehouse.errors import UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import from_raw
from gatehouse.upstreams import (
    CONNECT_S,
    FINAL_STATUS,
    KEPT_IDLE_S,
    MOST_HEADER_BYTES,
    Outbound,
    UnansweredError,
)
from gatehouse.upstreams.connections import WatchfulConnector

IDLE_S = 0.5
MOST_CONNECTIONS = 1024
WHOLE_BYTES = 256 * 1024
"""Answers that say they are at most this long are read whole: a break-off is then a 502, not a cut."""
IN_ONE_PIECE = 64 * 1024
NOT_OURS_TO_ADD = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class StreamingUpstream:
    """One aiohttp session per event loop, made when the loop first sends something."""

    def __init__(self) -> None:
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()
        self._last_used = 0.0

    async def send(self, outbound: Outbound) -> Reply:
        """Send *outbound* once; see `Upstream.send`."""
        session = await self._session()
        try:
            async with asyncio.timeout(outbound.head_s):
                response = await session.request(
                    outbound.method,
                    URL(outbound.url, encoded=True),
                    headers=[(name, _wire(value)) for name, value in outbound.headers],
                    data=_payload(outbound.body),
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=outbound.timeout_s, sock_connect=CONNECT_S),
                )
            body = await _body(response, streamed=outbound.streamed)
        except TimeoutError as error:
            raise UpstreamTimeoutError from error
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise UnansweredError from error  # after a byte was heard it would be a BrokeOffError
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachableError from error
        if response.status < FINAL_STATUS:
            response.close()
            raise UpstreamUnreachableError
        return Reply(status=response.status, headers=from_raw(response.raw_headers), body=body)

    async def close(self) -> None:
        """Close the session of the running loop."""
        session = self._sessions.pop(asyncio.get_running_loop(), None)
        if session:
            await session.close()

    async def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None:
            session = self._sessions[loop] = _new_session()
        elif time.monotonic() - self._last_used > IDLE_S:
            # A frozen process learns only now which connections its upstreams have closed: let the loop
            # read that before a POST is written to one of them. Twice: the first turn may already have
            # polled its sockets.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._last_used = time.monotonic()
        return session


def _new_session() -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=WatchfulConnector(
            limit=MOST_CONNECTIONS,
            limit_per_host=MOST_CONNECTIONS // 4,
            keepalive_timeout=KEPT_IDLE_S,
            ttl_dns_cache=30,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=NOT_OURS_TO_ADD,
        max_line_size=MOST_HEADER_BYTES,
        max_field_size=MOST_HEADER_BYTES,
    )
    # aiohttp would send idempotent requests again by itself: what may be repeated is decided in `forward`.
    session._retry_connection = False  # noqa: SLF001  # a middleware does it openly, for 40 µs a request
    return session


async def _body(response: aiohttp.ClientResponse, *, streamed: bool) -> Body:
    length = response.content_length
    if response.method == "HEAD" or (length is not None and length <= WHOLE_BYTES and not streamed):
        return await response.read()
    stream = _stream(response)
    await anext(stream)  # begun, so that closing it closes the response also if nobody reads it
    return stream


async def _stream(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    framed = response.content_length is not None or "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    protocol = response.connection.protocol if response.connection and not framed else None
    try:
        yield b""
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError):
            yield _left(response.content)
            raise
        # A body that ends with its connection ends for aiohttp also where that was reset.
        if protocol is not None and isinstance(protocol.exception(), OSError):
            raise UpstreamUnreachableError
    finally:
        response.close()


def _left(content: aiohttp.StreamReader) -> bytes:
    """Return what had come of an answer before it broke off: aiohttp fails a reader before it hands that out."""
    chunks = getattr(content, "_buffer", ())
    return b"".join(chunks)[getattr(content, "_buffer_offset", 0) :]


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """Return *body* so that aiohttp writes it in pieces where it is large: in one it would hold up the loop."""
    return io.BytesIO(body) if len(body) > IN_ONE_PIECE else body or None


def _wire(value: str) -> str:
    """Return *value* so that aiohttp, which encodes UTF-8, sends the bytes that came."""
    return value if value.isascii() else value.encode("latin-1").decode("utf-8")
