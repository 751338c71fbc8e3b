"""What makes moto cheaper for our tests leaves it as it was: rows come back, failed transactions undo themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

TABLE = "cheaper"


def keyed(number: str) -> dict[str, Any]:
    return {"pk": {"S": "a"}, "sk": {"S": number}}


@pytest.fixture(scope="module")
def dynamodb(moto_server: str) -> Iterator[Any]:
    made = boto3.Session("local", "local", region_name="us-east-1").client("dynamodb", endpoint_url=moto_server)
    made.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    yield made
    made.close()


FIELDS = [
    {"S": "text"}, {"S": ""}, {"N": "1.5"}, {"BOOL": False}, {"NULL": True}, {"B": b"\x00\xff"}, {"SS": ["a", "b"]},
    {"L": [{"S": "x"}, {"N": "1"}]}, {"M": {"inner": {"M": {"B": {"B": b"x"}}}}},
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: next(iter(field)))
def test_a_row_comes_back_as_it_was_written(dynamodb: Any, field: dict[str, Any]) -> None:
    row = {**keyed("kept"), "field": field, "other": {"N": "2"}}
    dynamodb.put_item(TableName=TABLE, Item=row)
    assert dynamodb.get_item(TableName=TABLE, Key=keyed("kept"))["Item"] == row


def test_a_transaction_that_fails_at_its_end_changes_nothing(dynamodb: Any) -> None:
    dynamodb.put_item(TableName=TABLE, Item={**keyed("1"), "n": {"N": "1"}, "gone": {"BOOL": True}})
    dynamodb.put_item(TableName=TABLE, Item={**keyed("2"), "n": {"N": "2"}})
    before = dynamodb.scan(TableName=TABLE)["Items"]
    nine = {"ExpressionAttributeValues": {":nine": {"N": "9"}}}
    changes = [
        {"Update": {"Key": keyed("1"), "UpdateExpression": "SET n = :nine, more = :nine REMOVE gone", **nine}},
        {"Delete": {"Key": keyed("2")}},
        {"Put": {"Item": keyed("3")}},
        {"ConditionCheck": {"Key": keyed("4"), "ConditionExpression": "attribute_exists(pk)"}},
    ]
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        dynamodb.transact_write_items(
            TransactItems=[{kind: {"TableName": TABLE, **what}} for one in changes for kind, what in one.items()]
        )
    assert dynamodb.scan(TableName=TABLE)["Items"] == before
