"""What processes share for a while, on moto and on MiniStack; and what is done without it when it fails."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import boto3
import pytest

from gatehouse.comfort import QUIET_S
from gatehouse.stores import aws_json, shared_answers
from gatehouse.stores.aws_json import AwsError
from gatehouse.stores.shared_answers import MOST_AT_ONCE, MOST_BYTES, SharedAnswers
from local.house import NEVER_REAL
from local.template import load
from tests.unit.fakes import NOW, FakeClock, run

BUDGET_S = 0.5


@dataclass
class Table:
    """A CacheTable of the template's shape, and how to look into it."""

    dynamodb: Any
    name: str
    clock: FakeClock = field(default_factory=FakeClock)

    def shared(self) -> SharedAnswers:
        """Return what one process has."""
        return SharedAnswers(self.name, self.clock, self.clock)

    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.dynamodb.scan(TableName=self.name, ConsistentRead=True)["Items"]
        return found

    def put(self, key: str, **attributes: Any) -> None:
        self.dynamodb.put_item(TableName=self.name, Item={"pk": {"S": f"shared#{key}"}, **attributes})


@pytest.fixture(scope="module", params=["moto_server", "ministack"])
def dynamodb(request: pytest.FixtureRequest) -> Iterator[Any]:
    url = request.getfixturevalue(request.param)
    made = boto3.Session("local", "local", region_name="us-east-1").client("dynamodb", endpoint_url=url)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**NEVER_REAL, "AWS_ENDPOINT_URL_DYNAMODB": url}.items():
            patch.setenv(name, value)
        yield made
    made.close()
    aws_json.close()


@pytest.fixture
def table(dynamodb: Any) -> Table:
    properties = load().resources("AWS::DynamoDB::Table")["CacheTable"]
    name = f"cache-{uuid4()}"
    shape = {one: properties[one] for one in ("AttributeDefinitions", "KeySchema", "BillingMode")}
    dynamodb.create_table(TableName=name, **shape)
    return Table(dynamodb, name)


# ----------------------------------------------------------------------------------------------- write, read, expiry


def test_another_process_reads_what_one_has_written(table: Table) -> None:
    run(table.shared().write("session#1", "text é \u20ac \U0001f980", NOW + 30))
    assert run(table.shared().read("session#1")) == ("text é \u20ac \U0001f980", NOW + 30)
    assert run(table.shared().read("session#2")) is None


def test_an_item_is_what_the_functions_policy_and_the_tables_ttl_expect(table: Table) -> None:
    run(table.shared().write("keys#x", "{}", NOW + 30.9))
    assert table.items() == [{"pk": {"S": "shared#keys#x"}, "text": {"S": "{}"}, "expires_at": {"N": str(NOW + 30)}}]


def test_what_is_written_again_takes_the_place_of_what_was(table: Table) -> None:
    shared = table.shared()
    run(shared.write("k", "old", NOW + 30))
    run(shared.write("k", "new", NOW + 20))
    assert run(shared.read("k")) == ("new", NOW + 20)


@pytest.mark.parametrize(("later_s", "there"), [(0, True), (29, True), (29.999, True), (30, False), (86_400, False)])
def test_what_is_over_is_not_read_although_ttl_has_not_deleted_it(table: Table, later_s: float, there: bool) -> None:
    run(table.shared().write("k", "text", NOW + 30))
    table.clock.now += later_s
    assert (run(table.shared().read("k")) is not None) == there
    assert len(table.items()) == 1


@pytest.mark.parametrize("expires_at", [NOW - 1, NOW, NOW + 0.9])
def test_what_is_over_already_is_not_written(table: Table, expires_at: float) -> None:
    run(table.shared().write("k", "text", expires_at))
    assert table.items() == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", True),
        ("x" * MOST_BYTES, True),
        ("x" * (MOST_BYTES + 1), False),
        ("é" * (MOST_BYTES // 2 + 1), False),
        ("\ud800", False),
    ],
    ids=["empty", "longest", "too long", "too many bytes", "not Unicode"],
)
def test_a_text_that_is_too_long_or_none_is_not_written_and_does_no_harm(table: Table, text: str, kept: bool) -> None:
    shared = table.shared()
    run(shared.write("k", text, NOW + 30))
    assert run(shared.read("k")) == ((text, NOW + 30) if kept else None)
    run(shared.write("other", "text", NOW + 30))
    assert run(shared.read("other")) == ("text", NOW + 30)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"text": {"S": "x"}},
        {"expires_at": {"N": str(NOW + 30)}},
        {"text": {"B": b"x"}, "expires_at": {"N": str(NOW + 30)}},
        {"text": {"S": "x"}, "expires_at": {"S": str(NOW + 30)}},
        {"text": {"S": "x"}, "expires_at": {"BOOL": True}},
        {"text": {"N": "7"}, "expires_at": {"N": str(NOW + 30)}},
    ],
)
def test_an_item_of_another_form_is_nothing(table: Table, attributes: Any) -> None:
    table.put("k", **attributes)
    shared = table.shared()
    assert run(shared.read("k")) is None
    run(shared.write("k", "text", NOW + 30))
    assert run(shared.read("k")) == ("text", NOW + 30)


def test_many_at_once_and_one_loop_after_another(table: Table) -> None:
    shared = table.shared()

    async def work(turn: int) -> list[tuple[str, float] | None]:
        keys = [f"{turn}-{number}" for number in range(MOST_AT_ONCE)]
        await asyncio.gather(*(shared.write(key, key, NOW + 30) for key in keys))
        return await asyncio.gather(*(shared.read(key) for key in keys))

    for turn in range(3):
        found = run(work(turn))
        assert [one and one[0] for one in found] == [f"{turn}-{number}" for number in range(MOST_AT_ONCE)]


# -------------------------------------------------------------------------------------------------------- failures


class FakeCall:
    """`aws_json.call` that answers or raises what a test gave it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, _: Any, operation: str, document: Any) -> Any:
        self.asked.append((operation, document))
        return self.work()


def raising(error: Exception) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], FakeCall]:
    def install(work: Callable[[], Any]) -> FakeCall:
        made = FakeCall(work)
        monkeypatch.setattr(shared_answers, "call", made)
        return made

    return install


def test_without_a_table_nothing_is_known_and_nobody_is_asked(fake: Any) -> None:
    call = fake(dict)
    shared = SharedAnswers("", FakeClock(), FakeClock())
    run(shared.write("k", "text", NOW + 30))
    assert run(shared.read("k")) is None
    assert call.asked == []


def test_a_table_that_is_not_there_is_no_failure_of_whoever_asks(dynamodb: Any, capsys: Any) -> None:
    shared = SharedAnswers("no-such-table", FakeClock(), FakeClock())
    assert run(shared.read("k")) is None
    run(shared.write("k", "a-secret", NOW + 30))
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["message"], line["operation"], line["reason"]) == ("shared answers not reached", "GetItem", "AwsError")


@pytest.mark.parametrize("error", [AwsError("AccessDenied"), OSError(), ValueError(), TimeoutError(), KeyError("x")])
def test_after_a_failure_nothing_is_asked_for_a_while(fake: Any, error: Exception) -> None:
    call, clock = fake(raising(error)), FakeClock()
    shared = SharedAnswers("t", clock, clock)
    assert run(shared.read("k")) is None
    for later_s in (0, QUIET_S - 0.001):
        clock.now = NOW + later_s
        assert run(shared.read("k")) is None
        run(shared.write("k", "text", NOW + 60))
    assert len(call.asked) == 1
    clock.now = NOW + QUIET_S
    call.work = lambda: {"Item": {"text": {"S": "back"}, "expires_at": {"N": str(NOW + 60)}}}
    assert run(shared.read("k")) == ("back", NOW + 60)
    assert run(shared.read("k")) == ("back", NOW + 60)


@pytest.mark.parametrize("answer", [None, [], "text", {"Item": None}, {"Item": []}, {"Item": {"text": "x"}}])
def test_an_answer_of_another_form_is_nothing(fake: Any, answer: Any) -> None:
    fake(lambda: answer)
    assert run(SharedAnswers("t", FakeClock(), FakeClock()).read("k")) is None


def test_a_table_that_hangs_is_waited_for_no_longer_than_half_a_second(fake: Any) -> None:
    free = threading.Event()
    call, clock = fake(lambda: free.wait(5)), FakeClock()
    shared = SharedAnswers("t", clock, clock)

    async def work() -> float:
        started = time.monotonic()
        assert await asyncio.gather(*(shared.read(str(number)) for number in range(20))) == [None] * 20
        took_s = time.monotonic() - started
        # Everything else that needs a thread still has one.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 1) == "free"
        return took_s

    try:
        assert BUDGET_S <= run(work()) < 3 * BUDGET_S
        assert len(call.asked) == MOST_AT_ONCE
        assert run(shared.read("k")) is None
        assert len(call.asked) == MOST_AT_ONCE
    finally:
        free.set()
    clock.now += QUIET_S
    call.work = dict
    assert run(shared.read("k")) is None
    assert len(call.asked) == MOST_AT_ONCE + 1


def test_when_all_its_threads_are_busy_nobody_waits_for_one(fake: Any) -> None:
    free = threading.Event()
    call = fake(lambda: free.wait(5))
    shared = SharedAnswers("t", FakeClock(), FakeClock())

    async def work() -> None:
        busy = [asyncio.ensure_future(shared.read(str(number))) for number in range(MOST_AT_ONCE)]
        await asyncio.sleep(0)
        reading = asyncio.ensure_future(shared.read("one more"))
        await asyncio.sleep(0)
        assert reading.done()
        free.set()
        await asyncio.gather(*busy)

    run(work())
    assert len(call.asked) == MOST_AT_ONCE


def test_whoever_hangs_up_leaves_room_for_the_next(fake: Any) -> None:
    free = threading.Event()
    call = fake(lambda: free.wait(5))
    shared = SharedAnswers("t", FakeClock(), FakeClock())

    async def hang_up() -> None:
        reading = [asyncio.ensure_future(shared.read(str(number))) for number in range(MOST_AT_ONCE)]
        await asyncio.sleep(0)
        for one in reading:
            one.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    run(hang_up())
    free.set()
    call.work = lambda: {"Item": {"text": {"S": "x"}, "expires_at": {"N": str(NOW + 60)}}}
    assert run(shared.read("k")) == ("x", NOW + 60)
