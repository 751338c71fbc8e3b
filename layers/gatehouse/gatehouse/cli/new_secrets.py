"""Values of named secrets that are being set: asked for, read or made, and refused if no header could hold them."""

from __future__ import annotations

import secrets
import sys

from gatehouse.cli.hidden import asked_twice
from gatehouse.cli.problems import RefusedError
from gatehouse.templates import unfit

MOST_BYTES = 8192
"""The longest line of a header that nginx takes, unless it is told otherwise."""
GENERATED_BYTES = 36
"""Of chance, in a generated one: 48 letters, digits, - and _."""


def new(name: str, *, from_stdin: bool, generate: bool) -> str:
    """Return the new value of the secret *name*: made, all of standard input, or asked for twice.

    Raises:
        MisuseError: there is no terminal to ask at.
        RefusedError: it is none.
    """
    if generate:
        return secrets.token_urlsafe(GENERATED_BYTES)
    value = _read() if from_stdin else asked_twice(f"Value of {name}", otherwise="--stdin")
    reason = _weakness(value)
    if reason:
        raise RefusedError(f"{name} is not set: {reason}")
    return value


def _weakness(value: str) -> str:
    """Return why *value* is none and what to do, or an empty text. It never repeats the value."""
    if not value:
        return "the value is empty"
    if len(value.encode(errors="replace")) > MOST_BYTES:
        return f"the value is longer than {MOST_BYTES} bytes, and services take no header of such a length"
    if any("\ud800" <= char <= "\udfff" for char in value):
        return "the value is not text in UTF-8"
    reason = unfit(value)
    return f"the value {reason}; give the one that the service knows, on one line" if reason else ""


def _read() -> str:
    """Return all of standard input without the line break at its end: a first line alone might be half of a value."""
    read = sys.stdin.buffer.read(MOST_BYTES + 3)
    return read.decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")
