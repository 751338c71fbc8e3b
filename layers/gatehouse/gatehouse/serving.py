"""uvicorn as we run it: httptools, no headers of its own, and no belief in what clients say of themselves."""

from __future__ import annotations

import logging
from typing import Any

import uvicorn

from gatehouse.edge import CutError
from gatehouse.protocol import Protocol

GRACE_S = 1


def config(app: Any, **more: Any) -> uvicorn.Config:
    """Return how *app* is served; *more* are uvicorn's own settings of where, and for how long."""
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    return uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        # Its default takes X-Forwarded-For from anybody on this machine.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
        **more,
    )


def _is_news(record: logging.LogRecord) -> bool:
    """Say whether our own line has not said it already: a cut stream is no crash that needs a page of traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], CutError))
