"""Making an answer whole that came as a stream, if it is not too large to be kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from gatehouse.call import Reply
from gatehouse.errors import GatewayError, UpstreamUnreachableError

MOST_BODY_BYTES = 1024 * 1024


async def collected(reply: Reply, most_bytes: int = MOST_BODY_BYTES) -> Reply:
    """Return *reply* with its body in one piece; one larger than *most_bytes* is a stream still, from its beginning.

    Raises:
        UpstreamUnreachableError: it broke off.
    """
    if isinstance(reply.body, bytes):
        return reply
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in reply.body:
            chunks.append(chunk)
            size += len(chunk)
            if size > most_bytes:
                return replace(reply, body=await _begun(_rest(chunks, reply.body)))
    except GatewayError:
        raise
    except Exception as error:
        raise UpstreamUnreachableError from error
    return replace(reply, body=b"".join(chunks))


async def _begun(stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Return *stream* begun, so that closing it closes what it reads from also if nobody reads it."""
    await anext(stream)
    return stream


async def _rest(chunks: list[bytes], stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream):
        yield b""
        for chunk in chunks:
            yield chunk
        async for chunk in stream:
            yield chunk


async def discard(reply: Reply) -> None:
    """Let go of an answer that nobody is given."""
    if not isinstance(reply.body, bytes):
        await reply.body.aclose()
