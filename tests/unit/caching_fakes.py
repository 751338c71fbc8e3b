"""The cache of one process or of several, on a clock and with a table that a test drives, and an upstream behind it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Executor, Future
from selectors import SelectorKey, SelectSelector
from typing import Any, ParamSpec, TypeVar

from gatehouse.caching.answers import Answers, Wanted
from gatehouse.caching.freshness import Keeping
from gatehouse.caching.inquiry import Cache
from gatehouse.caching.keying import key_of, variant_of
from gatehouse.caching.marks import Marks
from gatehouse.caching.memory import Memory
from gatehouse.caching.purges import Purges
from gatehouse.caching.rules import CacheRules
from gatehouse.caching.sharing import Shared
from gatehouse.caching.stored import Stored
from gatehouse.caching.turns import Turns
from gatehouse.call import Call, Handler, Identity, Reply
from gatehouse.clock import Clock, Elapsed
from gatehouse.comfort import Comfort
from gatehouse.headers import Headers, Pair
from gatehouse.stages.cache import cache as cache_stage
from gatehouse.stores.cached_answers import Found as Look
from tests.unit.fakes import NOW, FakeClock, a_call, ok

T = TypeVar("T")
P = ParamSpec("P")
PATH = "/a/x"
RULES = CacheRules(project="p", route="r", source="s", by="public", keeping=Keeping(ttl_s=60.0), above=1)


class _Skipping(SelectSelector):
    """Waits by moving the clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for something that nobody will do")
        if not ready and timeout is not None:
            self._clock.now += max(0.0, timeout)
        return ready


class DrivenLoop(asyncio.SelectorEventLoop):
    """A loop on whose clock time passes as soon as everybody waits."""

    def __init__(self, clock: FakeClock) -> None:
        self._driven = clock
        super().__init__(_Skipping(clock))
        self._clock_resolution = 1e-6  # what a float of this size still holds

    def time(self) -> float:
        return self._driven.now


def drive(work: Coroutine[Any, Any, T], clock: FakeClock) -> T:
    """Run *work* on a loop of its own whose time is that of *clock*."""
    with asyncio.Runner(loop_factory=lambda: DrivenLoop(clock)) as runner:
        return runner.run(work)


class FakeTable:
    """What processes share, as `stores.cached_answers.CachedAnswers` has it, in memory.

    It fails with `error`, takes `slow_s` seconds, and has in `calls` the names of the calls that reached it.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[Stored, float]] = {}
        self.gone: dict[str, float] = {}
        self.purged: dict[str, Purges] = {}
        self.leases: dict[str, tuple[float, float]] = {}
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.slow_s = 0.0

    def look(self, place: str, gone: str, *, now: float, purges: str = "", lease: bool = False) -> Look:
        self._asked("look")
        stored, until = self.answers.get(place, (None, 0.0))
        return Look(
            stored=stored if until > now else None,
            gone_at=self.gone.get(gone, 0.0),
            purges=self.purged.get(purges, Purges()) if purges else None,
            leased=lease and self.leases.get(place, (0.0, 0.0))[0] > now,
        )

    def keep(self, place: str, stored: Stored, *, now: float, until: float) -> bool:
        self._asked("keep")
        there, _ = self.answers.get(place, (stored, 0.0))
        if there.asked_at <= stored.asked_at:
            self.answers[place] = (stored, until)
        return True

    def claim(self, place: str, *, looked_at: float, now: float, until: float) -> bool:
        self._asked("claim")
        leased_until, done = self.leases.get(place, (0.0, 0.0))
        if leased_until > now or done >= looked_at:
            return False
        self.leases[place] = (until, done)
        return True

    def release(self, place: str, *, now: float, done: bool) -> None:
        self._asked("release")
        self.leases[place] = (0.0, _later(now) if done else self.leases[place][1])

    def forget(self, gone: str, *, at: float, until: float) -> None:
        self._asked("forget")
        self.gone[gone] = max(_later(at), self.gone.get(gone, 0.0))

    def purge(self, project: str = "p", **what: str) -> None:
        """Purge, as somebody else does."""
        self.purged[project] = self.purged.get(project, Purges()).adding(**what)

    def heard(self) -> list[str]:
        """Return the names of the calls since the last time that this was asked."""
        calls, self.calls = self.calls, []
        return calls

    def _asked(self, name: str) -> None:
        self.calls.append(name)
        if self.error:
            raise self.error


def _later(moment: float) -> float:
    """Return a whole millisecond that is not before *moment*, as the table has it."""
    return (math.floor(moment * 1000) + 1) / 1000


class _Threads(Executor):
    """Does what it is given on the loop itself: at once, or as late as the table is slow."""

    def __init__(self, table: FakeTable) -> None:
        self._table = table

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # what has begun is not stopped

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  # whoever asked for it is told
                future.set_exception(error)

        if self._table.slow_s:
            asyncio.get_running_loop().call_later(self._table.slow_s, work)
        else:
            work()
        return future


class Origin:
    """An upstream, as the stage sees it: it gives what it was given, in order, and then counts its answers.

    It takes `takes_s` seconds for each, and has in `asked` what it was asked.
    """

    def __init__(self, *answers: Reply | Exception, takes_s: float = 0.0, always: tuple[Pair, ...] = ()) -> None:
        self.answers = list(answers)
        self.takes_s = takes_s
        self.always = always
        self.asked: list[Call] = []

    async def __call__(self, call: Call) -> Reply:
        self.asked.append(call)
        answer = self.answers.pop(0) if self.answers else ok(str(len(self.asked)).encode(), *self.always)
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def count(self) -> int:
        return len(self.asked)


class Process:
    """The cache of one process.

    Args:
        clock: what time it is.
        table: what it shares with others; None if it shares nothing.
        origin: where it asks what is not kept.
        ahead_s: how much its wall clock is ahead.
        freezes: whether it is one of Lambda.
        most_bytes: how much its memory takes.
    """

    def __init__(
        self,
        clock: FakeClock | None = None,
        table: FakeTable | None = None,
        *,
        origin: Origin | None = None,
        ahead_s: float = 0.0,
        freezes: bool = False,
        most_bytes: int = 1024 * 1024,
    ) -> None:
        self.clock = clock or FakeClock()
        self.ahead_s = ahead_s
        self.origin = origin or Origin()
        wall: Clock = lambda: self.clock.now + self.ahead_s  # noqa: E731
        self.elapsed = Elapsed(wall, self.clock)
        self.marks = Marks(self.elapsed)
        self.memory = Memory(most_bytes)
        self.comfort = Comfort(self.elapsed, name="cache", most_waiting=64)
        self.changes = Comfort(self.elapsed, name="cache for changes", most_waiting=64)
        self.shared = None
        if table:
            self.comfort.__dict__["_threads"] = self.changes.__dict__["_threads"] = _Threads(table)
            self.shared = Shared(table, self.comfort, self.changes, self.elapsed, self.marks)
        self.answers = Answers(self.memory, self.shared, self.marks, self.elapsed)
        self.turns = Turns(self.answers, self.shared, self.elapsed)
        self.cache = Cache(answers=self.answers, turns=self.turns, elapsed=self.elapsed, freezes=freezes)
        self.notes: dict[str, object] = {}

    async def asks(
        self,
        path: str = PATH,
        *headers: Pair,
        method: str = "GET",
        rules: CacheRules = RULES,
        origin: Handler | None = None,
        **changes: Any,
    ) -> Reply:
        """Send a request through the stage, to this process's origin or another, and read the answer to its end."""
        return await whole(await self.hears(path, *headers, method=method, rules=rules, origin=origin, **changes))

    async def hears(
        self,
        path: str = PATH,
        *headers: Pair,
        method: str = "GET",
        rules: CacheRules = RULES,
        origin: Handler | None = None,
        **changes: Any,
    ) -> Reply:
        """Send a request, as `asks` does; what comes as a stream still is one."""
        call = a_call(path, method, *headers, **changes)
        self.notes = call.notes
        return await cache_stage(rules, self.cache, lambda call: list(call.headers.pairs))(call, origin or self.origin)

    def ask(self, path: str = PATH, *headers: Pair, **changes: Any) -> Reply:
        """Send a request, as `asks` does, and wait for the answer."""
        return drive(self.asks(path, *headers, **changes), self.clock)

    def passes(self, seconds: float) -> None:
        """Let so much time pass."""
        self.clock.now += seconds


async def whole(reply: Reply) -> Reply:
    """Return *reply* in one piece."""
    if isinstance(reply.body, bytes):
        return reply
    chunks = [chunk async for chunk in reply.body]
    return Reply(status=reply.status, headers=reply.headers, body=b"".join(chunks))


class Stream:
    """The body of an answer in chunks, that knows whether it was let go of; numbers are seconds that it takes."""

    def __init__(self, *chunks: bytes | float | Exception) -> None:
        self.closed = False
        self.body = self._body(chunks)

    @property
    def let_go(self) -> bool:
        """Whether somebody has closed it, begun or not."""
        return self.closed or getattr(self.body, "ag_frame", self.body) is None

    async def _body(self, chunks: tuple[bytes | float | Exception, ...]) -> AsyncGenerator[bytes, None]:
        try:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                if isinstance(chunk, bytes):
                    yield chunk
                else:
                    await asyncio.sleep(chunk)
        finally:
            self.closed = True


def said(reply: Reply) -> str:
    """Return what the cache says of *reply*, less its name."""
    return reply.headers.get_all("cache-status")[-1].removeprefix("gatehouse; ")


def a_stored(body: bytes = b"kept", *pairs: Pair, **changes: Any) -> Stored:
    """Return an answer as it is kept: fresh for a minute from NOW on."""
    fields: dict[str, Any] = {"asked_at": float(NOW), "answered_at": float(NOW), "lifetime_s": 60.0}
    headers = Headers((("content-type", "text/plain"), *pairs))
    return Stored(**{"status": 200, "headers": headers, "body": body, **fields, **changes})


def a_wanted(path: str = PATH, *headers: Pair, rules: CacheRules = RULES, **changes: Any) -> Wanted:
    """Return what a request asks the cache for."""
    call = a_call(path, "GET", *headers, **changes)
    return Wanted(rules, key_of(rules, call), lambda names: variant_of(names, call.headers.get_all))


def somebody(subject: str = "ada", organization: str = "", **changes: Any) -> Identity:
    """Return a caller."""
    return Identity(kind="session", subject=subject, organization=organization, **changes)
