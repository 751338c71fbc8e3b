"""Text that processes share for a while, in DynamoDB; `asking.Shared` says what it is for.

    pk "shared#{key}"    text S    expires_at N, seconds since the epoch

It is a comfort: where it fails, is slow or busy it knows nothing, and is left alone for a few seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from gatehouse.clock import Clock, Elapsed
from gatehouse.comfort import Comfort
from gatehouse.stores.aws_json import call
from gatehouse.stores.revocation_log import DYNAMODB

BUDGET_S = 0.5
MOST_BYTES = 100 * 1024
MOST_AT_ONCE = 8


class SharedAnswers:
    """What is shared in the table called *table*; without a name it knows nothing.

    Args:
        table: the name of the table.
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
    """

    def __init__(self, table: str, wall: Clock, monotonic: Clock) -> None:
        self._table = table
        self._wall = wall
        self._comfort = Comfort(
            Elapsed(wall, monotonic), name="shared answers", most_waiting=MOST_AT_ONCE, threads=MOST_AT_ONCE
        )

    async def read(self, key: str) -> tuple[str, float] | None:
        """Return the text under *key* and until when it holds, in seconds since the epoch; None if there is none."""
        answer = await self._asked("GetItem", {"Key": {"pk": _pk(key)}})
        try:
            item = answer["Item"]
            text, expires_at = str(item["text"]["S"]), float(item["expires_at"]["N"])
        except (KeyError, TypeError, ValueError):  # nothing there, or nothing that this module wrote
            return None
        return (text, expires_at) if expires_at > self._wall() else None  # TTL deletes late

    async def write(self, key: str, text: str, expires_at: float) -> None:
        """Keep *text* under *key* until *expires_at*, in seconds since the epoch, unless it is too long."""
        whole_s = int(expires_at)  # never longer than it holds
        if whole_s <= self._wall() or not _storable(text):
            return
        item = {"pk": _pk(key), "text": {"S": text}, "expires_at": {"N": str(whole_s)}}
        await self._asked("PutItem", {"Item": item})

    async def _asked(self, operation: str, document: Mapping[str, Any]) -> Any:
        """Return what DynamoDB answers; None if it is not asked now, or does not answer as it should."""
        if not self._table:
            return None
        work = partial(call, DYNAMODB, operation, {"TableName": self._table, **document})
        return await self._comfort.get(work, BUDGET_S, operation=operation)


def _pk(key: str) -> dict[str, str]:
    return {"S": f"shared#{key}"}


def _storable(text: str) -> bool:
    try:
        return len(text.encode()) <= MOST_BYTES
    except UnicodeEncodeError:  # half a surrogate pair, which DynamoDB refuses
        return False
