"""Stand-ins for the services that know credentials, and for what processes share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from gatehouse.asking import Answer, Question
from gatehouse.headers import Headers, Pair
from tests.unit.fakes import FakeClock


def said(value: Any = None, *pairs: Pair, status: int = 200, body: bytes | None = None) -> Answer:
    """What a service answers: *value* as JSON, or *body* as it is."""
    return Answer(status=status, headers=Headers(pairs), body=json.dumps(value).encode() if body is None else body)


class FakeService:
    """A service that remembers what it was asked, and gives (or raises) its answers in order, the last one for ever.

    With `gate` it keeps everybody waiting until a test sets that.
    """

    def __init__(self, *answers: Answer | Exception | Callable[[Question], Answer]) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []
        self.deadlines: list[float | None] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, question: Question, deadline: float | None = None) -> Answer:
        self.asked.append(question)
        self.deadlines.append(deadline)
        if self.gate:
            await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Answer) else answer(question)

    @property
    def urls(self) -> list[str]:
        return [question.url for question in self.asked]


class FakeShared:
    """What processes share, in a dictionary. It forgets late, as DynamoDB does, and says until when things hold."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.texts: dict[str, tuple[str, float]] = {}

    async def read(self, key: str) -> tuple[str, float] | None:
        found = self.texts.get(key)
        return found if found and found[1] > self.clock() else None

    async def write(self, key: str, text: str, expires_at: float) -> None:
        self.texts[key] = (text, expires_at)


def telling(*pairs: Pair) -> Callable[[], Awaitable[tuple[Pair, ...]]]:
    """What a project file has a service told."""

    async def told() -> tuple[Pair, ...]:
        return pairs

    return told
