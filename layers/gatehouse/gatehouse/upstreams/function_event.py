"""A request as a Lambda function gets it: the event of a REST API with proxy integration (payload format 1.0).

Frameworks' adapters (Mangum, serverless-http, Powertools) take it for API Gateway's own. Source: Amazon API Gateway
Developer Guide, "Input format of a Lambda function for proxy integration".
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote

from gatehouse.errors import PayloadTooLargeError
from gatehouse.function_names import FunctionName, parted
from gatehouse.headers import Pair
from gatehouse.lambda_answer import as_text
from gatehouse.upstreams import Outbound

MOST_PAYLOAD_BYTES = 6 * 1024 * 1024
"""What the Invoke API takes for a synchronous invocation, all of it."""
STAGE = "gatehouse"
TOO_LARGE = (
    "The request is larger than the function behind this route can be sent: 6 MB in all, with its headers. "
    "What is not text travels as base64, so that about 4.5 MB fit. Send less at a time."
)
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def payload_of(event: dict[str, Any]) -> bytes:
    """Return *event* as the Invoke API takes it.

    Raises:
        PayloadTooLargeError: it does not.
    """
    payload = _ENCODE(event).encode()
    if len(payload) > MOST_PAYLOAD_BYTES:
        raise PayloadTooLargeError(TOO_LARGE)
    return payload


def event_of(outbound: Outbound, now: float) -> dict[str, Any]:
    """Return the event that tells a function of *outbound*, sent at *now* (seconds since 1970).

    The path is as it is; the query is decoded, as API Gateway does; names of headers are in lower case. `Host` is the
    function's name.
    """
    function, path, query = parted(outbound.url)
    fields = _grouped(_fields(outbound, function))
    parameters = _grouped(parse_qsl(query, keep_blank_values=True, errors="replace"))
    below = unquote(path[1:], errors="replace")
    body, is_base64 = _body(outbound, fields)
    event = {
        "resource": "/{proxy+}" if below else "/",
        "path": path,
        "httpMethod": outbound.method,
        "headers": _last(fields),
        "multiValueHeaders": fields,
        "queryStringParameters": _last(parameters) or None,
        "multiValueQueryStringParameters": parameters or None,
        "pathParameters": {"proxy": below} if below else None,
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": is_base64,
    }
    return {**event, "requestContext": _context(event, function, now)}


def _fields(outbound: Outbound, function: FunctionName) -> list[Pair]:
    fields = [("host", function.name), *((name, _text(value)) for name, value in outbound.headers)]
    return [*fields, ("content-length", str(len(outbound.body)))] if outbound.body else fields


def _text(value: str) -> str:
    """Return the text of *value*, which has one character per byte."""
    return value if value.isascii() else value.encode("latin-1").decode("utf-8", "replace")


def _grouped(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _last(grouped: dict[str, list[str]]) -> dict[str, str]:
    return {name: values[-1] for name, values in grouped.items()}


def _body(outbound: Outbound, fields: dict[str, list[str]]) -> tuple[str | None, bool]:
    if not outbound.body:
        return None, False
    kind, encoding = (fields.get(name, [""])[0] for name in ("content-type", "content-encoding"))
    text = as_text(outbound.body, kind, encoding)
    return (b64encode(outbound.body).decode(), True) if text is None else (text, False)


def _context(event: dict[str, Any], function: FunctionName, now: float) -> dict[str, Any]:
    """Return what API Gateway says besides about the request of *event*; names of its own making are ours."""
    fields = event["headers"]
    request_id = fields.get("x-request-id", "")
    return {
        "accountId": function.account,
        "apiId": STAGE,
        "domainName": function.name,
        "domainPrefix": function.name,
        "extendedRequestId": request_id,
        "httpMethod": event["httpMethod"],
        "identity": {
            "accessKey": None,
            "accountId": None,
            "caller": None,
            "cognitoAuthenticationProvider": None,
            "cognitoAuthenticationType": None,
            "cognitoIdentityId": None,
            "cognitoIdentityPoolId": None,
            "principalOrgId": None,
            "sourceIp": fields.get("x-forwarded-for", ""),
            "user": None,
            "userAgent": fields.get("user-agent"),
            "userArn": None,
        },
        "path": event["path"],
        "protocol": "HTTP/1.1",
        "requestId": request_id,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "resourceId": STAGE,
        "resourcePath": event["resource"],
        "stage": STAGE,
    }
