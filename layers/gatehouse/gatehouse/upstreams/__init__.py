"""How a request leaves the gateway: the value that is sent, and the shape of the clients that send it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gatehouse.call import Reply
from gatehouse.errors import UpstreamUnreachableError
from gatehouse.headers import Pair

MOST_HEADER_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """One request to an upstream, whole: nothing is added to it and nothing is read differently."""

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
