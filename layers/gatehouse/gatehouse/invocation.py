"""How much of an invocation is left: Lambda ends it at a moment, and the gateway has to be done before that."""

from __future__ import annotations

KEPT_FOR_OURSELVES_S = 0.5
"""What is left of the invocation when the upstream's time is over: enough to answer 504, or to cut, ourselves."""


def deadline(remaining_s: float, now: float) -> float:
    """Return when the upstream's time is over, on the clock that says *now*, if Lambda ends us in *remaining_s*."""
    return now + remaining_s - KEPT_FOR_OURSELVES_S
