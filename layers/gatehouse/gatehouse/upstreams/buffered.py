"""The client for a Lambda function that serves one request at a time and answers whole: `http.client`.

It costs a cold start nothing that is not loaded anyway, where aiohttp costs 200 ms; see
`docs/decisions/0003-two-upstream-clients.md`.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import ssl
import time
from contextlib import ExitStack
from functools import cached_property, partial
from urllib.parse import urlsplit

from gatehouse.call import Reply
from gatehouse.errors import ResponseTooLargeError, UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Headers
from gatehouse.lambda_answer import MOST_ANSWER_BYTES, fits
from gatehouse.upstreams import CONNECT_S, FINAL_STATUS, Outbound, UnansweredError
from gatehouse.upstreams.idle import IdleConnections, Place
from gatehouse.upstreams.strict import StrictResponse, limit

BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})

_FOLD = re.compile(r"[ \t]*[\r\n\0]+[ \t]*")


class BufferedUpstream:
    """Keeps idle connections. An exchange blocks the loop, which has nothing else to do in such a function.

    Connecting happens in a thread: looking a name up is the one step that takes no timeout.
    """

    def __init__(self) -> None:
        self._idle = IdleConnections()

    async def send(self, outbound: Outbound) -> Reply:
        """Send *outbound* once; see `Upstream.send`."""
        deadline = time.monotonic() + outbound.timeout_s
        url = urlsplit(outbound.url)
        place = (url.scheme, url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        target = outbound.url[outbound.url.index("/", len(url.scheme) + 3) :]
        connection = self._idle.taken(place) or await self._connected(place, outbound.timeout_s)
        with ExitStack() as closing:
            closing.callback(connection.close)
            response = _sent(connection, outbound, target, deadline)
            closing.callback(response.close)  # it holds the socket open on its own, once it is not to be used again
            reply, reusable = _answer(response), not response.will_close
            if reusable:
                closing.pop_all()
        if reusable:
            self._idle.keep(place, connection)
        return reply

    async def close(self) -> None:
        """Close every idle connection."""
        self._idle.close()

    async def _connected(self, place: Place, timeout_s: float) -> http.client.HTTPConnection:
        scheme, host, port = place
        connect_s = min(CONNECT_S, timeout_s)
        connection = (
            http.client.HTTPSConnection(host, port, timeout=connect_s, context=self._tls)
            if scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=connect_s)
        )
        connecting = asyncio.get_running_loop().run_in_executor(None, connection.connect)
        try:
            # Shielded: a thread cannot be cancelled. What it connects too late is closed when it is collected.
            await asyncio.wait_for(asyncio.shield(connecting), connect_s)
        except TimeoutError as error:
            raise UpstreamTimeoutError from error
        except OSError as error:
            raise UnansweredError from error
        return connection

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # 40 ms: one per process


def _sent(
    connection: http.client.HTTPConnection, outbound: Outbound, target: str, deadline: float
) -> http.client.HTTPResponse:
    connection.response_class = partial(StrictResponse, deadline=deadline)  # type: ignore[assignment]  # it makes one
    try:
        limit(connection.sock, deadline)
        connection.putrequest(outbound.method, target, skip_accept_encoding=True)
        for name, value in outbound.headers:
            connection.putheader(name, value.encode("latin-1"))
        if outbound.body or outbound.method not in BODILESS:
            connection.putheader("content-length", str(len(outbound.body)))
        connection.endheaders(outbound.body or None)
        return connection.getresponse()
    except TimeoutError as error:
        raise UpstreamTimeoutError from error
    except (http.client.RemoteDisconnected, OSError) as error:
        raise UnansweredError from error
    except http.client.HTTPException as error:
        raise UpstreamUnreachableError from error


def _answer(response: http.client.HTTPResponse) -> Reply:
    if response.status < FINAL_STATUS:
        raise UpstreamUnreachableError
    try:
        body = response.read(MOST_ANSWER_BYTES + 1)
    except TimeoutError as error:
        raise UpstreamTimeoutError from error
    except (OSError, http.client.HTTPException) as error:
        raise UpstreamUnreachableError from error
    expected = response.length  # what is left of Content-Length; None where the answer has none
    if len(body) <= MOST_ANSWER_BYTES and expected and response.headers.get("content-length"):
        raise UpstreamUnreachableError  # it broke off: read(n) does not say so itself
    headers = Headers(tuple((name.lower(), _unfolded(value)) for name, value in response.headers.items()))
    if not fits(body, headers.get("content-type"), headers.get("content-encoding")):
        raise ResponseTooLargeError
    if response.chunked:  # RFC 9112 section 6.3: a length beside chunks is not one, and may not be passed on
        headers = headers.without("content-length")
    response.read()  # the end of a chunked body, so that the connection can be used again
    return Reply(status=response.status, headers=headers, body=body)


def _unfolded(value: str) -> str:
    """Return *value* on one line (RFC 9112 section 5.2): a line break in it would be a header of its own."""
    return _FOLD.sub(" ", value)
