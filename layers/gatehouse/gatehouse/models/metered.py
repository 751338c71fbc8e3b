"""One call of a model while it runs: what its answer says as it passes, and how its account is closed, once."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

from gatehouse import logs, metrics
from gatehouse.call import Call, Identity, Reply
from gatehouse.clock import Clock
from gatehouse.counting import ANONYMOUS
from gatehouse.metric_names import COMPLETION_TOKENS, PROMPT_TOKENS, Metric
from gatehouse.models.budgets import Hold, TokenBudget
from gatehouse.models.reading import UsageReader, reader_of
from gatehouse.models.requests import ModelRequest
from gatehouse.models.usage import NOTHING, UNKNOWN, Row, Usage, estimated

WRITING_S = 0.3
"""How long the end of an answer waits for what is written down of it."""
KEPT_S = 400 * 86_400
MOST_USER = 256
FAILED = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms calls of a route are metered.

    Attributes:
        project: the project's name.
        route: the route's name.
        budget: whose tokens they take; None if there is no end of them.
        longest_s: how long one can last.
    """

    project: str
    route: str
    budget: TokenBudget | None
    longest_s: float


@dataclass(frozen=True, slots=True)
class Held:
    """What a call holds; where nobody could be asked it holds nothing, and what it takes is counted all the same."""

    hold: Hold
    asked: bool


class Books(Protocol):
    """Where account is kept; `metering.Meter` is it."""

    @property
    def wall(self) -> Clock:
        """Return the clock that tells the day."""
        ...

    @property
    def monotonic(self) -> Clock:
        """Return the clock that tells how long something took."""
        ...

    def write(self, held: Held | None, actual: int, row: Row) -> list[Future[None]]:
        """Begin to write down that a call took *actual* tokens of what it *held*, and its *row*; never fails."""
        ...


class Metered:
    """The account of one call; `metering.Meter.begin` opens it, and `end` closes it."""

    def __init__(self, terms: Terms, request: ModelRequest, call: Call, books: Books, held: Held | None) -> None:
        self._terms = terms
        self._request = request
        self._call = call
        self._books = books
        self._held = held
        self._started = books.monotonic()
        self._first_byte_s: float | None = None
        self._status = 0
        self._bytes = 0
        self._reader: UsageReader | None = None
        self._ended = False
        self._heard = True

    def answered(self, reply: Reply) -> None:
        """Take the head of the answer; its body comes by `saw`."""
        self._status = reply.status
        self._reader = reader_of(reply.headers)

    def saw(self, chunk: bytes) -> None:
        """Take the next bytes of the answer. Never raises."""
        if not chunk:
            return
        if self._first_byte_s is None:
            self._first_byte_s = self._books.monotonic() - self._started
        self._bytes += len(chunk)
        if self._reader:
            self._reader.feed(chunk)

    async def end(self, *, failed: bool = False, heard: bool = True) -> None:
        """Close the account: the answer has ended, whole or not (*failed*), or there is none. Only once.

        Without an answer, a model that may have *heard* the request is taken to have done all that it may: it works on
        when the client has left or the gateway has stopped waiting.

        What is written then is waited for, but not for long, and is written also if whoever waits is cancelled.
        """
        if self._ended:
            return
        self._ended = True
        self._heard = heard
        took_s = self._books.monotonic() - self._started
        failed = failed or not self._status or self._status >= FAILED
        row = self._row(took_s, took_s if self._first_byte_s is None else self._first_byte_s, failed=failed)
        self._log(row)
        writing = self._books.write(self._held, row.usage.total, row)
        if writing:
            await asyncio.wait([asyncio.wrap_future(one) for one in writing], timeout=WRITING_S)

    def _usage(self) -> Usage:
        """Return what the call took; where the answer does not say, what it probably did."""
        given, most = self._request.given, self._request.reserved
        read = self._reader.usage() if self._reader else None
        if read and not read.estimated:
            return read
        if not self._status and self._heard:
            return Usage(prompt=given, completion=max(most - given, 0), total=most, estimated=True)
        if not self._status or self._status >= FAILED:
            return replace(NOTHING, model=read.model if read else "")
        if read:
            prompt = read.prompt or given
            return replace(read, prompt=prompt, total=max(prompt + read.completion, read.total))
        made = min(estimated(self._bytes), max(most - given, 0))
        return Usage(prompt=given, completion=made, total=given + made, estimated=True)

    def _row(self, took_s: float, first_byte_s: float, *, failed: bool) -> Row:
        now, usage = self._books.wall(), self._usage()
        return Row(
            project=self._terms.project,
            user=user_of(self._call.identity),
            day=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d"),
            usage=replace(usage, model=usage.model or self._request.model or UNKNOWN),
            failed=failed,
            ms=round(took_s * 1000),
            first_byte_ms=round(first_byte_s * 1000),
            expires_at=int(now) + KEPT_S,
            call_id=secrets.token_urlsafe(9),
        )

    def _log(self, row: Row) -> None:
        """Say what it took, and not whose it was: that is in its row alone."""
        where = {"project": row.project, "route": self._terms.route}
        numbers: dict[Metric, float] = {PROMPT_TOKENS: row.usage.prompt, COMPLETION_TOKENS: row.usage.completion}
        logs.info(
            "model call",
            requestId=self._call.request_id,
            model=row.usage.model,
            promptTokens=row.usage.prompt,
            completionTokens=row.usage.completion,
            totalTokens=row.usage.total,
            estimated=row.usage.estimated,
            durationMs=row.ms,
            firstByteMs=row.first_byte_ms,
            status=self._status,
            **({"failed": True} if row.failed else {}),
            **{**where, **metrics.embedded(numbers, **where)},
        )


def user_of(identity: Identity | None) -> str:
    """Return whose row a call by *identity* is added to; all who are nobody in particular share one."""
    if identity is None or identity.kind == ANONYMOUS:
        return ANONYMOUS
    user = identity.email or identity.user or identity.subject or ANONYMOUS
    return user if len(user) <= MOST_USER else sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
