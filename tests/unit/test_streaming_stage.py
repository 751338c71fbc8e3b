"""Streams that are held to a pace: on a clock that moves as soon as everybody waits, so moments are exact."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.call import Call, Reply
from gatehouse.headers import Headers, Pair
from gatehouse.projects.model import Streaming
from gatehouse.stages.streaming import COMMENT, OvertimeError, Pace, SilentError, pace_of, streaming
from tests.unit.caching_fakes import drive
from tests.unit.fakes import NOW, FakeClock, a_call, ok

SSE: Pair = ("content-type", "text/event-stream")
PACE = Pace(keep_alive_s=15, idle_s=60, total_s=300)
EVENT = b"data: x\n\n"


@dataclass
class Upstream:
    """An upstream that says each part of its script after so many seconds, and remembers how it ended."""

    script: Sequence[tuple[float, bytes | Exception]]
    fields: tuple[Pair, ...] = (SSE,)
    said: int = 0
    closed: int = 0
    reading: bool = field(default=False)

    async def __call__(self, _: Call) -> Reply:
        body = self._body()
        await anext(body)
        return Reply(status=200, headers=Headers(self.fields), body=body)

    async def _body(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b""
            for wait_s, part in self.script:
                self.reading = True
                await asyncio.sleep(wait_s)
                self.reading = False
                self.said += 1
                if isinstance(part, Exception):
                    raise part
                yield part
        finally:
            self.closed += 1


@dataclass
class Heard:
    """What a client was given: at which second, and what; and how it ended."""

    parts: list[tuple[float, bytes]]
    ended_s: float
    ended_by: type[Exception] | None
    headers: Headers

    @property
    def whole(self) -> bytes:
        return b"".join(part for _, part in self.parts)

    @property
    def comments(self) -> list[float]:
        return [moment for moment, part in self.parts if part == COMMENT]


def listen(
    upstream: Upstream, pace: Pace = PACE, *, deadline: float | None = None, slow_s: float = 0.0, head_s: float = 0.0
) -> Heard:
    """Read the whole answer; a client that is slow takes *slow_s* over every part."""
    clock = FakeClock()

    async def forward(call: Call) -> Reply:
        await asyncio.sleep(head_s)
        return await upstream(call)

    async def work() -> Heard:
        call = a_call(deadline=None if deadline is None else NOW + deadline)
        reply = await streaming(pace, clock)(call, forward)
        assert not isinstance(reply.body, bytes)
        parts: list[tuple[float, bytes]] = []
        ended_by: type[Exception] | None = None
        try:
            async with aclosing(reply.body) as chunks:
                async for chunk in chunks:
                    parts += [(round(clock() - NOW, 3), chunk)] if chunk else []
                    await asyncio.sleep(slow_s)
        except Exception as error:  # noqa: BLE001  # how it ended is what is asked
            ended_by = type(error)
        return Heard(parts, round(clock() - NOW, 3), ended_by, reply.headers)

    return drive(work(), clock)


def held(script: Sequence[tuple[float, bytes | Exception]], **fields: Any) -> Heard:
    return listen(Upstream(script), **fields)


# ------------------------------------------------------------------------------------------------- signs of life


def test_a_silent_upstream_is_spoken_for_every_fifteen_seconds():
    heard = held([(0, EVENT), (40, EVENT), (0, b"data: y\n\n")])
    assert heard.parts == [(0, EVENT), (15, COMMENT), (30, COMMENT), (40, EVENT), (40, b"data: y\n\n")]
    assert heard.ended_by is None


def test_an_upstream_that_has_not_begun_is_spoken_for_too():
    assert held([(16, EVENT)]).parts == [(15, COMMENT), (16, EVENT)]


@pytest.mark.parametrize(("silence_s", "comments"), [(14.9, []), (15.1, [15]), (29.9, [15]), (30.1, [15, 30])])
def test_silence_is_counted_from_the_last_word(silence_s: float, comments: list[float]):
    assert held([(0, EVENT), (silence_s, EVENT)]).comments == comments


def test_an_upstream_that_speaks_is_not_spoken_for():
    assert held([(14, EVENT)] * 10).comments == []


@pytest.mark.parametrize(
    "ending", [b"data: x\n\n", b"data: x\r\n\r\n", b"data: x\r\r", b": theirs\n\n", b"data: x\n\n\n", b"\r\n\r\n"]
)
def test_a_comment_stands_after_an_event_whichever_way_lines_end(ending: bytes):
    assert held([(0, ending), (16, EVENT)]).comments == [15]


@pytest.mark.parametrize("ending", [b"data: x\n\n", b"data: x\r\n\r\n", b"data: x\r\r"])
def test_an_end_that_comes_in_pieces_is_one(ending: bytes):
    pieces = [(0.0, bytes([byte])) for byte in ending]
    assert held([*pieces, (16, EVENT)]).comments == [15]


@pytest.mark.parametrize(
    "ending",
    [b"d", b"data: x", b"data: x\n", b"data: x\r\n", b"data: x\r", b"data: x\r\n\r", b"data: x\n\nd", b"\xe2\x82"],
)
def test_no_comment_stands_inside_an_event(ending: bytes):
    heard = held([(0, EVENT), (0, ending), (50, b"\n\n")])
    assert heard.comments == []
    assert heard.ended_by is None


def test_no_comment_follows_the_end():
    heard = held([(0, EVENT)])
    assert (heard.parts, heard.ended_s) == ([(0, EVENT)], 0)


@pytest.mark.parametrize(
    "fields",
    [
        (("content-type", "application/json"),),
        (("content-type", "text/event-streams"),),
        (("content-type", "application/x-ndjson"),),
        (),
        (SSE, ("content-encoding", "gzip")),
        (SSE, ("content-encoding", "br")),
    ],
    ids=str,
)
def test_no_comment_stands_in_what_is_no_plain_event_stream(fields: tuple[Pair, ...]):
    heard = listen(Upstream([(0, b"x\n\n"), (50, b"y")], (*fields, ("content-length", "4"))))
    assert heard.parts == [(0, b"x\n\n"), (50, b"y")]
    assert heard.headers.get("content-length") == "4"


@pytest.mark.parametrize("kind", ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream ;x=y"])
@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_an_event_stream_is_known_however_it_is_written_and_is_as_long_as_it_gets(kind: str, coding: str):
    fields = (("content-type", kind), ("content-length", "9"), *((("content-encoding", coding),) if coding else ()))
    heard = listen(Upstream([(16, EVENT)], fields))
    assert heard.comments == [15]
    assert "content-length" not in heard.headers


# ------------------------------------------------------------------------------------------------ ends of patience


@pytest.mark.parametrize(("silence_s", "ended_by"), [(59.9, None), (60.1, SilentError)])
def test_an_upstream_that_is_silent_for_too_long_is_given_up(silence_s: float, ended_by: type[Exception] | None):
    upstream = Upstream([(0, EVENT), (silence_s, EVENT)])
    heard = listen(upstream)
    assert heard.ended_by is ended_by
    assert heard.ended_s == (60 if ended_by else 59.9)
    assert upstream.closed == 1


def test_comments_are_not_the_upstreams_words():
    heard = held([(0, EVENT), (1000, EVENT)])
    assert (heard.comments, heard.ended_by, heard.ended_s) == ([15, 30, 45], SilentError, 60)


def test_silence_in_what_takes_no_comments_ends_at_the_same_moment():
    heard = listen(Upstream([(0, b"x"), (1000, b"y")], ()))
    assert (heard.parts, heard.ended_by, heard.ended_s) == ([(0, b"x")], SilentError, 60)


@pytest.mark.parametrize("between_s", [0.5, 7, 59])
def test_a_stream_that_is_never_silent_ends_in_its_time_all_the_same(between_s: float):
    heard = held([(between_s, EVENT)] * 1000)
    assert heard.ended_by is OvertimeError
    assert 300 - between_s <= heard.ended_s <= 300
    assert all(moment < 300 for moment, _ in heard.parts)


def test_an_upstream_that_is_never_even_waited_for_ends_in_its_time():
    clock = FakeClock()

    async def body() -> AsyncGenerator[bytes, None]:
        yield b""
        while True:
            clock.now += 1
            yield EVENT

    async def forward(_: Call) -> Reply:
        begun = body()
        await anext(begun)
        return Reply(status=200, headers=Headers((SSE,)), body=begun)

    async def work() -> int:
        reply = await streaming(PACE, clock)(a_call(), forward)
        assert not isinstance(reply.body, bytes)
        chunks = 0
        try:
            async for chunk in reply.body:
                chunks += bool(chunk)
        except OvertimeError:
            return chunks
        return -1

    assert drive(work(), clock) == 299


def test_the_time_of_a_stream_begins_with_the_request():
    heard = held([(50, EVENT)] * 1000, head_s=120)
    assert (heard.ended_by, heard.ended_s) == (OvertimeError, 300)


@pytest.mark.parametrize(("deadline", "ended_s"), [(100, 100), (1000, 300)])
def test_a_stream_ends_with_its_invocation(deadline: float, ended_s: float):
    heard = held([(20, EVENT)] * 1000, deadline=deadline)
    assert (heard.ended_by, heard.ended_s) == (OvertimeError, ended_s)


def test_what_a_slow_client_takes_is_not_the_upstreams_silence():
    upstream = Upstream([(0, EVENT), (10, EVENT), (10, EVENT)])
    heard = listen(upstream, slow_s=70)
    assert (heard.whole, heard.ended_by, heard.comments) == (EVENT * 3, None, [])


def test_a_slow_client_is_not_read_ahead_for():
    upstream = Upstream([(0, EVENT)] * 100)

    async def work() -> int:
        reply = await streaming(PACE, clock)(a_call(), upstream)
        assert not isinstance(reply.body, bytes)
        await anext(reply.body)
        await asyncio.sleep(10)
        said = upstream.said
        await reply.body.aclose()
        return said

    clock = FakeClock()
    assert drive(work(), clock) == 1


def test_the_time_of_a_stream_holds_for_slow_clients_too():
    heard = held([(0, EVENT)] * 100, slow_s=50)
    assert heard.ended_by is OvertimeError
    assert len(heard.parts) == 6


# ----------------------------------------------------------------------------------------------------- the way out


@pytest.mark.parametrize("read", [0, 1, 2])
def test_closing_what_the_client_reads_closes_what_the_upstream_says(read: int):
    clock, upstream = FakeClock(), Upstream([(0, EVENT), (1000, EVENT)])

    async def work() -> None:
        reply = await streaming(PACE, clock)(a_call(), upstream)
        assert not isinstance(reply.body, bytes)
        for _ in range(read):
            await anext(reply.body)  # the second is a comment: the upstream is being read then
        await reply.body.aclose()
        assert upstream.closed == 1
        assert len(asyncio.all_tasks()) == 1

    drive(work(), clock)


def test_a_client_that_leaves_while_the_upstream_is_silent_closes_it():
    clock, upstream = FakeClock(), Upstream([(1000, EVENT)], ())

    async def work() -> None:
        reply = await streaming(PACE, clock)(a_call(), upstream)
        assert not isinstance(reply.body, bytes)
        reading = asyncio.ensure_future(anext(reply.body))
        await asyncio.sleep(5)
        assert upstream.reading
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert upstream.closed == 1
        assert len(asyncio.all_tasks()) == 1

    drive(work(), clock)


class BrokeOffError(Exception):
    pass


@pytest.mark.parametrize("after_s", [0, 5, 16])
def test_an_upstream_that_breaks_off_breaks_off_for_the_client(after_s: float):
    upstream = Upstream([(0, EVENT), (after_s, BrokeOffError())])
    heard = listen(upstream)
    assert (heard.ended_by, heard.ended_s) == (BrokeOffError, after_s)
    assert [part for _, part in heard.parts if part != COMMENT] == [EVENT]
    assert upstream.closed == 1


def test_an_upstream_that_breaks_off_as_the_client_leaves_is_nobodys_unheard_failure():
    clock, upstream = FakeClock(), Upstream([(0, EVENT), (16, BrokeOffError())])
    unheard: list[dict[str, Any]] = []

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: unheard.append(about))
        reply = await streaming(PACE, clock)(a_call(), upstream)
        assert not isinstance(reply.body, bytes)
        assert [await anext(reply.body) for _ in range(2)] == [EVENT, COMMENT]
        await asyncio.sleep(10)  # the client takes its time; meanwhile the upstream breaks off
        await reply.body.aclose()
        gc.collect()

    drive(work(), clock)
    assert unheard == []


def test_a_failure_before_the_answer_is_not_the_streams():
    async def forward(_: Call) -> Reply:
        raise BrokeOffError

    with pytest.raises(BrokeOffError):
        drive(streaming(PACE, FakeClock())(a_call(), forward), FakeClock())


def test_an_answer_that_came_whole_passes_untouched():
    answer = ok(EVENT, ("content-length", "9"))

    async def forward(_: Call) -> Reply:
        return answer

    assert drive(streaming(PACE, FakeClock())(a_call(), forward), FakeClock()) is answer


def test_a_project_file_that_says_only_true_means_the_usual_pace():
    assert pace_of(Streaming()) == PACE
    assert pace_of(Streaming(keep_alive=1, idle=2, total=3)) == Pace(keep_alive_s=1, idle_s=2, total_s=3)


# -------------------------------------------------------------------------------------------------------- properties

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def recordings(draw: st.DrawFn) -> list[tuple[float, bytes]]:
    """An event stream, cut anywhere, with silences anywhere."""
    end = draw(LINE_ENDS)
    events = draw(st.lists(st.lists(st.sampled_from([b"data: x", b"id: 1", b": c", b"data:"]), max_size=3), max_size=6))
    whole = b"".join(b"".join(line + end for line in lines) + end for lines in events) + draw(st.binary(max_size=5))
    cuts = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=8)) | {0, len(whole)})
    pieces = [whole[start:stop] for start, stop in itertools.pairwise(cuts)]
    return [(draw(st.sampled_from([0.0, 1.0, 14.0, 20.0, 35.0, 50.0])), piece) for piece in pieces]


@given(recordings())
def test_less_the_comments_a_client_gets_byte_for_byte_what_the_upstream_said(script: list[tuple[float, bytes]]):
    heard = held(script, pace=Pace(keep_alive_s=15, idle_s=60, total_s=10_000))
    assert heard.ended_by is None
    assert b"".join(part for _, part in heard.parts if part != COMMENT) == b"".join(part for _, part in script)


@given(recordings())
def test_events_are_the_same_with_comments_and_without(script: list[tuple[float, bytes]]):
    heard = held(script, pace=Pace(keep_alive_s=15, idle_s=60, total_s=10_000))
    assert events(heard.whole) == events(b"".join(part for _, part in script))


def events(stream: bytes) -> list[list[bytes]]:
    """Read *stream* as the standard has it, to the fields of its events; what the end leaves open is no event."""
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    found: list[list[bytes]] = [[]]
    for line in lines[:-1]:
        if not line:
            found.append([])
        elif not line.startswith(b":"):
            found[-1].append(line)
    return [fields for fields in [*found, [lines[-1]]] if fields not in ([], [b""])]
