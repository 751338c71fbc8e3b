"""One GET or HEAD and the cache, where no host shows it: what is renewed behind, streams, failures at a bad moment."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from gatehouse.caching.collecting import MOST_BODY_BYTES, PATIENCE_S, collected, discard
from gatehouse.caching.freshness import Keeping
from gatehouse.caching.http_dates import written
from gatehouse.caching.turns import WAIT_S
from gatehouse.call import Reply
from gatehouse.errors import NotCachedError, UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Headers, Pair
from tests.unit.caching_fakes import PATH, RULES, FakeTable, Origin, Process, Stream, drive, said, whole
from tests.unit.fakes import NOW, FakeClock, ok, run

WHILE = replace(RULES, keeping=Keeping(ttl_s=60, stale_while_revalidate_s=30))
IF_ERROR = replace(RULES, keeping=Keeping(ttl_s=60, stale_if_error_s=30))
TAG: Pair = ("etag", '"1"')
NO_STORE: Pair = ("cache-control", "no-store")


def stale(*answers: Reply | Exception, freezes: bool = False, takes_s: float = 1.0) -> Process:
    """Return a process that has an answer which is stale, and may be given while it is renewed."""
    here = Process(table=FakeTable(), freezes=freezes, origin=Origin(ok(b"kept"), *answers))
    here.ask(rules=WHILE)
    here.passes(65.0)
    here.origin.takes_s = takes_s
    return here


# ------------------------------------------------------------------------------------------ while it is renewed behind


def test_the_kept_answer_is_given_at_once_and_renewed_once_behind() -> None:
    here = stale()

    async def many() -> list[Reply]:
        began = here.clock.now
        replies = [await here.asks(rules=WHILE) for _ in range(5)]
        assert here.clock.now == began
        await asyncio.gather(*here.cache.renewing)
        return [*replies, await here.asks(rules=WHILE)]

    *replies, after = drive(many(), here.clock)
    assert {(reply.body, said(reply)) for reply in replies} == {(b"kept", "hit; ttl=-5; detail=memory")}
    assert (after.body, said(after)) == (b"2", "hit; ttl=59; detail=memory")
    assert here.origin.count == 2
    assert not here.cache.renewing


def test_what_is_renewed_behind_is_asked_for_by_get_without_the_clients_conditions_and_its_deadline() -> None:
    here = stale()

    async def one() -> Reply:
        reply = await here.asks(PATH, ("if-none-match", '"9"'), method="HEAD", rules=WHILE, deadline=0.0)
        await asyncio.gather(*here.cache.renewing)
        return reply

    assert drive(one(), here.clock).headers.get("content-length") == "4"
    asked = here.origin.asked[1]
    assert (asked.method, asked.deadline, "if-none-match" in asked.headers) == ("GET", None, False)
    assert here.notes == {"cache": "stale"}  # of the request itself


@pytest.mark.parametrize(
    "failure", [UpstreamTimeoutError(), UpstreamUnreachableError(), ValueError(), ok(b"down", status=503)]
)
def test_if_renewing_behind_fails_nobody_notices_and_the_next_one_tries_again(
    failure: Reply | Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    here = stale(failure)

    async def twice() -> list[bytes]:
        bodies = []
        for _ in range(2):
            reply = await here.asks(rules=WHILE)
            bodies.append(reply.whole)
            await asyncio.gather(*here.cache.renewing)
        return [*bodies, (await here.asks(rules=WHILE)).whole]

    assert drive(twice(), here.clock) == [b"kept", b"kept", b"3"]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [("answer not renewed", type(failure).__name__)] if isinstance(failure, Exception) else []
    assert [(line["message"], line["reason"]) for line in lines] == expected


def test_who_hangs_up_does_not_stop_what_is_renewed_behind() -> None:
    here = stale()

    async def hang_up() -> bytes:
        asked = asyncio.create_task(here.asks(rules=WHILE))
        await asked
        asked.cancel()
        await asyncio.gather(*here.cache.renewing)
        return (await here.asks(rules=WHILE)).whole

    assert drive(hang_up(), here.clock) == b"2"


def test_an_answer_that_nobody_is_given_is_let_go_of() -> None:
    stream = Stream(b"two", b"more")
    here = stale(Reply(status=200, headers=Headers((NO_STORE,)), body=stream.body))

    async def one() -> None:
        assert (await here.asks(rules=WHILE)).body == b"kept"
        await asyncio.gather(*here.cache.renewing)

    drive(one(), here.clock)
    assert stream.let_go


def test_what_another_process_renews_this_one_does_not() -> None:
    here = stale()
    there = Process(here.clock, FakeTable(), origin=here.origin)
    assert here.shared
    there.shared = here.shared
    (place,) = here.memory._places
    table: FakeTable = here.shared._table  # type: ignore[assignment]
    table.leases[place] = (here.clock.now + 10, 0.0)

    async def one() -> bytes:
        reply = await here.asks(rules=WHILE)
        await asyncio.gather(*here.cache.renewing)
        return reply.whole

    began = here.clock.now
    assert drive(one(), here.clock) == b"kept"
    assert (here.origin.count, here.clock.now) == (1, began)


# ----------------------------------------------------------------------------- where the process freezes behind answers


def test_where_the_process_freezes_one_waits_for_the_new_answer_and_the_others_get_the_kept_one() -> None:
    here = stale(freezes=True)

    async def many() -> list[Reply]:
        return await asyncio.gather(*(here.asks(rules=WHILE) for _ in range(5)))

    replies = drive(many(), here.clock)
    assert [reply.body for reply in replies] == [b"2", *[b"kept"] * 4]
    assert said(replies[0]).startswith("fwd=stale; fwd-status=200; stored")
    assert not here.cache.renewing
    assert here.ask(rules=WHILE).body == b"2"


@pytest.mark.parametrize(
    "failure", [UpstreamTimeoutError(), UpstreamUnreachableError(), ok(b"down", status=500), ok(b"down", status=503)]
)
def test_the_one_who_waits_is_given_the_kept_one_if_renewing_fails(failure: Reply | Exception) -> None:
    here = stale(failure, freezes=True)
    assert here.ask(rules=WHILE).body == b"kept"
    assert here.ask(rules=WHILE).body == b"3"


def test_there_a_stream_that_only_says_that_it_fails_is_let_go_of() -> None:
    stream = Stream(b"down")
    here = stale(Reply(status=503, headers=Headers(), body=stream.body), freezes=True)
    assert here.ask(rules=WHILE).body == b"kept"
    assert stream.let_go


def test_there_head_waits_for_nothing() -> None:
    here = stale(freezes=True)
    assert said(here.ask(method="HEAD", rules=WHILE)) == "hit; ttl=-5; detail=memory"
    assert here.origin.count == 1


def test_there_nobody_waits_for_what_another_process_renews() -> None:
    here = stale(freezes=True)
    assert here.shared
    (place,) = here.memory._places
    here.shared._table.leases[place] = (here.clock.now + 10, 0.0)  # type: ignore[attr-defined]
    began = here.clock.now
    assert here.ask(rules=WHILE).body == b"kept"
    assert here.clock.now - began < WAIT_S


@pytest.mark.parametrize("freezes", [True, False])
def test_once_that_time_is_over_everybody_waits(freezes: bool) -> None:
    here = stale(freezes=freezes)
    here.passes(25.0)
    assert here.ask(rules=WHILE).body == b"2"


# ------------------------------------------------------------------------------------------------------------- streams


def a_stream(*chunks: bytes | float | Exception, **fields: str) -> tuple[Stream, Reply]:
    stream = Stream(*chunks)
    headers = Headers(tuple((name.replace("_", "-"), value) for name, value in fields.items()))
    return stream, Reply(status=200, headers=headers, body=stream.body)


def test_a_stream_that_may_be_kept_is_kept_whole() -> None:
    stream, reply = a_stream(b"a", b"", b"b")
    here = Process(origin=Origin(reply))
    assert (here.ask().body, here.ask().body) == (b"ab", b"ab")
    assert stream.closed


@pytest.mark.parametrize(("most", "kept"), [(5, True), (4, False), (1, False), (0, False)])
def test_one_that_is_too_large_is_passed_on_whole_from_its_beginning(most: int, kept: bool) -> None:
    async def both() -> None:
        stream, reply = a_stream(b"a", b"b", b"c", b"d", b"", b"e")
        got, why = await collected(reply, most)
        assert why == ("" if kept else "too-large")
        assert isinstance(got.body, bytes) is kept
        assert (await whole(got)).body == b"abcde"
        assert stream.closed

    run(both())


def test_one_that_is_too_large_is_closed_also_if_nobody_reads_it() -> None:
    async def close() -> None:
        stream, reply = a_stream(b"ab", b"cd", b"ef")
        await discard((await collected(reply, 3))[0])
        assert stream.closed

    run(close())


SLOW = [
    (b"first", 20.0, b"second"),
    (20.0, b"first", b"second"),
    (b"fi", 0.4, b"rst", 0.4, b"sec", 0.4, b"o", 20.0, b"nd"),
    (b"first", b"second", 20.0),
]


@pytest.mark.parametrize("chunks", SLOW)
def test_a_stream_that_takes_its_time_is_passed_on_after_a_second_whole_and_is_not_kept(
    chunks: tuple[bytes | float, ...],
) -> None:
    stream, reply = a_stream(*chunks, content_type="application/stream+json")
    here = Process(origin=Origin(reply))

    async def head() -> Reply:
        began = here.clock.now
        begun = await here.hears()
        assert here.clock.now - began == pytest.approx(PATIENCE_S, abs=0.01)
        got = await whole(begun)
        assert got.body == b"firstsecond"
        assert here.clock.now - began == pytest.approx(sum(x for x in chunks if isinstance(x, float)), abs=0.01)
        return got

    assert said(drive(head(), here.clock)) == "fwd=uri-miss; fwd-status=200; detail=stream"
    assert stream.closed
    assert here.ask().body == b"2"


@pytest.mark.parametrize(("takes_s", "kept"), [(PATIENCE_S - 0.01, True), (PATIENCE_S + 0.01, False)])
def test_one_that_takes_less_than_a_second_is_kept(takes_s: float, kept: bool) -> None:
    _, reply = a_stream(b"a", takes_s / 2, b"b", takes_s / 2)
    here = Process(origin=Origin(reply))
    assert here.ask().body == b"ab"
    assert here.ask().body == (b"ab" if kept else b"2")


@pytest.mark.parametrize("reads", [0, 1])
@pytest.mark.parametrize("chunks", [*SLOW, (b"first", 1.5, OSError())])
def test_a_slow_stream_is_let_go_of_when_its_client_hangs_up(
    reads: int, chunks: tuple[bytes | float | Exception, ...]
) -> None:
    stream, reply = a_stream(*chunks)
    here = Process(origin=Origin(reply))

    async def hang_up() -> None:
        begun = await here.hears()
        assert not isinstance(begun.body, bytes)
        for _ in range(reads):
            await anext(begun.body)
        await asyncio.sleep(1.0)
        await begun.body.aclose()
        assert stream.closed

    drive(hang_up(), here.clock)


def test_a_slow_stream_that_breaks_off_later_breaks_off() -> None:
    _, reply = a_stream(b"first", 20.0, UpstreamUnreachableError())
    here = Process(origin=Origin(reply))
    with pytest.raises(UpstreamUnreachableError):
        here.ask()
    assert here.ask().body == b"2"


def test_what_is_collected_for_a_client_that_hangs_up_is_let_go_of() -> None:
    stream, reply = a_stream(b"a", 20.0, b"b")
    here = Process(origin=Origin(reply))

    async def hang_up() -> None:
        asked = asyncio.create_task(here.asks())
        await asyncio.sleep(0.5)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert stream.closed

    drive(hang_up(), here.clock)


@pytest.mark.parametrize("error", [OSError(), UpstreamUnreachableError()])
def test_what_is_kept_stands_in_for_one_that_breaks_off_while_it_is_collected(error: Exception) -> None:
    _, broken = a_stream(b"a", error)
    _, late = a_stream(b"a", error)
    here = Process(origin=Origin(ok(b"kept"), broken, late))
    here.ask(rules=IF_ERROR)
    here.passes(61.0)
    reply = here.ask(rules=IF_ERROR)
    assert (reply.body, said(reply)) == (b"kept", "fwd=stale; fwd-status=200; ttl=-1; detail=stale-if-error")
    here.passes(30.0)
    with pytest.raises(UpstreamUnreachableError):
        here.ask(rules=IF_ERROR)


@pytest.mark.parametrize("size", [MOST_BODY_BYTES, MOST_BODY_BYTES + 1])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_body_of_a_megabyte_is_kept_and_none_that_is_larger(size: int, streamed: bool) -> None:
    body = b"x" * size
    reply = a_stream(body[:-1], body[-1:])[1] if streamed else ok(body)
    here = Process(origin=Origin(reply), most_bytes=4 * MOST_BODY_BYTES)
    first = here.ask()
    assert first.body == body
    assert ("stored" in said(first)) is (size == MOST_BODY_BYTES)
    assert ("detail=too-large" in said(first)) is (size > MOST_BODY_BYTES)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(), UpstreamUnreachableError),
        (EOFError(), UpstreamUnreachableError),
        (UpstreamTimeoutError(), UpstreamTimeoutError),
    ],
)
def test_one_that_breaks_off_is_an_upstream_that_fails_and_leaves_nothing(
    error: Exception, raised: type[Exception]
) -> None:
    _, reply = a_stream(b"a", error)
    here = Process(origin=Origin(reply))
    with pytest.raises(raised):
        here.ask()
    assert here.ask().body == b"2"


def test_a_stream_that_a_client_has_already_is_let_go_of() -> None:
    stream, reply = a_stream(b"body", etag='"1"', cache_control="no-store")
    here = Process(origin=Origin(reply))

    async def one() -> Reply:
        got = await here.asks(PATH, ("if-none-match", '"1"'))
        assert stream.let_go
        return got

    got = drive(one(), here.clock)
    assert (got.status, got.body, got.headers.get("etag")) == (304, b"", '"1"')


# --------------------------------------------------------------------------------------------------- failures, and 304s


def test_what_stands_in_for_a_failure_lets_go_of_it() -> None:
    stream = Stream(b"down")
    here = Process(origin=Origin(ok(b"kept"), Reply(status=503, headers=Headers(), body=stream.body)))
    here.ask(rules=IF_ERROR)
    here.passes(61.0)
    reply = here.ask(rules=IF_ERROR)
    assert (reply.body, said(reply)) == (b"kept", "fwd=stale; fwd-status=503; ttl=-1; detail=stale-if-error")
    assert here.notes["cache"] == "stale"
    assert stream.let_go


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("failure", [UpstreamTimeoutError(), UpstreamUnreachableError(), ok(b"", status=502)])
def test_it_stands_in_for_as_long_as_it_may(method: str, failure: Reply | Exception) -> None:
    here = Process(origin=Origin(ok(b"kept"), failure, failure))
    here.ask(rules=IF_ERROR)
    here.passes(89.9)
    assert here.ask(method=method, rules=IF_ERROR).status == 200
    here.passes(0.1)
    if isinstance(failure, Exception):
        with pytest.raises(type(failure)):
            here.ask(method=method, rules=IF_ERROR)
    else:
        assert here.ask(method=method, rules=IF_ERROR).status == 502


@pytest.mark.parametrize("error", [ValueError(), NotCachedError()])
def test_nothing_stands_in_for_a_mistake_of_ours(error: Exception) -> None:
    here = Process(origin=Origin(ok(b"kept"), error))
    here.ask(rules=IF_ERROR)
    here.passes(61.0)
    with pytest.raises(type(error)):
        here.ask(rules=IF_ERROR)


def test_a_304_about_something_else_is_not_believed() -> None:
    here = Process(origin=Origin(ok(b"one", TAG), ok(b"", ("etag", '"2"'), status=304), ok(b"three", ("etag", '"3"'))))
    here.ask()
    here.passes(61.0)
    assert here.ask().body == b"three"
    assert [call.headers.get("if-none-match") for call in here.origin.asked] == ["", '"1"', ""]
    assert here.ask().body == b"three"


def test_a_304_that_nobody_asked_for_is_not_taken_for_what_is_kept() -> None:
    here = Process(origin=Origin(ok(b"one"), ok(b"", status=304)))
    here.ask(rules=IF_ERROR)
    here.passes(61.0)
    assert here.ask(rules=IF_ERROR).status == 304


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_304_without_a_date_is_of_now(method: str) -> None:
    confirms = ok(b"", TAG, status=304) if method == "GET" else ok(b"", TAG)
    here = Process(origin=Origin(ok(b"one", TAG), confirms))
    here.ask()
    here.passes(61.0)
    assert "stored" in said(here.ask(method=method))
    here.passes(59.0)
    reply = here.ask()
    assert (reply.body, reply.headers.get("age"), said(reply)) == (b"one", "59", "hit; ttl=1; detail=memory")


SINCE = written(NOW - 1000)


@pytest.mark.parametrize(
    ("head", "fresh", "left"),
    [
        ((), False, b"one"),
        ((("content-type", "text/plain"), ("content-length", "3")), False, b"one"),
        ((TAG,), True, b"one"),
        ((("last-modified", SINCE),), True, b"one"),
        ((TAG, ("content-length", "3")), True, b"one"),
        ((("etag", '"2"'),), False, b"down"),
        ((TAG, ("content-length", "4")), False, b"down"),
        ((("last-modified", written(NOW)),), False, b"down"),
        ((("content-length", "4"),), False, b"down"),
    ],
)
def test_an_answer_to_head_freshens_only_with_a_validator_and_ends_only_what_is_another(
    head: tuple[Pair, ...], fresh: bool, left: bytes
) -> None:
    table = FakeTable()
    origin = Origin(ok(b"one", TAG, ("last-modified", SINCE)), Reply(status=200, headers=Headers(head), body=b""))
    here = Process(table=table, origin=origin)
    here.ask(rules=IF_ERROR)
    here.passes(61.0)
    here.ask(method="HEAD", rules=IF_ERROR)
    origin.answers = [ok(b"down", status=503)] * 2
    other = Process(here.clock, table, origin=origin)
    for process in (here, other):
        reply = process.ask(rules=IF_ERROR)
        assert (reply.body, said(reply).startswith("hit")) == (left, fresh)


def test_an_answer_to_head_that_says_otherwise_ends_what_is_kept() -> None:
    here = Process(origin=Origin(ok(b"one", TAG), ok(b"", ("etag", '"2"'))))
    here.ask()
    here.passes(61.0)
    here.ask(method="HEAD")
    here.passes(-30.0)
    assert here.ask().body == b"3"


@pytest.mark.parametrize("answer", [ok(b"", status=500), ok(b"", status=403), ok(b"", status=429), ok(b"", status=304)])
def test_an_answer_to_head_that_says_nothing_leaves_what_is_kept(answer: Reply) -> None:
    here = Process(origin=Origin(ok(b"one", TAG), answer))
    here.ask()
    here.ask(PATH, ("cache-control", "no-cache"), method="HEAD")
    assert here.ask().body == b"one"


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (ok(b"new", NO_STORE), b"3"),
        (ok(b"new", ("set-cookie", "a=1")), b"3"),
        (ok(b"new", status=404), b"3"),
        (ok(b"new", status=410), b"3"),
        (ok(b"new", status=500), b"one"),
        (ok(b"new", status=503), b"one"),
        (ok(b"new", status=401), b"3"),
        (ok(b"new", status=403), b"3"),
        (ok(b"new", status=429), b"one"),
    ],
)
def test_what_is_kept_is_over_when_the_upstream_has_something_else_that_is_not(answer: Reply, left: bytes) -> None:
    here = Process(origin=Origin(ok(b"one"), answer))
    here.ask()
    assert here.ask(PATH, ("cache-control", "no-cache")).body == b"new"
    assert here.ask().body == left


# ------------------------------------------------------------------------------------------------- what clients ask for


def test_only_if_cached_asks_nobody() -> None:
    here = Process()
    with pytest.raises(NotCachedError):
        here.ask(PATH, ("cache-control", "only-if-cached"))
    here.ask()
    assert here.ask(PATH, ("cache-control", "only-if-cached")).body == b"1"
    assert here.origin.count == 1


def test_who_wants_nothing_kept_leaves_what_is_kept_and_adds_nothing() -> None:
    here = Process()
    assert said(here.ask(PATH, NO_STORE)).endswith("detail=request")
    assert here.ask().body == b"2"
    assert here.ask(PATH, NO_STORE, ("pragma", "no-cache")).body == b"2"
    here.passes(61.0)
    assert here.ask(PATH, NO_STORE).body == b"3"
    assert here.ask().body == b"4"


def test_a_client_is_told_that_it_has_it_also_of_what_has_just_come() -> None:
    here = Process(origin=Origin(always=(TAG, ("x-a", "1"))))
    for expected in ("fwd=uri-miss; fwd-status=200; stored; ttl=60", "hit; ttl=60; detail=memory"):
        reply = here.ask(PATH, ("if-none-match", 'W/"1"'))
        assert (reply.status, reply.body, said(reply)) == (304, b"", expected)
        assert ("x-a" in reply.headers, "content-type" in reply.headers) == (False, False)
    assert here.ask().body == b"1"


def test_a_hit_says_how_long_it_is() -> None:
    here = Process(clock=FakeClock(), origin=Origin(ok(b"12345", ("content-length", "99"), ("age", "7"))))
    here.ask()
    reply = here.ask()
    assert (reply.headers.get_all("content-length"), reply.headers.get_all("age")) == (("5",), ("7",))
