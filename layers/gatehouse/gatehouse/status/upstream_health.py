"""Asking an upstream whether it is well, by a GET of the `health` path that its project file names.

`http.client` in a thread, and not the proxy's client: that one holds up everything else while it waits, and a function
with little memory takes two seconds to load aiohttp.
"""

from __future__ import annotations

import http.client
import ssl
import time
from functools import cache, partial
from urllib.parse import urlsplit

from gatehouse.errors import UpstreamTimeoutError
from gatehouse.function_names import is_function
from gatehouse.status.probes import BUDGET_S, threaded
from gatehouse.upstreams import Outbound, Upstream
from gatehouse.upstreams.strict import StrictResponse, limit

WELL = range(200, 300)
HEADERS = [("accept", "*/*"), ("user-agent", "gatehouse-status"), ("connection", "close")]


class UnwellError(Exception):
    """An upstream answered, and did not say that it is well; the message is for people."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Its health path answers {status}, and not 200 to 299: look at the service.")


async def ask(url: str, functions: Upstream, within_s: float) -> None:
    """Ask *url*; *functions* invokes those that are functions. A redirect is no sign of health, and not followed.

    Raises:
        UnwellError: it answered something else than 2xx.
        Exception: it did not answer; `words` says what to do about it.
    """
    if is_function(url):
        sent = Outbound(method="GET", url=url, headers=HEADERS[:2], body=b"", timeout_s=within_s)
        status = (await functions.send(sent)).status
    else:
        status = await threaded(partial(_status, url, time.monotonic() + within_s))
    if status not in WELL:
        raise UnwellError(status)


def words(error: Exception) -> str:
    """Return what there is to say, and to do, about *error*, which a question to an upstream raised."""
    if isinstance(error, UnwellError):
        return str(error)
    if isinstance(error, TimeoutError | UpstreamTimeoutError):
        return f"It did not answer within {BUDGET_S:g} s: look at the service."
    return "It cannot be reached: look at the service, and at the variable that has its address."


def _status(url: str, deadline: float) -> int:
    """Return the status that *url* answers by *deadline*, on the clock of `time.monotonic`. Blocks."""
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.netloc)
    try:
        connection.connect()
        limit(connection.sock, deadline)
        connection.response_class = partial(StrictResponse, deadline=deadline)  # type: ignore[assignment]  # it makes one
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", target, headers=dict(HEADERS))
        response = connection.getresponse()
        try:
            return response.status
        finally:
            response.close()
    finally:
        connection.close()


def _connection(scheme: str, netloc: str) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(netloc, timeout=BUDGET_S, context=_tls())
    return http.client.HTTPConnection(netloc, timeout=BUDGET_S)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # 40 ms: one per process
