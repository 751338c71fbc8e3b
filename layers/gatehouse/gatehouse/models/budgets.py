"""How many tokens somebody may use in how long, and what of that a call holds while it runs.

Time is cut into windows that begin at the epoch: days are days in UTC. What a call may take is held before it goes to
the model, and what it took is settled after; a hold that nobody settles is given back when no call can last that long.
"""

from __future__ import annotations

from dataclasses import dataclass

from gatehouse import counting
from gatehouse.call import Call

LONGEST_S = 31 * 86_400
SLACK_S = 60.0
"""How long after a call must have ended its hold counts as abandoned."""
KEPT_S = 7 * 86_400
"""How long a window's item outlives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """The budget of a route.

    Attributes:
        project: the project's name.
        route: the route's name.
        tokens: how many; at least 1.
        per_s: in how long: whole seconds, to LONGEST_S.
        by: whose calls are counted together: `subject`, `organization` or `key`.

    Raises:
        ValueError: one of them is out of its bounds.
    """

    project: str
    route: str
    tokens: int
    per_s: int
    by: str

    def __post_init__(self) -> None:
        if self.tokens < 1 or not 1 <= self.per_s <= LONGEST_S:
            raise ValueError(f"a budget is of at least one token, per 1s to {LONGEST_S // 86_400}d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One budget of one caller, in one window.

    Attributes:
        owner: names the budget and the caller; nobody can be known by it.
        window: names the window. Its length is part of that: a budget that is changed begins anew.
        ends_at: when the window ends, in seconds since the epoch.
    """

    owner: str
    window: str
    ends_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a call may take, while nobody knows what it took.

    Attributes:
        account: of whom.
        id: names it; letters, digits, `_` and `-`.
        tokens: how many.
        until: from when on it counts as abandoned, in seconds since the epoch.
    """

    account: Account
    id: str
    tokens: int
    until: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether there was room for a hold, and how many tokens are left: after it, or without it."""

    allowed: bool
    left: int


def account_of(budget: TokenBudget, call: Call, now_s: float) -> Account:
    """Return whom *call* at *now_s* is counted as under *budget*."""
    digest = counting.digest(budget.by, call)
    start = int(now_s // budget.per_s) * budget.per_s
    return Account(
        owner=f"{budget.project}#{budget.route}#{budget.by}#{digest}",
        window=f"{start}+{budget.per_s}",
        ends_at=start + budget.per_s,
    )


def refusal(budget: TokenBudget, wanted: int, left: int) -> str:
    """Return what somebody is told who asks for *wanted* tokens where *left* are left."""
    if wanted > budget.tokens:
        return (
            f"This request may take {wanted} tokens, and the whole budget is {budget.tokens}. "
            "Ask for fewer with max_tokens, or send less."
        )
    return (
        f"This request may take {wanted} tokens, and {max(left, 0)} of {budget.tokens} are left. Ask for fewer with "
        "max_tokens, or wait for as many seconds as the Retry-After header says."
    )
