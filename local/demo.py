"""Demo upstreams: each answers with what it received, so that one can see what the gateway sends."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from gatehouse.edge import Receive, Scope, Send


def echo(names: Mapping[int, str]) -> Any:
    """Return an ASGI application that echoes requests; *names* says which service listens on which port."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        seen = {
            "service": names.get(scope["server"][1], "demo"),
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "body": _text(bytes(body)),
        }
        answer = json.dumps(seen, indent=2).encode() + b"\n"
        fields = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": answer})

    return app


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()
