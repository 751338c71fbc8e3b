"""Time as an argument: what depends on it takes a clock, and tests drive theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch (`time.time`), or of a steady count (`time.monotonic`)."""
