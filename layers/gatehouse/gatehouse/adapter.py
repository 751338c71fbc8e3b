"""The gateway behind the Lambda Web Adapter, which turns events into HTTP requests to this process, and streams.

The adapter says where a request really came from in two fields of its own, and replaces what a client sent under their
names. So they are believed here, and nowhere else: without the adapter they are a client's words (`hygiene.py`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gatehouse import logs
from gatehouse.clock import Clock
from gatehouse.edge import DEADLINE, INVOCATION, App, Message, Receive, Scope, Send
from gatehouse.errors import BadPathError, GatewayError, InvalidRequestError
from gatehouse.headers import to_raw
from gatehouse.invocation import deadline
from gatehouse.stages.security_headers import bare

REQUEST_CONTEXT, LAMBDA_CONTEXT = b"x-amzn-request-context", b"x-amzn-lambda-context"
READY_PATH = "/_ready"
"""What the adapter asks until it is answered (`AWS_LWA_READINESS_CHECK_PATH`)."""
LOOPBACK, PORT = "127.0.0.1", 8000
POOL_IDLE_S = 4
"""How long the adapter keeps a connection that it does not use."""
MOST_LEFT_S = 900.0
"""No invocation lasts longer."""
_LOOPBACK_HOST = re.compile(rb"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?")
_DOTS = re.compile(r"(?:^|[/\\])(?:\.|%2e){1,2}(?:[/\\]|$)|\\", re.IGNORECASE)
"""What the adapter resolves (WHATWG URL) where the gateway refuses it."""

Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the adapter says of a request.

    Attributes:
        client_ip: the client's address, as API Gateway saw it.
        path: the path as the client sent it, with the stage.
        id: the invocation's id.
        deadline: when the upstream's time is over, on the clock of `time.monotonic`; None if nobody said.
    """

    client_ip: str
    path: str
    id: str
    deadline: float | None


def behind_adapter(app: App, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> App:
    """Return *app* as it must be served behind the adapter, and nowhere else."""

    async def adapted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        fields: list[Field] = [tuple(pair) for pair in scope["headers"]]
        if _asks_whether_ready(scope, fields):
            await _send_whole(send, 204, [], b"")
            return
        try:
            invocation = read(fields, wall, monotonic)
            if _DOTS.search(invocation.path):
                raise BadPathError("A path may have no '.' or '..' segments and no backslash.")
        except GatewayError as error:
            await _refuse(send, error)
            return
        await app(_told(scope, fields, invocation), receive, _plainly(send, invocation.id))

    return adapted


def read(fields: Sequence[Field], wall: Clock, monotonic: Clock) -> Invocation:
    """Take what the adapter says from the request's *fields*.

    Raises:
        InvalidRequestError: it is no request of a REST API: another service's event, which the adapter passes on too.
    """
    request, invocation = _document(fields, REQUEST_CONTEXT), _document(fields, LAMBDA_CONTEXT)
    identity = request.get("identity")
    client_ip = identity.get("sourceIp") if isinstance(identity, dict) else None
    path = request.get("path")
    if not (isinstance(client_ip, str) and client_ip and isinstance(path, str)):
        raise InvalidRequestError("This function takes the requests of an API Gateway REST API and no others.")
    ends_at_ms = invocation.get("deadline")
    left_s = min(ends_at_ms / 1000 - wall(), MOST_LEFT_S) if isinstance(ends_at_ms, int) else None
    return Invocation(
        client_ip=client_ip,
        path=path,
        id=str(invocation.get("request_id") or ""),
        deadline=None if left_s is None else deadline(left_s, monotonic()),
    )


def serve(app: App, environ: Mapping[str, str]) -> None:
    """Serve *app* for the adapter, until Lambda ends this process; only who does that pays for uvicorn."""
    import uvicorn

    from gatehouse.serving import config  # noqa: PLC0415  # uvicorn comes with it

    port = int(environ.get("AWS_LWA_PORT") or PORT)
    # A connection must outlive the adapter's interest in it, or a request could meet its end.
    settings = config(behind_adapter(app), host=LOOPBACK, port=port, timeout_keep_alive=10 * POOL_IDLE_S)
    uvicorn.Server(settings).run()


def _document(fields: Sequence[Field], name: bytes) -> dict[str, Any]:
    """Return the JSON object in the field called *name*; empty if there is none, two, or something else in it."""
    said = [value for key, value in fields if key == name]
    try:
        document = json.loads(said[0]) if len(said) == 1 else None
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, dict) else {}


def _asks_whether_ready(scope: Scope, fields: Sequence[Field]) -> bool:
    """Say whether this is the adapter itself asking: no request from outside comes without a context."""
    return (
        scope["path"] == READY_PATH
        and scope["method"] in {"GET", "HEAD"}
        and not any(name in {REQUEST_CONTEXT, LAMBDA_CONTEXT} for name, _ in fields)
        and all(_LOOPBACK_HOST.fullmatch(value) for name, value in fields if name == b"host")
    )


def _told(scope: Scope, fields: Sequence[Field], invocation: Invocation) -> Scope:
    """Return *scope* as API Gateway's client made it, and not the adapter."""
    return {
        **scope,
        "headers": [pair for pair in fields if pair[0] not in {REQUEST_CONTEXT, LAMBDA_CONTEXT}],
        "client": (invocation.client_ip, 0),
        "scheme": "https",
        "server": None,
        DEADLINE: invocation.deadline,
        INVOCATION: invocation.id,
    }


def _plainly(send: Send, invocation_id: str) -> Send:
    """Return *send*, with the fields of an answer as the adapter can hand them on."""

    async def plainly(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = list(message["headers"])
            if any(name == b"set-cookie" for name, _ in fields):
                logs.error("cookie left out: a streaming route cannot set one", invocation=invocation_id)
            message = {**message, "headers": joined(fields)}
        await send(message)

    return plainly


def joined(fields: Sequence[Field]) -> list[Field]:
    """Return *fields* with repeated ones as one list (RFC 9110 section 5.3), and without cookies.

    The head of a streamed answer is JSON, where the adapter has one place for each name. Cookies cannot be joined, and
    where the adapter puts them API Gateway is not known to look.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    return [(name, b", ".join(many)) for name, many in values.items() if name != b"set-cookie"]


async def _refuse(send: Send, error: GatewayError) -> None:
    reply = bare(error, "")
    await _send_whole(send, reply.status, to_raw(reply.headers), reply.whole)


async def _send_whole(send: Send, status: int, fields: list[Field], body: bytes) -> None:
    length = [] if status == 204 else [(b"content-length", str(len(body)).encode())]  # noqa: PLR2004 - RFC 9110 8.6
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *length]})
    await send({"type": "http.response.body", "body": body})
