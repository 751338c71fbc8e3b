"""Buckets of routes' limits: those of `limits.py`, of which nothing is ever given back.

So what a process has seen of a bucket is never more than what is there: where that alone is too full, a request is
refused without asking. Near the edge requests wait for those that are asked about already, so that a flood does not pay
for each of them. Without the table the same memory decides alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Condition

from gatehouse.gcra import Decision, Rate, decide
from gatehouse.stores.limits import REMEMBERED, decided, partition

WAIT_S = 0.2
"""How long a request waits for others on its bucket at most; then it is asked about beside them."""


@dataclass(slots=True)
class _Bucket:
    """What is known of one: the latest tat that was seen (None: nothing yet), and when those came who are asked for."""

    tat: int | None = None
    asked: list[int] = field(default_factory=list)


class RouteBuckets:
    """The buckets in the table called *table*, and what is known of them here: of those that were used last."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._known: OrderedDict[str, _Bucket] = OrderedDict()
        self._changed = Condition()

    def refused(self, key: str, rate: Rate, now_us: int) -> Decision | None:
        """Return the refusal that a request meets by what is known here; None if that does not say. Never blocks."""
        bucket = self._known.get(partition(key, rate))
        decision = decide(bucket.tat if bucket else None, now_us, rate)
        return None if decision.allowed else decision

    def take(self, key: str, rate: Rate, now_us: int) -> Decision:
        """Take one request from the bucket *key* at *now_us*, if there is one left. Blocks; call it from a thread.

        Raises:
            ContentionError: others were faster, again and again.
            Exception: what `aws_json.call` raises if DynamoDB does not answer as it should.
        """
        pk = partition(key, rate)
        with self._changed:
            bucket = self._bucket(pk)
            self._changed.wait_for(lambda: _is_clear(bucket, rate, now_us), WAIT_S)
            known = decide(bucket.tat, now_us, rate)
            if not known.allowed:
                return known
            bucket.asked.append(now_us)
        seen: int | None = None
        try:
            decision = decided(self._table, pk, rate, now_us)
            seen = decision.tat
            return decision
        finally:
            with self._changed:
                bucket.asked.remove(now_us)
                bucket.tat = bucket.tat if seen is None else max(bucket.tat or 0, seen)
                self._changed.notify_all()

    def take_here(self, key: str, rate: Rate, now_us: int) -> Decision:
        """Take one request by what is known here alone."""
        with self._changed:
            bucket = self._bucket(partition(key, rate))
            decision = decide(bucket.tat, now_us, rate)
            bucket.tat = decision.tat
        return decision

    def _bucket(self, pk: str) -> _Bucket:
        bucket = self._known.setdefault(pk, _Bucket())
        self._known.move_to_end(pk)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return bucket


def _is_clear(bucket: _Bucket, rate: Rate, now_us: int) -> bool:
    """Say whether a request need not wait: it is refused anyway, or there is room for it and for all others.

    They may arrive in any order, and the one that came first has the least room.
    """
    if not bucket.asked or not decide(bucket.tat, now_us, rate).allowed:
        return True
    if bucket.tat is None:
        return False
    last = max(bucket.tat, now_us, *bucket.asked) + len(bucket.asked) * rate.increment_us
    return decide(last, min(now_us, *bucket.asked), rate).allowed
