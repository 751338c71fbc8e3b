"""What was found out a moment ago, and is good for a while: in memory, bounded, and found out once for all who ask."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from gatehouse.clock import Elapsed, Instant
from gatehouse.errors import AuthUnavailableError

T = TypeVar("T")
MOST = 4096
BRIEF_S = 5.0
"""What is good for so few seconds is kept apart: refusals come in any number, and must not push good answers out."""

Make: TypeAlias = Callable[[], Awaitable[tuple[T, float]]]
"""Finds a value out, and says for how many seconds it is good: none or fewer means only for those who wait for it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any = field(repr=False)
    seconds: float
    since: Instant


class Kept:
    """Values under keys. A key is all that its value depends on: a tuple, with digests whole.

    Args:
        elapsed: what says how much time has passed.
        most: so many are kept; the one used longest ago makes room.
    """

    def __init__(self, elapsed: Elapsed, most: int = MOST) -> None:
        self._elapsed = elapsed
        self._most = most
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._brief: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._making: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, make: Make[T], deadline: float | None = None) -> T:
        """Return what is kept under *key*, or else what *make* finds out.

        Whoever asks for the same key meanwhile waits for the same answer, or the same exception, which is not kept.
        It is found out in a task of its own: a client that hangs up takes nothing from the others.

        Args:
            key: what the value depends on.
            make: finds it out.
            deadline: on the clock of `time.monotonic`, in seconds, when this caller stops waiting.

        Raises:
            AuthUnavailableError: it took until *deadline*.
        """
        entry = self._entries.get(key) or self._brief.get(key)
        if entry is not None and self._elapsed.since(entry.since) < entry.seconds:
            (self._entries if key in self._entries else self._brief).move_to_end(key)
            value: T = entry.value
            return value
        making = self._task(key, make)
        left_s = None if deadline is None else max(0.0, deadline - self._elapsed.monotonic())
        await asyncio.wait({making}, timeout=left_s)  # which, unlike awaiting it, never cancels it
        if not making.done() or making.cancelled():
            raise AuthUnavailableError
        made: T = making.result()
        return made

    def _task(self, key: Hashable, make: Make[T]) -> asyncio.Task[T]:
        """Return the task that finds *key* out on this loop, started if there is none."""
        loop = asyncio.get_running_loop()
        making = self._making.get(key)
        if making is None or making.get_loop() is not loop:
            # Tasks of a loop that is gone never end, and nobody can wait for them on another.
            self._making = {known: task for known, task in self._making.items() if task.get_loop() is loop}
            making = self._making[key] = loop.create_task(self._made(key, make))
            making.add_done_callback(lambda task: self._end(key, task))
        return making

    def _made(self, key: Hashable, make: Make[T]) -> Coroutine[Any, Any, T]:
        async def made() -> T:
            value, seconds = await make()
            if seconds > 0:
                self._keep(key, _Entry(value, seconds, self._elapsed.now()))
            return value

        return made()

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        kept, other = (self._entries, self._brief) if entry.seconds > BRIEF_S else (self._brief, self._entries)
        other.pop(key, None)
        kept[key] = entry
        kept.move_to_end(key)
        if len(kept) > self._most:
            kept.popitem(last=False)

    def _end(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._making.get(key) is task:
            del self._making[key]
        if not task.cancelled():
            task.exception()  # seen: where everybody has hung up, nobody else looks at it
