"""Tell browsers to be careful with every answer, unless the upstream said something itself."""

from __future__ import annotations

import json

from gatehouse.call import Call, Handler, Reply
from gatehouse.errors import NO_ROUTE, GatewayError, document
from gatehouse.headers import Headers

SECURITY_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
)


def bare(error: GatewayError, request_id: str) -> Reply:
    """Return the answer for *error* where no pipeline was reached: with the headers that all of them have.

    Nobody knows which project it would have been for, so any web page may read it, as what API Gateway answers itself.
    """
    headers = Headers(
        (
            *error.headers,
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            ("access-control-allow-origin", "*"),
            *SECURITY_HEADERS,
            ("x-request-id", request_id),
        )
    )
    body = json.dumps(document(error, route=NO_ROUTE, request_id=request_id)).encode()
    return Reply(status=error.status, headers=headers, body=body)


async def security_headers(call: Call, forward: Handler) -> Reply:
    """Add the security headers, and the request's id, whatever an upstream says it is."""
    reply = await forward(call)
    headers = reply.headers.defaulting(SECURITY_HEADERS).replacing((("x-request-id", call.request_id),))
    return reply.with_headers(headers)
