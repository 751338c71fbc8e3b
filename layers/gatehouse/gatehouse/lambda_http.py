"""The door from API Gateway: Mangum, with the events of a REST API read and answered without its losses.

Mangum's own reader decodes the path before routing, joins repeated headers, and crashes outside the
application on a Host like `[::1]:80`. This one keeps what the client sent, as far as the event has it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from mangum import Mangum
from mangum.types import ASGI, LambdaConfig, LambdaContext, LambdaEvent, Response

from gatehouse import logs
from gatehouse.edge import DEADLINE, NO_ROUTE, App, CutError, Message, Receive, Scope, Send
from gatehouse.errors import (
    GatewayError,
    InternalError,
    InvalidRequestError,
    ResponseTooLargeError,
    UpstreamUnreachableError,
    document,
)
from gatehouse.lambda_answer import as_text, fits
from gatehouse.stages.security_headers import SECURITY_HEADERS

KEPT_FOR_OURSELVES_S = 0.5
"""What is left of the invocation when the upstream's time is over: enough to answer 504 ourselves."""
INVOCATION = "gatehouse.invocation"
"""Where the scope has the invocation's id: the request id of failures that no pipeline saw."""
_PATH_SAFE = "/%:@!$&'()*+,;=-._~\\#"
"""Not '?': in a path it was '%3F' once, and it would be taken for the start of a query."""

for _name in ("mangum", "botocore"):  # they say at INFO what our own line says, and Lambda charges by the line
    logging.getLogger(_name).setLevel(logging.WARNING)

LambdaFunction = Callable[[dict[str, Any], Any], dict[str, Any]]


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
        return _body(self.event)

    @property
    def scope(self) -> Scope:
        """The ASGI scope of the request."""
        headers = _headers(self.event)
        identity = self.event["requestContext"].get("identity") or {}
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
            "client": (identity.get("sourceIp") or "", 0),
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            DEADLINE: _deadline(self.context),
            INVOCATION: getattr(self.context, "aws_request_id", ""),
        }

    def __call__(self, response: Response) -> dict[str, Any]:
        """Return *response* as API Gateway takes it; repeated headers stay repeated."""
        fields: dict[str, list[str]] = {}
        for name, value in response["headers"]:
            fields.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        content_type = fields.get("content-type", [""])[0]
        encoding = fields.get("content-encoding", [""])[0]
        body = response["body"]
        if not fits(body, content_type, encoding):
            return failure(ResponseTooLargeError(), _id_of(fields))
        text = as_text(body, content_type, encoding)
        return {
            "statusCode": response["status"],
            "multiValueHeaders": fields,
            "body": base64.b64encode(body).decode() if text is None else text,
            "isBase64Encoded": text is None,
        }


def lambda_function(app: App) -> LambdaFunction:
    """Return the function that Lambda calls with an event, and that always answers with our error body."""

    @cache
    def adapter() -> Mangum:
        return Mangum(_whole(app), lifespan="off", custom_handlers=[RestEvent])

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            _check(event)
            asyncio.set_event_loop(event_loop())  # `asyncio.run` anywhere in the process would have taken it away
            return adapter()(event, context)
        except GatewayError as error:
            return failure(error, getattr(context, "aws_request_id", ""))
        except Exception as error:  # noqa: BLE001  # a crash here would be API Gateway's answer, not ours
            logs.crash("unexpected failure", error)
            return failure(InternalError(), getattr(context, "aws_request_id", ""))

    return handler


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that all invocations of this process run on, so that connections outlive them."""
    return asyncio.new_event_loop()


def failure(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return the answer for *error* where no pipeline can render it."""
    fields = (
        *error.headers,
        *SECURITY_HEADERS,
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    )
    return {
        "statusCode": error.status,
        "multiValueHeaders": {name: [value] for name, value in fields},
        "body": json.dumps(document(error, route=NO_ROUTE, request_id=request_id)),
        "isBase64Encoded": False,
    }


def _whole(app: App) -> ASGI:
    """Return *app* with its answers held back until they are whole, so that a broken-off one becomes a failure."""

    async def whole(scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Message] = []

        async def hold(message: Message) -> None:
            messages.append(message)

        try:
            await app(scope, receive, hold)
        except CutError:
            messages = _messages(failure(UpstreamUnreachableError(), scope[INVOCATION]))
        except Exception as error:  # noqa: BLE001  # Mangum's own answer to it is plain text
            logs.crash("unexpected failure", error)
            messages = _messages(failure(InternalError(), scope[INVOCATION]))
        for message in messages:
            await send(message)

    return whole


def _messages(answer: dict[str, Any]) -> list[Message]:
    fields = [
        (name.encode(), value.encode()) for name, values in answer["multiValueHeaders"].items() for value in values
    ]
    return [
        {"type": "http.response.start", "status": answer["statusCode"], "headers": fields},
        {"type": "http.response.body", "body": answer["body"].encode()},
    ]


def _check(event: object) -> None:
    if not isinstance(event, dict) or not isinstance(event.get("requestContext"), dict) or "httpMethod" not in event:
        raise InvalidRequestError("This function takes the events of an API Gateway REST API and no others.")
    try:
        _body(event)
    except (binascii.Error, ValueError, TypeError, AttributeError) as error:
        raise InvalidRequestError("The event's body is not what its isBase64Encoded says.") from error


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        return base64.b64decode(body, validate=True)
    return str(body).encode("utf-8", "surrogatepass")


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
    return time.monotonic() + remaining() / 1000 - KEPT_FOR_OURSELVES_S if remaining else None


def _id_of(fields: Mapping[str, list[str]]) -> str:
    return fields.get("x-request-id", [""])[0]
