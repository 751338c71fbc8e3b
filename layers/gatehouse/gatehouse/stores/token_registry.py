"""The registry of service tokens in DynamoDB: TokensTable, one item per token, newest first by two indexes.

    pk "token#{jti}"    sk "token"    kind "service"    project, created_at: the indexes' keys

A revocation is two writes that happen together or not at all: the token's item, which says who, when and why, and the
line in the log that processes read.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

from gatehouse.registry import DAY_S, Place, Record
from gatehouse.revocations import LEEWAY_S, Revocation
from gatehouse.stores.clients import client
from gatehouse.stores.revocation_log import for_the_late, new_item

KIND = "service"
KEPT_S = 90 * DAY_S
"""How long an item outlives its token: so that one can look up whose it was."""
PAGE = 100
ATTEMPTS = 8
_OPTIONAL_TEXTS = ("revoked_by", "revoked_reason")


class TokenRegistry:
    """The registry in the table called *table*. Every method blocks; call it from a thread.

    Every method raises botocore.exceptions.BotoCoreError or ClientError when DynamoDB does not answer as it should.
    """

    def __init__(self, table: str) -> None:
        self._table = table

    def put(self, record: Record) -> None:
        """Keep *record*, which is new."""
        dynamodb = client("dynamodb")
        try:
            dynamodb.put_item(TableName=self._table, Item=_item(record), ConditionExpression="attribute_not_exists(pk)")
        except dynamodb.exceptions.ConditionalCheckFailedException:
            kept = self.get(record.jti)  # an attempt whose answer was lost had written it
            if kept is None or kept.sha256 != record.sha256:
                raise

    def get(self, jti: str) -> Record | None:
        """Return the record of *jti*, as it is now; None if there is none."""
        answer = client("dynamodb").get_item(TableName=self._table, Key=_key(jti), ConsistentRead=True)
        return _record(answer["Item"]) if "Item" in answer else None

    def newest(self, project: str = "", after: Place | None = None) -> Iterator[Record]:
        """Yield the records (of *project*), newest first, from behind *after*. The indexes may lag by a moment."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "IndexName": "by-project" if project else "by-time",
            "KeyConditionExpression": "#of = :value",
            "ExpressionAttributeNames": {"#of": "project" if project else "kind"},  # "project" is a reserved word
            "ExpressionAttributeValues": {":value": {"S": project or KIND}},
            "ScanIndexForward": False,
            "Limit": PAGE,
        }
        if after:
            query["ExclusiveStartKey"] = _place(after, by_project=bool(project))
        while True:
            page = client("dynamodb").query(**query)
            yield from (_record(item) for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def revoke(self, record: Record, *, by: str, reason: str, now: float) -> Record:
        """Revoke the token of *record* and return its record as it is then. The first who revokes it is kept."""
        dynamodb = client("dynamodb")
        row = Revocation(kind="jti", value=record.jti, expires_at=record.expires_at + LEEWAY_S)
        item, stamp = new_item(row, by=by, reason=reason)
        update = {
            "TableName": self._table,
            "Key": _key(record.jti),
            "UpdateExpression": "SET revoked_at = :at, revoked_by = :by, revoked_reason = :reason",
            "ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(revoked_at)",
            "ExpressionAttributeValues": {":at": _number(now), ":by": {"S": by}, ":reason": {"S": reason}},
        }
        actions = [{"Update": update}, {"Put": {"TableName": self._table, "Item": item}}]
        for attempt in range(ATTEMPTS):
            try:
                answer = dynamodb.transact_write_items(TransactItems=actions)
            except dynamodb.exceptions.TransactionCanceledException as error:
                kept = self._settled(record.jti, error, last=attempt + 1 == ATTEMPTS)
                if kept:
                    return kept
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # jitter
            else:
                for_the_late(dynamodb, self._table, answer, item, stamp)
                break
        return self.get(record.jti) or record

    def _settled(self, jti: str, error: Any, *, last: bool) -> Record | None:
        """Return the record if it was revoked already; None if somebody else's write was in the way."""
        codes = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        kept = self.get(jti) if "ConditionalCheckFailed" in codes else None
        if kept and kept.revoked_at is not None:
            return kept
        if last or "TransactionConflict" not in codes:
            raise error
        return None


def _key(jti: str) -> dict[str, Any]:
    return {"pk": {"S": f"token#{jti}"}, "sk": {"S": "token"}}


def _place(after: Place, *, by_project: bool) -> dict[str, Any]:
    index = {"project": {"S": after.project}} if by_project else {"kind": {"S": KIND}}
    return {**_key(after.jti), **index, "created_at": _number(after.created_at)}


def _number(value: float) -> dict[str, str]:
    return {"N": f"{value:.3f}"}


def _item(record: Record) -> dict[str, Any]:
    return {
        **_key(record.jti),
        "kind": {"S": KIND},
        "jti": {"S": record.jti},
        "project": {"S": record.project},
        "service": {"S": record.service},
        "kid": {"S": record.kid},
        "sha256": {"S": record.sha256},
        "created_at": _number(record.created_at),
        "ends_at": {"N": str(record.expires_at)},
        "expires_at": {"N": str(record.expires_at + KEPT_S)},
        "created_by": {"S": record.created_by},
        "issued_by": {"S": record.issued_by},
        "description": {"S": record.description},
        "backend": {"S": record.backend},
        "metadata": {"S": json.dumps(record.metadata)},
    }


def _record(item: Mapping[str, Mapping[str, str]]) -> Record:
    texts = ("jti", "project", "service", "kid", "sha256", "created_by", "issued_by", "description", "backend")
    last_used, revoked = item.get("last_used_at"), item.get("revoked_at")
    return Record(
        **{name: item[name]["S"] for name in texts},
        **{name: item[name]["S"] for name in _OPTIONAL_TEXTS if name in item},
        created_at=float(item["created_at"]["N"]),
        expires_at=int(item["ends_at"]["N"]),
        metadata=json.loads(item["metadata"]["S"]),
        last_used_at=int(last_used["N"]) if last_used else None,
        revoked_at=float(revoked["N"]) if revoked else None,
    )
