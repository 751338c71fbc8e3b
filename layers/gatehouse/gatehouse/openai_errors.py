"""Errors in the form that OpenAI's API has them, for routes that say `errors: openai`.

Its clients read `error.message`, `error.type` and `error.code`. Anthropic's read `error.type` beside a `type` of
`error`: one body serves both.
"""

from __future__ import annotations

import json

from gatehouse.call import Call, Reply
from gatehouse.errors import GatewayError
from gatehouse.headers import Headers

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
SERVER = "api_error"


def render(error: GatewayError, call: Call) -> Reply:
    """Turn *error* into the answer to *call*. `code` is the gateway's own, in lower case."""
    about = {
        "message": str(error),
        "type": TYPES.get(error.status, SERVER),
        "param": None,
        "code": error.code.lower(),
    }
    body = {"type": "error", "error": about, "request_id": call.request_id}
    fields = (*error.headers, ("content-type", "application/json"), ("cache-control", "no-store"))
    return Reply(status=error.status, headers=Headers(fields), body=json.dumps(body).encode())
