"""Buckets of rate limits in DynamoDB, exact across processes: each take is one conditional write.

    pk "limit#{key}#{increment}x{burst}"    tat N, µs since the epoch    expires_at N, seconds

DynamoDB has no max(), so moving on a bucket that is in use and starting one that is not are two expressions. A bucket
that was not used for long counts as unused whether TTL has deleted it yet or not. The rate is part of the key: a
setting that is changed starts its buckets anew, instead of reading moments that mean something else.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

from gatehouse.gcra import US, Decision, Rate, decide
from gatehouse.stores.aws_json import AwsError, call
from gatehouse.stores.revocation_log import DYNAMODB

ATTEMPTS = 5
REMEMBERED = 4096
KEPT_S = 60
"""How long a bucket outlives its use: clocks of different machines differ."""

_MOVE_ON = "SET tat = tat + :increment, expires_at = :expires"
_IN_USE_AND_NOT_FULL = "tat >= :now AND tat <= :latest"
_START = "SET tat = :started, expires_at = :expires"
_NOT_IN_USE = "attribute_not_exists(tat) OR tat < :now"
_REFUSED = "ConditionalCheckFailedException"


class ContentionError(Exception):
    """A bucket changed between every look and the next; nothing was decided."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request met: whether it may go on, in how many seconds one may if not, how many more may now."""

    allowed: bool
    retry_after_s: float
    remaining: int


class Limits:
    """The buckets in one table, of which what was taken may be given back. Every method blocks; call it from a thread.

    All raise what `aws_json.call` does if DynamoDB does not answer as it should.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._refusals = _Refusals()

    def take(self, key: str, rate: Rate, now_us: int) -> Outcome:
        """Take one request from the bucket *key* at *now_us*, if there is one left.

        A refused key is refused from memory until its time, so that a flood costs no writes; what is given back
        elsewhere meanwhile is noticed then.

        Raises:
            ContentionError: others were faster, again and again.
        """
        pk = partition(key, rate)
        wait_us = self._refusals.left_us(pk, now_us)
        decision = Decision(False, 0, wait_us, 0) if wait_us else decided(self._table, pk, rate, now_us)
        if not decision.allowed and not wait_us:
            self._refusals.note(pk, now_us + decision.retry_after_us)
        return Outcome(decision.allowed, decision.retry_after_us / US, decision.remaining)

    def give_back(self, key: str, rate: Rate, now_us: int) -> None:
        """Put one request back into the bucket *key*; if it has drained by *now_us*, there is nothing to put back."""
        pk = partition(key, rate)
        values = {":increment": rate.increment_us, ":now": now_us}
        _updated(self._table, pk, "SET tat = tat - :increment", "tat > :now", values)
        self._refusals.forget(pk)


class _Refusals:
    """Until when keys are refused anyway; the oldest are forgotten when there are too many."""

    def __init__(self) -> None:
        self._until_us: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def left_us(self, pk: str, now_us: int) -> int:
        """Return how long *pk* is still refused; 0 if it is not."""
        with self._lock:
            left = self._until_us.get(pk, 0) - now_us
            if left <= 0:
                self._until_us.pop(pk, None)
        return max(left, 0)

    def note(self, pk: str, until_us: int) -> None:
        with self._lock:
            self._until_us[pk] = until_us
            while len(self._until_us) > REMEMBERED:
                self._until_us.popitem(last=False)

    def forget(self, pk: str) -> None:
        with self._lock:
            self._until_us.pop(pk, None)


def partition(key: str, rate: Rate) -> str:
    """Return under what the bucket *key* is kept while its limit is *rate*."""
    return f"limit#{key}#{rate.increment_us}x{rate.burst}"


def decided(table: str, pk: str, rate: Rate, now_us: int) -> Decision:
    """Take one request from the bucket *pk* in *table* at *now_us*, if there is one left. Blocks.

    Raises:
        ContentionError: others were faster, again and again.
        Exception: what `aws_json.call` raises.
    """
    latest = now_us + rate.tolerance_us - rate.increment_us
    expires = -(-(now_us + rate.tolerance_us) // US) + KEPT_S
    moving = {":increment": rate.increment_us, ":now": now_us, ":latest": latest, ":expires": expires}
    starting = {":started": now_us + rate.increment_us, ":now": now_us, ":expires": expires}
    for _ in range(ATTEMPTS):
        done, tat = _updated(table, pk, _MOVE_ON, _IN_USE_AND_NOT_FULL, moving)
        if done:
            return decide(tat - rate.increment_us, now_us, rate)
        if tat >= now_us:
            return decide(tat, now_us, rate)
        if _updated(table, pk, _START, _NOT_IN_USE, starting)[0]:
            return decide(None, now_us, rate)
    raise ContentionError(f"a bucket changed {ATTEMPTS} times under our hands")


def _updated(table: str, pk: str, update: str, condition: str, values: dict[str, int]) -> tuple[bool, int]:
    """Return whether *condition* held, and the bucket's tat: after the update, or as it stands without.

    A bucket that is not there has drained long ago: its tat is 0.
    """
    document = {
        "TableName": table,
        "Key": {"pk": {"S": pk}},
        "UpdateExpression": update,
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {name: {"N": str(value)} for name, value in values.items()},
        "ReturnValues": "ALL_NEW",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    try:
        answer = call(DYNAMODB, "UpdateItem", document)
    except AwsError as error:
        if str(error) != _REFUSED:
            raise
        return False, _tat(error.answer.get("Item"))
    return True, _tat(answer["Attributes"])


def _tat(item: Any) -> int:
    return int(item["tat"]["N"]) if item else 0
