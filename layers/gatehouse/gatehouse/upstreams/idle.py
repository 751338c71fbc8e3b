"""Connections that wait for the next request; threads may take them and give them back."""

from __future__ import annotations

import http.client
import select
import time
from collections import defaultdict
from contextlib import suppress

from gatehouse.upstreams import KEPT_IDLE_S

Place = tuple[str, str, int]
"""Scheme, host and port."""
MOST_IDLE = 64


class IdleConnections:
    """Idle connections by place, the one that was used last first."""

    def __init__(self) -> None:
        self._idle: defaultdict[Place, list[tuple[http.client.HTTPConnection, float]]] = defaultdict(list)

    def taken(self, place: Place) -> http.client.HTTPConnection | None:
        """Return a connection that the other side has not closed, also while this process was frozen; else None."""
        kept = self._idle[place]
        with suppress(IndexError):  # asked and not looked at first: another thread may take the last one
            while True:
                connection, since = kept.pop()
                if time.monotonic() - since < KEPT_IDLE_S and not _dropped(connection):
                    return connection
                connection.close()
        return None

    def keep(self, place: Place, connection: http.client.HTTPConnection) -> None:
        """Keep *connection* for the next request, or close it if there are many."""
        if len(self._idle[place]) >= MOST_IDLE:
            connection.close()
        else:
            self._idle[place].append((connection, time.monotonic()))

    def close(self) -> None:
        """Close them all."""
        for kept in list(self._idle.values()):
            with suppress(IndexError):
                while True:
                    kept.pop()[0].close()


def _dropped(connection: http.client.HTTPConnection) -> bool:
    """Say whether an idle connection has something to read: its end, or bytes nobody asked for."""
    try:
        return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True
