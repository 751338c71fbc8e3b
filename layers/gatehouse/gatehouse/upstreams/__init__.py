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
    """One request to an upstream; a client adds `Host` and `Content-Length` to it and nothing else."""

    method: str
    url: str
    headers: list[Pair]
    body: bytes
    timeout_s: float


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
