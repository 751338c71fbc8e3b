"""What models cost, in DynamoDB: UsageTable. Whatever is written here may be written twice, and counts once.

pk "usage#{project}#{user}"    sk "{YYYY-MM-DD}#{model}"    sums: requests, prompt_tokens, completion_tokens,
                                                            total_tokens, failed, ms, first_byte_ms (all N)
                                                            last S: the call that was added last
pk "budget#{project}#{route}#{by}#{SHA-256}"    sk "{its window: start+seconds}"
    spent N: what was used, and what is held
    holds M: {call: {tokens N, until N}}: what calls hold that are not settled
    late M: {call: N}: what was given back although the call had not ended; it settles yet, or never
both: expires_at N, seconds
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatehouse.models.budgets import KEPT_S, Hold, Outcome
from gatehouse.models.usage import Row
from gatehouse.stores.aws_json import AwsError, call
from gatehouse.stores.limits import ContentionError
from gatehouse.stores.revocation_log import DYNAMODB

ATTEMPTS = 5
MOST_AT_ONCE = 25
"""How many holds are given back by one write: an expression is at most 4 KB."""
_REFUSED = "ConditionalCheckFailedException"
_SUMS = ("requests", "prompt_tokens", "completion_tokens", "total_tokens", "failed", "ms", "first_byte_ms")

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Update:
    """One conditional write to an item."""

    set: str
    condition: str
    values: Mapping[str, Any]
    names: Mapping[str, str]


class UsageTable:
    """The table called *table*. Every method blocks; call it from a thread.

    All raise what `aws_json.call` does if DynamoDB does not answer as it should.
    """

    def __init__(self, table: str) -> None:
        self._table = table

    def reserve(self, hold: Hold, most: int, now_s: float) -> Outcome:
        """Let *hold* be held if its account has no more than *most* tokens spent and held then, as of *now_s*.

        What is held by calls that must have ended is given back where there is no room. Where others take that first,
        again and again, there is none.
        """
        item: Item | None = None
        if hold.tokens > most:
            return Outcome(False, most)
        for _ in range(ATTEMPTS):
            held, item = self._updated(hold, _holding(hold, most - hold.tokens))
            if item is None:
                held, item = self._updated(hold, _first(hold))
            if held or (item and hold.id in _map(item, "holds")):  # an attempt whose answer was lost had done it
                return Outcome(True, most - _number(item, "spent"))
            if item is None or (_number(item, "spent") <= most - hold.tokens):
                continue  # it was begun, or given back, between two looks
            abandoned = _abandoned(item, now_s)
            if not abandoned:
                return Outcome(False, most - _number(item, "spent"))
            self._updated(hold, _giving_back(abandoned))
        return Outcome(False, most - _number(item, "spent"))

    def settle(self, hold: Hold, actual: int) -> None:
        """Let *hold* go, and count *actual* tokens in its place; once, also if it was given back as abandoned."""
        settled, item = self._updated(hold, _settling(hold, actual))
        if not settled and item and hold.id in _map(item, "late"):
            self._updated(hold, _settling_late(hold, actual))

    def spend(self, hold: Hold) -> None:
        """Count the tokens of *hold*, which was never held, whatever is left then.

        Raises:
            ContentionError: others were faster, again and again.
        """
        for _ in range(ATTEMPTS):
            held, item = self._updated(hold, _holding(hold, None))
            if item is None:
                held, item = self._updated(hold, _first(hold))
            if held or (item and hold.id in _map(item, "holds")):
                self.settle(hold, hold.tokens)
                return
        raise ContentionError(f"a budget changed {ATTEMPTS} times under our hands")

    def add(self, row: Row) -> None:
        """Add *row* to what is there of its user, model and day."""
        usage = row.usage
        amounts = (1, usage.prompt, usage.completion, usage.total, int(row.failed), row.ms, row.first_byte_ms)
        adding = ", ".join(f"{name} :{name}" for name in _SUMS)
        values = {f":{name}": _n(amount) for name, amount in zip(_SUMS, amounts, strict=True)}
        update = _Update(
            set=f"ADD {adding} SET #last = :id, expires_at = :expires",
            condition="attribute_not_exists(#last) OR #last <> :id",
            values={**values, ":id": {"S": row.call_id}, ":expires": _n(row.expires_at)},
            names={"#last": "last"},
        )
        self._written({"pk": {"S": f"usage#{row.project}#{row.user}"}, "sk": {"S": f"{row.day}#{usage.model}"}}, update)

    def _updated(self, hold: Hold, update: _Update) -> tuple[bool, Item | None]:
        account = hold.account
        return self._written({"pk": {"S": f"budget#{account.owner}"}, "sk": {"S": account.window}}, update)

    def _written(self, key: Item, update: _Update) -> tuple[bool, Item | None]:
        """Return whether the condition held, and the item: after the update, or as it stands without; None if none."""
        document = {
            "TableName": self._table,
            "Key": key,
            "UpdateExpression": update.set,
            "ConditionExpression": update.condition,
            "ExpressionAttributeValues": update.values,
            **({"ExpressionAttributeNames": update.names} if update.names else {}),
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            return True, call(DYNAMODB, "UpdateItem", document)["Attributes"]
        except AwsError as error:
            if str(error) != _REFUSED:
                raise
            return False, error.answer.get("Item") or None


def _first(hold: Hold) -> _Update:
    """Begin the item of a window: a member of a map can only be set where the map is."""
    return _Update(
        set="SET spent = :tokens, holds = :holds, late = :none, expires_at = :expires",
        condition="attribute_not_exists(pk)",
        values={
            ":tokens": _n(hold.tokens),
            ":holds": {"M": {hold.id: _held(hold)}},
            ":none": {"M": {}},
            ":expires": _n(hold.account.ends_at + KEPT_S),
        },
        names={},
    )


def _holding(hold: Hold, room: int | None) -> _Update:
    """Hold if no more than *room* is spent; None: in any case."""
    fits, values = ("attribute_exists(spent)", {}) if room is None else ("spent <= :room", {":room": _n(room)})
    return _Update(
        set="SET spent = spent + :tokens, holds.#id = :hold",
        condition=f"{fits} AND attribute_not_exists(holds.#id)",
        values={":tokens": _n(hold.tokens), ":hold": _held(hold), **values},
        names={"#id": hold.id},
    )


def _settling(hold: Hold, actual: int) -> _Update:
    return _Update(
        set="SET spent = spent + :more REMOVE holds.#id",
        condition="attribute_exists(holds.#id)",
        values={":more": _n(actual - hold.tokens)},
        names={"#id": hold.id},
    )


def _settling_late(hold: Hold, actual: int) -> _Update:
    return _Update(
        set="SET spent = spent + :actual REMOVE late.#id",
        condition="attribute_exists(late.#id)",
        values={":actual": _n(actual)},
        names={"#id": hold.id},
    )


def _giving_back(abandoned: Mapping[str, int]) -> _Update:
    """Give back all of *abandoned*, or nothing if somebody has settled, or given back, one of them meanwhile."""
    names = {f"#h{number}": hold for number, hold in enumerate(abandoned)}
    noted = ", ".join(f"late.{name} = :t{name[2:]}" for name in names)
    removed = ", ".join(f"holds.{name}" for name in names)
    tokens = {f":t{number}": _n(tokens) for number, tokens in enumerate(abandoned.values())}
    return _Update(
        set=f"SET spent = spent - :sum, {noted} REMOVE {removed}",
        condition=" AND ".join(f"attribute_exists(holds.{name})" for name in names),
        values={":sum": _n(sum(abandoned.values())), **tokens},
        names=names,
    )


def _abandoned(item: Item, now_s: float) -> dict[str, int]:
    """Return the tokens of holds in *item* whose calls must have ended, by their names; the oldest of many."""
    held = {id_: value["M"] for id_, value in _map(item, "holds").items()}
    over = sorted((int(one["until"]["N"]), id_) for id_, one in held.items() if int(one["until"]["N"]) <= now_s)
    return {id_: int(held[id_]["tokens"]["N"]) for _, id_ in over[:MOST_AT_ONCE]}


def _held(hold: Hold) -> dict[str, Any]:
    return {"M": {"tokens": _n(hold.tokens), "until": _n(hold.until)}}


def _n(number: int) -> dict[str, str]:
    return {"N": str(number)}


def _number(item: Item | None, name: str) -> int:
    return int(item[name]["N"]) if item and name in item else 0


def _map(item: Item, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = item.get(name, {}).get("M", {})
    return found
