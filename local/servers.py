"""The gateway's server on this machine: ended by signals, or from a thread; its sockets are made beforehand."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from gatehouse.serving import GRACE_S, config


class Server(uvicorn.Server):
    """A server that says when it is ready, and that leaves signals to `serve`."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class _Loop(asyncio.SelectorEventLoop):
    """A loop that ends without the threads that it has started: one may wait for a store that never answers."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's own
        """Leave them alone."""


def serve(app: Any, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve *app* until SIGINT or SIGTERM."""
    server = Server(config(app), ready)

    def stop() -> None:
        server.should_exit = True

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await server.serve(sockets=[listening])

    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(run())


@contextlib.contextmanager
def served(app: Any, sockets: list[socket.socket]) -> Iterator[None]:
    """Serve *app* on *sockets* from a thread, for as long as the context lasts."""
    server = Server(config(app))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=sockets)), daemon=True)
    ready = threading.Event()
    server._ready = ready.set  # noqa: SLF001  # our own class
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(GRACE_S + 2)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on *host* and *port* (0: any free one).

    Raises:
        OSError: the port is taken, or the host is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # TCP by name: asyncio turns Nagle's algorithm off (40 ms an answer) only where it sees that it is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    return listening
