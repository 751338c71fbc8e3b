"""The upstream where nginx is not installed: 1 KB for every request, `python -m bench.upstream PORT`."""

from __future__ import annotations

import asyncio
import sys

from bench.processes import LOOPBACK

BODY = b"x" * 1024
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
END = b"\r\n\r\n"


class Answering(asyncio.Protocol):
    """Answers every head that ends with an empty line; it takes no request bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Answer once for each request that is whole."""
        *whole, self._rest = (self._rest + data).split(END)
        if whole and isinstance(self._transport, asyncio.WriteTransport):
            self._transport.write(ANSWER * len(whole))


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Answering, LOOPBACK, port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
