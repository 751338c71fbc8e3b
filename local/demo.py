"""Demo services: most answer with what they received; a few know demo credentials, so that one can try each kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from gatehouse.edge import Receive, Scope, Send
from local import demo_callers
from local.demo_callers import Asked, Said


def services(names: Mapping[int, str], callers: demo_callers.Callers) -> Any:
    """Return an ASGI application; *names* says which service listens on which port, *callers* whom they know."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        asked = await _asked(scope, receive, names)
        status, answer = demo_callers.answer(asked, callers) or (200, _echoed(asked))
        await _send(send, status, answer)

    return app


async def _asked(scope: Scope, receive: Receive, names: Mapping[int, str]) -> Asked:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return Asked(
        service=names.get(scope["server"][1], "demo"),
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=[[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        body=bytes(body),
    )


def _echoed(asked: Asked) -> Said:
    seen = {name: getattr(asked, name) for name in ("service", "method", "path", "query", "headers")}
    return {**seen, "body": _text(asked.body)}


async def _send(send: Send, status: int, said: Said) -> None:
    plain = isinstance(said, str)
    body = said.encode() if isinstance(said, str) else json.dumps(said, indent=2).encode()
    kind = b"text/plain" if plain else b"application/json"
    fields = [(b"content-type", kind), (b"content-length", str(len(body) + 1).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body + b"\n"})


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()
