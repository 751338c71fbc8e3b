"""Calls of models on their way: judged before, held while they run, settled once, however they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from gatehouse.call import Call, Reply
from gatehouse.errors import (
    BudgetExceededError,
    ForbiddenError,
    InvalidRequestError,
    PayloadTooLargeError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gatehouse.headers import Headers
from gatehouse.models.metered import Metered, Terms
from gatehouse.models.requests import ModelRequest, RequestRules
from gatehouse.stages.model_calls import ModelCalls, model_calls
from gatehouse.upstreams import UnansweredError
from tests.unit.fakes import a_call, an_identity, ok, run
from tests.unit.test_models_metering import ANSWER, SAID, World, a_budget

CHAT = "/ai/v1/chat/completions"
RULES = RequestRules(
    paths=("/v1/chat/completions", "/v1/models"), models=("gpt-4o",), max_tokens=50, max_body=500, include_usage=True
)
LAST = (
    b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n',
    b'data: {"model":"m-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n',
    b"data: [DONE]\n\n",
)
JSON = ("content-type", "application/json")


class Upstream:
    """The end of the pipeline: it answers what it is given, or raises it, and remembers what it was sent."""

    def __init__(self, *chunks: bytes | BaseException, whole: bytes | None = None, status: int = 200) -> None:
        self.chunks = chunks
        self.whole = whole
        self.status = status
        self.sent: list[Call] = []
        self.closed = 0
        self.given: list[bytes] = []

    async def __call__(self, call: Call) -> Reply:
        self.sent.append(call)
        if self.whole is not None:
            return Reply(status=self.status, headers=Headers((JSON,)), body=self.whole)
        if self.chunks and not isinstance(self.chunks[0], bytes):
            raise self.chunks[0]
        stream = self._stream()
        await anext(stream)
        return Reply(status=self.status, headers=Headers((("content-type", "text/event-stream"),)), body=stream)

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b""
            for chunk in self.chunks:
                if not isinstance(chunk, bytes):
                    raise chunk
                self.given.append(chunk)
                yield chunk
                await asyncio.sleep(0)
        finally:
            self.closed += 1


class Door:
    """A route of models with a budget of 100 tokens."""

    def __init__(self, upstream: Callable[[Call], Any], rules: RequestRules = RULES) -> None:
        self.world = World(a_budget(tokens=100))
        self.ledger = self.world.ledger
        terms = Terms(project="p", route="ai", budget=a_budget(tokens=100), longest_s=300)
        self.stage = model_calls(ModelCalls(rules=rules, terms=terms, above=1), self.world.meter)
        self.upstream = upstream

    async def ask(self, path: str = CHAT, method: str = "POST", *headers: Any, raw: bytes = b"", **body: Any) -> Reply:
        data = raw or (json.dumps({"model": "gpt-4o", **body}).encode() if method == "POST" else b"")
        call = a_call(path, method, JSON, *headers, body=data, identity=an_identity())
        return await self.stage(call, self.upstream)

    def settled(self) -> int:
        """What was spent, once everything is: nothing is held, and one row is written."""
        assert self.ledger.holds == {}
        assert len(self.ledger.rows) == 1
        return self.ledger.spent


async def everything(reply: Reply) -> list[bytes]:
    assert not isinstance(reply.body, bytes)
    return [chunk async for chunk in reply.body]


# ------------------------------------------------------------------------------------------------------------- whole


def test_an_answer_in_one_piece_is_settled_before_it_leaves() -> None:
    door = Door(Upstream(whole=ANSWER))
    reply = run(door.ask())
    assert reply.whole == ANSWER
    assert door.settled() == 7
    assert door.ledger.rows[0].usage == SAID


def test_a_failure_of_the_upstream_costs_nothing() -> None:
    door = Door(Upstream(whole=b'{"error":{}}', status=500))
    assert run(door.ask()).status == 500
    assert door.settled() == 0
    assert door.ledger.rows[0].failed


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (UnansweredError(), 0), (ForbiddenError(), 0), (PayloadTooLargeError(), 0), (UpstreamUnreachableError(), 50),
        (UpstreamTimeoutError(), 50), (ValueError("x"), 50),
    ],
)  # fmt: skip
def test_what_is_raised_goes_on_and_all_returns_if_the_model_has_not_heard_of_it(error: Exception, spent: int) -> None:
    door = Door(Upstream(error))
    with pytest.raises(type(error)):
        run(door.ask())
    assert door.settled() == spent
    assert door.ledger.rows[0].failed


def test_a_client_that_hangs_up_before_there_is_an_answer_has_used_all_that_it_held() -> None:
    asked = asyncio.Event()

    async def hang(_: Call) -> Reply:
        asked.set()
        await asyncio.Event().wait()
        return ok()

    door = Door(hang)

    async def hang_up() -> None:
        asking = asyncio.create_task(door.ask())
        await asked.wait()
        assert len(door.ledger.holds) == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    run(hang_up())
    assert door.settled() == 50


# ----------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (ForbiddenError, {"path": "/ai/v1/files"}), (ForbiddenError, {"model": "o1"}),
        (InvalidRequestError, {"max_tokens": 51}), (InvalidRequestError, {"raw": b"[]"}),
        (PayloadTooLargeError, {"raw": b" " * 501}), (BudgetExceededError, {"n": 3}),
        (ForbiddenError, {"path": "/ai/v1/files", "method": "GET"}),
        (InvalidRequestError, {"path": "/ai/v1/models", "method": "GET", "raw": b"x"}),
    ],
)  # fmt: skip
def test_what_is_refused_goes_nowhere_and_costs_nothing(error: type[Exception], asked: dict[str, Any]) -> None:
    upstream = Upstream(whole=ANSWER)
    door = Door(upstream)
    with pytest.raises(error):
        run(door.ask(**asked))
    assert (upstream.sent, door.ledger.holds, door.ledger.rows, door.ledger.spent) == ([], {}, [], 0)


def test_a_path_that_is_refused_is_refused_before_the_body_is_read() -> None:
    call = a_call("/ai/v1/files", "POST", body=b"{}")
    with pytest.raises(ForbiddenError):
        run(Door(Upstream()).stage(call, Upstream()))
    assert call.body.reads == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_without_a_body_costs_nothing(method: str) -> None:
    """Of what it answers nobody reads usage: that of an answer from before would count again."""
    upstream = Upstream(whole=ANSWER)
    door = Door(upstream)
    assert run(door.ask("/ai/v1/models", method, ("accept-encoding", "gzip"))).whole == ANSWER
    assert (len(upstream.sent), door.ledger.rows, door.ledger.spent) == (1, [], 0)
    assert upstream.sent[0].headers.get("accept-encoding") == "gzip"


# -------------------------------------------------------------------------------------------------------------- sent


def test_the_model_is_asked_for_an_answer_that_can_be_read() -> None:
    upstream = Upstream(whole=ANSWER)
    run(Door(upstream).ask(CHAT, "POST", ("accept-encoding", "gzip, br"), ("content-digest", "sha-256=:x:")))
    (call,) = upstream.sent
    assert "accept-encoding" not in call.headers
    assert call.headers.get("content-digest") == "sha-256=:x:"
    assert run(call.body.read()) == b'{"model": "gpt-4o"}'


def test_a_stream_is_made_to_say_what_it_took_and_its_digests_are_not_sent() -> None:
    upstream = Upstream(*LAST)
    run(Door(upstream).ask(CHAT, "POST", ("content-digest", "sha-256=:x:"), ("x-a", "b"), stream=True))
    (call,) = upstream.sent
    assert json.loads(run(call.body.read()))["stream_options"] == {"include_usage": True}
    assert "content-digest" not in call.headers
    assert call.headers.get("x-a") == "b"


def test_a_body_that_was_changed_still_knows_when_its_client_is_gone() -> None:
    upstream, gone = Upstream(*LAST), []

    class Body:
        async def read(self) -> bytes:
            return b'{"model":"gpt-4o","stream":true}'

        async def gone(self) -> None:
            gone.append(True)

    async def one() -> None:
        call = a_call(CHAT, "POST", identity=an_identity())
        reply = await door.stage(
            Call(**{name: getattr(call, name) for name in call.__slots__} | {"body": Body()}), upstream
        )
        await upstream.sent[0].body.gone()
        await everything(reply)

    door = Door(upstream)
    run(one())
    assert gone == [True]


# ----------------------------------------------------------------------------------------------------------- streams


def test_a_stream_passes_as_it_comes_and_is_settled_at_its_end() -> None:
    door = Door(Upstream(*LAST))

    async def read() -> None:
        reply = await door.ask(stream=True)
        assert not isinstance(reply.body, bytes)
        for number, chunk in enumerate(LAST):
            assert await anext(reply.body) == chunk
            assert len(door.upstream.given) == number + 1  # type: ignore[attr-defined]  # none was waited for ahead
            assert (len(door.ledger.holds), door.ledger.rows) == (1, [])
        with pytest.raises(StopAsyncIteration):
            await anext(reply.body)

    run(read())
    assert door.settled() == 7


@pytest.mark.parametrize(
    ("chunks", "spent"),
    [(0, 1), (1, 1 + 2), (2, 7), (3, 7)],  # "abc" is a token, "Hello" two; then the stream says it itself
)
def test_a_client_that_leaves_early_pays_for_what_it_saw(chunks: int, spent: int) -> None:
    upstream = Upstream(*LAST)
    door = Door(upstream)

    async def leave() -> None:
        reply = await door.ask(stream=True, messages="abc")
        assert not isinstance(reply.body, bytes)
        for _ in range(chunks):
            await anext(reply.body)
        for _ in range(2):
            await reply.body.aclose()

    run(leave())
    assert (door.settled(), upstream.closed, door.ledger.rows[0].failed) == (spent, 1, False)


def test_a_stream_that_breaks_off_is_cut_and_counted_as_a_failure() -> None:
    upstream = Upstream(LAST[0], ConnectionError())
    door = Door(upstream)

    async def read() -> None:
        reply = await door.ask(stream=True, messages="abc")
        with pytest.raises(ConnectionError):
            await everything(reply)

    run(read())
    assert (door.settled(), upstream.closed, door.ledger.rows[0].failed) == (3, 1, True)


@pytest.mark.parametrize("cancels", [1, 2])
def test_whoever_is_cancelled_in_the_middle_is_settled_all_the_same(cancels: int) -> None:
    upstream = Upstream(*LAST)
    door = Door(upstream)

    async def stop() -> None:
        reading = asyncio.Event()

        async def read() -> None:
            reply = await door.ask(stream=True, messages="abc")
            assert not isinstance(reply.body, bytes)
            async for _ in reply.body:
                reading.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(read())
        await reading.wait()
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({task})
        await asyncio.get_running_loop().shutdown_asyncgens()

    run(stop())
    door.world.meter._threads.shutdown()
    assert door.settled() == 3
    assert upstream.closed == 1


def test_fifty_at_once_hold_no_more_than_there_is_and_the_account_is_right_in_the_end() -> None:
    door = Door(Upstream(*LAST))

    async def one(number: int) -> bool:
        try:
            reply = await door.ask(stream=True, max_tokens=4, messages="abcd")
        except BudgetExceededError:
            return False
        assert not isinstance(reply.body, bytes)
        await ready.wait()
        if number % 2:
            await reply.body.aclose()
        else:
            await everything(reply)
        return True

    async def fifty() -> list[bool]:
        nonlocal ready
        ready = asyncio.Event()
        asking = [asyncio.create_task(one(number)) for number in range(50)]
        while sum(task.done() for task in asking) < 30:  # noqa: ASYNC110  # their threads set no event of a loop
            await asyncio.sleep(0.001)
        ready.set()
        return await asyncio.gather(*asking)

    ready: asyncio.Event
    passed = run(fifty())
    assert sum(passed) == 20
    door.world.meter._threads.shutdown()
    expected = sum(1 if number % 2 else 7 for number, one_passed in enumerate(passed) if one_passed)
    assert (door.ledger.holds, door.ledger.spent, len(door.ledger.rows)) == ({}, expected, 20)


def test_the_stages_protocols_are_what_the_meter_is() -> None:
    async def begun() -> Metered:
        request = ModelRequest(model="m", given=1, reserved=1, body=b"")
        world = World()
        return await world.meter.begin(world.terms, request, a_call())

    assert isinstance(run(begun()), Metered)


@pytest.mark.parametrize(
    "fields",
    [
        (("content-type", "application/json;charset=utf-8;charset=utf-7"),), (("content_type", "text/plain"),),
        (("content-type", "application/json; xcharset=utf-8; charset=utf-7"),),
        (("content-type", "application/json"), ("content-encoding", "gzip")), (("content_encoding", "br"),),
    ],
)  # fmt: skip
def test_a_body_that_a_model_could_read_otherwise_is_refused(fields: tuple[tuple[str, str], ...]) -> None:
    door = Door(Upstream(whole=b"{}"))
    body = b'{"model":"gpt-4o","max_tokens":5}'
    call = a_call(CHAT, "POST", *fields, body=body, identity=an_identity())
    with pytest.raises(InvalidRequestError):
        run(door.stage(call, door.upstream))


def test_what_chooses_who_pays_stays_behind() -> None:
    seen: list[Call] = []

    async def upstream(call: Call) -> Reply:
        seen.append(call)
        return ok(b"{}")

    door = Door(upstream)
    names = (
        "x-api-key",
        "x_api_key",
        "openai-organization",
        "cf-aig-custom-cost",
        "cf_aig_byok_alias",
        "accept_encoding",
    )
    fields = tuple((name, "x") for name in names)
    body = b'{"model":"gpt-4o","max_tokens":5}'
    call = a_call(CHAT, "POST", *fields, ("x-trace", "1"), body=body, identity=an_identity())
    run(door.stage(call, upstream))
    assert [name for name, _ in seen[0].headers] == ["x-trace"]
