"""Purges in DynamoDB: each gets the next number, whoever else purges, and none is lost.

Every test that takes a `store` runs on moto and on MiniStack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gatehouse.caching.purges import MOST_RECENT, Purge, Purges
from gatehouse.stores import purge_log
from gatehouse.stores.aws_json import AwsError
from gatehouse.stores.limits import ContentionError
from gatehouse.stores.purge_log import ATTEMPTS, PurgeLog, purges_of
from tests.unit.counting_store import Store

THREADS = 4
ANSWER = {"route": "r", "path": "/a", "organization": ""}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the table was asked for."""
    operations: list[str] = []
    call = purge_log.call

    def counted(service: Any, operation: str, document: Any) -> Any:
        operations.append(operation)
        return call(service, operation, document)

    monkeypatch.setattr(purge_log, "call", counted)
    return operations


def kept(store: Store, table: str) -> dict[str, Purges]:
    return {item["pk"]["S"]: purges_of(item) for item in store.items(table)}


def test_purges_are_numbered_by_project_and_say_what_they_said(store: Store) -> None:
    table = store.table()
    log = PurgeLog(table)
    assert log.add("p", route="r") == 1
    assert log.add("p", path="/a/*", organization="ö \U0001f980 \ud800") == 2
    assert log.add("q") == 1
    recent = (Purge(1, "r"), Purge(2, "", "/a/*", "ö \U0001f980 \ud800"))
    assert kept(store, table) == {"cache-purges#p": Purges(2, 0, recent), "cache-purges#q": Purges(1, 1)}


def test_a_purge_is_a_read_and_a_write_and_an_item_that_never_expires(store: Store, asked: list[str]) -> None:
    table = store.table()
    PurgeLog(table).add("p", route="r")
    assert asked == ["GetItem", "PutItem"]
    assert store.items(table) == [
        {"pk": {"S": "cache-purges#p"}, "number": {"N": "1"}, "floor": {"N": "0"}, "recent": {"S": '[[1,"r","",""]]'}}
    ]


def test_the_longest_purges_fit_into_one_item(store: Store) -> None:
    table = store.table()
    log = PurgeLog(table)
    for number in range(MOST_RECENT + 1):
        assert log.add("p", route="r" * 64, path="/" + "x" * 1023, organization="\U0001f980" * 256) == number + 1
    assert (kept(store, table)["cache-purges#p"].floor, len(kept(store, table)["cache-purges#p"].recent)) == (1, 64)


def test_of_those_who_purge_at_once_each_gets_a_number_and_none_is_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_log, "ATTEMPTS", 1000)
    table = store.table()

    def purge(thread: int) -> list[int]:
        return [PurgeLog(table).add("p", path=f"/{thread}/{turn}") for turn in range(5)]

    with ThreadPoolExecutor(THREADS) as pool:
        numbers = [number for many in pool.map(purge, range(THREADS)) for number in many]
    assert sorted(numbers) == [*range(1, 5 * THREADS + 1)]
    paths = {one.path for one in kept(store, table)["cache-purges#p"].recent}
    assert paths == {f"/{thread}/{turn}" for thread in range(THREADS) for turn in range(5)}


# --------------------------------------------------------------------------------------------------- what goes wrong


class FakeCall:
    """`aws_json.call` on one item, that others change in between as often as a test says."""

    def __init__(self, others: int, item: Any = None) -> None:
        self.others, self.item = others, item
        self.puts = 0

    def __call__(self, _: Any, operation: str, document: Any) -> Any:
        if operation == "GetItem":
            assert document["ConsistentRead"] is True
            return {"Item": self.item} if self.item else {}
        self.puts += 1
        if self.puts <= self.others:
            raise AwsError("ConditionalCheckFailedException")
        self.item = document["Item"]
        return {}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeCall]:
    def install(others: int = 0, item: Any = None) -> FakeCall:
        made = FakeCall(others, item)
        monkeypatch.setattr(purge_log, "call", made)
        return made

    return install


def test_who_is_not_the_first_tries_again_a_few_times(fake: Any) -> None:
    fake(others=ATTEMPTS - 1)
    assert PurgeLog("t").add("p") == 1
    call = fake(others=ATTEMPTS)
    with pytest.raises(ContentionError):
        PurgeLog("t").add("p")
    assert (call.puts, call.item) == (ATTEMPTS, None)


@pytest.mark.parametrize("error", [AwsError("ThrottlingException"), OSError(), ValueError()])
def test_what_the_table_raises_is_raised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(purge_log, "call", fail)
    with pytest.raises(type(error)):
        PurgeLog("t").add("p")


def test_what_the_table_refuses_for_another_reason_is_no_contention(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    call = fake()

    def throttled(service: Any, operation: str, document: Any) -> Any:
        if operation == "PutItem":
            raise AwsError("ThrottlingException")
        return call(service, operation, document)

    monkeypatch.setattr(purge_log, "call", throttled)
    with pytest.raises(AwsError, match="Throttling"):
        PurgeLog("t").add("p")


def item(**attributes: Any) -> dict[str, Any]:
    whole = {"pk": {"S": "cache-purges#p"}, "number": {"N": "7"}, "floor": {"N": "7"}, "recent": {"S": "[]"}}
    return {name: value for name, value in (whole | attributes).items() if value is not None}


UNREADABLE = [
    {"floor": None},
    {"floor": {"S": "7"}},
    {"floor": {"N": "6"}},
    {"floor": {"N": "8"}},
    {"floor": {"N": "1.5"}},
    {"recent": None},
    {"recent": {"S": "["}},
    {"recent": {"N": "1"}},
    {"recent": {"L": []}},
]


def test_without_an_item_there_was_no_purge() -> None:
    assert purges_of(None) == Purges()
    assert purges_of(item()) == Purges(7, 7)


@pytest.mark.parametrize(
    "attributes",
    [*UNREADABLE, {"recent": "[]"}, {"number": None}, {"number": {"S": "x"}}, {"number": {"N": "8"}}, {"number": []}],
)
def test_an_item_that_is_not_all_there_is_not_read(attributes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # its words are for nobody
        purges_of(item(**attributes))


@pytest.mark.parametrize("attributes", UNREADABLE)
def test_where_nobody_can_read_what_was_purged_the_next_purge_throws_away_everything(
    attributes: dict[str, Any], store: Store
) -> None:
    table = store.table()
    store.dynamodb.put_item(TableName=table, Item=item(**attributes))
    assert PurgeLog(table).add("p", path="/other") == 8
    purges = kept(store, table)["cache-purges#p"]
    assert [purges.gone(known, **ANSWER) for known in (0, 6, 7, 8)] == [True, True, True, False]


@pytest.mark.parametrize("attributes", [{"number": None}, {"number": {"S": "7"}}])
def test_where_not_even_the_number_can_be_read_nothing_is_written(attributes: dict[str, Any], fake: Any) -> None:
    call = fake(item=item(**attributes))
    with pytest.raises(KeyError):
        PurgeLog("t").add("p")
    assert call.puts == 0
