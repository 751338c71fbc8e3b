"""The purges of every project, in DynamoDB: one small item each, which processes read beside the answers.

    pk "cache-purges#{project}"    number N    floor N    recent S, JSON

It has no `expires_at`: numbers that began anew would mean less than those that answers carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatehouse.caching.purges import Purges, read
from gatehouse.stores.aws_json import AwsError, call
from gatehouse.stores.limits import ContentionError
from gatehouse.stores.revocation_log import DYNAMODB

ATTEMPTS = 5
_REFUSED = "ConditionalCheckFailedException"


class PurgeLog:
    """The purges in the table called *table*. Every method blocks; call it from a thread."""

    def __init__(self, table: str) -> None:
        self._table = table

    def add(self, project: str, *, route: str = "", path: str = "", organization: str = "") -> int:
        """Purge what `purges.Purge` says of these of *project*, and return the number of that purge.

        One whose answer was lost on the way may be counted twice, which throws away nothing more. Where nobody can read
        what was purged before, all that the project has is.

        Raises:
            ContentionError: others were faster, again and again.
            Exception: what `aws_json.call` raises; KeyError if not even the last number can be read.
        """
        for _ in range(ATTEMPTS):
            item = self._item(project)
            try:
                after = purges_of(item).adding(route=route, path=path, organization=organization)
            except ValueError:
                after = Purges(int((item or {})["number"]["N"])).adding()
            if self._replaced(project, item, after):
                return after.number
        raise ContentionError(f"the purges of a project changed {ATTEMPTS} times under our hands")

    def _item(self, project: str) -> Mapping[str, Any] | None:
        document = {"TableName": self._table, "Key": {"pk": {"S": partition(project)}}, "ConsistentRead": True}
        item: Mapping[str, Any] | None = call(DYNAMODB, "GetItem", document).get("Item")
        return item

    def _replaced(self, project: str, item: Mapping[str, Any] | None, after: Purges) -> bool:
        """Write *after*, unless another has written since *item* was read."""
        document: dict[str, Any] = {
            "TableName": self._table,
            "Item": {
                "pk": {"S": partition(project)},
                "number": {"N": str(after.number)},
                "floor": {"N": str(after.floor)},
                "recent": {"S": after.recent_json()},
            },
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        if item is not None:
            document |= {
                "ConditionExpression": "#number = :number",  # "number" is a reserved word
                "ExpressionAttributeNames": {"#number": "number"},
                "ExpressionAttributeValues": {":number": item["number"]},
            }
        try:
            call(DYNAMODB, "PutItem", document)
        except AwsError as error:
            if str(error) != _REFUSED:
                raise
            return False
        return True


def partition(project: str) -> str:
    """Return under what the purges of *project* are kept."""
    return f"cache-purges#{project}"


def purges_of(item: Mapping[str, Any] | None) -> Purges:
    """Return the purges that *item* holds, as DynamoDB gives it; none if there is no item.

    Raises:
        ValueError: it is not one that was written here, or not all of it.
    """
    if item is None:
        return Purges()
    try:
        return read(int(item["number"]["N"]), int(item["floor"]["N"]), item["recent"]["S"])
    except (KeyError, TypeError) as error:
        raise ValueError("these are no purges") from error
