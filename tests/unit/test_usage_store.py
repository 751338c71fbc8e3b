"""Budgets and usage in DynamoDB: exact whoever counts at the same time, and whatever is written twice counts once.

Every test runs on moto and on MiniStack.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatehouse.models.budgets import KEPT_S, Account, Hold, Outcome
from gatehouse.models.usage import Row, Usage
from gatehouse.stores import aws_json, usage
from gatehouse.stores.limits import ContentionError
from gatehouse.stores.usage import ATTEMPTS, MOST_AT_ONCE, UsageTable
from local.house import NEVER_REAL

NOW = 1_800_000_000
THREADS = 50


@dataclass
class Store:
    """A DynamoDB with a UsageTable, and the number of writes that it was asked for."""

    dynamodb: Any
    name: str
    asked: int = 0

    def budget(self, account: Account) -> dict[str, Any]:
        return self._item({"pk": {"S": f"budget#{account.owner}"}, "sk": {"S": account.window}})

    def spent(self, account: Account) -> tuple[int, int, int]:
        """What is spent, and how many holds there are, and late ones."""
        item = self.budget(account)
        return int(item["spent"]["N"]), len(item["holds"]["M"]), len(item["late"]["M"])

    def row(self, pk: str, sk: str) -> dict[str, Any]:
        return self._item({"pk": {"S": pk}, "sk": {"S": sk}})

    def _item(self, key: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = self.dynamodb.get_item(TableName=self.name, Key=key, ConsistentRead=True)["Item"]
        return item


@pytest.fixture(scope="module", params=["moto_server", "ministack"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    url = request.getfixturevalue(request.param)
    session = boto3.Session("local", "local", region_name="us-east-1")
    made = Store(session.client("dynamodb", endpoint_url=url), f"usage-{uuid4()}")
    made.dynamodb.create_table(
        TableName=made.name,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    asking = usage.call

    def counted(*asked: Any) -> Any:
        made.asked += 1
        return asking(*asked)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (NEVER_REAL | {"AWS_ENDPOINT_URL_DYNAMODB": url}).items():
            patch.setenv(name, value)
        patch.setattr(usage, "call", counted)
        yield made
    aws_json.close()
    made.dynamodb.close()


@pytest.fixture
def account() -> Account:
    return Account(owner=f"p#r#subject#{uuid4()}", window=f"{NOW}+86400", ends_at=NOW + 86_400)


@pytest.fixture
def table(store: Store) -> UsageTable:
    store.asked = 0
    return UsageTable(store.name)


def a_hold(account: Account, tokens: int = 10, until: int = NOW + 60, name: str = "") -> Hold:
    return Hold(account=account, id=name or uuid4().hex[:12], tokens=tokens, until=until)


# ---------------------------------------------------------------------------------------------------- one after another


def test_there_is_room_for_as_much_as_there_is_and_for_no_token_more(table: UsageTable, account: Account) -> None:
    outcomes = [table.reserve(a_hold(account), 30, NOW) for _ in range(4)]
    assert outcomes == [Outcome(True, 20), Outcome(True, 10), Outcome(True, 0), Outcome(False, 0)]


@pytest.mark.parametrize(("tokens", "allowed"), [(20, True), (21, False), (31, False)])
def test_what_is_left_may_be_taken_to_the_last(table: UsageTable, account: Account, tokens: int, allowed: bool) -> None:
    table.reserve(a_hold(account), 30, NOW)
    assert table.reserve(a_hold(account, tokens), 30, NOW).allowed is allowed


def test_more_than_the_whole_budget_is_never_held(store: Store, table: UsageTable, account: Account) -> None:
    assert table.reserve(a_hold(account, 31), 30, NOW) == Outcome(False, 30)
    assert store.asked == 0


@pytest.mark.parametrize("actual", [0, 3, 10, 25])
def test_what_a_call_took_stands_in_place_of_what_it_held(
    store: Store, table: UsageTable, account: Account, actual: int
) -> None:
    hold = a_hold(account)
    table.reserve(hold, 30, NOW)
    assert store.spent(account) == (10, 1, 0)
    for _ in range(3):  # settled once, however often it is said
        table.settle(hold, actual)
        assert store.spent(account) == (actual, 0, 0)


def test_what_was_not_held_is_not_settled(store: Store, table: UsageTable, account: Account) -> None:
    table.settle(a_hold(account), 7)
    table.reserve(a_hold(account), 30, NOW)
    table.settle(a_hold(account), 7)
    assert store.spent(account) == (10, 1, 0)


def test_what_took_more_than_it_held_may_go_over_the_budget_and_stops_the_next(
    store: Store, table: UsageTable, account: Account
) -> None:
    hold = a_hold(account)
    table.reserve(hold, 30, NOW)
    table.settle(hold, 45)
    assert table.reserve(a_hold(account, 1), 30, NOW) == Outcome(False, -15)


def test_a_reservation_is_one_write_and_the_first_of_a_window_two(
    store: Store, table: UsageTable, account: Account
) -> None:
    table.reserve(a_hold(account), 30, NOW)
    assert store.asked == 2
    hold = a_hold(account)
    table.reserve(hold, 30, NOW)
    table.settle(hold, 1)
    assert store.asked == 4
    table.reserve(a_hold(account, 30), 30, NOW)
    assert store.asked == 5


def test_windows_and_owners_have_an_account_each(table: UsageTable, account: Account) -> None:
    others = (account, replace(account, window="9+1"), replace(account, owner=str(uuid4())))
    assert all(table.reserve(a_hold(other, 30), 30, NOW).allowed for other in others)


def test_an_account_outlives_its_window(store: Store, table: UsageTable, account: Account) -> None:
    table.reserve(a_hold(account), 30, NOW)
    item = store.budget(account)
    assert int(item["expires_at"]["N"]) == account.ends_at + KEPT_S
    assert set(item) == {"pk", "sk", "spent", "holds", "late", "expires_at"}


# ---------------------------------------------------------------------------------------------------------- abandoned


@pytest.mark.parametrize(("later_s", "allowed"), [(0, False), (59, False), (60, True), (90_000, True)])
def test_what_was_abandoned_returns_when_its_call_must_have_ended(
    store: Store, table: UsageTable, account: Account, later_s: int, allowed: bool
) -> None:
    table.reserve(a_hold(account, 30), 30, NOW)
    assert table.reserve(a_hold(account, 30), 30, NOW + later_s).allowed is allowed
    assert store.spent(account) == (30, 1, 1 if allowed else 0)


def test_while_there_is_room_nobody_looks_for_what_was_abandoned(
    store: Store, table: UsageTable, account: Account
) -> None:
    table.reserve(a_hold(account), 30, NOW)
    table.reserve(a_hold(account), 30, NOW + 99)
    assert store.spent(account) == (20, 2, 0)


def test_what_was_given_back_and_settles_after_all_is_counted_once(
    store: Store, table: UsageTable, account: Account
) -> None:
    late = a_hold(account, 30)
    table.reserve(late, 30, NOW)
    table.reserve(a_hold(account, 10), 30, NOW + 60)
    assert store.spent(account) == (10, 1, 1)
    for _ in range(3):
        table.settle(late, 12)
        assert store.spent(account) == (22, 1, 0)


def test_many_that_were_abandoned_return_a_few_at_a_time(store: Store, table: UsageTable, account: Account) -> None:
    many = MOST_AT_ONCE + 5
    for number in range(many):
        table.reserve(a_hold(account, 1, NOW + 60 + number), many, NOW)
    assert table.reserve(a_hold(account, many), many, NOW + 500) == Outcome(True, 0)
    assert store.spent(account) == (many, 1, many)


def test_what_is_abandoned_is_not_enough_if_others_hold_the_rest(
    store: Store, table: UsageTable, account: Account
) -> None:
    table.reserve(a_hold(account, 5), 30, NOW)
    table.reserve(a_hold(account, 20, NOW + 600), 30, NOW)
    assert table.reserve(a_hold(account, 15), 30, NOW + 60) == Outcome(False, 10)
    assert store.spent(account) == (20, 1, 1)


# ------------------------------------------------------------------------------------------------- at the same time


def at_once(work: Callable[[int], Any], most: int = THREADS) -> list[Any]:
    with ThreadPoolExecutor(most) as pool:
        return list(pool.map(work, range(most)))


def test_of_fifty_at_once_twenty_get_in_where_there_is_room_for_twenty(
    store: Store, table: UsageTable, account: Account
) -> None:
    holds = [a_hold(account) for _ in range(THREADS)]
    allowed = at_once(lambda number: table.reserve(holds[number], 200, NOW).allowed)
    assert sum(allowed) == 20
    assert store.spent(account) == (200, 20, 0)
    at_once(lambda number: [table.settle(holds[number], number) for _ in range(2)] if allowed[number] else None)
    assert store.spent(account) == (sum(number for number in range(THREADS) if allowed[number]), 0, 0)


def test_what_was_abandoned_is_given_back_once_whoever_does_it(
    store: Store, table: UsageTable, account: Account
) -> None:
    abandoned = [a_hold(account, 10) for _ in range(20)]
    for hold in abandoned:
        table.reserve(hold, 200, NOW)
    later = [a_hold(account, 10, NOW + 600) for _ in range(THREADS)]
    assert sum(at_once(lambda number: table.reserve(later[number], 200, NOW + 60).allowed)) == 20
    assert store.spent(account) == (200, 20, 20)
    at_once(lambda number: table.settle(abandoned[number % 20], 3))
    assert store.spent(account) == (260, 20, 0)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["reserve", "settle", "spend"]), st.integers(0, 40)), max_size=12
    )
)
def test_whatever_happens_the_account_is_right(store: Store, steps: list[tuple[int, str, int]]) -> None:
    """What is spent is what was taken, and what is held: by a plain model of it."""
    table = UsageTable(store.name)
    account = Account(owner=str(uuid4()), window="0+60", ends_at=60)
    held: dict[str, int] = {}
    taken = 0
    table.spend(a_hold(account, 0))
    for who, what, amount in steps:
        name = f"c{who}"
        if what == "reserve" and name not in held:
            room = taken + sum(held.values()) + amount <= 100
            assert table.reserve(a_hold(account, amount, NOW, name), 100, 0).allowed is room
            held |= {name: amount} if room else {}
        elif what == "settle":
            table.settle(a_hold(account, held.get(name, 0), NOW, name), amount)
            taken += amount if held.pop(name, None) is not None else 0
        elif what == "spend":
            table.spend(a_hold(account, amount))
            taken += amount
        assert store.spent(account) == (taken + sum(held.values()), len(held), 0)


# ------------------------------------------------------------------------------------------------------------- twice


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write arrives, and every first answer is lost on the way."""
    sending, sent = aws_json._sent, []

    def lost(*asked: Any) -> Any:
        answer = sending(*asked)
        sent.append(answer)
        if len(sent) % 2:
            raise http.client.RemoteDisconnected
        return answer

    monkeypatch.setattr(aws_json, "_sent", lost)


@pytest.mark.usefixtures("lossy")
def test_answers_that_are_lost_change_nothing(store: Store, table: UsageTable, account: Account) -> None:
    hold, other = a_hold(account), a_hold(account, 5)
    assert table.reserve(hold, 30, NOW) == Outcome(True, 20)
    assert table.reserve(other, 30, NOW) == Outcome(True, 15)
    assert store.spent(account) == (15, 2, 0)
    table.settle(hold, 3)
    assert store.spent(account) == (8, 1, 0)
    table.spend(a_hold(account, 7))
    assert store.spent(account) == (15, 1, 0)
    row = a_row()
    table.add(row)
    assert store.row(f"usage#p#{row.user}", "2027-01-15#m")["requests"] == {"N": "1"}


def test_what_was_never_held_is_counted_whatever_is_left(store: Store, table: UsageTable, account: Account) -> None:
    table.spend(a_hold(account, 7))
    table.spend(a_hold(account, 70))
    assert store.spent(account) == (77, 0, 0)
    assert not table.reserve(a_hold(account, 1), 30, NOW).allowed


class Restless:
    """A DynamoDB in which somebody else is always faster."""

    def __init__(self, item: Any = None) -> None:
        self.item = item
        self.asked = 0

    def __call__(self, *_: Any) -> Any:
        self.asked += 1
        raise aws_json.AwsError("ConditionalCheckFailedException", {"Item": self.item} if self.item else {})


def test_whoever_is_never_fast_enough_gets_nothing_and_nothing_is_lost_in_silence(
    table: UsageTable, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "call", Restless())
    assert table.reserve(a_hold(account), 30, NOW) == Outcome(False, 30)
    with pytest.raises(ContentionError):
        table.spend(a_hold(account))
    item = {"spent": {"N": "30"}, "holds": {"M": {"x": {"M": {"tokens": {"N": "30"}, "until": {"N": "1"}}}}}}
    restless = Restless(item)
    monkeypatch.setattr(usage, "call", restless)
    assert table.reserve(a_hold(account), 30, NOW) == Outcome(False, 0)
    assert restless.asked == 2 * ATTEMPTS


def test_what_else_dynamodb_says_goes_on(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise aws_json.AwsError("AccessDeniedException")

    monkeypatch.setattr(usage, "call", refuse)
    for work in (lambda t: t.reserve(a_hold(account), 30, NOW), lambda t: t.add(a_row())):
        with pytest.raises(aws_json.AwsError):
            work(UsageTable("t"))


# -------------------------------------------------------------------------------------------------------------- rows


def a_row(**changes: Any) -> Row:
    fields: dict[str, Any] = {
        "project": "p", "user": f"{uuid4()}@example.com", "day": "2027-01-15", "failed": False, "ms": 900,
        "usage": Usage(prompt=3, completion=4, total=8, model="m"), "first_byte_ms": 100, "expires_at": NOW,
        "call_id": uuid4().hex,
    }  # fmt: skip
    return Row(**{**fields, **changes})


def test_calls_are_added_up_by_user_model_and_day(store: Store, table: UsageTable) -> None:
    first = a_row()
    for row in (first, replace(first, call_id="b", failed=True, ms=1), replace(first, call_id="c", day="2027-01-16")):
        table.add(row)
        table.add(row)  # the same call
    item = store.row(f"usage#p#{first.user}", "2027-01-15#m")
    sums = {name: int(value["N"]) for name, value in item.items() if "N" in value}
    assert sums == {
        "requests": 2, "prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 16, "failed": 1, "ms": 901,
        "first_byte_ms": 200, "expires_at": NOW,
    }  # fmt: skip
    assert store.row(f"usage#p#{first.user}", "2027-01-16#m")["requests"] == {"N": "1"}


def test_calls_at_the_same_time_are_all_added(store: Store, table: UsageTable) -> None:
    row = a_row()
    at_once(lambda number: table.add(replace(row, call_id=str(number))))
    assert store.row(f"usage#p#{row.user}", "2027-01-15#m")["requests"] == {"N": str(THREADS)}
