"""aiohttp's connections, with two things watched that it does not watch: when an answer begins, and idle ones.

`_factory` and `_release` are aiohttp's own names; its version is locked, and tests hold what is built on them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler


class BrokeOffError(aiohttp.ClientError):
    """The connection failed after something was heard on it."""


class WatchfulConnection(ResponseHandler):
    """aiohttp's connection, which also knows whether it is idle and whether a byte of the present answer has come."""

    idle = False
    heard = False

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for an answer."""
        self.idle, self.heard = False, False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what came; hang up if nobody had asked."""
        if self.idle and data:  # nobody asked; aiohttp would give it to the next caller as the answer
            self.close()
            return
        self.heard = True
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Fail the present answer, in a way that says whether some of it had come."""
        broke_off = self.heard and isinstance(exc, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError))
        super().set_exception(BrokeOffError() if broke_off else exc, *cause)
        # aiohttp fails only an answer that has not begun; who reads the body of one that has would wait until its time
        # is up, if what comes next is no chunk.
        if self._payload is not None and not self._payload.is_eof() and self._payload.exception() is None:
            self._payload.set_exception(aiohttp.ClientPayloadError())


class WatchfulConnector(aiohttp.TCPConnector):
    """aiohttp's connector, with our kind of connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(WatchfulConnection, loop=self._loop)  # type: ignore[assignment]  # partial is invariant

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if isinstance(protocol, WatchfulConnection):
            protocol.idle = True
