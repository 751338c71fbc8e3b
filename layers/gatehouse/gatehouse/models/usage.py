"""How many tokens one call of a model took, and the row that it is added to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 1_000_000_000
"""More than any call takes: what says that it took more is wrong."""
CHARACTERS = 4
"""How many characters, or bytes of text, a token is taken for where nobody has counted."""
MOST_NAME = 128
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of one call.

    Attributes:
        prompt: what the model was given; 0 also where nothing says.
        completion: what it made of that.
        total: both, or more if the answer says so.
        model: as the answer calls it; empty if it does not.
        estimated: whether somebody guessed.
    """

    prompt: int
    completion: int
    total: int
    model: str = ""
    estimated: bool = False


NOTHING = Usage(prompt=0, completion=0, total=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one call adds to the row of its user, model and day.

    Attributes:
        project: the project's name.
        user: who called.
        day: in UTC, as YYYY-MM-DD.
        usage: its tokens; `usage.model` is never empty.
        failed: whether it failed.
        ms: how long it took, to the last byte.
        first_byte_ms: how long the first byte took.
        expires_at: when the row may go, in seconds since the epoch.
        call_id: names the call: what is written twice counts once.
    """

    project: str
    user: str
    day: str
    usage: Usage
    failed: bool
    ms: int
    first_byte_ms: int
    expires_at: int
    call_id: str


def count(value: Any) -> int | None:
    """Return *value* if it can be a number of tokens; None if not: upstreams say what they like."""
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if sane else None


def estimated(characters: int) -> int:
    """Return how many tokens so many characters probably are."""
    return -(-characters // CHARACTERS)


def name(value: Any) -> str:
    """Return *value* as the name of a model: MOST_NAME printable characters of it; empty if it is no text."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:MOST_NAME] if character.isprintable())
