"""A table of kept answers that is slow, throttled, down, or full of nonsense: nobody is given an error or a wrong body.

The gateway is the real one, with the real store; something stands in front of DynamoDB and does the harm.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import boto3
import pytest

from gatehouse.build import gateway
from gatehouse.caching import packing
from gatehouse.caching.marks import LOOK_EVERY_S
from gatehouse.caching.opened import opened
from gatehouse.caching.packing import MOST_BODY_BYTES
from gatehouse.caching.sharing import BUDGET_S, Budget
from gatehouse.call import Handler, Reply
from gatehouse.comfort import QUIET_S
from gatehouse.headers import Headers, Pair
from gatehouse.kit import Kit
from gatehouse.projects import load
from gatehouse.settings import read
from gatehouse.stores import aws_json
from gatehouse.upstreams import Outbound
from local.house import NEVER_REAL
from tests.contract.fronted import Ask, Front, Said, Trouble, fronted
from tests.unit.fakes import FakeClock, FakeUpstream, a_call, run

MOST_BYTES = 1024 * 1024
PATIENT_S = 20.0
"""A budget that no slow machine spends: it is no table that is slow."""
SLACK_S = 0.25
PROJECT = """
project: shaky
routes:
  - name: S
    path: /s
    upstream: http://upstream.test
    strip_prefix: false
    auth: none
    cache: {ttl: 10m, by: public}
"""
Item: TypeAlias = dict[str, Any]


class Versions(FakeUpstream):
    """An upstream whose answers are numbered: PUT makes the next version of what is at its path."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: Counter[str] = Counter()

    def says(self, path: str) -> bytes:
        return f"{path} in version {self.versions[path]}".encode()

    async def send(self, outbound: Outbound) -> Reply:
        self.sent.append(outbound)
        path = outbound.url.removeprefix("http://upstream.test")
        self.versions[path] += outbound.method == "PUT"
        tag = f'"{self.versions[path]}"'
        same = (("if-none-match", tag)) in outbound.headers
        return Reply(
            status=304 if same else 200,
            headers=Headers((("etag", tag), ("cache-control", "max-age=600"))),
            body=b"" if same else self.says(path),
        )


@dataclass
class Shaky:
    """Processes of a gateway, the table that they share, and the upstream behind them."""

    front: Front
    table: str
    folder: Path
    dynamodb: Any
    clock: FakeClock = field(default_factory=lambda: FakeClock(time.time()))
    upstream: Versions = field(default_factory=Versions)

    def process(self) -> Handler:
        """Return a gateway that knows nothing yet."""
        kit = Kit(read(os.environ))
        kit.__dict__["upstream"] = self.upstream
        kit.__dict__["answers"] = opened(self.table, MOST_BYTES, self.clock, time.monotonic)
        return gateway(load(self.folder, os.environ), kit)

    def items(self) -> dict[str, Item]:
        """Return what the table holds, by the kind of its key."""
        items = self.dynamodb.scan(TableName=self.table)["Items"]
        return {item["pk"]["S"].partition("#")[0]: item for item in items}

    def put(self, item: Item) -> None:
        self.dynamodb.put_item(TableName=self.table, Item=item)


def ask(handler: Handler, path: str, method: str = "GET", *headers: Pair) -> Reply:
    """Ask *handler*, and see to it that a client could be given what it answers."""
    call = a_call(path, method, ("host", "gateway.test"), *headers, body=b"x" if method == "PUT" else b"")
    reply = run(handler(call))
    assert reply.status < 500, reply.body
    return reply


@pytest.fixture(scope="module")
def front(moto_server: str) -> Iterator[Front]:
    with fronted(moto_server) as front:
        yield front
    aws_json.close()


@pytest.fixture
def shaky(front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shaky]:
    (tmp_path / "shaky.yaml").write_text(PROJECT)
    for name, value in {**NEVER_REAL, "AWS_ENDPOINT_URL_DYNAMODB": front.url, "ENVIRONMENT": "local"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Budget.__init__, "__defaults__", (PATIENT_S,))
    dynamodb = boto3.Session("local", "local", region_name="us-east-1").client("dynamodb", endpoint_url=front.behind)
    name = f"shaky-{uuid4()}"
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    front.trouble = None
    front.asked.clear()
    yield Shaky(front, name, tmp_path, dynamodb)
    front.trouble = None
    dynamodb.delete_table(TableName=name)
    dynamodb.close()


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """What the log says that an operator should look at."""

    def lines() -> list[dict[str, Any]]:
        written = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        return [line for line in written if line["level"] == "ERROR"]

    return lines


def said_of_the_cache(lines: list[dict[str, Any]]) -> bool:
    """Say whether the log says that the table was not reached, and nothing else."""
    return {line["message"] for line in lines} in (
        {"cache not reached"},
        {"cache for changes not reached"},
        {"cache not reached", "cache for changes not reached"},
    )


# -------------------------------------------------------------------------------------------------------------- slow


def slow(seconds: float) -> Trouble:
    async def slow(operation: str, document: Any, ask: Ask) -> Said:
        await asyncio.sleep(seconds)
        return await ask()

    return slow


def timed(handler: Handler, path: str, method: str = "GET") -> float:
    started = time.monotonic()
    ask(handler, path, method)
    return time.monotonic() - started


def test_a_slow_table_delays_one_request_by_its_budget_and_then_none(
    shaky: Shaky, said: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Budget.__init__, "__defaults__", (BUDGET_S,))
    handler = shaky.process()
    shaky.front.trouble = slow(0.5)
    assert BUDGET_S - 0.1 < timed(handler, "/s/1") < BUDGET_S + SLACK_S
    asked = len(shaky.front.asked)
    assert max(timed(handler, f"/s/{number}") for number in range(3)) < SLACK_S
    assert len(shaky.front.asked) == asked
    (line,) = said()
    assert (line["message"], line["reason"]) == ("cache not reached", "TimeoutError")


def test_a_slow_table_delays_one_change_by_its_budget_and_then_none(
    shaky: Shaky, said: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Budget.__init__, "__defaults__", (BUDGET_S,))
    handler = shaky.process()
    shaky.front.trouble = slow(0.5)
    assert BUDGET_S - 0.1 < timed(handler, "/s/1", "PUT") < BUDGET_S + SLACK_S
    assert max(timed(handler, f"/s/{number}", "PUT") for number in range(3)) < SLACK_S
    (line,) = said()
    assert (line["message"], line["reason"]) == ("cache for changes not reached", "TimeoutError")


def test_all_calls_of_a_request_together_have_one_budget(shaky: Shaky, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Budget.__init__, "__defaults__", (BUDGET_S,))
    handler = shaky.process()
    shaky.front.trouble = slow(0.12)
    assert max(timed(handler, f"/s/{number}") for number in range(3)) < BUDGET_S + SLACK_S


def test_a_table_that_is_not_quite_too_slow_makes_nobody_wait_for_another_process(
    shaky: Shaky, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Budget.__init__, "__defaults__", (BUDGET_S,))
    shaky.front.trouble = slow(0.12)
    ask(shaky.process(), "/s/1")
    assert timed(shaky.process(), "/s/1") < BUDGET_S + 2 * SLACK_S


def test_a_write_that_failed_makes_nobody_wait_for_another_process(shaky: Shaky):
    shaky.front.trouble = nonsense(NONSENSE["throttled"], "PutItem")
    ask(shaky.process(), "/s/1")
    assert timed(shaky.process(), "/s/1") < 2 * SLACK_S


def test_a_table_that_is_well_again_is_used_again(shaky: Shaky, monkeypatch: pytest.MonkeyPatch):
    handler, other = shaky.process(), shaky.process()
    monkeypatch.setattr(Budget.__init__, "__defaults__", (BUDGET_S,))
    shaky.front.trouble = slow(0.5)
    ask(handler, "/s/1")
    monkeypatch.setattr(Budget.__init__, "__defaults__", (PATIENT_S,))
    shaky.front.trouble = None
    assert shaky.items() == {}
    shaky.clock.now += QUIET_S
    ask(handler, "/s/2")
    assert "detail=table" in ask(other, "/s/2").headers.get("cache-status")


# ------------------------------------------------------------------------------------------------- errors and nonsense


def refusal(name: str, status: int = 400) -> Said:
    return status, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "no"}).encode()


NONSENSE: dict[str, Said] = {
    "throttled": refusal("ProvisionedThroughputExceededException"),
    "throttled, the other way": refusal("ThrottlingException"),
    "out of its limit": refusal("RequestLimitExceeded"),
    "no such table": refusal("ResourceNotFoundException"),
    "not allowed": refusal("AccessDeniedException"),
    "a failure": refusal("InternalServerError", 500),
    "a page": (503, b"<html>Service Unavailable</html>"),
    "nothing": (200, b""),
    "half of something": (200, b'{"Responses": {'),
    "no text": (200, b"\xff\xfe\x00"),
    "null": (200, b"null"),
    "a list": (200, b"[]"),
    "a number": (400, b"7"),
    "an empty object": (200, b"{}"),
    "a refusal without a name": (400, b"{}"),
    "no items": (200, b'{"Responses": 7}'),
    "deep": (200, b"[" * 100_000),
}


def nonsense(answer: Said, *only: str) -> Trouble:
    async def nonsense(operation: str, document: Any, ask: Ask) -> Said:
        return answer if operation in only or not only else await ask()

    return nonsense


def unprocessed(*pks: str) -> Trouble:
    """Answer without the items whose keys begin with one of *pks*, and say that these were too many."""

    async def unprocessed(operation: str, document: Any, ask: Ask) -> Said:
        status, body = await ask()
        if operation != "BatchGetItem":
            return status, body
        answer, ((table, keys),) = json.loads(body), document["RequestItems"].items()
        left = [item for item in answer["Responses"][table] if not item["pk"]["S"].startswith(pks)]
        undone = [key for key in keys["Keys"] if key["pk"]["S"].startswith(pks)]
        answer = {"Responses": {table: left}, "UnprocessedKeys": {table: {"Keys": undone}} if undone else {}}
        return status, json.dumps(answer).encode()

    return unprocessed


def check_that_all_goes_well_without_it(shaky: Shaky, *, hears: bool = True) -> None:
    """Ask and change as clients do, before and after what is known of the table is old.

    A process that reads a table, which another cannot write to, does not hear of its change (*hears* is False).
    """
    one, other = shaky.process(), shaky.process()
    for handler in (one, other, one, other):
        assert ask(handler, "/s/1").body == shaky.upstream.says("/s/1")
    ask(one, "/s/1", "PUT")
    assert ask(one, "/s/1").body == shaky.upstream.says("/s/1")
    shaky.clock.now += LOOK_EVERY_S
    for handler in (one, other) if hears else (one,):
        assert ask(handler, "/s/1").body == shaky.upstream.says("/s/1")
        assert ask(handler, "/s/1", "GET", ("if-none-match", '"0"')).status == 200
        assert ask(handler, "/s/1", "GET", ("if-none-match", '"1"')).status == 304
    assert ask(other, "/s/2", "HEAD").status == 200


@pytest.mark.parametrize("answer", NONSENSE)
def test_whatever_the_table_answers_the_upstreams_answer_is_given(shaky: Shaky, said: Any, answer: str):
    shaky.front.trouble = nonsense(NONSENSE[answer])
    check_that_all_goes_well_without_it(shaky)
    lines = said()
    assert said_of_the_cache(lines)
    assert len(lines) <= 6  # two processes; each says it once while it leaves the table alone, and once of a change
    assert not any(word in json.dumps(lines) for word in ("/s/", shaky.table, "cache#"))


@pytest.mark.parametrize("only", [("BatchGetItem",), ("UpdateItem",), ("PutItem",), ("PutItem", "UpdateItem")])
@pytest.mark.parametrize("answer", ["throttled", "a failure", "half of something"])
def test_so_it_is_where_only_some_of_its_calls_fail(
    shaky: Shaky, said: Any, monkeypatch: pytest.MonkeyPatch, answer: str, only: tuple[str, ...]
):
    monkeypatch.setattr("gatehouse.caching.exchange.WAIT_S", 0.1)
    shaky.front.trouble = nonsense(NONSENSE[answer], *only)
    check_that_all_goes_well_without_it(shaky, hears="UpdateItem" not in only)
    assert said_of_the_cache(said())


@pytest.mark.parametrize("pks", [("cache",), ("cache#",), ("cache-gone#",), ("cache-purges#",)])
def test_what_the_table_had_no_time_to_read_is_not_taken_for_absent(shaky: Shaky, said: Any, pks: tuple[str, ...]):
    shaky.front.trouble = unprocessed(*pks)
    check_that_all_goes_well_without_it(shaky)
    assert said_of_the_cache(said())


def test_a_table_that_nobody_reaches_is_done_without(shaky: Shaky, said: Any, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{bound.getsockname()[1]}")
        check_that_all_goes_well_without_it(shaky)
    assert {line["reason"] for line in said()} == {"ConnectionRefusedError"}


def test_what_is_kept_is_asked_about_where_nobody_can_say_what_became_of_it(shaky: Shaky):
    handler = shaky.process()
    ask(handler, "/s/1")
    shaky.front.trouble = nonsense(NONSENSE["a failure"])
    assert "hit" in ask(handler, "/s/1").headers.get("cache-status")  # it is news
    shaky.clock.now += LOOK_EVERY_S
    shaky.upstream.sent.clear()
    reply = ask(handler, "/s/1")
    assert reply.body == shaky.upstream.says("/s/1")
    assert ("if-none-match", '"0"') in shaky.upstream.only.headers
    assert "fwd=stale; fwd-status=304" in reply.headers.get("cache-status")


def test_the_access_log_says_which_answers_had_to_do_without_the_table(shaky: Shaky):
    handler = shaky.process()
    shaky.front.trouble = nonsense(NONSENSE["a failure"])
    calls = [a_call(f"/s/{number}", "GET", ("host", "gateway.test")) for number in range(3)]
    for call in calls:
        run(handler(call))
    assert [(call.notes["cache"], call.notes["cacheShared"]) for call in calls] == [("miss", False)] * 3


def test_a_change_that_the_table_did_not_hear_of_is_told_it_when_it_listens(shaky: Shaky):
    one, other = shaky.process(), shaky.process()
    for handler in (one, other):
        ask(handler, "/s/1")
    shaky.front.trouble = nonsense(NONSENSE["throttled"])
    ask(one, "/s/1", "PUT")
    shaky.front.trouble = None
    shaky.clock.now += QUIET_S
    ask(one, "/s/2")
    shaky.clock.now += LOOK_EVERY_S
    assert ask(other, "/s/1").body == shaky.upstream.says("/s/1")
    assert ask(shaky.process(), "/s/1").body == shaky.upstream.says("/s/1")


# ------------------------------------------------------------------------------------------- what lies in the table


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def sealed(packed: bytes) -> bytes:
    """Return *packed* with the digest that goes before it: what is in it must be looked at, too."""
    return sha256(packed).digest() + packed


BOMB = sealed(zlib.compress(b"{}\n" + b"0" * (MOST_BODY_BYTES * 8), 9))
CORRUPT: dict[str, Callable[[Item], Item]] = {
    "a bit in the middle": lambda item: item | {"data": {"B": flipped(item["data"]["B"], 60)}},
    "a bit of its digest": lambda item: item | {"data": {"B": flipped(item["data"]["B"], 0)}},
    "half of it": lambda item: item | {"data": {"B": item["data"]["B"][:50]}},
    "more than it": lambda item: item | {"data": {"B": item["data"]["B"] + b"x"}},
    "one byte": lambda item: item | {"data": {"B": b"\x00"}},
    "no bytes": lambda item: item | {"data": {"S": "text"}},
    "a number": lambda item: item | {"data": {"N": "7"}},
    "no data": lambda item: {name: value for name, value in item.items() if name != "data"},
    "not compressed": lambda item: item | {"data": {"B": sealed(b'{"status":200}\nhello')}},
    "a bomb": lambda item: item | {"data": {"B": BOMB}},
    "no end": lambda item: {name: value for name, value in item.items() if name != "expires_at"},
    "an end that is a text": lambda item: item | {"expires_at": {"S": "tomorrow"}},
    "an end that is a fraction": lambda item: item | {"expires_at": {"N": "1e40"}},
    "an end that is past": lambda item: item | {"expires_at": {"N": str(int(time.time()) - 10)}},
}


@pytest.mark.parametrize("corrupt", CORRUPT)
def test_an_answer_that_cannot_be_read_is_none_and_is_replaced(shaky: Shaky, corrupt: str):
    ask(shaky.process(), "/s/1")
    shaky.put(CORRUPT[corrupt](shaky.items()["cache"]))
    shaky.clock.now += 1.0
    shaky.upstream.sent.clear()
    assert ask(shaky.process(), "/s/1").body == shaky.upstream.says("/s/1")
    assert len(shaky.upstream.sent) == 1
    again = ask(shaky.process(), "/s/1")
    assert "detail=table" in again.headers.get("cache-status")
    assert again.body == shaky.upstream.says("/s/1")


def test_an_answer_of_another_layout_is_none(shaky: Shaky, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(packing, "LAYOUT", packing.LAYOUT - 1)
        ask(shaky.process(), "/s/1")
    shaky.clock.now += 1.0
    shaky.upstream.sent.clear()
    assert ask(shaky.process(), "/s/1").body == shaky.upstream.says("/s/1")
    assert len(shaky.upstream.sent) == 1


def test_an_answer_at_the_place_of_another_is_given_to_nobody(shaky: Shaky):
    ask(shaky.process(), "/s/1")
    one = shaky.items()["cache"]
    ask(shaky.process(), "/s/2")
    (two,) = [item for item in shaky.dynamodb.scan(TableName=shaky.table)["Items"] if is_other_answer(item, one)]
    shaky.put(two | {"data": one["data"]})
    shaky.clock.now += 1.0
    assert ask(shaky.process(), "/s/2").body == shaky.upstream.says("/s/2")


def is_other_answer(item: Item, one: Item) -> bool:
    return item["pk"]["S"].startswith("cache#") and item["pk"] != one["pk"]


def test_an_answer_that_dynamodb_gives_under_a_name_that_nobody_asked_for_is_given_to_nobody(shaky: Shaky):
    ask(shaky.process(), "/s/1")
    data = shaky.items()["cache"]["data"]["B"]

    async def mixed_up(operation: str, document: Any, ask: Ask) -> Said:
        if operation != "BatchGetItem":
            return await ask()
        ((table, wanted),) = document["RequestItems"].items()
        (place,) = [key["pk"]["S"] for key in wanted["Keys"] if key["pk"]["S"].startswith("cache#")]
        common = {"data": {"B": b64encode(data).decode()}, "expires_at": {"N": "9999999999"}}
        items = [{"pk": {"S": pk}, **common} for pk in (place, "cache#", "x")]
        return 200, json.dumps({"Responses": {table: items}}).encode()

    shaky.front.trouble = mixed_up
    for path in ("/s/2", "/s/3"):
        assert ask(shaky.process(), path).body == shaky.upstream.says(path)


MARKS: dict[str, Item] = {
    "no moment": {"expires_at": {"N": "9999999999"}},
    "a moment that is a text": {"at_ms": {"S": "now"}, "expires_at": {"N": "9999999999"}},
    "a moment that is a fraction": {"at_ms": {"N": "1.5"}, "expires_at": {"N": "9999999999"}},
    "no end": {"at_ms": {"N": "1"}},
    "an end that is a text": {"at_ms": {"N": "1"}, "expires_at": {"S": "tomorrow"}},
}


@pytest.mark.parametrize("mark", MARKS)
def test_a_change_that_cannot_be_read_makes_that_the_upstream_is_asked(shaky: Shaky, said: Any, mark: str):
    one, other = shaky.process(), shaky.process()
    for handler in (one, other):
        ask(handler, "/s/1")
    ask(one, "/s/1", "PUT")
    gone = shaky.items()["cache-gone"]
    shaky.put({"pk": gone["pk"], **MARKS[mark]})
    shaky.clock.now += LOOK_EVERY_S
    for handler in (one, other, shaky.process()):
        assert ask(handler, "/s/1").body == shaky.upstream.says("/s/1")
    assert said_of_the_cache(said())


PURGES: dict[str, Item] = {
    "nothing": {},
    "texts": {"number": {"S": "1"}, "floor": {"S": "1"}, "recent": {"S": "[]"}},
    "no list": {"number": {"N": "1"}, "floor": {"N": "0"}, "recent": {"S": "{"}},
    "one that is missing": {"number": {"N": "3"}, "floor": {"N": "0"}, "recent": {"S": '[[3,"","",""]]'}},
}


@pytest.mark.parametrize("purges", PURGES)
def test_purges_that_cannot_be_read_make_that_the_upstream_is_asked(shaky: Shaky, said: Any, purges: str):
    handler = shaky.process()
    ask(handler, "/s/1")
    shaky.put({"pk": {"S": "cache-purges#shaky"}, **PURGES[purges]})
    shaky.clock.now += LOOK_EVERY_S
    for one in (handler, shaky.process()):
        shaky.upstream.sent.clear()
        assert ask(one, "/s/1").body == shaky.upstream.says("/s/1")
        assert len(shaky.upstream.sent) == 1
    assert said_of_the_cache(said())


LEASES: dict[str, Item] = {
    "a text": {"until_ms": {"S": "soon"}},
    "nothing": {},
    "done, which is a text": {"until_ms": {"N": "0"}, "done_ms": {"S": "now"}},
    "done tomorrow": {"until_ms": {"N": "0"}, "done_ms": {"N": "9999999999999"}},
}


@pytest.mark.parametrize("lease", LEASES)
def test_a_lease_that_cannot_be_read_holds_up_nobody(shaky: Shaky, lease: str):
    ask(shaky.process(), "/s/1")
    held = shaky.items()["cache-lease"]
    shaky.dynamodb.delete_item(TableName=shaky.table, Key={"pk": shaky.items()["cache"]["pk"]})
    shaky.put({"pk": held["pk"], **LEASES[lease]})
    assert timed(shaky.process(), "/s/1") < 1.0


def test_a_process_that_went_without_ending_its_fetch_holds_up_others_for_a_while_only(
    shaky: Shaky, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gatehouse.caching.exchange.WAIT_S", 0.2)
    ask(shaky.process(), "/s/1")
    held = shaky.items()["cache-lease"]
    shaky.dynamodb.delete_item(TableName=shaky.table, Key={"pk": shaky.items()["cache"]["pk"]})
    shaky.put({"pk": held["pk"], "until_ms": {"N": str(int((shaky.clock.now + 15) * 1000))}})
    assert 0.1 <= timed(shaky.process(), "/s/1") < 1.0
    shaky.clock.now += 15.0
    assert timed(shaky.process(), "/s/1") < 0.2
