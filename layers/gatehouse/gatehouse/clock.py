"""Time as an argument: what depends on it takes a clock, and tests drive theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, overload

Clock: TypeAlias = Callable[[], float]
"""Seconds since the epoch (`time.time`), or of a steady count (`time.monotonic`)."""


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment as both clocks told it, in seconds. An `Elapsed` on the same clocks can say how long ago it was."""

    wall: float
    monotonic: float


@dataclass(frozen=True, slots=True)
class Elapsed:
    """How much time has passed, told by two clocks because each of them fails in its way.

    A steady clock may stand still while Lambda has the process frozen, and jumps when a snapshot is restored; the wall
    clock is set forward and back. The larger difference counts: what is kept for a while is given up too early rather
    than too late.

    Attributes:
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
    """

    wall: Clock
    monotonic: Clock

    def now(self) -> Instant:
        """Return this moment."""
        return Instant(self.wall(), self.monotonic())

    def since(self, instant: Instant) -> float:
        """Return the seconds that have passed since *instant*; never fewer than none."""
        return max(self.wall() - instant.wall, self.monotonic() - instant.monotonic, 0.0)


@overload
def iso(moment: float) -> str: ...
@overload
def iso(moment: None) -> None: ...
def iso(moment: float | None) -> str | None:
    """Return *moment*, in seconds since the epoch, as ISO 8601 in UTC."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
