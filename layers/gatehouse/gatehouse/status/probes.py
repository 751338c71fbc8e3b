"""Questions to the stores of a deployment, asked as requests ask them, so that a good answer means something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

from gatehouse.clock import Clock
from gatehouse.keys import KeyRingError, parse
from gatehouse.status.needs import ADMINS, CACHE, REVOCATIONS, SECRET, USAGE
from gatehouse.stores.admins import PREFIX
from gatehouse.stores.aws_json import AwsError, call
from gatehouse.stores.clients import client
from gatehouse.stores.revocation_log import DYNAMODB, RevocationLog
from gatehouse.stores.secrets import read

BUDGET_S = 2.0
"""How long everything together may take."""
KEY = {"S": "ready#status"}
"""What is looked for in tables: nothing has this key, and the role of the status function may read no other."""
THREADS = 32

T = TypeVar("T")

_WAIT = "If that lasts, look at the health of AWS in this region."
SAID = {
    "silent": f"It did not answer within {BUDGET_S:g} s. {_WAIT}",
    "unreached": f"It cannot be reached. {_WAIT}",
    "refused": "It refused: see that it exists, and that the status function may read it, as template.yaml has it.",
}


class NotSetError(Exception):
    """A variable that names a store is not set; the message is its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores of a deployment, by their names; see `settings.Settings`."""

    secret_arn: str
    tokens_table: str
    admins_bucket: str
    cache_table: str
    usage_table: str
    wall: Clock

    async def prepare(self) -> None:
        """Load what asking takes: boto3, a second on a cold start, which says nothing of the store."""
        if self.admins_bucket:
            await threaded(partial(client, "s3"))

    async def ask(self, store: str) -> Mapping[str, str]:
        """Ask *store*, one of those of `needs`; return the named secrets, if it is the one that holds them.

        Raises:
            Exception: it is not as it should be; `words` says what to do about it.
        """
        if store == SECRET:
            return await threaded(self._secrets)
        if store == REVOCATIONS:
            await RevocationLog(_set(self.tokens_table, "TOKENS_TABLE")).since(self.wall())
        elif store == ADMINS:
            await threaded(self._admins)
        elif store == CACHE:
            await threaded(partial(_item, _set(self.cache_table, "CACHE_TABLE"), {"pk": KEY}))
        elif store == USAGE:
            await threaded(partial(_item, _set(self.usage_table, "USAGE_TABLE"), {"pk": KEY, "sk": KEY}))
        return {}

    def _secrets(self) -> Mapping[str, str]:
        return parse(read(_set(self.secret_arn, "GATEWAY_SECRET_ARN"))).secrets

    def _admins(self) -> None:
        bucket = _set(self.admins_bucket, "ADMINS_BUCKET")
        client("s3").list_objects_v2(Bucket=bucket, Prefix=PREFIX, MaxKeys=1)


async def threaded(work: Callable[[], T]) -> T:
    """Return what *work* returns, which blocks. Its threads are its own: what hangs here holds up nobody else."""
    return await asyncio.get_running_loop().run_in_executor(_threads(), work)


def words(error: Exception) -> str:
    """Return what there is to say, and to do, about *error*, which a question to a store raised."""
    if isinstance(error, NotSetError):
        return f"{error} is not set. template.yaml sets it; see that this function has it."
    if isinstance(error, KeyRingError):
        return f"{error} See 'python -m gatehouse keys show'."  # never a secret: that is its promise
    if isinstance(error, AwsError) or hasattr(error, "response"):  # botocore's ClientError has one
        return SAID["refused"]
    return SAID["silent"] if isinstance(error, TimeoutError) else SAID["unreached"]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "readiness")


def _item(table: str, key: Mapping[str, Any]) -> None:
    call(DYNAMODB, "GetItem", {"TableName": table, "Key": key})


def _set(value: str, variable: str) -> str:
    if not value:
        raise NotSetError(variable)
    return value
