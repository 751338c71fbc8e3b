"""The client for upstreams that are Lambda functions, `lambda:<name>` in project files.

A function is invoked directly, without an address of its own that others could reach too. What it gets is what API
Gateway would have sent it, so that it needs no change to stand behind this gateway.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from concurrent.futures import ThreadPoolExecutor

from gatehouse import logs
from gatehouse.call import Reply
from gatehouse.clock import Clock
from gatehouse.errors import (
    GatewayError,
    PayloadTooLargeError,
    ResponseTooLargeError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gatehouse.function_names import FunctionName, parted
from gatehouse.stores.access import access
from gatehouse.upstreams import Outbound, function_answer, function_event
from gatehouse.upstreams.function_answer import BadAnswerError, reply_of
from gatehouse.upstreams.function_event import event_of, payload_of
from gatehouse.upstreams.idle import IdleConnections
from gatehouse.upstreams.invoking import TOO_LARGE, Invocation, Invoked

MOST_AT_ONCE = 64
"""Each invocation that is under way has a thread; who comes after these waits, for as long as the route lets it."""
_TOO_LARGE_TO_SEND = "RequestTooLargeException"


class FunctionUpstream:
    """Invokes functions, each request in a thread of its own; what may have begun is never repeated."""

    def __init__(self, *, wall: Clock = time.time, most_at_once: int = MOST_AT_ONCE) -> None:
        self._wall = wall
        self._most_at_once = most_at_once
        self._idle = IdleConnections()
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: set[Invocation] = set()

    async def send(self, outbound: Outbound) -> Reply:
        """Invoke the function that `outbound.url` names, once, and return its answer; see `Upstream.send`.

        Raises:
            PayloadTooLargeError: the request is too large for any function.
        """
        function, _, _ = parted(outbound.url)
        payload = payload_of(event_of(outbound, self._wall()))
        invocation = Invocation(function, payload, time.monotonic() + outbound.timeout_s)
        return _reply(function, await self._invoked(invocation, outbound.timeout_s), outbound.method)

    async def close(self) -> None:
        """Close every connection; who still waits for a function is told that it cannot be reached."""
        for invocation in tuple(self._under_way):
            invocation.give_up()
        if self._threads:
            self._threads.shutdown(wait=False)
            self._threads = None
        self._idle.close()

    async def _invoked(self, invocation: Invocation, timeout_s: float) -> Invoked:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._most_at_once, thread_name_prefix="function")
        self._under_way.add(invocation)
        work = self._threads.submit(self._run, invocation)
        try:
            # Its own deadline is the same, but for what takes no timeout: looking a name up, waiting for a thread.
            return await asyncio.wait_for(asyncio.wrap_future(work), timeout_s)
        except TimeoutError as error:
            _no_answer(invocation.function, "TimeoutError")
            raise UpstreamTimeoutError from error
        except GatewayError as error:
            _no_answer(invocation.function, type(error.__cause__ or error).__name__)
            raise
        except Exception as error:  # boto3 is asked where credentials are of another kind, and has many of its own
            _no_answer(invocation.function, type(error).__name__)
            raise UpstreamUnreachableError from error
        finally:
            self._under_way.discard(invocation)
            if not work.done():
                invocation.give_up()

    def _run(self, invocation: Invocation) -> Invoked:
        return invocation.run(access("lambda", invocation.function.region), self._idle)


def _reply(function: FunctionName, invoked: Invoked, method: str) -> Reply:
    if invoked.status != http.client.OK:
        raise _refused(function, invoked)
    if invoked.error:
        raise _broken(function, invoked)
    try:
        return reply_of(invoked.payload, method)
    except BadAnswerError as error:
        logs.error("function answered what is no answer", function=str(function), reason=str(error))
        raise UpstreamUnreachableError from error


def _refused(function: FunctionName, invoked: Invoked) -> GatewayError:
    """Return what it is that the service did not invoke *function*."""
    _no_answer(function, invoked.reason or f"status {invoked.status}")
    if invoked.reason == _TOO_LARGE_TO_SEND:
        return PayloadTooLargeError(function_event.TOO_LARGE)
    return UpstreamUnreachableError()


def _broken(function: FunctionName, invoked: Invoked) -> GatewayError:
    """Return what it is that *function* ran and failed."""
    kind = function_answer.failure(invoked.payload)
    logs.error("function failed", function=str(function), reason=kind or "unknown")
    if kind == function_answer.TIMED_OUT:
        return UpstreamTimeoutError()
    if kind == function_answer.TOO_LARGE:
        return ResponseTooLargeError(TOO_LARGE)
    return UpstreamUnreachableError()


def _no_answer(function: FunctionName, reason: str) -> None:
    logs.error("invocation failed", function=str(function), reason=reason)
