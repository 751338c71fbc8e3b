"""One call of Lambda's Invoke API: blocking, with a deadline, and never sent twice.

Source: AWS Lambda API Reference, "Invoke".
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import quote, urlsplit

from gatehouse.errors import ResponseTooLargeError, UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.function_names import FunctionName
from gatehouse.stores.access import Access
from gatehouse.stores.sigv4 import Post, signed
from gatehouse.upstreams import CONNECT_S, UnansweredError
from gatehouse.upstreams.idle import IdleConnections, Place
from gatehouse.upstreams.strict import StrictResponse, limit

MOST_ANSWER_BYTES = 6 * 1024 * 1024 + 64 * 1024
"""Lambda's 6 MB for what a function returns, and a bit."""
TOO_LARGE = (
    "The answer of the function behind this route is larger than a function's answer can be (6 MB). "
    "Ask for less at a time."
)
_REASON = re.compile(r"[A-Za-z]{1,64}")


@dataclass(frozen=True, slots=True)
class Invoked:
    """What the Invoke API answered.

    Attributes:
        status: 200 if the function ran.
        error: what it says of a failure inside the function, `Unhandled`; empty if there was none.
        reason: its own name for why the function did not run, `TooManyRequestsException`.
        payload: what the function returned, or said of its failure.
    """

    status: int
    error: str
    reason: str
    payload: bytes


class Invocation:
    """One invocation of *function* with *payload*, which is over at *deadline* (on the clock of `time.monotonic`)."""

    def __init__(self, function: FunctionName, payload: bytes, deadline: float) -> None:
        self.function = function
        self._payload = payload
        self._deadline = deadline
        self._connection: http.client.HTTPConnection | None = None
        self._given_up = False

    def give_up(self) -> None:
        """End it from another thread: nobody waits for the answer any more. The function itself runs on."""
        self._given_up = True
        connection = self._connection
        if connection and connection.sock:
            with suppress(OSError):
                # The socket's own, below TLS: the thread that reads is inside that, and only the socket wakes it.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def run(self, access: Access, idle: IdleConnections) -> Invoked:
        """Invoke the function and return what came back. Blocks until the deadline at most.

        Raises:
            UpstreamTimeoutError: it has passed.
            UnansweredError: the request has not arrived, or not all of it.
            UpstreamUnreachableError: the connection broke off, or what came was not HTTP.
            ResponseTooLargeError: more came than a function can return.
        """
        if self._given_up:
            raise UpstreamUnreachableError
        place = _place(access.url)
        connection = self._connection = idle.taken(place) or self._connected(place)
        try:
            self._send(connection, access)
            response, data = self._answer(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = None
        if response.will_close:
            connection.close()
        else:
            idle.keep(place, connection)
        error = response.headers.get("x-amz-function-error", "")
        return Invoked(
            response.status, error, "" if response.status == http.client.OK else _reason(response, data), data
        )

    def _connected(self, place: Place) -> http.client.HTTPConnection:
        scheme, host, port = place
        left = min(CONNECT_S, self._deadline - time.monotonic())
        if left <= 0:  # it waited for a thread until now
            raise UpstreamTimeoutError
        connection = (
            http.client.HTTPSConnection(host, port, timeout=left, context=_tls())
            if scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=left)
        )
        try:
            connection.connect()
        except TimeoutError as error:
            connection.close()
            raise UpstreamTimeoutError from error
        except OSError as error:
            connection.close()
            raise UnansweredError from error
        return connection

    def _send(self, connection: http.client.HTTPConnection, access: Access) -> None:
        if self._given_up:  # while it connected
            raise UpstreamUnreachableError
        strict = partial(StrictResponse, deadline=self._deadline)
        connection.response_class = strict  # type: ignore[assignment]  # it makes one
        post = _post(self.function, self._payload, access)
        headers = signed(post, access.credentials, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        target = f"{post.path}?{post.query}" if post.query else post.path
        try:
            limit(connection.sock, self._deadline)
            connection.request("POST", target, body=self._payload, headers=headers)
        except TimeoutError as error:
            raise UpstreamTimeoutError from error
        except OSError as error:  # some of it did not leave, and a part of an event invokes nothing
            raise UnansweredError from error

    def _answer(self, connection: http.client.HTTPConnection) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            with closing(connection.getresponse()) as response:  # it holds the socket open on its own
                return response, _whole(response)
        except TimeoutError as error:
            raise UpstreamTimeoutError from error
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamUnreachableError from error


def _whole(response: http.client.HTTPResponse) -> bytes:
    data = response.read(MOST_ANSWER_BYTES + 1)
    if len(data) > MOST_ANSWER_BYTES:
        raise ResponseTooLargeError(TOO_LARGE)
    if response.length:  # it broke off: read(n) does not say so itself
        raise UpstreamUnreachableError
    response.read()  # the end of a chunked body, so that the connection can be used again
    return data


def _post(function: FunctionName, payload: bytes, access: Access) -> Post:
    return Post(
        service="lambda",
        region=access.region,
        headers={
            "content-type": "application/json",
            "host": urlsplit(access.url).netloc,
            "x-amz-invocation-type": "RequestResponse",
        },
        body=payload,
        path=f"/2015-03-31/functions/{quote(function.unqualified, safe='')}/invocations",
        query=f"Qualifier={quote(function.qualifier, safe='')}" if function.qualifier else "",
    )


def _place(url: str) -> Place:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _reason(response: http.client.HTTPResponse, data: bytes) -> str:
    """Return the service's name for its refusal; empty if it has none."""
    said = response.headers.get("x-amzn-errortype", "") or _type(data)
    name = str(said).partition(":")[0].rpartition("#")[2]
    return name if _REASON.fullmatch(name) else ""


def _type(data: bytes) -> Any:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    return (document.get("__type") or "") if isinstance(document, dict) else ""


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # 40 ms: one per process
