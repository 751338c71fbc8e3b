"""Tell browsers to be careful with every answer, unless the upstream said something itself."""

from __future__ import annotations

from gatehouse.call import Call, Handler, Reply

SECURITY_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
)


async def security_headers(call: Call, forward: Handler) -> Reply:
    """Add the security headers, and the request's id, which is always ours."""
    reply = await forward(call)
    headers = reply.headers.defaulting(SECURITY_HEADERS).replacing((("x-request-id", call.request_id),))
    return reply.with_headers(headers)
