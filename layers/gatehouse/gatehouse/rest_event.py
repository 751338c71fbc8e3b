"""One event of a REST API, as Lambda proxy integration hands it over and wants it answered.

Mangum's own reader decodes the path before routing, joins repeated headers, and crashes outside the
application on a Host like `[::1]:80`. This one keeps what the client sent, as far as the event has it.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from mangum.types import LambdaConfig, LambdaContext, LambdaEvent, Response

from gatehouse.edge import DEADLINE, INVOCATION, Scope
from gatehouse.errors import InvalidRequestError, ResponseTooLargeError
from gatehouse.headers import Pair, from_raw
from gatehouse.invocation import deadline
from gatehouse.lambda_answer import as_text, fits
from gatehouse.stages.security_headers import bare

_PATH_SAFE = "/%:@!$&'()*+,;=-._~\\#"
"""Not '?': in a path it was '%3F' once, and it would be taken for the start of a query."""


class RestEvent:
    """One event of a REST API with Lambda proxy integration, as Mangum's `custom_handlers` want it."""

    @classmethod
    def infer(cls, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> bool:
        """Take every event: what is not a request was refused before Mangum saw it."""
        return True

    def __init__(self, event: LambdaEvent, context: LambdaContext, config: LambdaConfig) -> None:
        self.event = event
        self.context = context

    @property
    def body(self) -> bytes:
        """The request's body."""
        return body_of(self.event)

    @property
    def scope(self) -> Scope:
        """The ASGI scope of the request."""
        headers = _headers(self.event)
        source_ip = (self.event["requestContext"].get("identity") or {}).get("sourceIp")
        # sam local hands the path over decoded; what a URI cannot hold is encoded again.
        path = quote(self.event.get("path") or "/", safe=_PATH_SAFE, errors="surrogatepass")
        return {
            "type": "http",
            "http_version": "1.1",
            "method": self.event["httpMethod"],
            "headers": headers,
            "path": path,
            "raw_path": path.encode("ascii"),
            "root_path": "",
            "scheme": "https",
            "query_string": _query(self.event),
            "server": None,
            "client": (source_ip if isinstance(source_ip, str) else "", 0),
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            DEADLINE: _deadline(self.context),
            INVOCATION: invocation_id(self.context),
        }

    def __call__(self, response: Response) -> dict[str, Any]:
        """Return *response* as API Gateway takes it; repeated headers stay repeated."""
        headers = from_raw((name, value) for name, value in response["headers"])
        if fits(response["body"], headers.get("content-type"), headers.get("content-encoding")):
            return answer(response["status"], headers, response["body"])
        failure = bare(ResponseTooLargeError(), headers.get("x-request-id"))
        return answer(failure.status, failure.headers, failure.whole)


def answer(status: int, headers: Iterable[Pair], body: bytes) -> dict[str, Any]:
    """Return what a function answers API Gateway with."""
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    text = as_text(body, fields.get("content-type", [""])[0], fields.get("content-encoding", [""])[0])
    return {
        "statusCode": status,
        "multiValueHeaders": fields,
        "body": base64.b64encode(body).decode() if text is None else text,
        "isBase64Encoded": text is None,
    }


def check(event: object) -> None:
    """Refuse what is not an event of a REST API.

    Raises:
        InvalidRequestError: it is something else, a test's `{}` or another service's event.
    """
    if not isinstance(event, dict) or not isinstance(event.get("requestContext"), dict) or "httpMethod" not in event:
        raise InvalidRequestError("This function takes the events of an API Gateway REST API and no others.")


def body_of(event: Mapping[str, Any]) -> bytes:
    """Return the request's body.

    Raises:
        InvalidRequestError: it is not what the event says it is.
    """
    body = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            return base64.b64decode(body, validate=True)
        return str(body).encode("utf-8", "surrogatepass")
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidRequestError("The event's body is not what its isBase64Encoded says.") from error


def invocation_id(context: object) -> str:
    """Return the invocation's id: the request id of failures that no pipeline saw."""
    return str(getattr(context, "aws_request_id", ""))


def _headers(event: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    many = event.get("multiValueHeaders") or {name: [value] for name, value in (event.get("headers") or {}).items()}
    return [
        (name.lower().encode("latin-1", "replace"), value.encode("utf-8", "replace"))
        for name, values in many.items()
        for value in (values or [])
        if isinstance(value, str)
    ]


def _query(event: Mapping[str, Any]) -> bytes:
    """Return the query. API Gateway hands it over decoded, grouped by name, so it is written anew."""
    many = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters") or {}
    return urlencode(many, doseq=True, quote_via=quote, errors="replace").encode("ascii")


def _deadline(context: Any) -> float | None:
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return deadline(remaining() / 1000, time.monotonic()) if remaining else None
