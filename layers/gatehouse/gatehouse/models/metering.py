"""Keeping account of calls of models: what they hold of a budget while they run, and what they took in the end.

A budget is a comfort (it fails no request because its table is away), but what was used is not forgotten: what cannot
be written down in the table, after another try, is in the log. Answers wait for the writes no longer than
`metered.WRITING_S`; after that they go on by themselves, where the process lives on.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from threading import Lock
from typing import Protocol
from weakref import WeakKeyDictionary

from gatehouse import logs, metrics
from gatehouse.call import Call
from gatehouse.clock import Clock, Elapsed
from gatehouse.comfort import Comfort
from gatehouse.errors import BudgetExceededError
from gatehouse.models.budgets import SLACK_S, Hold, Outcome, TokenBudget, account_of, refusal
from gatehouse.models.metered import Held, Metered, Terms
from gatehouse.models.requests import ModelRequest
from gatehouse.models.usage import Row

ASKING_S = 2.0
"""How long a request waits to hear whether there is room in its budget: a model takes longer than most."""
MOST_WAITING = 256
MOST_WRITING = 2048
"""How many writes may be waiting; more are only logged."""
THREADS = 8


class Ledger(Protocol):
    """Where account is kept; `stores.usage.UsageTable` is one. Every method blocks, and may be repeated."""

    def reserve(self, hold: Hold, most: int, now_s: float) -> Outcome:
        """Let *hold* be held if no more than *most* tokens are spent and held then."""
        ...

    def settle(self, hold: Hold, actual: int) -> None:
        """Let *hold* go, and count *actual* tokens in its place."""
        ...

    def spend(self, hold: Hold) -> None:
        """Count the tokens of *hold*, which was never held."""
        ...

    def add(self, row: Row) -> None:
        """Add *row* to what is there of its user, model and day."""
        ...


class Meter:
    """The account of one process.

    Args:
        ledger: where it is kept.
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
        shared: whether there is a table; without one nothing is held, and what calls took is only logged.
    """

    def __init__(
        self, ledger: Ledger, wall: Clock = time.time, monotonic: Clock = time.monotonic, *, shared: bool
    ) -> None:
        self._ledger = ledger
        self.wall = wall
        self.monotonic = monotonic
        self._shared = shared
        self._asking = Comfort(Elapsed(wall, monotonic), name="budgets", most_waiting=MOST_WAITING)
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._writing = 0
        self._lock = Lock()

    async def begin(self, terms: Terms, request: ModelRequest, call: Call) -> Metered:
        """Hold what *request* may take, and return what keeps account of its call until it ends.

        Raises:
            BudgetExceededError: there is not enough left.
        """
        held = await self._held(terms, terms.budget, request, call) if terms.budget and self._shared else None
        return Metered(terms, request, call, self, held)

    async def _held(self, terms: Terms, budget: TokenBudget, request: ModelRequest, call: Call) -> Held:
        now_s = self.wall()
        account = account_of(budget, call, now_s)
        until = int(now_s + terms.longest_s + SLACK_S) + 1
        hold = Hold(account=account, id=secrets.token_urlsafe(9), tokens=request.reserved, until=until)
        outcome: Outcome | None = Outcome(False, budget.tokens)
        if request.reserved <= budget.tokens:
            outcome = await self._asked(_Asking(self._ledger, hold, budget.tokens, now_s))
        if outcome is None:
            call.notes["budget"] = "not asked"
        elif not outcome.allowed:
            message = refusal(budget, request.reserved, outcome.left)
            raise BudgetExceededError(message, retry_after_s=account.ends_at - now_s)
        return Held(hold, asked=outcome is not None)

    async def _asked(self, asking: _Asking) -> Outcome | None:
        """Return what the ledger says; None if it does not answer. A crowd before it is another matter.

        Raises:
            BudgetExceededError: too many were asking at once.
        """
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(THREADS))
        try:
            await asyncio.wait_for(turn.acquire(), ASKING_S)
        except TimeoutError as error:
            message = "Too many calls are waiting to be counted. Try again in a moment."
            raise BudgetExceededError(message, retry_after_s=1) from error
        try:
            return await self._asking.get(asking.ask, ASKING_S) or asking.left()
        except asyncio.CancelledError:
            outcome = asking.left()
            if outcome and outcome.allowed:
                self._start(partial(self._ledger.settle, asking.hold, 0), "budget not settled", _about(asking.hold, 0))
            raise
        finally:
            turn.release()

    def write(self, held: Held | None, actual: int, row: Row) -> list[Future[None]]:
        """Begin to write down that a call took *actual* tokens of what it *held*, and its *row*; never fails."""
        started = [self._start(partial(self._ledger.add, row), "usage not written", _said(row))]
        if held and held.asked:
            about = _about(held.hold, actual)
            started.append(self._start(partial(self._ledger.settle, held.hold, actual), "budget not settled", about))
        elif held and actual:
            hold = Hold(
                account=held.hold.account,
                id=secrets.token_urlsafe(9),  # the one that nobody heard of may still arrive
                tokens=actual,
                until=int(self.wall() + SLACK_S),
            )
            about = _about(hold, actual)
            started.append(self._start(partial(self._ledger.spend, hold), "budget not settled", about))
        return [one for one in started if one]

    def _start(self, work: Callable[[], None], lost: str, about: dict[str, object]) -> Future[None] | None:
        """Begin to do *work*; if that fails twice the log says what is *lost*, and *about* what that was."""
        if not self._shared:
            return None
        with self._lock:
            if self._writing >= MOST_WRITING:
                logs.error(lost, **about, reason="too many are waiting", **metrics.store_failed("usage"))
                return None
            self._writing += 1
        return self._threads.submit(self._done, work, lost, about)

    def _done(self, work: Callable[[], None], lost: str, about: dict[str, object]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001  # whatever it raises, there is one more try
            try:
                work()
            except Exception as error:  # noqa: BLE001  # and then there is the log
                logs.error(lost, **about, reason=type(error).__name__, **metrics.store_failed("usage"))
        finally:
            with self._lock:
                self._writing -= 1

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS, "metering")


class _Asking:
    """One question for room in a budget, of which whoever asked may not hear the answer."""

    def __init__(self, ledger: Ledger, hold: Hold, most: int, now_s: float) -> None:
        self._ledger = ledger
        self.hold = hold
        self._most = most
        self._now_s = now_s
        self._outcome: Outcome | None = None
        self._left = False
        self._lock = Lock()

    def ask(self) -> Outcome:
        """Ask; where nobody waits for the answer any more, nothing is held after. Blocks."""
        outcome = self._ledger.reserve(self.hold, self._most, self._now_s)
        with self._lock:
            self._outcome, left = outcome, self._left
        if left and outcome.allowed:
            self._ledger.settle(self.hold, 0)
        return outcome

    def left(self) -> Outcome | None:
        """Wait no longer, and return the answer, if it is there by now."""
        with self._lock:
            self._left = True
            return self._outcome


def _about(hold: Hold, actual: int) -> dict[str, object]:
    """Return what it takes to settle *hold* by hand; nobody can be known by it."""
    account = hold.account
    return {"budget": account.owner, "window": account.window, "hold": hold.id, "held": hold.tokens, "tokens": actual}


def _said(row: Row) -> dict[str, object]:
    usage = row.usage
    return {
        "project": row.project, "day": row.day, "model": usage.model, "promptTokens": usage.prompt,
        "completionTokens": usage.completion, "totalTokens": usage.total, "failed": row.failed, "call": row.call_id,
    }  # fmt: skip
