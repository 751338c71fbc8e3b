"""The registry and the revocation log, on moto and on MiniStack: many at once, and failures in between."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from gatehouse import registry, sessions
from gatehouse.errors import AuthUnavailableError
from gatehouse.registry import Order, Place, Record
from gatehouse.revocation_watch import OVERLAP_S
from gatehouse.revocations import Revocation, RevocationSet
from gatehouse.stores import revocation_log, token_registry
from gatehouse.stores.last_use import write_last_use
from gatehouse.stores.revocation_log import MOST_BEHIND_S, RevocationLog, new_item
from gatehouse.stores.token_registry import ATTEMPTS, TokenRegistry
from gatehouse.stores.waiting import stored
from local.house import NEVER_REAL
from local.template import load
from tests.unit.fakes import ring, run, the_metacogna

THREADS = 8


@dataclass(frozen=True)
class Stores:
    """A registry and a log in a table of the template's shape."""

    dynamodb: Any
    table: str
    registry: TokenRegistry
    log: RevocationLog

    def items(self) -> list[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def issue(self, service: str = "worker", now: float | None = None, project: str = "metacogna") -> Record:
        order = Order(project=project, service=service, days=30)
        _, record = registry.issue(
            ring(), replace(the_metacogna(), project=project), order, by="ada", now=now or time.time()
        )
        self.registry.put(record)
        return record

    def revoked(self) -> set[str]:
        return {row.value for row in run(self.log.since(0))}


@pytest.fixture(scope="module", params=["moto_server", "ministack"])
def dynamodb(request: pytest.FixtureRequest) -> Iterator[Any]:
    url = request.getfixturevalue(request.param)
    session = boto3.Session("local", "local", region_name="us-east-1")
    made = session.client("dynamodb", endpoint_url=url)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**NEVER_REAL, "AWS_ENDPOINT_URL_DYNAMODB": url}.items():
            patch.setenv(name, value)
        for module in (token_registry, revocation_log):
            patch.setattr(module, "client", lambda _: made)
        yield made
    made.close()


@pytest.fixture
def stores(dynamodb: Any) -> Stores:
    template = load()
    properties = template.resources("AWS::DynamoDB::Table")["TokensTable"]
    table = f"tokens-{uuid4()}"
    settings = ("AttributeDefinitions", "KeySchema", "BillingMode", "GlobalSecondaryIndexes")
    dynamodb.create_table(TableName=table, **{name: properties[name] for name in settings})
    return Stores(dynamodb, table, TokenRegistry(table), RevocationLog(table))


def failing(dynamodb: Any, operation: str, error: Exception, *, after: bool = False) -> Callable[[], None]:
    """Let *operation* fail once: before it is done, or after it was, when only the answer is lost."""
    left = [True]

    def fail(**_: Any) -> None:
        if left:
            left.clear()
            raise error

    event = f"{'after' if after else 'before'}-call.dynamodb.{operation}"
    dynamodb.meta.events.register(event, fail)
    return lambda: dynamodb.meta.events.unregister(event, fail)


LOST = EndpointConnectionError(endpoint_url="http://dynamodb.test")


# ------------------------------------------------------------------------------------------------------ many at once


def test_two_hundred_issues_and_revocations_at_once_lose_nothing(stores: Stores):
    """No row without its token, no token without its row, no revocation that only half happened."""
    before = [stores.issue(f"old-{number}") for number in range(100)]
    issued: list[Record] = []

    def work(number: int) -> None:
        if number % 2:
            stores.registry.revoke(before[number // 2], by="ada", reason=f"number {number}", now=time.time())
        else:
            issued.append(stores.issue(f"new-{number}"))

    numbers = list(range(200))
    random.Random(7).shuffle(numbers)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, numbers))
    kept = {item["jti"]["S"]: item for item in stores.items() if item["pk"]["S"].startswith("token#")}
    assert set(kept) == {record.jti for record in (*before, *issued)}
    assert all(kept[record.jti]["sha256"]["S"] == record.sha256 for record in issued)
    assert {jti for jti, item in kept.items() if "revoked_at" in item} == {record.jti for record in before}
    assert stores.revoked() == {record.jti for record in before}
    known = RevocationSet()
    known.add(run(stores.log.since(0)))
    assert len(known) == 100


def test_a_token_that_everybody_revokes_at_once_is_revoked_by_one_and_all_hear_by_whom(stores: Stores):
    record = stores.issue()

    def work(number: int) -> Record:
        return stores.registry.revoke(record, by=f"admin-{number}", reason="", now=time.time())

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, range(24)))
    assert len({one.revoked_by for one in found}) == 1
    assert len([item for item in stores.items() if item["pk"]["S"] == "revocations"]) == 1


def test_a_token_that_is_used_while_it_is_revoked_is_revoked(stores: Stores):
    records = [stores.issue(f"busy-{number}") for number in range(20)]

    def work(number: int) -> None:
        record = records[number // 2]
        if number % 2:
            stores.registry.revoke(record, by="ada", reason="", now=time.time())
        else:
            try:
                asyncio.run(write_last_use(stores.table, record.jti, int(time.time())))
            except Exception as error:  # noqa: BLE001  # a use may go unnoted; the watcher logs that
                assert "TransactionConflict" in str(error) or "Conflict" in str(error)  # noqa: PT017

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(40)))
    assert stores.revoked() == {record.jti for record in records}


# ------------------------------------------------------------------------------------------------ failures in between


def test_a_row_that_cannot_be_written_is_no_token(stores: Stores):
    undo = failing(stores.dynamodb, "PutItem", LOST)
    with pytest.raises(AuthUnavailableError):
        run(stored(stores.issue))
    undo()
    assert stores.items() == []


def test_a_row_whose_answer_was_lost_is_written_once(stores: Stores):
    record = stores.issue()
    stores.registry.put(record)  # as botocore does when the first answer did not come
    with pytest.raises(ClientError):
        stores.registry.put(replace(record, sha256="0" * 64))
    kept = stores.registry.get(record.jti)
    assert kept
    assert kept.sha256 == record.sha256


def test_a_revocation_that_fails_happened_not_at_all_and_can_be_tried_again(stores: Stores):
    record = stores.issue()
    undo = failing(stores.dynamodb, "TransactWriteItems", LOST)
    with pytest.raises(EndpointConnectionError):
        stores.registry.revoke(record, by="ada", reason="leaked", now=time.time())
    undo()
    kept = stores.registry.get(record.jti)
    assert kept
    assert (kept.revoked_at, stores.revoked()) == (None, set())
    assert stores.registry.revoke(record, by="ada", reason="leaked", now=time.time()).revoked_by == "ada"
    assert stores.revoked() == {record.jti}


def test_a_revocation_whose_answer_was_lost_is_told_as_the_first_one(stores: Stores):
    record = stores.issue()
    undo = failing(stores.dynamodb, "TransactWriteItems", LOST, after=True)
    with pytest.raises(EndpointConnectionError):
        stores.registry.revoke(record, by="ada", reason="first", now=time.time())
    undo()
    assert stores.revoked() == {record.jti}
    assert stores.registry.revoke(record, by="eve", reason="second", now=time.time()).revoked_reason == "first"


def conflict() -> ClientError:
    reasons: Any = {"CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}]}
    return ClientError({"Error": {"Code": "TransactionCanceledException"}, **reasons}, "TransactWriteItems")


@pytest.mark.parametrize("conflicts", [1, 3, ATTEMPTS])
def test_a_write_that_is_in_the_way_is_waited_for_but_not_forever(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, conflicts: int
):
    record, left = stores.issue(), [conflict() for _ in range(conflicts)]
    monkeypatch.setattr(time, "sleep", lambda _: None)
    write = stores.dynamodb.transact_write_items

    def contended(**request: Any) -> Any:
        if left:
            error = left.pop()
            raise stores.dynamodb.exceptions.TransactionCanceledException(error.response, "TransactWriteItems")
        return write(**request)

    monkeypatch.setattr(stores.dynamodb, "transact_write_items", contended, raising=False)
    if conflicts < ATTEMPTS:
        assert stores.registry.revoke(record, by="ada", reason="", now=time.time()).revoked_at
    else:
        with pytest.raises(ClientError):
            stores.registry.revoke(record, by="ada", reason="", now=time.time())


# -------------------------------------------------------------------------------------------------- what is kept how


def test_a_record_comes_back_as_it_was_put(stores: Stores):
    order = Order(
        project="metacogna", service="worker", days=7, description="naïve ☃", backend="http://b", created_by="grace",
        metadata={"a": [1, {"b": None}], "c": 1.5},
    )  # fmt: skip
    _, record = registry.issue(ring(), the_metacogna(), order, by="ada", now=round(time.time(), 3))
    stores.registry.put(record)
    assert stores.registry.get(record.jti) == record
    assert stores.registry.get("0" * 32) is None


def test_what_is_kept_of_a_token_outlives_it_and_a_revocation_goes_when_its_token_has(stores: Stores):
    record = stores.issue()
    stores.registry.revoke(record, by="ada", reason="", now=time.time())
    expiries = {item["pk"]["S"].partition("#")[0]: int(item["expires_at"]["N"]) for item in stores.items()}
    assert expiries == {"token": record.expires_at + 90 * 86_400, "revocations": record.expires_at + 60}


def test_records_are_listed_newest_first_of_one_project_or_of_all(stores: Stores):
    now = time.time()
    first, second, third = (
        stores.issue("a", now, "one"),
        stores.issue("b", now + 1, "two"),
        stores.issue("c", now + 2, "one"),
    )
    assert [one.jti for one in stores.registry.newest("one")] == [third.jti, first.jti]
    assert [one.jti for one in stores.registry.newest()] == [third.jti, second.jti, first.jti]
    after = Place(third.created_at, third.jti, third.project)
    assert [one.jti for one in stores.registry.newest("one", after)] == [first.jti]
    assert [one.jti for one in stores.registry.newest("", after)] == [second.jti, first.jti]


def test_many_records_of_one_instant_are_all_listed_once(stores: Stores, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(token_registry, "PAGE", 3)
    now = time.time()
    made = {stores.issue(f"s{number}", now).jti for number in range(10)}
    found = [one.jti for one in stores.registry.newest("metacogna")]
    assert (len(found), set(found)) == (10, made)


def test_a_log_longer_than_a_page_is_read_to_its_end(stores: Stores):
    wide = "x" * 300
    rows = [
        new_item(Revocation(kind="jti", value=f"{number:05d}", expires_at=2_000_000_000), by="ada", reason=wide * 10)[0]
        for number in range(700)
    ]
    with ThreadPoolExecutor(THREADS) as pool:  # 700 of 3 KB: more than the megabyte that one page holds
        list(pool.map(lambda item: stores.dynamodb.put_item(TableName=stores.table, Item=item), rows))
    assert len(run(stores.log.since(0))) == 700


def test_the_log_gives_what_was_written_after_a_moment(stores: Stores):
    moment = time.time()
    stores.log.append(sessions.everything(project="p", subject="s", before=moment), by="ada", reason="")
    (row,) = run(stores.log.since(moment - 1))
    assert (row.kind, row.value, row.project) == ("subject", "s", "p")
    assert abs(row.before - moment) < 0.002
    assert run(stores.log.since(time.time() + 1)) == []


def test_a_writer_whose_clock_is_behind_is_read_by_those_who_looked_meanwhile(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
):
    """An operator's laptop, an hour slow: the line would stand where no running process looks any more."""
    looked = time.time()
    monkeypatch.setattr(revocation_log, "time", SimpleNamespace(time=lambda: time.time() - 3600))
    stores.log.append(Revocation(kind="jti", value="slow", expires_at=2_000_000_000), by="ada", reason="")
    record = stores.issue()
    stores.registry.revoke(record, by="ada", reason="", now=time.time())
    monkeypatch.undo()
    assert {row.value for row in run(stores.log.since(looked - 2))} == {"slow", record.jti}
    assert MOST_BEHIND_S < OVERLAP_S


def test_a_line_of_a_later_version_is_no_reason_to_let_everybody_in(stores: Stores):
    stores.dynamodb.put_item(
        TableName=stores.table, Item={"pk": {"S": "revocations"}, "sk": {"S": "999999999999999#x"}}
    )
    with pytest.raises(KeyError):
        run(stores.log.since(0))
