"""The id that a request has in all logs on its way: X-Ray's, or that of W3C Trace Context."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from gatehouse.headers import Headers

_XRAY = re.compile(r"(?:^|;)\s*Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)", re.IGNORECASE)
"""https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader"""
_W3C = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


def trace_id(headers: Headers) -> str:
    """Return the id of the trace that a request with *headers* belongs to; empty if there is none."""
    found = _XRAY.search(headers.get("x-amzn-trace-id")) or _W3C.fullmatch(headers.get("traceparent"))
    return found[1] if found else ""


def current_trace(environ: Mapping[str, str]) -> str:
    """Return the id of the trace that the invocation belongs to which Lambda's runtime has begun last."""
    return _root(environ.get("_X_AMZN_TRACE_ID", ""))


@lru_cache(maxsize=2)
def _root(header: str) -> str:
    found = _XRAY.search(header) if header else None
    return found[1] if found else ""
