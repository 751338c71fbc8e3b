"""The revocation log in DynamoDB: one partition of TokensTable, in the order of time; rows go when their tokens have.

    pk "revocations"    sk "{milliseconds, 15 digits}#{random}"

Its `of_project` is not called `project`: that is a key of an index, which may not be empty.

Writers' clocks may differ. A row that was stamped long before it arrived would be missed by every process that has
looked meanwhile, so a writer compares its stamp with the time that DynamoDB's answer carries and writes once more if
it is behind; what is left of the difference the readers cover by looking back (`revocation_watch.OVERLAP_S`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from gatehouse.revocations import Revocation
from gatehouse.stores.aws_json import Service, call
from gatehouse.stores.clients import client

PARTITION = "revocations"
DYNAMODB = Service(name="dynamodb", target="DynamoDB_20120810", json="1.0")
MOST_BEHIND_S = 120.0
_FIELDS = {"#kind": "kind", "#value": "value", "#of_project": "of_project", "#before": "before", "#since": "since",
           "#expires_at": "expires_at"}  # fmt: skip


class TableError(Exception):
    """TOKENS_TABLE is not set, so there is nothing to ask."""


class RevocationLog:
    """The log in the table called *table*, as processes read and write it."""

    def __init__(self, table: str) -> None:
        self._table = table

    async def since(self, moment: float) -> list[Revocation]:
        """Return the revocations written after *moment*, in seconds since the epoch.

        Raises:
            TableError: no table is set.
            AwsError, OSError, http.client.HTTPException, ValueError, KeyError: the log cannot be read.
        """
        if not self._table:
            raise TableError
        return await asyncio.to_thread(self._read, moment)

    def append(self, row: Revocation, *, by: str, reason: str) -> None:
        """Write *row*. Blocks.

        Raises:
            botocore.exceptions.BotoCoreError, ClientError: it may not have been written.
        """
        dynamodb = client("dynamodb")
        item, stamp = new_item(row, by=by, reason=reason)
        answer = dynamodb.put_item(TableName=self._table, Item=item)
        for_the_late(dynamodb, self._table, answer, item, stamp)

    def _read(self, moment: float) -> list[Revocation]:
        query: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": "pk = :pk AND sk > :sk",
            "ExpressionAttributeValues": {":pk": {"S": PARTITION}, ":sk": {"S": _stamp(moment)}},
            "ExpressionAttributeNames": _FIELDS,
            "ProjectionExpression": ", ".join(_FIELDS),
        }
        rows: list[Revocation] = []
        while True:
            page = call(DYNAMODB, "Query", query)
            rows += [_row(item) for item in page["Items"]]
            if not page.get("LastEvaluatedKey"):
                return rows
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def new_item(row: Revocation, *, by: str, reason: str) -> tuple[dict[str, Any], float]:
    """Return the item that stands for *row*, and the moment that it is stamped with."""
    stamp = time.time()
    item = {
        "pk": {"S": PARTITION},
        "sk": {"S": f"{_stamp(stamp)}#{secrets.token_hex(6)}"},
        "kind": {"S": row.kind},
        "value": {"S": row.value},
        "of_project": {"S": row.project},
        "before": {"N": _number(row.before)},
        "since": {"N": _number(row.since)},
        "expires_at": {"N": str(row.expires_at)},
        "by": {"S": by},
        "reason": {"S": reason},
    }
    return item, stamp


def for_the_late(dynamodb: Any, table: str, answer: Mapping[str, Any], item: Mapping[str, Any], stamp: float) -> None:
    """Write *item* once more if DynamoDB's clock, read from its *answer*, says that *stamp* is long past."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        written = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError):
        return
    if written - stamp > MOST_BEHIND_S:
        again = {**item, "sk": {"S": f"{_stamp(written)}#{secrets.token_hex(6)}"}}
        dynamodb.put_item(TableName=table, Item=again)


def _row(item: Mapping[str, Mapping[str, str]]) -> Revocation:
    return Revocation(
        kind=item["kind"]["S"],
        value=item["value"]["S"],
        project=item["of_project"]["S"],
        before=float(item["before"]["N"]),
        since=float(item["since"]["N"]),
        expires_at=int(item["expires_at"]["N"]),
    )


def _stamp(moment: float) -> str:
    return f"{max(0, int(moment * 1000)):015d}"


def _number(value: float) -> str:
    return f"{value:.3f}" if value % 1 else str(int(value))
