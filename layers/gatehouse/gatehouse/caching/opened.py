"""The cache of a process, put together."""

from __future__ import annotations

from gatehouse.caching.answers import Answers
from gatehouse.caching.inquiry import Cache
from gatehouse.caching.marks import Marks
from gatehouse.caching.memory import Memory
from gatehouse.caching.sharing import Shared
from gatehouse.caching.turns import Turns
from gatehouse.clock import Clock, Elapsed
from gatehouse.comfort import Comfort
from gatehouse.stores.cached_answers import CachedAnswers

MOST_WAITING = 64


def opened(table: str, most_bytes: int, wall: Clock, monotonic: Clock, *, freezes: bool = False) -> Cache:
    """Return a cache.

    Args:
        table: the DynamoDB table that processes share; without a name they share nothing.
        most_bytes: how much memory its answers may take.
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
        freezes: whether the process stops as soon as it has answered, as on Lambda.
    """
    elapsed = Elapsed(wall, monotonic)
    marks = Marks(elapsed)
    comfort = Comfort(elapsed, name="cache", most_waiting=MOST_WAITING)
    changes = Comfort(elapsed, name="cache for changes", most_waiting=MOST_WAITING)
    shared = Shared(CachedAnswers(table), comfort, changes, elapsed, marks) if table else None
    answers = Answers(Memory(most_bytes), shared, marks, elapsed)
    return Cache(answers=answers, turns=Turns(answers, shared, elapsed), elapsed=elapsed, freezes=freezes)
