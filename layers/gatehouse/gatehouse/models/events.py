"""Server-sent events from bytes as they come (WHATWG HTML, section 9.2.6), cut anywhere."""

from __future__ import annotations

import re

MOST_BYTES = 1024 * 1024
"""Of one event; a longer one is passed over."""
_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"\r\n|\r|\n")


class Events:
    """The data of the events of one stream. Lines are told apart as bytes: no character of UTF-8 has CR or LF in it."""

    def __init__(self) -> None:
        self._begun = False
        self._after_cr = False
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._too_large = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events that *chunk* completes, in order. Nothing that is no UTF-8 is refused."""
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):  # the second half of a CRLF
            chunk = chunk[1:]
            self._after_cr = False
        self._after_cr = chunk.endswith(b"\r") if chunk else False
        *ended, rest = _END.split(chunk)
        whole: list[str] = []
        for part in ended:
            self._hold(part)
            line = bytes(self._line)
            self._line.clear()
            data = self._ended(line)
            if data is not None:
                whole.append(data)
        self._hold(rest)
        return whole

    def _hold(self, part: bytes) -> None:
        """Add *part* to the line that has not ended yet; of what is too large only that it is not empty."""
        if self._size + len(self._line) + len(part) > MOST_BYTES:
            self._too_large = True
        if not self._too_large:
            self._line += part
        elif not self._line:
            self._line += part[:1]

    def _ended(self, line: bytes) -> str | None:
        """Return the data of the event that *line* ends, if it is empty and there is any."""
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatched()
        name, _, value = line.partition(b":")
        if name == b"data" and not self._too_large:
            self._data.append(value.removeprefix(b" "))
            self._size += len(line)
        return None

    def _dispatched(self) -> str | None:
        data = None if self._too_large or not self._data else b"\n".join(self._data).decode("utf-8", "replace")
        self._data, self._size, self._too_large = [], 0, False
        return data
