"""The shape of a case: what a project keeps, what its origin says, what clients send, and what they must hear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tests.contract.scripted_origin import At, Says, Value

Door: TypeAlias = Literal["open", "cookies", "optional", "required", "members", "told", "pages", "uncached"]
"""Who may call: anybody; anybody, and their cookies go upstream; those with a token, or without; only those with one;
members of organisations; those with a token, of whom the upstream is told; pages of two origins; anybody, and nothing
is kept."""
Demand: TypeAlias = Literal["must", "should", "may", "stricter"]
"""How far the RFC asks for what a case expects, of a cache that gives what it may give without asking the origin;
`stricter` is what this gateway chose where the RFC allows more."""
ANY_NUMBER = -1


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """The `cache` of a route."""

    ttl: str = "0s"
    by: str = "public"
    stale_if_error: str = "0s"
    stale_while_revalidate: str = "0s"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request, and what must come of it.

    Attributes:
        method: of the request.
        after: how many seconds pass before it.
        path: what follows the case's own path; a query as well.
        headers: what the client sends, names as they are sent.
        body: what the client sends.
        who: who is calling; empty for nobody.
        says: what the origin answers; of several, each request gets the next one, and the last from then on. Without
            any, the origin must not be asked.
        asked: how often the origin is asked; ANY_NUMBER for nobody minds.
        told: fields that the origin must be sent with the first of these requests; None for those it must not.
        status: of the answer, or any of these.
        gives: the answer's body; None for nobody minds.
        has: fields that the answer must have, each with its value or all its values.
        lacks: fields that it must not have.
        cache_status: what the gateway's member of `Cache-Status` must say, and with a `!` what it must not; None for
            nobody minds.
        meanwhile: whether the origin is asked behind the answer. Where the process stops with its answer, the client
            waits for what the origin says.
    """

    method: str = "GET"
    after: float = 0
    path: str = ""
    headers: Mapping[str, Value] = field(default_factory=dict)
    body: bytes = b""
    who: str = ""
    says: tuple[Says, ...] = ()
    asked: int = 0
    told: Mapping[str, Value | None] = field(default_factory=dict)
    status: tuple[int, ...] = (200,)
    gives: str | None = None
    has: Mapping[str, Value] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    cache_status: tuple[str, ...] | None = ()
    meanwhile: bool = False


@dataclass(frozen=True)
class Case:
    """A sentence, where it is drawn from (`9111 4.2.1`: RFC and section), and the steps that show it."""

    section: str
    sentence: str
    steps: tuple[Step, ...]
    keeping: Keeping = Keeping()
    door: Door = "open"
    demand: Demand = "must"

    @property
    def id(self) -> str:
        """The test's name."""
        words = f"{self.section} {self.sentence}".replace("/", "-").replace("::", ":")
        return f"{words}" if self.demand == "stricter" else words


def case(section: str, sentence: str, *steps: Step, **changes: Any) -> Case:
    return Case(section, sentence, steps, **changes)


def ask(method: str, *says: Says, h: Mapping[str, Value] | None = None, cs: str | None = "", **changes: Any) -> Step:
    """Make a step. What is not said follows from what the origin says, or from its not being asked: then it is a hit.

    Args:
        method: of the request.
        says: what the origin answers.
        h: what the client sends.
        cs: what `Cache-Status` must say, split at spaces and semicolons.
        changes: see `Step`.
    """
    fields: dict[str, Any] = {"asked": min(1, len(says)), **changes}
    status = fields.get("status", says[-1].status if says else 200)
    fields["status"] = status if isinstance(status, tuple) else (status,)
    if says and "gives" not in fields and "status" not in changes:
        fields["gives"] = says[-1].body
    if method == "HEAD":
        fields["gives"] = ""
    marks = None if cs is None else tuple(cs.replace(";", " ").split())
    return Step(method=method, says=says, headers=h or {}, cache_status=marks, **fields)


def get(*says: Says, **changes: Any) -> Step:
    return ask("GET", *says, **changes)


def head(*says: Says, **changes: Any) -> Step:
    return ask("HEAD", *says, **changes)


def post(*says: Says, **changes: Any) -> Step:
    return ask("POST", *says, **changes)


def ok(body: str = "", cache_control: Value = "", *, status: int = 200, **fields: Any) -> Says:
    """Make an answer: `ok("one", "max-age=60", etag='"1"')`; a field's name has `_` for `-`."""
    how = {name: fields.pop(name) for name in ("how", "takes_s", "answers_304") if name in fields}
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    if cache_control:
        named["cache-control"] = cache_control
    return Says(body=body, status=status, fields=named, **how)


__all__ = [
    "ANY_NUMBER",
    "At",
    "Case",
    "Door",
    "Keeping",
    "Says",
    "Step",
    "Value",
    "ask",
    "case",
    "get",
    "head",
    "ok",
    "post",
]
