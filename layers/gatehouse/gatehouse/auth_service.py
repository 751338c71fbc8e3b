"""Asks services about credentials: with a bound on time and size, and without trusting what answers to be well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from gatehouse import logs
from gatehouse.asking import Answer, Question
from gatehouse.call import Reply
from gatehouse.circuit import Circuits, CutShortError
from gatehouse.clock import Clock, Elapsed, Instant
from gatehouse.errors import AuthUnavailableError, ResponseTooLargeError, UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Headers, Pair
from gatehouse.upstreams import Outbound, UnansweredError, Upstream

TIMEOUT_S = 3.0
LEAST_S = 0.05
"""With less time left nobody is asked."""
FAIR_S = 1.0
"""A service that was given less time than this has not failed by not answering."""
MOST_BYTES = 64 * 1024
LOGGED_EVERY_S = 60.0
OK = 200
CLIENT_ERRORS = range(400, 500)
TOO_MANY = 429
NOT_ANSWERS = frozenset({408, TOO_MANY})
"""Client errors that say how the service is, and nothing about the credential (RFC 9110 section 15.5, RFC 6585)."""
_OURS: tuple[Pair, ...] = (("accept", "application/json"), ("accept-encoding", "identity"), ("user-agent", "gatehouse"))


class _FailedError(Exception):
    """The service failed; the message is how, in words that may be logged."""


class _UnheardError(_FailedError):
    """Nothing was heard from it: what may be asked twice can be asked once more."""


class _UncountedError(CutShortError):
    """It did not answer this question; that says nothing of how it would answer others'."""


class AuthService:
    """An `asking.Asking` over the client that requests leave by. A GET is sent twice at most, all else once.

    Args:
        upstream: sends the questions.
        monotonic: the clock of `time.monotonic`, in seconds.
        timeout_s: how long a question may take, with both its attempts.
        most_bytes: how long an answer's body may be.
        circuits: what leaves dead services alone; instances with other bounds share it.
    """

    def __init__(
        self,
        upstream: Upstream,
        monotonic: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        most_bytes: int = MOST_BYTES,
        circuits: Circuits | None = None,
    ) -> None:
        self._upstream = upstream
        self._elapsed = Elapsed(monotonic, monotonic)
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes
        self._circuits = circuits or Circuits(self._elapsed)
        self._logged: dict[tuple[str, str], Instant] = {}

    async def __call__(self, question: Question, deadline: float | None = None) -> Answer:
        """Put *question* to the service that its URL names; see `asking.Asking`."""
        ends = self._elapsed.monotonic() + self._timeout_s
        ends = ends if deadline is None else min(ends, deadline)
        origin = origin_of(question.url)
        try:
            try:
                return await self._attempted(origin, question, ends)
            except _UnheardError:
                if question.method != "GET":
                    raise
                return await self._attempted(origin, question, ends)
        except (_FailedError, CutShortError) as error:
            raise AuthUnavailableError from error

    async def _attempted(self, origin: str, question: Question, ends: float) -> Answer:
        left_s = ends - self._elapsed.monotonic()
        if left_s < LEAST_S:
            raise CutShortError
        with self._circuits.of(question.service or service_of(question.url)).attempt():
            try:
                return await self._sent(question, left_s)
            except (_FailedError, _UncountedError) as error:
                self._log(origin, str(error))
                raise

    async def _sent(self, question: Question, left_s: float) -> Answer:
        outbound = Outbound(
            method=question.method,
            url=question.url,
            headers=list(Headers(question.headers).defaulting(_OURS)),
            body=question.body,
            timeout_s=left_s,
        )
        try:
            async with asyncio.timeout(left_s):
                return await self._answer(await self._upstream.send(outbound))
        except (_FailedError, _UncountedError):
            raise
        except (UpstreamTimeoutError, TimeoutError) as error:
            fair = left_s >= min(FAIR_S, self._timeout_s)
            raise (_FailedError if fair else _UncountedError)("timeout") from error
        except UnansweredError as error:
            raise _UnheardError("unreachable") from error
        except ResponseTooLargeError as error:
            raise _FailedError("too large") from error
        except UpstreamUnreachableError as error:
            raise _FailedError("broken answer") from error
        except Exception as error:  # a stream that breaks off raises what its client raises
            raise _FailedError(f"broken answer ({type(error).__name__})") from error

    async def _answer(self, reply: Reply) -> Answer:
        """Return *reply* as an answer. A stream is read either way: one that nobody began to read cannot be closed.

        Raises:
            _FailedError: it is none to build on, or it is too long. What is left of it then is not read.
            _UncountedError: the service has had enough of whoever is calling: it counts by their address, which it is
                told. If that opened the circuit, one of them could shut out everybody.
        """
        body = reply.body if isinstance(reply.body, bytes) else await _read(reply.body, self._most_bytes)
        reason = _unfit(reply) or ("too large" if len(body) > self._most_bytes else "")
        if reply.status == TOO_MANY:
            raise _UncountedError(reason)
        if reason:
            raise _FailedError(reason)
        return Answer(status=reply.status, headers=reply.headers, body=body)

    def _log(self, origin: str, reason: str) -> None:
        """Write that the service at *origin* failed, unless that was written a moment ago."""
        before = self._logged.get((origin, reason))
        if before is None or self._elapsed.since(before) >= LOGGED_EVERY_S:
            self._logged[origin, reason] = self._elapsed.now()
            logs.error("auth service failed", origin=origin, reason=reason)


def origin_of(url: str) -> str:
    """Return the scheme, host and port of *url*: what may be logged of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def service_of(url: str) -> str:
    """Return *url* without its query, which names a circuit: behind one load balancer there may be many services."""
    return f"{origin_of(url)}{urlsplit(url).path}"


def _unfit(reply: Reply) -> str:
    """Return why the head of *reply* is not one of an answer; empty if it is."""
    if reply.status != OK and (reply.status not in CLIENT_ERRORS or reply.status in NOT_ANSWERS):
        return f"status {reply.status}"
    codings = {value.strip().lower() for value in reply.headers.get_all("content-encoding")}
    return "compressed answer" if codings - {"", "identity"} else ""


async def _read(stream: AsyncGenerator[bytes, None], most: int) -> bytes:
    """Return what *stream* holds, or a little more than *most* bytes of it."""
    body = bytearray()
    try:
        async for chunk in stream:
            body += chunk
            if len(body) > most:
                break
    finally:
        await stream.aclose()
    return bytes(body)
