"""A FastAPI application that says what it was asked: one and the same behind uvicorn and as a function."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from mangum import Mangum

app = FastAPI()
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@app.api_route("/bytes", methods=METHODS)
async def binary(request: Request) -> Response:
    return Response(bytes(range(256)) + await request.body(), media_type="application/octet-stream")


@app.api_route("/cookies", methods=METHODS)
async def cookies() -> Response:
    response = Response("two", 201, media_type="text/plain")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


@app.api_route("/gone", methods=METHODS)
async def gone() -> Response:
    return Response(status_code=302, headers={"location": "https://elsewhere.example/?a=b"})


@app.api_route("/nothing", methods=METHODS)
async def nothing() -> Response:
    return Response(status_code=204)


@app.api_route("/broken", methods=METHODS)
async def broken() -> Response:
    return Response("no", 503, headers={"retry-after": "5"}, media_type="text/plain")


@app.api_route("/{path:path}", methods=METHODS)
async def echo(request: Request) -> dict[str, Any]:
    joined: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        joined.setdefault(name, []).append(value)
    return {
        "method": request.method,
        "path": request.url.path,
        "query": sorted(request.query_params.multi_items()),
        "headers": {name: ", ".join(values) for name, values in joined.items() if name != "host"},
        "body": (await request.body()).decode("latin-1"),
    }


def handler(event: Any, context: Any) -> Any:
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())  # Mangum takes the thread's, or makes one that nobody closes
        return Mangum(app, lifespan="off")(event, context)
