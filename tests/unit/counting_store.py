"""A DynamoDB in which requests and logins are counted: moto's, and MiniStack's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import boto3
import pytest

from gatehouse.stores import aws_json, limits, places
from local.house import NEVER_REAL


@dataclass(frozen=True)
class Store:
    """A DynamoDB, and the operations it was asked for.

    Attributes:
        dynamodb: its client.
        is_quick: whether it stands ten thousand writes in a test.
        asked: what it was asked for counts.
    """

    dynamodb: Any
    is_quick: bool = False
    asked: list[str] = field(default_factory=list)

    def table(self) -> str:
        name = f"limits-{uuid4()}"
        self.dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.asked.clear()
        return name

    def items(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.dynamodb.scan(TableName=table)["Items"]
        return found


@pytest.fixture(scope="module", params=["moto_server", "ministack"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    url = request.getfixturevalue(request.param)
    session = boto3.Session("local", "local", region_name="us-east-1")
    made = Store(session.client("dynamodb", endpoint_url=url), request.param == "ministack")
    asking = limits.call

    def counted(service: Any, operation: str, document: Any) -> Any:
        made.asked.append(operation)
        return asking(service, operation, document)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (NEVER_REAL | {"AWS_ENDPOINT_URL_DYNAMODB": url}).items():
            patch.setenv(name, value)
        patch.setattr(limits, "call", counted)
        patch.setattr(places, "client", lambda _: made.dynamodb)
        yield made
    aws_json.close()
    made.dynamodb.close()
