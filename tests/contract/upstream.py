"""An upstream that does what a path says, and remembers what it received."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Lab:
    """The last request that arrived, and how many did."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def last(self) -> dict[str, Any]:
        return self.seen[-1]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.last["headers"] if key == name]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        raw = scope["raw_path"].decode("latin-1")
        self.seen.append(
            {
                "method": scope["method"],
                "path": raw,
                "query": scope["query_string"].decode("latin-1"),
                "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
                "body": bytes(body),
            }
        )
        await self._answer(raw, scope, send)

    async def _answer(self, path: str, scope: Any, send: Any) -> None:
        status, fields, answer = 200, [(b"content-type", b"application/json")], json.dumps({"path": path}).encode()
        if path.endswith("/cookies"):
            fields += [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; HttpOnly")]
        elif path.endswith("/hop"):
            fields += [
                (b"connection", b"x-secret-hop"),
                (b"x-secret-hop", b"1"),
                (b"keep-alive", b"timeout=9"),
                (b"x-kept", b"1"),
            ]
        elif path.endswith("/latin"):
            fields.append((b"x-name", "Zoë".encode("latin-1")))
        elif path.endswith("/own-cors"):
            fields += [
                (b"access-control-allow-origin", b"https://evil.example"),
                (b"access-control-allow-credentials", b"true"),
                (b"x-frame-options", b"SAMEORIGIN"),
            ]
        elif path.endswith("/moved"):
            status, fields, answer = 302, [(b"location", b"http://elsewhere.example/a?b=c")], b""
        elif path.endswith("/nothing"):
            status, fields, answer = 204, [], b""
        elif path.endswith("/unchanged"):
            status, fields, answer = 304, [(b"etag", b'"1"')], b"1234"
        elif path.endswith("/teapot"):
            status = 418
        elif path.endswith("/large"):
            answer = b"x" * 7_000_000
        elif path.endswith("/wide"):
            fields, answer = [(b"content-type", b"application/octet-stream")], bytes(range(256)) * 20_000
        fields.append((b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" or status == 304 else answer}
        )
