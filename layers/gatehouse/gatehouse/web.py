"""FastAPI for the functions that are an API of their own (login, guest), with the gateway's manners.

Every failure, FastAPI's own included, has the gateway's error body; every answer has its CORS and
security headers and a request id. The headers are put on by plain ASGI: FastAPI's middleware classes
cost 44 times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from gatehouse import edge
from gatehouse.build import outermost
from gatehouse.call import Call, Handler, Reply, pipeline
from gatehouse.edge import App, Message, Receive, Scope, Send
from gatehouse.errors import (
    GatewayError,
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
)
from gatehouse.headers import from_raw
from gatehouse.hygiene import check_request
from gatehouse.projects.model import Cors
from gatehouse.stages.cors import cors_of_any

MOST_BODY_BYTES = 16 * 1024
MOST_DETAILS = 10
"""How many mistakes are listed: whoever sends a thousand gets no longer an answer for it."""
ROUTE = "AUTH"
"""What the error body calls these addresses; the metacogna gateway's clients expect it."""

NOT_STORED = (("cache-control", "no-store"),)
"""What these addresses answer with are tokens (RFC 6749 section 5.1)."""

CALL = "gatehouse.call"
"""Where the app's endpoints find the call that they answer."""

M = TypeVar("M", bound=BaseModel)
NONE: Mapping[str, type[GatewayError]] = MappingProxyType({})


class Form(BaseModel):
    """The body of a request: exactly these keys, of exactly these types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def create_app(title: str, policies: tuple[Cors, ...]) -> tuple[FastAPI, App]:
    """Return a FastAPI app to put routes on, and the ASGI application to serve: the same, with our manners.

    Args:
        title: what the app is called in its OpenAPI document.
        policies: the CORS policies of all projects.
    """
    inner = FastAPI(title=title, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    inner.add_exception_handler(HTTPException, _refused)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await edge.application(_nothing, most_bytes=MOST_BODY_BYTES)(scope, receive, send)
            return
        handle = edge.application(_behind(inner, policies, scope), most_bytes=MOST_BODY_BYTES)
        await handle(scope, receive, send)

    return inner, app


def call_of(request: Request) -> Call:
    """Return the call that *request* is: its client's address, its headers as they came, its id."""
    call: Call = request.scope[CALL]
    return call


async def form(
    request: Request,
    model: type[M],
    *,
    empty: M | None = None,
    refusals: Mapping[str, type[GatewayError]] = NONE,
) -> M:
    """Return the body of *request* as a *model*.

    The content type is not looked at: clients of the metacogna gateway send none.

    Args:
        request: the request.
        model: what its body must be.
        empty: what no body at all means.
        refusals: what is raised when a key is wrong that has an error of its own.

    Raises:
        InvalidRequestError: the body is not a JSON object of that form; `details` says what is wrong.
    """
    body = await request.body()
    if not body.strip() and empty is not None:
        return empty
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error, "The body is not the JSON object that this address takes.", refusals) from None


def query(request: Request, model: type[M]) -> M:
    """Return the query of *request* as a *model*.

    Raises:
        InvalidRequestError: a name is unknown or stands twice, or a value is not one; `details` says what is wrong.
    """
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise InvalidRequestError("The query says the same name more than once.")
    try:
        return model.model_validate(dict(pairs))
    except ValidationError as error:
        raise _invalid(error, "The query is not one that this address takes.", NONE) from None


def _invalid(error: ValidationError, message: str, refusals: Mapping[str, type[GatewayError]]) -> GatewayError:
    found = error.errors(include_input=False, include_url=False)
    problems = {_place(one["loc"]): one["msg"] for one in found[:MOST_DETAILS]}
    places = {str(one["loc"][0]) for one in found if one["loc"]}
    refusal = next((kind for key, kind in refusals.items() if key in places), None)
    return refusal(details=problems) if refusal else InvalidRequestError(message, details=problems)


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc)[:64] or "body"


async def _whole(call: Call) -> Receive:
    """Read the body of *call* and return what hands it to an app."""
    data = await call.body.read()

    async def receive() -> Message:
        return {"type": "http.request", "body": data, "more_body": False}

    return receive


def _behind(inner: FastAPI, policies: tuple[Cors, ...], scope: Scope) -> Handler:
    """Return the pipeline around *inner* for one request: its answer comes back as a `Reply`."""

    async def end(call: Call) -> Reply:
        check_request(call.headers)
        # Whole before anything is decided: who is calling must not be asked before a body that the client holds back.
        received = await _whole(call)
        started: Message = {}
        body = bytearray()

        async def take(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            body.extend(message.get("body", b""))

        await inner({**scope, CALL: call}, received, take)
        headers = from_raw(started["headers"]).defaulting(NOT_STORED)
        return Reply(status=started["status"], headers=headers, body=bytes(body))

    async def handle(call: Call) -> Reply:
        call.notes["route"] = ROUTE
        return await pipeline(*outermost(cors_of_any(policies)), end=end)(replace(call, route=ROUTE))

    return handle


def _refused(_: Request, error: Exception) -> Response:
    """Raise our own error for what FastAPI's router refuses; `recover` renders it."""
    status = getattr(error, "status_code", 500)
    headers = tuple((name.lower(), value) for name, value in (getattr(error, "headers", None) or {}).items())
    raise {404: NotFoundError, 405: MethodNotAllowedError}.get(status, InternalError)(headers=headers)


async def _nothing(_: Call) -> Reply:
    raise InternalError
