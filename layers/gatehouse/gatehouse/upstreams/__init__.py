"""How a request leaves the gateway: the value that is sent, and the shape of the clients that send it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gatehouse.call import Reply
from gatehouse.errors import UpstreamUnreachableError
from gatehouse.headers import Pair

MOST_HEADER_BYTES = 32 * 1024
CONNECT_S = 5.0
KEPT_IDLE_S = 15.0
"""Below what upstreams commonly keep an idle connection for, so that ours is not the one found dead."""
FINAL_STATUS = 200
"""The first status that is an answer; those below it announce one (RFC 9110 section 15.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """One request to an upstream; a client adds `Host` and `Content-Length` to it and nothing else.

    Attributes:
        method: of the request.
        url: where it goes.
        headers: all but those two.
        body: all of it.
        timeout_s: how long the answer may take, to its last byte.
        head_s: how long its head may take, if that is to be heard earlier.
        streamed: whether the answer is wanted as it comes, however short it is, by a client that can do that.
    """

    method: str
    url: str
    headers: list[Pair]
    body: bytes
    timeout_s: float
    head_s: float | None = None
    streamed: bool = False


class Upstream(Protocol):
    """A client for HTTP upstreams. It follows no redirects, keeps no cookies, inflates nothing."""

    async def send(self, outbound: Outbound) -> Reply:
        """Send *outbound* once and return the answer as it came.

        Raises:
            UpstreamTimeoutError: no answer within `timeout_s`.
            UnansweredError: the connection failed before a byte of an answer came.
            UpstreamUnreachableError: what came was not an HTTP answer, or broke off.
            ResponseTooLargeError: the answer does not fit into this kind of host.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class UnansweredError(UpstreamUnreachableError):
    """The upstream was not reached, or hung up before it answered: an idempotent request may be sent again."""
