"""moto behind a port of this machine, with the one promise of DynamoDB that it does not keep by itself.

DynamoDB looks at a condition and writes in one step. moto does the one and then the other, and its server has threads:
of two writers who both must be the first, both are.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from threading import RLock
from typing import Any

import pytest
from moto.dynamodb.responses import DynamoHandler
from moto.server import ThreadedMotoServer

WRITES = ("put_item", "update_item", "delete_item", "batch_write_item", "transact_write_items")


def one_at_a_time(work: Callable[..., Any], lock: Any) -> Callable[..., Any]:
    @functools.wraps(work)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return work(*args, **kwargs)

    return locked


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The URL of a moto whose writes are one step each. Use names of your own for what you make there."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    lock = RLock()
    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(DynamoHandler, name, one_at_a_time(getattr(DynamoHandler, name), lock))
        server.start()
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        server.stop()
