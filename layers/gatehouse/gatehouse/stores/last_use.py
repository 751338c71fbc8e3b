"""When a service token was last used, in its item of the registry; a token that has none there is left alone."""

from __future__ import annotations

import asyncio

from gatehouse.stores.aws_json import AwsError, call
from gatehouse.stores.revocation_log import DYNAMODB

_NOT_THERE = "ConditionalCheckFailedException"


async def write_last_use(table: str, jti: str, now: int) -> None:
    """Note in *table* that the token *jti* was used at *now*, in seconds since the epoch, unless a later use is noted.

    Raises:
        AwsError, OSError, http.client.HTTPException, ValueError: it was not noted.
    """
    update = {
        "TableName": table,
        "Key": {"pk": {"S": f"token#{jti}"}, "sk": {"S": "token"}},
        "UpdateExpression": "SET last_used_at = :now",
        "ConditionExpression": "attribute_exists(pk) AND (attribute_not_exists(last_used_at) OR last_used_at < :now)",
        "ExpressionAttributeValues": {":now": {"N": str(now)}},
    }
    try:
        await asyncio.to_thread(call, DYNAMODB, "UpdateItem", update)
    except AwsError as error:
        if str(error) != _NOT_THERE:
            raise
