"""What is asked of services that know credentials, and the shape of what asks them.

`auth_service.AuthService` is what asks: with a bound on time and size, and a circuit that leaves a dead service alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from gatehouse.headers import Headers, Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request to such a service. Headers and body hold credentials: they are shown nowhere.

    `service` names what answers at the URL, where a caller has a part in that: what fails for one caller's ids must not
    look like a failure of everything at that address. Without it the URL's own path does.
    """

    method: str
    url: str
    service: str = ""
    headers: tuple[Pair, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service said: whole, and no larger than was allowed."""

    status: int
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Asking(Protocol):
    """What puts a question to the service that its URL names."""

    async def __call__(self, question: Question, deadline: float | None = None) -> Answer:
        """Return the answer, whose status is 200 or a 4xx other than 408 and 429.

        Args:
            question: what to ask.
            deadline: on the clock of `time.monotonic`, in seconds, when whoever waits stops waiting.

        Raises:
            AuthUnavailableError: there is no answer to build on, for whatever reason.
        """
        ...


Told: TypeAlias = Callable[[], Awaitable[tuple[Pair, ...]]]
"""Gives the fields that a project file has a service told at each question: keys of ours, from the stack's secret.

It raises AuthUnavailableError while the secret cannot be read."""


class Shared(Protocol):
    """Text that processes share for a while; `stores.shared_answers` is it. It never fails: it may know nothing."""

    async def read(self, key: str) -> tuple[str, float] | None:
        """Return the text under *key* and until when it holds (seconds since the epoch); None if there is none now."""
        ...

    async def write(self, key: str, text: str, expires_at: float) -> None:
        """Keep *text* under *key* until *expires_at*, in seconds since the epoch."""
        ...
