"""What the gateway writes down: one line of JSON per event, on standard output unless somebody says otherwise."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO

_encode = json.JSONEncoder(default=str).encode  # made once: `json.dumps` would make one per line
_out: ContextVar[TextIO | None] = ContextVar("out", default=None)
"""Where lines go; None: to what standard output is at that moment."""


def line(level: str, event: str, **fields: object) -> None:
    """Write one line. *fields* must hold no secret, token, password, hash or query string."""
    record = {"level": level, "time": round(time.time(), 3), "event": event, **fields}
    out = _out.get() or sys.stdout
    out.write(_encode(record) + "\n")
    out.flush()


@contextmanager
def written_to(out: TextIO) -> Iterator[None]:
    """Write what happens inside to *out*: a command's standard output is for what it was asked for."""
    before = _out.set(out)
    try:
        yield
    finally:
        _out.reset(before)


def info(event: str, **fields: object) -> None:
    """Write a line about something that went as it should."""
    line("INFO", event, **fields)


def error(event: str, **fields: object) -> None:
    """Write a line about something that an operator should look at."""
    line("ERROR", event, **fields)


def crash(event: str, exception: BaseException, **fields: object) -> None:
    """Write a line about an exception nobody expected: where it came from, not what it said.

    Messages of exceptions can quote what was being worked on, secrets included.
    """
    frames = traceback.extract_tb(exception.__traceback__)
    where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    line("ERROR", event, exception=type(exception).__qualname__, where=where, **fields)
