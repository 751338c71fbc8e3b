"""Reading the head of an answer strictly: `http.client` takes half a head for a whole one."""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from typing import Any

from gatehouse.upstreams import FINAL_STATUS

_SWITCHING = 101
_LENGTH = re.compile(r"[0-9]{1,18}")
_LINE = re.compile(
    rb"(?:HTTP/1\.[0-9] [0-9]{3}(?: [^\r\n\0]*)?|(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:|[ \t])[^\r\n\0]*|)\r?\n"
)
"""A status line, a field or more of its value (RFC 9112 section 5), or the end of the head."""


def limit(sock: socket.socket, deadline: float) -> None:
    """Let the next operation on *sock* last until *deadline*, on the clock of `time.monotonic`.

    Raises:
        TimeoutError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    sock.settimeout(left)


class BrokenHeadError(http.client.HTTPException):
    """Something was heard, and it is not the head of an answer, or not all of one."""


class _Wire(io.RawIOBase):
    """What comes from the upstream until the deadline, and whether anything has."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self.heard = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        # Before every read: a timeout of the socket alone would let an upstream drip a byte at a time forever.
        limit(self._sock, self._deadline)
        count = self._raw.readinto(buffer)
        self.heard = self.heard or bool(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Lines, each of them looked at; `last` is the one read last."""

    last = b""
    strange = False

    def readline(self, size: int | None = -1) -> bytes:
        self.last = super().readline(size)
        self.strange = self.strange or not _LINE.fullmatch(self.last)
        return self.last


class StrictResponse(http.client.HTTPResponse):
    """An answer whose head is whole and plain, or that raises BrokenHeadError; interim answers are passed over."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._wire = _Wire(sock, deadline)
        self._lines = self.fp = _Lines(self._wire)

    def begin(self) -> None:
        """Read the head of the final answer (RFC 9110 section 15.2: interim ones may come first)."""
        while True:
            self._head()
            if self.status >= FINAL_STATUS or self.status == _SWITCHING:
                return
            self.headers = self.msg = None  # type: ignore[assignment]  # as before the first head

    def _head(self) -> None:
        try:
            super().begin()
        except TimeoutError:
            raise
        except OSError as error:
            if self._wire.heard:
                raise BrokenHeadError from error
            raise
        if self._lines.strange or self._lines.last.strip() or not self._framed():
            raise BrokenHeadError

    def _framed(self) -> bool:
        """Say whether the head leaves no doubt where the body ends (RFC 9112 section 6.3)."""
        lengths = {value.strip() for value in self.headers.get_all("content-length", [])}
        codings = [value.strip().lower() for value in self.headers.get_all("transfer-encoding", [])]
        return (
            len(lengths) <= 1 and all(_LENGTH.fullmatch(length) for length in lengths) and codings in ([], ["chunked"])
        )
