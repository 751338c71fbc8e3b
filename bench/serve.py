"""Serve the proxy function under uvicorn, as `make run` does, and nothing else: `python -m bench.serve PORT`.

With a second argument, `empty`, it is an application that only answers: what uvicorn itself costs.
"""

from __future__ import annotations

import importlib
import sys

from bench.processes import LOOPBACK
from gatehouse.edge import Receive, Scope, Send
from local.servers import listen, serve


async def empty(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 1 KB, whatever was asked."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1024")]})
    await send({"type": "http.response.body", "body": b"x" * 1024})


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    sys.path.insert(0, "functions/proxy")
    app = empty if sys.argv[2:] == ["empty"] else importlib.import_module("app").app
    serve(app, listen(LOOPBACK, int(sys.argv[1])), lambda: None)


if __name__ == "__main__":
    main()
