"""uvicorn's HTTP/1.1 protocol, less what it takes too lightly: trailers, missing hosts, heads without end.

API Gateway stands in front of the functions and does this for them; here nobody does.
"""

from __future__ import annotations

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gatehouse.edge import NO_ROUTE, request_id
from gatehouse.errors import InvalidRequestError, document
from gatehouse.headers import Headers

MOST_HEAD_BYTES = 64 * 1024


class RefusedError(Exception):
    """The request's head is not one to go on with; httptools turns this into a parser error, which is a 400."""


class Protocol(HttpToolsProtocol):
    """A stricter reader of request heads, whose refusals have the gateway's error body."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, or a trailer, which nobody sees."""
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, if its head can be read in one way only (RFC 9112 sections 3.2 and 3.2.1)."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1") or b"#" in self.url:
            raise RefusedError
        super().on_headers_complete()
        # httptools hands over the trailers of a chunked body as if they were headers. A list of their own keeps
        # them out of the request: one called Authorization would decide who is calling.
        self.headers = []

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be read, and hang up."""
        error = InvalidRequestError(f"{msg} Its first line and headers must be plain HTTP/1.1.")
        body = json.dumps(document(error, route=NO_ROUTE, request_id=request_id(Headers()))).encode()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"cache-control: no-store\r\nconnection: close\r\n\r\n" + body)
        self.transport.close()

    def _count(self, data: bytes) -> None:
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            raise RefusedError
