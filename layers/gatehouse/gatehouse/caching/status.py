"""What the cache says of itself in `Cache-Status` (RFC 9211)."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from gatehouse.call import Reply

NAME = "gatehouse"
HEADER = "cache-status"


def hit(ttl_s: float, detail: str) -> str:
    """Return what is said of an answer that was kept, fresh for *ttl_s* more seconds; *detail* is where it was."""
    return f"{NAME}; hit; ttl={floor(ttl_s)}; detail={detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What is said of an answer that the upstream was asked for.

    Attributes:
        why: `uri-miss`, `vary-miss`, `stale`, `request`, `method` or `bypass` (section 2.2).
        status: what the upstream answered with; None if it was not this request that went there, or nothing came.
        ttl_s: for how many seconds the answer is fresh.
        stored: whether the answer was kept.
        collapsed: whether it is that of another request that was on its way for the same.
        detail: a word on why it was not kept, or why something stands in for it.
    """

    why: str
    status: int | None = None
    ttl_s: float | None = None
    stored: bool = False
    collapsed: bool = False
    detail: str = ""

    def __str__(self) -> str:
        parts = (
            NAME,
            f"fwd={self.why}",
            f"fwd-status={self.status}" if self.status is not None else "",
            "stored" if self.stored else "",
            "collapsed" if self.collapsed else "",
            f"ttl={floor(self.ttl_s)}" if self.ttl_s is not None else "",
            f"detail={self.detail}" if self.detail else "",
        )
        return "; ".join(part for part in parts if part)


def saying(reply: Reply, status: object) -> Reply:
    """Return *reply* with *status* after what caches nearer to its origin say."""
    return reply.with_headers(reply.headers.adding(((HEADER, str(status)),)))
