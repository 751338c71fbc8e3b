"""Answers that processes share: what one keeps another finds, unless time or a change has made it unusable.

Every test that takes a `table` runs on moto and on MiniStack.
"""

from __future__ import annotations

import io
import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import logs
from gatehouse.caching.packing import pack
from gatehouse.caching.purges import Purges
from gatehouse.caching.stored import Stored
from gatehouse.headers import Headers
from gatehouse.stores import aws_json, cached_answers
from gatehouse.stores.aws_json import AwsError
from gatehouse.stores.cached_answers import ATTEMPTS, KEPT_S, CachedAnswers, Found
from gatehouse.stores.limits import ContentionError
from gatehouse.stores.purge_log import PurgeLog
from tests.unit.counting_store import Store
from tests.unit.fakes import NOW

THREADS = 16
PLACE, OTHER = sha256(b"place").hexdigest(), sha256(b"other").hexdigest()
GONE = sha256(b"gone").hexdigest()
ANSWER = Stored(
    status=200,
    headers=Headers((("content-type", "text/plain"),)),
    body=b"\x00hello\xff",
    asked_at=NOW + 0.1,
    answered_at=NOW + 0.2,
    lifetime_s=60.0,
)


@dataclass
class Table:
    """A table, what it was asked for, and how to look into it."""

    store: Store
    name: str
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def process(self) -> CachedAnswers:
        return CachedAnswers(self.name)

    def items(self) -> dict[str, dict[str, Any]]:
        return {item.pop("pk")["S"]: item for item in self.store.items(self.name)}

    def put(self, pk: str, **attributes: Any) -> None:
        self.store.dynamodb.put_item(TableName=self.name, Item={"pk": {"S": pk}, **attributes})

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.asked]


@pytest.fixture
def table(store: Store, monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table(store, store.table())
    call = cached_answers.call

    def counted(service: Any, operation: str, document: Any) -> Any:
        made.asked.append((operation, document))
        return call(service, operation, document)

    monkeypatch.setattr(cached_answers, "call", counted)
    return made


def found(process: CachedAnswers, now: float = NOW, place: str = PLACE) -> Stored | None:
    return process.look(place, GONE, now=now).stored


def gone_at(process: CachedAnswers, now: float = NOW) -> float:
    return process.look("", GONE, now=now).gone_at


def leased(process: CachedAnswers, now: float = NOW) -> bool:
    return process.look(PLACE, GONE, now=now, lease=True).leased


# ------------------------------------------------------------------------------------------------------------ answers


def test_what_one_process_keeps_another_finds(table: Table) -> None:
    assert table.process().look(PLACE, GONE, now=NOW) == Found()
    assert table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    assert table.process().look(PLACE, GONE, now=NOW) == Found(stored=ANSWER)
    assert found(table.process(), place=OTHER) is None


def test_what_is_kept_again_takes_the_place_of_what_was(table: Table) -> None:
    newer = replace(ANSWER, body=b"newer", generation=3)
    for one in (ANSWER, newer):
        table.process().keep(PLACE, one, now=NOW, until=NOW + 60)
    assert found(table.process()) == newer


@pytest.mark.parametrize(("later_s", "replaces"), [(-60.0, False), (-0.001, False), (0.0, True), (0.001, True)])
def test_what_was_asked_for_earlier_and_comes_later_replaces_nothing(
    table: Table, later_s: float, replaces: bool
) -> None:
    process, newer = table.process(), replace(ANSWER, body=b"late", asked_at=ANSWER.asked_at + later_s)
    assert process.keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    assert process.keep(PLACE, newer, now=NOW, until=NOW + 60)
    found = process.look(PLACE, GONE, now=NOW)
    assert found.stored
    assert found.stored.body == (b"late" if replaces else ANSWER.body)


def test_an_answer_that_an_older_version_kept_is_replaced(table: Table) -> None:
    table.put(f"cache#{PLACE}", data={"B": b"old"}, expires_at={"N": str(NOW + 60)})
    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    assert table.process().look(PLACE, GONE, now=NOW).stored == ANSWER


def test_that_an_answer_is_over_is_kept_like_one(table: Table) -> None:
    nothing = replace(ANSWER, headers=Headers(), body=b"", asked_at=ANSWER.asked_at + 1.0, no_cache=True)
    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    table.process().keep(PLACE, nothing, now=NOW, until=NOW + 60)
    found = table.process().look(PLACE, GONE, now=NOW)
    assert found.stored
    assert found.stored.is_nothing
    assert not ANSWER.is_nothing


def test_an_item_is_what_the_functions_policy_and_the_tables_ttl_expect(table: Table) -> None:
    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60.9)
    data = pack(ANSWER, PLACE)
    assert table.items() == {
        f"cache#{PLACE}": {
            "data": {"B": data},
            "asked_ms": {"N": str(int(ANSWER.asked_at * 1000))},
            "expires_at": {"N": str(NOW + 60)},
        }
    }


@pytest.mark.parametrize(("later_s", "there"), [(0, True), (59.999, True), (60, False), (60.9, False), (10**7, False)])
def test_what_is_over_is_not_found_although_ttl_has_not_deleted_it(table: Table, later_s: float, there: bool) -> None:
    """It is over at a whole second: earlier than was said, rather than later."""
    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60.9)
    assert (found(table.process(), NOW + later_s) is not None) is there
    assert len(table.items()) == 1


def test_what_is_too_large_is_not_kept_and_that_is_said(table: Table) -> None:
    assert not table.process().keep(PLACE, replace(ANSWER, body=Random(1).randbytes(70_000)), now=NOW, until=NOW + 60)
    assert table.asked == []
    assert table.items() == {}


def test_ten_megabytes_of_answers_are_all_found_and_each_by_one_call(table: Table) -> None:
    each = {str(number): Random(number).randbytes(64_000) for number in range(160)}
    process = table.process()
    for place, body in each.items():
        assert process.keep(place, replace(ANSWER, body=body), now=NOW, until=NOW + 60)
    table.asked.clear()
    for place, body in each.items():
        stored = found(process, place=place)
        assert stored is not None
        assert stored.body == body
    assert table.operations == ["BatchGetItem"] * 160


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"data": {"B": b"x"}},
        {"expires_at": {"N": str(NOW + 60)}},
        {"data": {"B": b"x"}, "expires_at": {"N": str(NOW + 60)}},
        {"data": {"S": "x"}, "expires_at": {"N": str(NOW + 60)}},
        {"data": {"B": (pack(ANSWER, PLACE) or b"")[:-1]}, "expires_at": {"N": str(NOW + 60)}},
        {"data": {"B": pack(ANSWER, OTHER)}, "expires_at": {"N": str(NOW + 60)}},
        {"data": {"B": pack(ANSWER, PLACE)}},
        {"data": {"B": pack(ANSWER, PLACE)}, "expires_at": {"S": str(NOW + 60)}},
        {"data": {"B": pack(ANSWER, PLACE)}, "expires_at": {"N": "1.5"}},
    ],
    ids=range(10),
)
def test_an_item_that_is_not_what_was_kept_there_is_nothing(table: Table, attributes: Any) -> None:
    table.put(f"cache#{PLACE}", **attributes)
    table.process().forget(GONE, at=NOW, until=NOW + 60)
    look = table.process().look(PLACE, GONE, now=NOW)
    assert (look.stored, look.gone_at > NOW) == (None, True)  # and what else there is to know is known
    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    assert found(table.process()) == ANSWER


def test_where_boto3_has_to_ask_the_items_are_the_same(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_boto3() -> pytest.MonkeyPatch:
        patch = pytest.MonkeyPatch()
        patch.setenv("AWS_ACCESS_KEY_ID", "")
        patch.setattr(aws_json, "client", lambda _: table.store.dynamodb)
        return patch

    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    patch = by_boto3()
    try:
        assert found(table.process()) == ANSWER
        table.process().keep(OTHER, ANSWER, now=NOW, until=NOW + 60)
    finally:
        patch.undo()
    assert found(table.process(), place=OTHER) == ANSWER
    sizes = [len(item["data"]["B"]) for item in table.items().values()]
    assert sizes == [len(pack(ANSWER, PLACE) or b"")] * 2


# --------------------------------------------------------------------------------------------------------- one call


@pytest.mark.parametrize(
    ("place", "purges", "lease", "kinds"),
    [
        (PLACE, "", False, ["cache#", "cache-gone#"]),
        (PLACE, "p", False, ["cache#", "cache-gone#", "cache-purges#"]),
        (PLACE, "", True, ["cache#", "cache-gone#", "cache-lease#"]),
        (PLACE, "p", True, ["cache#", "cache-gone#", "cache-lease#", "cache-purges#"]),
        ("", "", False, ["cache-gone#"]),
        ("", "p", True, ["cache-gone#", "cache-purges#"]),
    ],
)
def test_a_look_is_one_call_for_what_is_wanted_as_it_is_now(
    table: Table, place: str, purges: str, lease: bool, kinds: list[str]
) -> None:
    table.process().look(place, GONE, now=NOW, purges=purges, lease=lease)
    ((operation, document),) = table.asked
    request = document["RequestItems"][table.name]
    assert (operation, request["ConsistentRead"]) == ("BatchGetItem", True)
    assert sorted(key["pk"]["S"].partition("#")[0] + "#" for key in request["Keys"]) == kinds


def test_all_that_there_is_is_found_together(table: Table) -> None:
    process = table.process()
    process.keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    process.claim(PLACE, looked_at=NOW, now=NOW, until=NOW + 10)
    process.forget(GONE, at=NOW, until=NOW + 60)
    PurgeLog(table.name).add("p", route="r")
    table.asked.clear()
    look = table.process().look(PLACE, GONE, now=NOW, purges="p", lease=True)
    purges = Purges().adding(route="r")
    assert look == Found(stored=ANSWER, gone_at=NOW + 0.001, purges=purges, leased=True)
    assert len(table.asked) == 1


def test_purges_are_there_if_they_were_asked_for(table: Table) -> None:
    PurgeLog(table.name).add("p")
    assert table.process().look(PLACE, GONE, now=NOW).purges is None
    assert table.process().look(PLACE, GONE, now=NOW, purges="other").purges == Purges()
    assert table.process().look("", GONE, now=NOW + 10**9, purges="p").purges == Purges(1, 1)


def test_purges_that_cannot_be_read_are_a_failure(table: Table) -> None:
    table.put("cache-purges#p", number={"N": "1"}, floor={"N": "0"}, recent={"S": "[]"})
    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    with pytest.raises(ValueError, match="missing"):
        table.process().look(PLACE, GONE, now=NOW, purges="p")


# ------------------------------------------------------------------------------------------------------------- leases


def test_one_of_sixteen_gets_the_lease_and_the_others_see_that(table: Table) -> None:
    together = Barrier(THREADS)

    def claim(_: int) -> bool:
        process = table.process()
        together.wait(10)
        return process.claim(PLACE, looked_at=NOW, now=NOW, until=NOW + 10)

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(claim, range(THREADS))) == 1
    assert leased(table.process())
    assert not table.process().look(OTHER, GONE, now=NOW, lease=True).leased


def test_a_claim_and_a_release_are_a_write_each(table: Table) -> None:
    process = table.process()
    assert process.claim(PLACE, looked_at=NOW, now=NOW, until=NOW + 10)
    process.release(PLACE, now=NOW + 1, done=True)
    assert table.operations == ["UpdateItem"] * 2


def test_a_lease_may_be_deleted_when_nobody_can_need_it_any_more(table: Table) -> None:
    process = table.process()
    process.claim(PLACE, looked_at=NOW, now=NOW, until=NOW + 10.5)
    expiring = {"N": str(NOW + 11 + KEPT_S)}
    assert table.items() == {
        f"cache-lease#{PLACE}": {"until_ms": {"N": str(NOW * 1000 + 10_500)}, "expires_at": expiring}
    }
    process.release(PLACE, now=NOW + 1, done=True)
    done, expiring = {"N": str((NOW + 1) * 1000 + 1)}, {"N": str(NOW + 1 + KEPT_S)}
    assert table.items()[f"cache-lease#{PLACE}"] == {"until_ms": {"N": "0"}, "done_ms": done, "expires_at": expiring}


@pytest.mark.parametrize(
    ("later_s", "free"), [(0, False), (9.999, False), (9.9999, False), (10, True), (10.001, True), (10**6, True)]
)
def test_a_lease_that_nobody_ended_ends_by_itself(table: Table, later_s: float, free: bool) -> None:
    table.process().claim(PLACE, looked_at=NOW, now=NOW, until=NOW + 10)
    now = NOW + later_s
    assert leased(table.process(), now) is not free
    assert table.process().claim(PLACE, looked_at=now, now=now, until=now + 10) is free


def test_after_nothing_was_kept_the_next_may_fetch_at_once(table: Table) -> None:
    process = table.process()
    process.claim(PLACE, looked_at=NOW, now=NOW, until=NOW + 10)
    process.release(PLACE, now=NOW + 1, done=False)
    assert not leased(process)
    assert process.claim(PLACE, looked_at=NOW, now=NOW + 1, until=NOW + 11)


@pytest.mark.parametrize(
    ("looked_s", "won"), [(0, False), (0.999, False), (1, False), (1.0015, False), (1.002, True), (5, True)]
)
def test_who_looked_before_an_answer_was_kept_looks_again_and_does_not_fetch_it(
    table: Table, looked_s: float, won: bool
) -> None:
    process = table.process()
    process.claim(PLACE, looked_at=NOW, now=NOW, until=NOW + 10)
    process.release(PLACE, now=NOW + 1, done=True)
    assert not leased(process, NOW + 1)
    assert process.claim(PLACE, looked_at=NOW + looked_s, now=NOW + 6, until=NOW + 16) is won


def test_an_end_of_what_is_deleted_leaves_nothing_behind(table: Table) -> None:
    table.process().release(PLACE, now=NOW, done=True)
    assert table.items() == {}


@pytest.mark.parametrize("until", [{"S": str(NOW * 2000)}, {"N": "1.5"}, {"BOOL": True}])
def test_a_lease_that_cannot_be_read_makes_nobody_wait(table: Table, until: Any) -> None:
    table.put(f"cache-lease#{PLACE}", until_ms=until, expires_at={"N": str(NOW + 60)})
    assert not leased(table.process())


# ------------------------------------------------------------------------------------------------------------ changes


@pytest.mark.parametrize("at", [NOW, NOW + 0.0001, NOW + 0.0005, NOW + 0.9999, NOW + 0.123])
def test_a_change_is_noted_as_later_than_it_was_by_a_millisecond_at_most(table: Table, at: float) -> None:
    table.process().forget(GONE, at=at, until=NOW + 60)
    assert at < gone_at(table.process()) <= at + 0.001001
    assert table.operations == ["UpdateItem", "BatchGetItem"]


@given(
    st.floats(1_500_000_000, 4_000_000_000) | st.integers(1_500_000_000_000, 4_000_000_000_000).map(lambda n: n / 1000)
)
def test_whatever_the_moment_what_was_asked_for_before_it_is_older_than_what_is_noted(at: float) -> None:
    noted = cached_answers._later_ms(at) / 1000
    assert math.nextafter(at, 0) < noted < at + 0.0011
    assert at < noted or at >= 2**31  # at the very moment, too, as long as floats are that fine (until 2038)


@pytest.mark.parametrize(("later_s", "there"), [(0, True), (60, True), (60.999, True), (61, False), (10**6, False)])
def test_a_change_is_known_for_as_long_as_was_said_or_a_bit_longer(table: Table, later_s: float, there: bool) -> None:
    table.process().forget(GONE, at=NOW, until=NOW + 60.2)
    assert (gone_at(table.process(), NOW + later_s) > 0) is there


@pytest.mark.parametrize(
    "notes",
    [
        [(1, 60), (2, 61)],
        [(2, 61), (1, 60)],
        [(2, 60), (1, 61)],
        [(1, 61), (2, 60)],
        [(2, 61), (2, 61)],
        [(0, 10), (2, 20), (1, 61), (2, 5)],
    ],
)
def test_no_change_takes_back_what_another_has_noted(table: Table, notes: list[tuple[int, int]]) -> None:
    for at_s, until_s in notes:
        table.process().forget(GONE, at=NOW + at_s, until=NOW + until_s)
    noted, expiring = {"N": str((NOW + 2) * 1000 + 1)}, {"N": str(NOW + 61)}
    assert table.items() == {f"cache-gone#{GONE}": {"at_ms": noted, "expires_at": expiring}}


def test_a_change_that_is_noted_already_is_not_written_again(table: Table) -> None:
    for at_s, until_s in ((2, 61), (2, 61), (1, 60)):
        table.process().forget(GONE, at=NOW + at_s, until=NOW + until_s)
    assert table.operations == ["UpdateItem"] * 3


def test_of_changes_at_once_the_last_is_noted_for_the_longest_time(table: Table) -> None:
    def forget(number: int) -> None:
        process = table.process()
        process.forget(GONE, at=NOW + number, until=NOW + 100 - number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(forget, range(THREADS)))
    assert gone_at(table.process(), NOW + 99) == NOW + THREADS - 1 + 0.001


@pytest.mark.parametrize(
    "attributes",
    [
        {"expires_at": {"N": str(NOW + 60)}},
        {"at_ms": {"S": "x"}, "expires_at": {"N": str(NOW + 60)}},
        {"at_ms": {"N": "1.5"}, "expires_at": {"N": str(NOW + 60)}},
        {"at_ms": {"N": "1"}},
        {"at_ms": {"N": "1"}, "expires_at": {"N": "1.5"}},
    ],
)
def test_a_change_that_cannot_be_read_is_a_failure(table: Table, attributes: Any) -> None:
    table.put(f"cache-gone#{GONE}", **attributes)
    table.process().keep(PLACE, ANSWER, now=NOW, until=NOW + 60)
    with pytest.raises((KeyError, ValueError)):
        table.process().look(PLACE, GONE, now=NOW)


# ----------------------------------------------------------------------------------------------------------- failures


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Any]]]:
    """Have `aws_json.call` answer or raise something."""

    def install(answer: Any) -> list[Any]:
        asked: list[Any] = []

        def call(_: Any, operation: str, document: Any) -> Any:
            asked.append(document)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(cached_answers, "call", call)
        return asked

    return install


WORK: dict[str, Callable[[CachedAnswers], Any]] = {
    "look": lambda one: one.look(PLACE, GONE, now=NOW),
    "keep": lambda one: one.keep(PLACE, ANSWER, now=NOW, until=NOW),
    "claim": lambda one: one.claim(PLACE, looked_at=NOW, now=NOW, until=NOW),
    "release": lambda one: one.release(PLACE, now=NOW, done=True),
    "forget": lambda one: one.forget(GONE, at=NOW, until=NOW),
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("error", [AwsError("ProvisionedThroughputExceededException"), OSError(), ValueError()])
def test_what_the_table_raises_is_raised(answering: Any, work: str, error: Exception) -> None:
    asked = answering(error)
    with pytest.raises(type(error)):
        WORK[work](CachedAnswers("t"))
    assert len(asked) == 1


@pytest.mark.parametrize("left", ["cache#", "cache-gone#"])
def test_an_answer_that_leaves_something_out_is_a_failure(answering: Any, left: str) -> None:
    """What is left out is not what is not there: it may be a change."""
    data = b64encode(pack(ANSWER, PLACE) or b"").decode()
    item = {"pk": {"S": f"cache#{PLACE}"}, "data": {"B": data}, "expires_at": {"N": str(NOW + 60)}}
    answer: dict[str, Any] = {"Responses": {"t": [item]}, "UnprocessedKeys": {}}
    answering(answer)
    assert found(CachedAnswers("t")) == ANSWER
    answering({**answer, "UnprocessedKeys": {"t": {"Keys": [{"pk": {"S": left}}]}}})
    with pytest.raises(AwsError, match="UnprocessedKeys"):
        found(CachedAnswers("t"))


@pytest.mark.parametrize("data", ["", "====", "not base64", "é", 7, None, []])
def test_data_of_another_form_is_nothing(answering: Any, data: Any) -> None:
    item = {"pk": {"S": f"cache#{PLACE}"}, "data": {"B": data}, "expires_at": {"N": str(NOW + 60)}}
    answering({"Responses": {"t": [item]}})
    assert found(CachedAnswers("t")) is None


def test_a_table_that_has_nothing_may_leave_its_name_out(answering: Any) -> None:
    answering({"Responses": {}, "UnprocessedKeys": {}})
    assert CachedAnswers("t").look(PLACE, GONE, now=NOW) == Found()


def test_who_is_overtaken_again_and_again_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever overtakes is a little later each time, but holds for less long."""
    turns: list[int] = []

    def call(_: Any, __: str, document: Any) -> Any:
        turns.append(int(document["ExpressionAttributeValues"][":at"]["N"]))
        known = {"at_ms": {"N": str(turns[-1] + 1)}, "expires_at": {"N": str(NOW)}}
        raise AwsError("ConditionalCheckFailedException", {"Item": known})

    monkeypatch.setattr(cached_answers, "call", call)
    with pytest.raises(ContentionError):
        CachedAnswers("t").forget(GONE, at=NOW, until=NOW + 60)
    first = NOW * 1000 + 1
    assert turns == [first + turn for turn in range(ATTEMPTS)]


@pytest.mark.parametrize("item", [{"data": {"B": b"old"}}, {"data": {"S": "text"}}, {}])
def test_what_cannot_be_read_is_said_in_the_log(table: Table, item: dict[str, Any]) -> None:
    table.put(f"cache#{PLACE}", expires_at={"N": str(NOW + 60)}, **item)
    out = io.StringIO()
    with logs.written_to(out):
        assert table.process().look(PLACE, GONE, now=NOW).stored is None
        table.process().look("", GONE, now=NOW)
        table.process().look("another", GONE, now=NOW)
    assert [json.loads(line)["message"] for line in out.getvalue().splitlines()] == ["kept answer not readable"]
