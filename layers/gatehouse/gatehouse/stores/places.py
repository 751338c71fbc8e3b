"""From where somebody has logged in lately, in DynamoDB: an item per username and place, under their SHA-256.

pk "login-place#{digest}"    expires_at N, seconds
"""

from __future__ import annotations

from gatehouse.stores.clients import client

KEPT_S = 30 * 86_400
AGAIN_S = 86_400


class LoginPlaces:
    """The places in one table. Every method blocks; call it from a thread.

    All raise botocore.exceptions.BotoCoreError or ClientError if DynamoDB does not answer as it should.
    """

    def __init__(self, table: str) -> None:
        self._table = table

    def knows(self, place: str, now_s: float) -> bool:
        """Say whether there was a login from *place* within KEPT_S."""
        answer = client("dynamodb").get_item(TableName=self._table, Key=_key(place))
        item = answer.get("Item")
        return bool(item) and int(item["expires_at"]["N"]) > now_s  # TTL deletes late

    def remember(self, place: str, now_s: float) -> None:
        """Keep that there was a login from *place*; what is younger than AGAIN_S is not written again."""
        expires = int(now_s) + KEPT_S
        dynamodb = client("dynamodb")
        try:
            dynamodb.update_item(
                TableName=self._table,
                Key=_key(place),
                UpdateExpression="SET expires_at = :expires",
                ConditionExpression="attribute_not_exists(expires_at) OR expires_at <= :stale",
                ExpressionAttributeValues={":expires": {"N": str(expires)}, ":stale": {"N": str(expires - AGAIN_S)}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return


def _key(place: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": f"login-place#{place}"}}
