"""A real server on loopback that says exactly what a test scripts, byte for byte, connection by connection."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PATIENCE_S = 5.0
"""How long anything here waits before a test fails instead of hanging."""


@dataclass
class Received:
    """One request as it came over the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Connection:
    """One accepted connection; scripts talk through it."""

    sock: socket.socket
    server: Scripted
    number: int
    _rest: bytes = b""

    def read(self) -> Received | None:
        """Read one request whole and note it; None where the client has hung up."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, rest = self._rest.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        self._rest = rest
        while len(self._rest) < length:
            if not self._more():
                return None
        body, self._rest = self._rest[:length], self._rest[length:]
        received = Received(lines[0], headers, body, head)
        self.server.received.append(received)
        self.server.arrived.release()
        return received

    def say(self, data: bytes) -> None:
        """Send *data*; that the client has gone meanwhile is the test's business."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def answer(self, body: bytes = b"hello", *headers: str, status: str = "200 OK") -> None:
        """Send a plain answer that leaves the connection open."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.say("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def close(self) -> None:
        """Say good-bye properly (FIN)."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """Hang up rudely (RST)."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_end(self) -> bool:
        """Wait until the client hangs up; False if it does not."""
        try:
            while self.sock.recv(4096):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self._rest += data
        return bool(data)


Script = Callable[[Connection], None]


@dataclass
class Scripted:
    """The server: each connection is handed to *script* in a thread of its own."""

    script: Script
    received: list[Received] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    problems: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def wait_closed(self) -> None:
        """Wait until one script has come to its end and its connection is closed."""
        assert self.closed.acquire(timeout=PATIENCE_S)

    def wait_arrived(self) -> None:
        """Wait until one more request has been read."""
        assert self.arrived.acquire(timeout=PATIENCE_S)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE_S)
            connection = Connection(sock, self, len(self.connections) + 1)
            self.connections.append(connection)
            self._threads.append(threading.Thread(target=self._play, args=(connection,)))
            self._threads[-1].start()

    def _play(self, connection: Connection) -> None:
        try:
            self.script(connection)
        except BaseException as error:  # noqa: BLE001  # reported by the test that is waiting
            self.problems.append(error)
        finally:
            connection.close()
            self.closed.release()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        assert not self.problems, self.problems


@contextlib.contextmanager
def serving(script: Script) -> Iterator[Scripted]:
    """Serve *script* for as long as the block lasts."""
    server = Scripted(script)
    try:
        yield server
    finally:
        server.stop()


def keep_answering(connection: Connection) -> None:
    """Answer every request of a connection."""
    while connection.read():
        connection.answer()
