"""Answers that processes share, in DynamoDB, and what says whether they may still be used.

    pk "cache#{place}"          data B, asked_ms N      an answer, as `caching.packing` has it; when it was asked for
    pk "cache-lease#{place}"    until_ms N, done_ms N   until when somebody fetches it; when somebody last had it
    pk "cache-gone#{key}"       at_ms N                 what was asked for before that is not to be used
    pk "cache-purges#{project}"                         see `purge_log`

All but the last have `expires_at` N, in seconds, and count as deleted from then on: TTL deletes late. Moments in
milliseconds are rounded to where less is used: a change is noted as later than it was, and so is the end of a fetch.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatehouse import logs
from gatehouse.caching.packing import pack, unpack
from gatehouse.caching.purges import Purges
from gatehouse.caching.stored import Stored
from gatehouse.stores import purge_log
from gatehouse.stores.aws_json import AwsError, call
from gatehouse.stores.limits import ContentionError
from gatehouse.stores.revocation_log import DYNAMODB

ATTEMPTS = 5
KEPT_S = 60
"""How long a lease outlives its time: whoever looked before it ended must still see that."""

AHEAD_MS = 2_000
"""An answer that was asked for by a clock that is further ahead keeps no others away."""
_NOT_NEWER = "attribute_not_exists(asked_ms) OR asked_ms <= :asked OR asked_ms > :ahead"
_LEASE = "SET until_ms = :until, expires_at = :expires"
_FREE = "(attribute_not_exists(until_ms) OR until_ms <= :now) AND (attribute_not_exists(done_ms) OR done_ms < :looked)"
_MARK = "SET at_ms = :at, expires_at = :expires"
_NOT_LATER = "attribute_not_exists(at_ms) OR (at_ms <= :at AND expires_at <= :expires)"
_REFUSED = "ConditionalCheckFailedException"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there was.

    Attributes:
        stored: the answer, if there is one that can be read.
        gone_at: only what was asked for after that is to be used, in seconds since the epoch; 0 if nothing has changed.
        purges: those of the project; None if they were not asked for.
        leased: whether somebody fetches the answer now; False if that was not asked for.
    """

    stored: Stored | None = None
    gone_at: float = 0.0
    purges: Purges | None = None
    leased: bool = False


class CachedAnswers:
    """The answers in the table called *table*. Every method blocks; call it from a thread.

    All raise what `aws_json.call` does if DynamoDB does not answer as it should. Moments are seconds since the epoch.
    """

    def __init__(self, table: str) -> None:
        self._table = table

    def look(self, place: str, gone: str, *, now: float, purges: str = "", lease: bool = False) -> Found:
        """Return what is known at the moment *now*, in one call.

        Args:
            place: where the answer is; empty to look for none.
            gone: under what changes are noted that make it unusable.
            now: this moment.
            purges: the project whose purges are wanted; empty for none.
            lease: whether it is wanted who fetches the answer.

        Raises:
            ValueError, KeyError: changes or purges are noted that cannot be read.
        """
        answer, mark, holder, log = f"cache#{place}", f"cache-gone#{gone}", _lease(place), purge_log.partition(purges)
        wanted = {answer: place, mark: True, holder: place and lease, log: purges}
        items = self._items([pk for pk, is_wanted in wanted.items() if is_wanted])
        return Found(
            stored=_stored(items.get(answer), place, now),
            gone_at=_gone_at(items.get(mark), now),
            purges=purge_log.purges_of(items.get(log)) if purges else None,
            leased=_is_leased(items.get(holder), now),
        )

    def keep(self, place: str, stored: Stored, *, now: float, until: float) -> bool:
        """Keep *stored* at *place* from *now* to *until*, and say whether it was small enough.

        It does not take the place of one that was asked for later, unless that was by a clock that is far ahead.
        """
        data = pack(stored, place)
        if data is None:
            return False
        asked_ms = _ms(stored.asked_at)
        item = {
            "pk": {"S": f"cache#{place}"},
            "data": {"B": data},
            "asked_ms": {"N": str(asked_ms)},
            "expires_at": {"N": str(int(until))},
        }
        document = {
            "TableName": self._table,
            "Item": item,
            "ConditionExpression": _NOT_NEWER,
            "ExpressionAttributeValues": {":asked": item["asked_ms"], ":ahead": {"N": str(_ms(now) + AHEAD_MS)}},
        }
        try:
            call(DYNAMODB, "PutItem", document)
        except AwsError as error:  # a newer one is there
            if str(error) != _REFUSED:
                raise
        return True

    def claim(self, place: str, *, looked_at: float, now: float, until: float) -> bool:
        """Say whether the answer for *place* is the caller's to fetch: others are told so until *until*.

        It is not where somebody fetches it already, or has had it since *looked_at*, when there was none. Where the
        answer of DynamoDB was lost on the way, nobody may have it: whoever waits for that must not wait for long.
        """
        values = {":until": _ms(until), ":expires": _expiring(until), ":now": _ms(now), ":looked": _ms(looked_at)}
        return self._refusal(_lease(place), _LEASE, _FREE, values) is None

    def release(self, place: str, *, now: float, done: bool) -> None:
        """Let others fetch the answer for *place* again; for who has claimed it, and nobody else.

        Args:
            place: where the answer belongs.
            now: this moment.
            done: whether an answer was kept that others can use.
        """
        update, values = "SET until_ms = :never, expires_at = :expires", {":never": 0, ":expires": _expiring(now)}
        if done:
            update, values = f"{update}, done_ms = :done", {**values, ":done": _later_ms(now)}
        self._refusal(_lease(place), update, "attribute_exists(pk)", values)  # what is deleted has ended

    def forget(self, gone: str, *, at: float, until: float) -> None:
        """Note under *gone* that what was asked for before *at* is not to be used, at least until *until*.

        What was noted before is never taken back: neither a later moment nor that it holds for longer.

        Raises:
            ContentionError: others were faster, again and again.
        """
        at_ms, expires = _later_ms(at), math.ceil(until)
        for _ in range(ATTEMPTS):
            values = {":at": at_ms, ":expires": expires}
            known = self._refusal(f"cache-gone#{gone}", _MARK, _NOT_LATER, values)
            if known is None:
                return
            known_ms, known_expires = _number(known, "at_ms"), _number(known, "expires_at")
            if known_ms >= at_ms and known_expires >= expires:
                return
            at_ms, expires = max(at_ms, known_ms), max(expires, known_expires)
        raise ContentionError(f"what was noted of a path changed {ATTEMPTS} times under our hands")

    def _items(self, pks: list[str]) -> dict[str, Mapping[str, Any]]:
        """Return the items under *pks* that there are, as they are now."""
        keys = [{"pk": {"S": pk}} for pk in pks]
        # An eventual read would be half the price, and could miss a change that its own client has just made.
        document = {"RequestItems": {self._table: {"Keys": keys, "ConsistentRead": True}}}
        answer = call(DYNAMODB, "BatchGetItem", document)
        if answer.get("UnprocessedKeys"):
            raise AwsError("UnprocessedKeys", answer)
        return {item["pk"]["S"]: item for item in answer["Responses"].get(self._table, ())}

    def _refusal(self, pk: str, update: str, condition: str, values: Mapping[str, int]) -> Mapping[str, Any] | None:
        """Do *update* if *condition* holds; if not, return the item as it is, an empty one if there is none."""
        document = {
            "TableName": self._table,
            "Key": {"pk": {"S": pk}},
            "UpdateExpression": update,
            "ConditionExpression": condition,
            "ExpressionAttributeValues": {name: {"N": str(value)} for name, value in values.items()},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            call(DYNAMODB, "UpdateItem", document)
        except AwsError as error:
            if str(error) != _REFUSED:
                raise
            item: Mapping[str, Any] = error.answer.get("Item") or {}
            return item
        return None


def _lease(place: str) -> str:
    return f"cache-lease#{place}"


def _expiring(end: float) -> int:
    """Return when a lease that ends at *end* may be deleted."""
    return math.ceil(end) + KEPT_S


def _ms(moment: float) -> int:
    """Return the last whole millisecond at or before *moment*."""
    return int(moment * 1000)


def _later_ms(moment: float) -> int:
    """Return a whole millisecond that is not before *moment*, however the multiplication was rounded."""
    return int(moment * 1000) + 1


def _number(item: Mapping[str, Any], name: str) -> int:
    return int(item[name]["N"])


def _stored(item: Mapping[str, Any] | None, place: str, now: float) -> Stored | None:
    try:
        if item is None or _number(item, "expires_at") <= now:
            return None
        data = item["data"]["B"]
        stored = unpack(data if isinstance(data, bytes) else b64decode(data, validate=True), place)
    except (KeyError, TypeError, ValueError):  # nothing that this module wrote
        stored = None
    if stored is None:  # damaged, or of another version of the gateway: the upstream is asked instead
        logs.error("kept answer not readable")
    return stored


def _gone_at(item: Mapping[str, Any] | None, now: float) -> float:
    """Return the moment that is noted in *item*; it raises if there is one that cannot be read."""
    if item is None or _number(item, "expires_at") <= now:
        return 0.0
    return _number(item, "at_ms") / 1000


def _is_leased(item: Mapping[str, Any] | None, now: float) -> bool:
    try:
        return item is not None and _number(item, "until_ms") > _ms(now)
    except (KeyError, TypeError, ValueError):
        return False
