"""How often is too often: the generic cell rate algorithm (ITU-T I.371, appendix A), in whole microseconds.

A bucket is one number, its *tat*: the moment at which it will be as if it had never been used. A request moves that
moment one increment further away, and is refused if it would then be further away than the tolerance. So a
limit is one number to keep and one comparison to make, and nothing has to be swept up when time passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatehouse.durations import seconds

US = 1_000_000
LONGEST_S = 31 * 86_400
MOST = 1_000_000
_FORM = re.compile(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,8}(?:ms|s|m|h|d))")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests per so many seconds, and how many of them may come at once.

    Attributes:
        requests: 1 to MOST.
        per_s: seconds; a millisecond to LONGEST_S.
        burst: 1 to MOST.

    Raises:
        ValueError: one of them is out of its bounds.
    """

    requests: int
    per_s: float
    burst: int

    def __post_init__(self) -> None:
        if not (1 <= self.requests <= MOST and 1 <= self.burst <= MOST):
            raise ValueError(f"requests and burst of a rate are whole numbers from 1 to {MOST}")
        if not 0.001 <= self.per_s <= LONGEST_S:  # noqa: PLR2004  # a millisecond: the shortest that can be written
            raise ValueError(f"the time of a rate is from 1ms to {LONGEST_S // 86_400}d")

    @property
    def increment_us(self) -> int:
        """What one request costs; rounded up, so that no rounding ever lets one more through."""
        return -(-round(self.per_s * US) // self.requests)

    @property
    def tolerance_us(self) -> int:
        """How far ahead of now a bucket's tat can get."""
        return self.increment_us * self.burst


@dataclass(frozen=True, slots=True)
class Decision:
    """What a request meets.

    Attributes:
        allowed: whether it may go on.
        tat: the bucket's new moment, µs; the old one if it may not.
        retry_after_us: how long until one would be allowed; 0 if this one is.
        remaining: how many more would be allowed now.
    """

    allowed: bool
    tat: int
    retry_after_us: int
    remaining: int


def decide(tat: int | None, now: int, rate: Rate) -> Decision:
    """Decide about a request at *now* (µs since the epoch) on a bucket at *tat*; None for one never used."""
    moved = max(now if tat is None else tat, now) + rate.increment_us
    latest = now + rate.tolerance_us
    if moved > latest:
        return Decision(False, moved - rate.increment_us, moved - latest, 0)
    return Decision(True, moved, 0, (latest - moved) // rate.increment_us)


def until_more_us(decision: Decision, now: int, rate: Rate) -> int:
    """Return how long after *now* there is one more than *decision* says there is; it was made then, under *rate*."""
    if not decision.allowed:
        return decision.retry_after_us
    return decision.tat - now - rate.tolerance_us + (decision.remaining + 1) * rate.increment_us


def parse(text: str, burst: int | None = None) -> Rate:
    """Return the rate that *text* says: `10/5m` is ten requests per five minutes, all of them at once if need be.

    Raises:
        ValueError: *text* is not that, or out of bounds; the message says how to write one.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is not a rate: write requests/duration, like 10/5m, 100/1m or 5/1s")
    requests = int(match[1])
    return Rate(requests, seconds(match[2]), requests if burst is None else burst)
