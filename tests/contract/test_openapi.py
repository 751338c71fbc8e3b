"""schemathesis reads the OpenAPI document that the gateway serves, and sends what it allows and what it does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import jwt
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi.checks import positive_data_acceptance

from gatehouse.api import openapi
from local.house import House
from local.router import router
from local.servers import listen, served
from tests.contract.conftest import SECRET

NUMBERS = count()
AHEAD_S = 20
"""Tokens from a little ahead, within the leeway: what revokes everything issued so far spares the next case's."""


@pytest.fixture(scope="package")
def wide(house: House) -> Iterator[str]:
    """The gateway with limits so wide that every case reaches what it is about, and revocations of its own."""
    table = "tokens-of-the-description"
    tokens = house.template.resources("AWS::DynamoDB::Table")["TokensTable"]
    session = boto3.Session("local", "local", region_name="us-east-1")
    dynamodb = session.client("dynamodb", endpoint_url=house.environment()["AWS_ENDPOINT_URL"])
    kept = ("AttributeDefinitions", "KeySchema", "BillingMode", "GlobalSecondaryIndexes")
    dynamodb.create_table(TableName=table, **{name: tokens[name] for name in kept})
    dynamodb.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENS_TABLE", table)
        patch.setenv("LOGIN_LIMIT_USER", "100000/1m")
        patch.setenv("LOGIN_LIMIT_ADDRESS", "100000/1m")
        app = router(house.template)
    listening = listen("127.0.0.1", 0)
    with served(app, [listening]):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def described(wide: str) -> Any:
    return schemathesis.openapi.from_url(f"{wide}/auth/openapi.json")


def administrator() -> str:
    """A new administrator's token: one that logged out, or revoked it, is nobody any more."""
    now = int(time.time()) + AHEAD_S
    said = {"sub": f"ada-{next(NUMBERS)}", "route": "AUTH", "scopes": ["admin"], "iat": now, "exp": now + 600}
    issued = {"iss": "gateway.metacogna.ai", "aud": "metacogna-clients"}
    return jwt.encode({**said, **issued}, SECRET, "HS256")


def says_more_than_a_schema_can(case: Any, response: Any) -> bool:
    """What is refused though it has the right form: no schema says "one of these two", or "something that we have"."""
    query = parse_qs(urlsplit(response.request.url).query, keep_blank_values=True)
    operation = f"{case.method} {case.path}"
    return (
        (operation == "GET /auth/tokens" and "cursor" in query)
        or (operation == "DELETE /auth/tokens" and ("before" in query or not {"subject", "project"} & query.keys()))
        or (operation == "DELETE /auth/cache" and bool({"route", "path", "organization"} & query.keys()))
    )


ALLOWED, NOT_ALLOWED = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
CASES = [
    pytest.param(one, mode, id=f"{one.method} {one.path} {mode.value}")
    for one in openapi.OPERATIONS
    for mode in (ALLOWED, NOT_ALLOWED)
    if mode == ALLOWED or one.takes or one.asks or "{" in one.path  # the others take nothing that could be wrong
]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_an_address_does_what_its_description_says(described: Any, operation: openapi.Operation, mode: GenerationMode):
    declared = described[operation.path][operation.method.upper()]

    @given(case=declared.as_strategy(generation_mode=mode))
    @settings(max_examples=10, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def holds(case: Any) -> None:
        headers = {"Authorization": f"Bearer {administrator()}"}
        response = case.call(headers=headers)
        excluded = [positive_data_acceptance] if says_more_than_a_schema_can(case, response) else []
        case.validate_response(response, checks=list(CHECKS.get_all()), excluded_checks=excluded, headers=headers)

    holds()


def test_the_description_is_an_openapi_document(described: Any):
    validate(described.raw_schema)
    assert len(described.raw_schema["paths"]) == 10
