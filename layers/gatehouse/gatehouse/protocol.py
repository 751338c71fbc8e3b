"""uvicorn's HTTP/1.1 protocol, less what it takes too lightly: trailers, missing hosts, heads without end.

API Gateway stands in front of the functions on AWS and does some of this; on a developer's machine nobody does.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gatehouse.edge import request_id
from gatehouse.errors import InvalidRequestError
from gatehouse.headers import Headers
from gatehouse.stages.security_headers import bare

MOST_HEAD_BYTES = 64 * 1024


class RefusedError(Exception):
    """The request's head is not one to go on with; httptools turns this into a parser error, which is a 400."""


class Protocol(HttpToolsProtocol):
    """A stricter reader of request heads, whose refusals have the gateway's error body."""

    _silent = 0

    def data_received(self, data: bytes) -> None:
        """Take what came, unless a field of the head or a trailer has no end: httptools keeps its pieces to itself."""
        self._silent += len(data)
        super().data_received(data)
        if self._silent > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

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

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._silent = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Start the request, if its head can be read in one way only (RFC 9112 sections 3.2 and 3.2.1)."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        # After a head that asks for an upgrade httptools reads no more, and the body would be lost.
        upgraded = any(name == b"upgrade" for name, _ in self.headers)
        bodied = any(
            name in {b"content-length", b"transfer-encoding"} and value != b"0" for name, value in self.headers
        )
        if (
            (upgraded and bodied)
            or hosts > 1
            or (hosts == 0 and self.parser.get_http_version() == "1.1")
            or b"#" in self.url
        ):
            raise RefusedError
        super().on_headers_complete()
        # httptools hands over the trailers of a chunked body as if they were headers. A list of their own keeps
        # them out of the request: one called Authorization would decide who is calling.
        self.headers = []

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be read, and hang up."""
        error = InvalidRequestError(f"{msg} Its first line and headers must be plain HTTP/1.1.")
        refusal = bare(error, request_id(Headers()))
        fields = [*refusal.headers, ("content-length", str(len(refusal.whole))), ("connection", "close")]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode() + refusal.whole)
        self.transport.close()

    def _count(self, data: bytes) -> None:
        self._silent = 0
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            raise RefusedError
