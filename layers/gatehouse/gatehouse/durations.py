"""Lengths of time as project files write them: `500ms`, `60s`, `15m`, `24h`, `90d`."""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_FORM = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h|d)")


def seconds(text: str) -> float:
    """Return the length of *text* in seconds.

    Raises:
        ValueError: *text* is not a whole number above zero and one of ms, s, m, h, d.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is not a duration: write a whole number and a unit, like 500ms, 60s, 24h or 90d")
    return int(match[1]) * _SECONDS[match[2]]
