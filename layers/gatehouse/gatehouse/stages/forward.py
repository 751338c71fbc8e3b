"""The end of a pipeline: send the call to its upstream and hand the answer back."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from gatehouse.call import Call, Handler, Reply
from gatehouse.clock import Clock
from gatehouse.errors import UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Pair
from gatehouse.hygiene import inward, outward, sayable
from gatehouse.upstreams import Outbound, UnansweredError, Upstream

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2."""
MOST_REPEATED_BYTES = 64 * 1024
LEAST_TIME_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a route's requests go.

    Attributes:
        route: the route's name, as upstreams are told.
        address: scheme, host and base path; no slash at the end.
        stripped: how many leading segments of the path stay behind at the gateway.
        timeout_s: how long the upstream may take.
    """

    route: str
    address: str
    stripped: int
    timeout_s: float


def forward(upstream: Upstream, target: Target, monotonic: Clock = time.monotonic) -> Handler:
    """Return the handler that sends calls to *target* by *upstream*."""

    async def forward(call: Call) -> Reply:
        outbound = Outbound(
            method=call.method,
            url=location(target, call),
            headers=inward(call.headers, told(target, call)),
            body=await call.body.read(),
            timeout_s=_time_left(target, call, monotonic),
        )
        started = monotonic()
        try:
            try:
                reply = await upstream.send(outbound)
            except UnansweredError:
                if not repeatable(outbound):
                    raise
                reply = await upstream.send(replace(outbound, timeout_s=_time_left(target, call, monotonic, started)))
        finally:
            call.notes["upstreamMs"] = round((monotonic() - started) * 1000, 1)
        if not sayable(reply.status, reply.headers):
            if not isinstance(reply.body, bytes):
                await reply.body.aclose()
            raise UpstreamUnreachableError
        return reply.with_headers(outward(reply.headers))

    return forward


def location(target: Target, call: Call) -> str:
    """Return the URL that *call* goes to: the canonical path, less the prefix, byte for byte."""
    path = call.path
    for _ in range(target.stripped):
        path = "/" + path[1:].partition("/")[2] if "/" in path[1:] else "/"
    return f"{target.address}{path}?{call.query}" if call.query else f"{target.address}{path}"


def told(target: Target, call: Call) -> tuple[Pair, ...]:
    """Return what the gateway itself tells an upstream about *call*."""
    fields = (
        ("x-forwarded-for", call.client_ip),
        ("x-forwarded-proto", call.scheme),
        ("x-forwarded-host", call.headers.get("host")),
        ("x-request-id", call.request_id),
        ("x-gateway-route", target.route),
    )
    return tuple(pair for pair in fields if pair[1])


def repeatable(outbound: Outbound) -> bool:
    """Say whether *outbound* may be sent once more after nothing was heard."""
    return outbound.method in IDEMPOTENT and len(outbound.body) <= MOST_REPEATED_BYTES


def _time_left(target: Target, call: Call, monotonic: Clock, started: float | None = None) -> float:
    """Return how long the upstream may take: the route's time, and never past the invocation's end."""
    left = target.timeout_s if started is None else target.timeout_s - (monotonic() - started)
    if call.deadline is not None:
        left = min(left, call.deadline - monotonic())
    if left < LEAST_TIME_S:
        raise UpstreamTimeoutError
    return left
