"""Making an answer whole that came as a stream, if it is not too large to be kept, and does not take too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

from gatehouse.call import Reply
from gatehouse.errors import GatewayError, UpstreamUnreachableError

MOST_BODY_BYTES = 1024 * 1024
PATIENCE_S = 1.0
"""How long an answer is held back at most to be kept: what comes more slowly than that may be a stream."""


async def collected(
    reply: Reply, most_bytes: int = MOST_BODY_BYTES, patience_s: float = PATIENCE_S
) -> tuple[Reply, str]:
    """Return *reply* with its body in one piece, or a stream still, from its beginning, and why: a word.

    Raises:
        UpstreamUnreachableError: it broke off.
    """
    if isinstance(reply.body, bytes):
        return reply, "too-large" if len(reply.body) > most_bytes else ""
    chunks: list[bytes] = []
    size = 0
    ends = asyncio.get_running_loop().time() + patience_s
    while True:
        reading = asyncio.ensure_future(anext(reply.body, None))
        try:
            await asyncio.wait({reading}, timeout=max(0.0, ends - asyncio.get_running_loop().time()))
        except BaseException:
            await _stopped(reading, reply.body)
            raise
        if not reading.done():
            return replace(reply, body=await _begun(_rest(chunks, reading, reply.body))), "stream"
        chunk = _read(reading)
        if chunk is None:
            return replace(reply, body=b"".join(chunks)), ""
        chunks.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            return replace(reply, body=await _begun(_rest(chunks, None, reply.body))), "too-large"


def _read(reading: asyncio.Future[bytes | None]) -> bytes | None:
    try:
        return reading.result()
    except GatewayError:
        raise
    except Exception as error:
        raise UpstreamUnreachableError from error


async def _stopped(reading: asyncio.Future[bytes | None] | None, body: AsyncGenerator[bytes, None]) -> None:
    """End *reading*, if it is under way, and close *body*."""
    if reading is not None:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)  # also what it failed with is taken note of
    await body.aclose()


async def _begun(stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Return *stream* begun, so that closing it closes what it reads from also if nobody reads it."""
    await anext(stream)
    return stream


async def _rest(
    chunks: list[bytes], reading: asyncio.Future[bytes | None] | None, body: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield *chunks*, then what *reading* brings, then the rest of *body*."""
    try:
        yield b""
        for chunk in chunks:
            yield chunk
        more = await reading if reading is not None else b""
        while more is not None:
            yield more
            more = await anext(body, None)
    finally:
        await _stopped(reading, body)


async def discard(reply: Reply) -> None:
    """Let go of an answer that nobody is given."""
    if not isinstance(reply.body, bytes):
        await reply.body.aclose()
