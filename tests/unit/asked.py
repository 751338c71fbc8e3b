"""Stand-ins for what credentials ask: an auth service that a test scripts, and a store that processes share."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from gatehouse.asking import Answer, Question
from gatehouse.clock import Elapsed
from gatehouse.headers import Headers, Pair
from gatehouse.kept import Kept
from gatehouse.proofs import Means
from tests.unit.fakes import FakeClock

Said: TypeAlias = Answer | Exception
TOLD: tuple[Pair, ...] = (("x-internal-key", "told-secret"), ("cookie", "never=this"), ("x-request-id", "nor-this"))


class FakeService:
    """An `asking.Asking` that answers what a test gave it, over and over, and remembers what it was asked."""

    def __init__(self, *said: Said | Callable[[Question], Said]) -> None:
        self.said = list(said)
        self.asked: list[Question] = []
        self.deadlines: list[float | None] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, question: Question, deadline: float | None = None) -> Answer:
        self.asked.append(question)
        self.deadlines.append(deadline)
        if self.gate:
            await self.gate.wait()
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        said = said(question) if callable(said) else said
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def only(self) -> Question:
        """The one question that was asked."""
        (question,) = self.asked
        return question


class FakeShared:
    """An `asking.Shared` in memory, which tests look into and change."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.items: dict[str, tuple[str, float]] = {}
        self.reads = 0

    async def read(self, key: str) -> tuple[str, float] | None:
        self.reads += 1
        found = self.items.get(key)
        return found if found and found[1] > self.clock() else None

    async def write(self, key: str, text: str, expires_at: float) -> None:
        self.items[key] = (text, expires_at)


def means(service: FakeService, clock: FakeClock, shared: FakeShared | None = None) -> Means:
    """What it takes to ask *service*, with a memory of its own, as one process has it."""

    async def told() -> tuple[Pair, ...]:
        return TOLD

    return Means(
        ask=service,
        kept=Kept(Elapsed(clock, clock)),
        shared=FakeShared(clock) if shared is None else shared,
        told=told,
        wall=clock,
    )


def answer(document: Any, *pairs: Pair, status: int = 200) -> Answer:
    """An answer of the auth service; bytes are its body as it is."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(status=status, headers=Headers(pairs), body=body)


def token(claims: Any = None, header: Any = None, signature: bytes = b"signature") -> str:
    """A token in the form of a JWT, signed by nobody."""
    parts = [json.dumps(header or {"alg": "EdDSA", "kid": "k"}).encode(), json.dumps(claims or {}).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
