"""Both upstream clients against real servers on loopback: what arrives, how often, and what failures become."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gatehouse.call import Reply
from gatehouse.errors import (
    GatewayError,
    ResponseTooLargeError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gatehouse.headers import Pair
from gatehouse.lambda_answer import MOST_ANSWER_BYTES
from gatehouse.stages.forward import Target, forward
from gatehouse.upstreams import Outbound, UnansweredError, Upstream, idle, streaming
from gatehouse.upstreams.buffered import BufferedUpstream
from gatehouse.upstreams.streaming import StreamingUpstream
from tests.unit.fakes import a_call, run
from tests.unit.scripted import PATIENCE_S, Connection, Script, Scripted, keep_answering, serving

CLIENTS: list[Callable[[], Upstream]] = [BufferedUpstream, StreamingUpstream]
Sender = Callable[..., Awaitable[tuple[Reply, bytes]]]


@pytest.fixture(params=CLIENTS, ids=["buffered", "streaming"])
def make(request: pytest.FixtureRequest) -> Callable[[], Upstream]:
    return request.param


async def whole(reply: Reply) -> bytes:
    if isinstance(reply.body, bytes):
        return reply.body
    return b"".join([chunk async for chunk in reply.body])


@asynccontextmanager
async def client(make: Callable[[], Upstream]) -> AsyncGenerator[Upstream, None]:
    upstream = make()
    try:
        yield upstream
    finally:
        await upstream.close()


def outbound(
    url: str, method: str = "GET", *headers: Pair, body: bytes = b"", timeout_s: float = PATIENCE_S
) -> Outbound:
    return Outbound(method=method, url=url, headers=list(headers), body=body, timeout_s=timeout_s)


def fetch(make: Callable[[], Upstream], request: Outbound) -> tuple[Reply, bytes]:
    """Send one request with a client of its own and read the whole answer."""

    async def work() -> tuple[Reply, bytes]:
        async with client(make) as upstream:
            reply = await upstream.send(request)
            return reply, await whole(reply)

    return run(work())


def once(raw: bytes) -> Script:
    """Read a request, say *raw*, hang up."""

    def script(connection: Connection) -> None:
        if connection.read():
            connection.say(raw)

    return script


def fails(
    make: Callable[[], Upstream], script: Script, request_of: Callable[[str], Outbound] = outbound
) -> tuple[Exception, Scripted]:
    """Send a request to *script*; return what was raised, while sending or while reading the stream."""
    with serving(script) as server:
        with pytest.raises(Exception) as caught:  # noqa: PT011  # which one it is, is what the caller asks
            fetch(make, request_of(server.address + "/"))
        return caught.value, server


# -------------------------------------------------------------------------------------------------- what arrives


@pytest.mark.parametrize(
    "target",
    [
        "/a%2dz/%e2%82%ac/%E2%82%AC", "/a;b=1,c/(d)!$&'*+=:@", "/?x=%2f%2F&x=1&y", "/a?q=%7e~%5B[]", "/?a=b?c/d",
        "/%41%61", "/trailing/", '/a?q=%c3%a9&r=|^`{}<>"',
    ],
)  # fmt: skip
def test_the_path_and_query_arrive_byte_for_byte(make: Callable[[], Upstream], target: str) -> None:
    with serving(keep_answering) as server:
        fetch(make, outbound(server.address + target))
    assert server.received[0].line == f"GET {target} HTTP/1.1"


def test_headers_arrive_as_they_are_and_nothing_is_added_to_them(make: Callable[[], Upstream]) -> None:
    sent = (("x-tag", "1"), ("x-tag", "2"), ("accept", "*/*"), ("x-note", "naïve €".encode().decode("latin-1")))
    with serving(keep_answering) as server:
        fetch(make, outbound(server.address + "/", "GET", *sent))
    (received,) = server.received
    assert [pair for pair in received.headers if pair[0].lower() != "host"] == list(sent)
    assert received.get_all("host") == [server.address.removeprefix("http://")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
def test_a_body_arrives_whole_and_with_its_length(make: Callable[[], Upstream], method: str) -> None:
    body = bytes(range(256)) * 1000
    with serving(keep_answering) as server:
        fetch(make, outbound(server.address + "/", method, body=body))
    (received,) = server.received
    assert received.body == body
    assert received.get_all("content-length") == [str(len(body))]
    assert received.get_all("transfer-encoding") == []


@pytest.mark.parametrize(
    ("method", "lengths"), [("POST", ["0"]), ("PUT", ["0"]), ("GET", []), ("HEAD", []), ("OPTIONS", [])]
)
def test_a_request_without_a_body_says_so_where_it_could_have_one(
    make: Callable[[], Upstream], method: str, lengths: list[str]
) -> None:
    with serving(
        keep_answering if method != "HEAD" else once(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    ) as server:
        fetch(make, outbound(server.address + "/", method))
    assert server.received[0].get_all("content-length") == lengths


# ------------------------------------------------------------------------------------------- what comes back as it is


def test_an_answer_comes_back_with_its_status_and_its_repeated_headers(make: Callable[[], Upstream]) -> None:
    raw = b"HTTP/1.1 418 Teapot\r\nSet-Cookie: a=1\r\nX-B: 2\r\nSet-Cookie: c=\xff\r\nContent-Length: 2\r\n\r\nno"
    with serving(once(raw)) as server:
        reply, body = fetch(make, outbound(server.address + "/"))
    assert (reply.status, body) == (418, b"no")
    assert reply.headers.get_all("set-cookie") == ("a=1", "c=\xff")
    assert reply.headers.get("x-b") == "2"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_handed_back_and_not_followed(make: Callable[[], Upstream], status: int) -> None:
    with serving(
        lambda c: c.read() and c.answer(b"", f"Location: {c.server.address}/next", status=f"{status} Go")
    ) as server:
        reply, _ = fetch(make, outbound(server.address + "/"))
    assert reply.status == status
    assert reply.headers.get("location").endswith("/next")
    assert len(server.received) == 1


def test_a_compressed_answer_is_not_inflated(make: Callable[[], Upstream]) -> None:
    packed = gzip.compress(b"a" * 100_000)
    with serving(lambda c: c.read() and c.answer(packed, "Content-Encoding: gzip")) as server:
        reply, body = fetch(make, outbound(server.address + "/"))
    assert body == packed
    assert reply.headers.get("content-encoding") == "gzip"


def test_a_chunked_answer_is_put_together(make: Callable[[], Upstream]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    raw = head + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
    with serving(once(raw)) as server:
        reply, body = fetch(make, outbound(server.address + "/"))
    assert body == b"hello world"
    assert "x-trailer" not in reply.headers


def test_an_answer_without_a_length_lasts_until_the_upstream_hangs_up(make: Callable[[], Upstream]) -> None:
    with serving(once(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000)) as server:
        assert fetch(make, outbound(server.address + "/"))[1] == b"x" * 300_000


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 1024 * 1024])
def test_an_answer_of_any_size_comes_back_whole(make: Callable[[], Upstream], size: int) -> None:
    with serving(lambda c: c.read() and c.answer(b"x" * size)) as server:
        reply, body = fetch(make, outbound(server.address + "/"))
    assert body == b"x" * size
    assert reply.headers.get("content-length") == str(size)


@pytest.mark.parametrize("raw", [
    b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: 1\r\nContent-Length: 900\r\n\r\n",
])  # fmt: skip
def test_an_answer_that_can_have_no_body_is_not_waited_for(make: Callable[[], Upstream], raw: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.read()
        connection.say(raw)
        connection.wait_for_end()

    with serving(script) as server:
        reply, body = fetch(make, outbound(server.address + "/", timeout_s=2))
    assert body == b""
    assert reply.status in {204, 304}


def test_an_answer_to_head_has_the_length_and_not_the_body(make: Callable[[], Upstream]) -> None:
    with serving(once(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")) as server:
        reply, body = fetch(make, outbound(server.address + "/", "HEAD"))
    assert (reply.headers.get("content-length"), body) == ("12345", b"")


@pytest.mark.parametrize("early", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
def test_an_interim_answer_is_passed_over(make: Callable[[], Upstream], early: bytes) -> None:
    """RFC 9110 section 15.2: one or more of them may come before the real one."""
    with serving(once(early + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as server:
        reply, body = fetch(make, outbound(server.address + "/"))
    assert (reply.status, body) == (200, b"ok")
    assert "link" not in reply.headers


def test_a_cookie_that_an_upstream_sets_is_not_kept_for_the_next_caller(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        while connection.read():
            connection.answer(b"", "Set-Cookie: session=ada; Path=/")

    async def work(url: str) -> None:
        async with client(make) as upstream:
            await upstream.send(outbound(url))
            await upstream.send(outbound(url))

    with serving(script) as server:
        run(work(server.address + "/"))
    assert server.received[1].get_all("cookie") == []


# ---------------------------------------------------------------------------------------------- what goes wrong


def test_a_refused_connection_is_unanswered(make: Callable[[], Upstream]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    with pytest.raises(UnansweredError):
        fetch(make, outbound(address))


def test_a_name_that_no_machine_has_is_unanswered(make: Callable[[], Upstream]) -> None:
    with pytest.raises(UnansweredError):
        fetch(make, outbound("http://nobody.invalid/"))


@pytest.mark.parametrize("timeout_s", [0.2, 0.5])
def test_an_upstream_that_hangs_times_out_when_it_should(make: Callable[[], Upstream], timeout_s: float) -> None:
    def hang(connection: Connection) -> None:
        connection.read()
        connection.wait_for_end()

    started = time.monotonic()
    error, server = fails(make, hang, lambda url: outbound(url, timeout_s=timeout_s))
    assert isinstance(error, UpstreamTimeoutError)
    assert timeout_s - 0.05 <= time.monotonic() - started < timeout_s + 1
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "drip",
    [b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 5000, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 4999],
)
def test_an_upstream_that_drips_does_not_get_more_time_with_every_drop(
    make: Callable[[], Upstream], drip: bytes
) -> None:
    stop = threading.Event()

    def script(connection: Connection) -> None:
        connection.read()
        for at in range(len(drip)):
            connection.say(drip[at : at + 1])
            if stop.wait(0.02):
                return

    started = time.monotonic()
    with serving(script) as server:
        with pytest.raises(UpstreamTimeoutError):
            fetch(make, outbound(server.address + "/", timeout_s=0.4))
        stop.set()
    assert time.monotonic() - started < 1.5


def test_an_upstream_is_hung_up_on_when_its_time_is_over(make: Callable[[], Upstream]) -> None:
    ended: list[bool] = []

    def script(connection: Connection) -> None:
        connection.read()
        ended.append(connection.wait_for_end())

    async def work(url: str, server: Scripted) -> None:
        async with client(make) as upstream:
            with pytest.raises(UpstreamTimeoutError):
                await upstream.send(outbound(url, timeout_s=0.2))
            await asyncio.to_thread(server.wait_closed)

    with serving(script) as server:
        run(work(server.address + "/", server))
    assert ended == [True]


def test_an_upstream_is_hung_up_on_when_nobody_waits_any_more() -> None:
    ended: list[bool] = []  # of the buffered client nobody can stop to wait: it is alone on its loop

    def script(connection: Connection) -> None:
        connection.read()
        ended.append(connection.wait_for_end())

    async def work(url: str, server: Scripted) -> None:
        async with client(StreamingUpstream) as upstream:
            waiting = asyncio.create_task(upstream.send(outbound(url)))
            await asyncio.to_thread(server.wait_arrived)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await asyncio.to_thread(server.wait_closed)

    with serving(script) as server:
        run(work(server.address + "/", server))
    assert ended == [True]


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n", b"\x00\x01\x02\x03" * 20, b"<html>hello</html>\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 2", b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 99 Low\r\n\r\n", b"\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 200_000 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello",
    ],
    ids=["ssh", "binary", "html", "no-status", "half-a-line", "version", "status-99", "blank", "long-field",
        "many-fields", "101"],
)  # fmt: skip
def test_what_is_not_an_http_answer_is_unreachable(make: Callable[[], Upstream], raw: bytes) -> None:
    error, server = fails(make, once(raw))
    assert isinstance(error, UpstreamUnreachableError), error
    assert len(server.received) == 1


@pytest.mark.parametrize("close", [Connection.close, Connection.reset], ids=["fin", "rst"])
def test_hanging_up_before_a_byte_of_an_answer_is_unanswered(
    make: Callable[[], Upstream], close: Callable[[Connection], None]
) -> None:
    error, server = fails(make, lambda c: close(c) if c.read() else None)
    assert isinstance(error, UnansweredError)
    assert len(server.received) == 1


PARTIAL = [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Type: te",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n",
           b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"]  # fmt: skip


@pytest.mark.parametrize("close", [Connection.close, Connection.reset], ids=["fin", "rst"])
@pytest.mark.parametrize("raw", PARTIAL)
def test_half_a_head_is_neither_an_answer_nor_unanswered(
    make: Callable[[], Upstream], raw: bytes, close: Callable[[Connection], None]
) -> None:
    """Something was heard, so the request may have been acted on: it is not sent again ()."""

    def script(connection: Connection) -> None:
        connection.read()
        connection.say(raw)
        time.sleep(0.1)  # so that the bytes are read before a reset throws them away
        close(connection)

    error, server = fails(make, script)
    assert isinstance(error, UpstreamUnreachableError), error
    assert not isinstance(error, UnansweredError)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 99,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["short-by-one", "half", "half-a-chunk", "no-last-chunk", "no-length"],
)
def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(make: Callable[[], Upstream], raw: bytes) -> None:
    error, _ = fails(make, once(raw))
    if make is BufferedUpstream:
        assert isinstance(error, UpstreamUnreachableError)
        assert not isinstance(error, UnansweredError)


def test_a_short_answer_that_breaks_off_fails_before_anything_has_left(make: Callable[[], Upstream]) -> None:
    error, _ = fails(make, once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 99))
    assert isinstance(error, UpstreamUnreachableError)


def test_a_length_beside_chunks_does_not_come_back(make: Callable[[], Upstream]) -> None:
    """RFC 9112 section 6.3: the chunks are right, and passing the length on would cut answers apart."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    with serving(once(raw)) as server:
        try:
            reply, body = fetch(make, outbound(server.address + "/"))
        except UpstreamUnreachableError:
            return
    assert body == b"hello"
    assert "content-length" not in reply.headers


@pytest.mark.parametrize(
    "raw", [b"X-Fold: a\r\n b", b"X-Fold: a\r\n\tSet-Cookie: b=1", b"X-Fold: a\rSet-Cookie: b=1", b"X-Null: a\x00b"]
)
def test_no_line_break_of_an_upstream_ends_up_in_a_header(make: Callable[[], Upstream], raw: bytes) -> None:
    with serving(once(b"HTTP/1.1 200 OK\r\n" + raw + b"\r\nContent-Length: 2\r\n\r\nok")) as server:
        try:
            reply, _ = fetch(make, outbound(server.address + "/"))
        except UpstreamUnreachableError:
            return
    assert not [pair for pair in reply.headers if set("".join(pair)) & set("\r\n\0")]
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 2\r\nContent-Length: 5",
        b"Content-Length: 1_0",
        b"Content-Length: +2",
        b"Content-Length: 2, 2",
        b"Content-Length: two",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    ],
)
def test_an_answer_whose_end_is_in_doubt_is_none(fields: bytes) -> None:
    error, _ = fails(BufferedUpstream, once(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nhello"))
    assert isinstance(error, UpstreamUnreachableError)


# ------------------------------------------------------------------------------------- connections that are kept


def twice(
    make: Callable[[], Upstream], script: Script, between: Callable[[Scripted], None], method: str
) -> tuple[list[Any], Scripted]:
    """Send a GET, do *between*, send another request over the same client, through `forward`."""

    async def work(server: Scripted) -> list[Any]:
        async with client(make) as upstream:
            target = Target(route="R", address=server.address, stripped=0, timeout_s=PATIENCE_S)
            handle = forward(upstream, target)
            first = await handle(a_call("/first"))
            assert await whole(first) == b"hello"
            # In the foreground: the loop sleeps meanwhile, as that of a frozen function does.
            between(server)
            second = await handle(a_call("/second", method, body=b"{}" if method == "POST" else b""))
            return [await whole(second)]

    with serving(script) as server:
        return run(work(server)), server


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_open_connection_is_used_again(make: Callable[[], Upstream], method: str) -> None:
    _, server = twice(make, keep_answering, lambda _: None, method)
    assert len(server.connections) == 1
    assert [received.line.split()[0] for received in server.received] == ["GET", method]


def answer_once(connection: Connection) -> None:
    """Answer one request, say nothing of closing, and close."""
    if connection.read():
        connection.answer()


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_an_upstream_that_closed_its_idle_connection_gets_the_next_request_exactly_once(
    make: Callable[[], Upstream], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two invocations a function is frozen and its idle connections die: a POST must not die with them."""
    monkeypatch.setattr(streaming, "IDLE_S", 0.0)  # as if the process had slept
    bodies, server = twice(make, answer_once, Scripted.wait_closed, method)
    assert bodies == [b"hello"]
    assert [received.line for received in server.received] == ["GET /first HTTP/1.1", f"{method} /second HTTP/1.1"]


@pytest.mark.parametrize("at_once", [True, False])
def test_bytes_that_nobody_asked_for_are_never_the_next_callers_answer(
    make: Callable[[], Upstream], at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caller's answer must not become another's over a shared connection (CVE-2026-71324)."""
    monkeypatch.setattr(streaming, "IDLE_S", 0.0)
    idle, said = threading.Event(), threading.Event()

    def script(connection: Connection) -> None:
        connection.read()
        connection.answer()
        if connection.number == 1:
            assert at_once or idle.wait(PATIENCE_S)
            connection.answer(b"of somebody else")
            said.set()
        while connection.read():
            connection.answer()

    def between(_: Scripted) -> None:
        idle.set()
        assert said.wait(PATIENCE_S)
        time.sleep(0.05)

    bodies, _ = twice(make, script, between, "GET")
    assert bodies == [b"hello"]


def test_an_answer_that_says_close_ends_its_connection(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        connection.read()
        connection.answer(b"hello", "Connection: close")
        connection.wait_for_end()

    _, server = twice(make, script, lambda _: None, "GET")
    assert len(server.connections) == 2


def test_a_connection_is_not_kept_longer_than_upstreams_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "KEPT_IDLE_S", 0.0)
    _, server = twice(BufferedUpstream, keep_answering, lambda _: None, "GET")
    assert len(server.connections) == 2


def test_what_fails_leaves_no_connection_behind_for_others(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        connection.read()
        if connection.number == 1:
            connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return
        connection.answer()

    async def work(url: str) -> bytes:
        async with client(make) as upstream:
            with pytest.raises(UpstreamUnreachableError):
                await upstream.send(outbound(url))
            return await whole(await upstream.send(outbound(url)))

    with serving(script) as server:
        assert run(work(server.address + "/")) == b"hello"


def test_requests_side_by_side_get_their_own_answers(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        while received := connection.read():
            connection.answer(received.line.split()[1].encode())

    async def work(url: str) -> list[bytes]:
        async with client(make) as upstream:

            async def one(number: int) -> bytes:
                return await whole(await upstream.send(outbound(f"{url}/{number}")))

            return [*await asyncio.gather(*(one(number) for number in range(20))), *[await one(20)]]

    with serving(script) as server:
        assert run(work(server.address)) == [f"/{number}".encode() for number in range(21)]


def test_a_client_serves_one_loop_after_another(make: Callable[[], Upstream]) -> None:
    upstream = make()

    async def work(url: str) -> bytes:
        try:
            return await whole(await upstream.send(outbound(url)))
        finally:
            await upstream.close()

    with serving(keep_answering) as server:
        assert [run(work(server.address + "/")) for _ in range(2)] == [b"hello", b"hello"]


def test_closing_a_client_that_was_never_used_does_nothing(make: Callable[[], Upstream]) -> None:
    run(make().close())


# ------------------------------------------------------------------------------------- how often a request is sent


@pytest.mark.parametrize(
    ("method", "size", "times"),
    [("GET", 0, 2), ("HEAD", 0, 2), ("PUT", 10, 2), ("DELETE", 0, 2), ("OPTIONS", 0, 2), ("POST", 10, 1),
        ("POST", 0, 1),
     ("PATCH", 10, 1), ("PUT", 64 * 1024, 2), ("PUT", 64 * 1024 + 1, 1)],
)  # fmt: skip
def test_only_what_may_be_repeated_is_sent_once_more_and_never_a_third_time(
    make: Callable[[], Upstream], method: str, size: int, times: int
) -> None:
    def hang_up(connection: Connection) -> None:
        connection.read()

    async def work(server: Scripted) -> None:
        async with client(make) as upstream:
            target = Target(route="R", address=server.address, stripped=0, timeout_s=PATIENCE_S)
            with pytest.raises(UpstreamUnreachableError):
                await forward(upstream, target)(a_call("/", method, body=b"x" * size))

    with serving(hang_up) as server:
        run(work(server))
    assert len(server.received) == times


@pytest.mark.parametrize(
    "raw",
    [
        b"H",
        b"HTTP/1.1 200 OK\r\nContent-Type: t",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"garbage\r\n\r\n",
    ],
)
@pytest.mark.parametrize("close", [Connection.close, Connection.reset], ids=["fin", "rst"])
def test_nothing_is_sent_again_once_a_byte_of_an_answer_has_come(
    make: Callable[[], Upstream], raw: bytes, close: Callable[[Connection], None]
) -> None:
    def script(connection: Connection) -> None:
        connection.read()
        connection.say(raw)
        time.sleep(0.05)
        close(connection)

    async def work(server: Scripted) -> None:
        async with client(make) as upstream:
            target = Target(route="R", address=server.address, stripped=0, timeout_s=PATIENCE_S)
            with pytest.raises(GatewayError):
                await forward(upstream, target)(a_call("/"))

    with serving(script) as server:
        run(work(server))
    assert len(server.received) == 1


def test_a_request_that_timed_out_is_not_sent_again(make: Callable[[], Upstream]) -> None:
    def hang(connection: Connection) -> None:
        connection.read()
        connection.wait_for_end()

    async def work(server: Scripted) -> None:
        async with client(make) as upstream:
            target = Target(route="R", address=server.address, stripped=0, timeout_s=0.2)
            with pytest.raises(UpstreamTimeoutError):
                await forward(upstream, target)(a_call("/"))

    with serving(hang) as server:
        run(work(server))
    assert len(server.received) == 1


# ----------------------------------------------------------------------------------------- each client's own manners


@pytest.mark.parametrize(
    ("head", "size", "fits"),
    [
        (b"Content-Type: text/plain\r\n", MOST_ANSWER_BYTES - 2, True),
        (b"Content-Type: text/plain\r\n", MOST_ANSWER_BYTES - 1, False),
        (b"Content-Type: image/png\r\n", MOST_ANSWER_BYTES * 3 // 4 - 3, True),
        (b"Content-Type: image/png\r\n", MOST_ANSWER_BYTES * 3 // 4 + 3, False),
        (b"Content-Type: text/plain\r\n", 30 * 1024 * 1024, False),
    ],
)
def test_a_buffered_answer_must_fit_into_what_a_function_may_return(head: bytes, size: int, fits: bool) -> None:
    raw = b"HTTP/1.1 200 OK\r\n" + head + f"Content-Length: {size}\r\n\r\n".encode() + b"x" * size
    with serving(once(raw)) as server:
        if fits:
            assert len(fetch(BufferedUpstream, outbound(server.address + "/"))[1]) == size
        else:
            with pytest.raises(ResponseTooLargeError):
                fetch(BufferedUpstream, outbound(server.address + "/"))


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    def script(connection: Connection) -> None:
        connection.read()
        connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1000):  # 64 MB, if anybody took it
            connection.sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    def until_the_client_hangs_up(connection: Connection) -> None:
        with pytest.raises(OSError, match=r"[Pp]ipe|reset"):
            script(connection)

    with serving(until_the_client_hangs_up) as server, pytest.raises(ResponseTooLargeError):
        fetch(BufferedUpstream, outbound(server.address + "/"))


def test_a_streamed_answer_leaves_before_it_is_whole() -> None:
    go_on = threading.Event()

    def script(connection: Connection) -> None:
        connection.read()
        connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert go_on.wait(PATIENCE_S)
        connection.say(b"4\r\nlast\r\n0\r\n\r\n")

    async def work(url: str) -> list[bytes]:
        async with client(StreamingUpstream) as upstream:
            reply = await upstream.send(outbound(url))
            assert not isinstance(reply.body, bytes)
            chunks = [await anext(reply.body)]
            go_on.set()
            return [*chunks, *[chunk async for chunk in reply.body]]

    with serving(script) as server:
        assert run(work(server.address + "/")) == [b"first", b"last"]


def test_an_upstream_is_hung_up_on_when_the_reader_of_its_stream_goes_away() -> None:
    ended: list[bool] = []

    def script(connection: Connection) -> None:
        connection.read()
        connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        ended.append(connection.wait_for_end())

    async def work(server: Scripted) -> None:
        async with client(StreamingUpstream) as upstream:
            reply = await upstream.send(outbound(server.address + "/"))
            assert not isinstance(reply.body, bytes)
            assert await anext(reply.body) == b"first"
            await reply.body.aclose()
            await asyncio.to_thread(server.wait_closed)

    with serving(script) as server:
        run(work(server))
    assert ended == [True]


def test_a_stream_that_nobody_began_to_read_is_closed_all_the_same() -> None:
    ended: list[bool] = []

    def script(connection: Connection) -> None:
        connection.read()
        connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        ended.append(connection.wait_for_end())

    async def work(server: Scripted) -> None:
        async with client(StreamingUpstream) as upstream:
            reply = await upstream.send(outbound(server.address + "/"))
            assert not isinstance(reply.body, bytes)
            await reply.body.aclose()
            await asyncio.to_thread(server.wait_closed)

    with serving(script) as server:
        run(work(server))
    assert ended == [True]


def test_an_answer_that_never_ends_its_head_is_bounded(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        connection.read()
        connection.say(b"HTTP/1.1 200 OK\r\n")
        for number in range(200_000):
            try:
                connection.sock.sendall(b"X-%d: 1\r\n" % number * 100)
            except OSError:
                return

    error, _ = fails(make, script, lambda url: outbound(url, timeout_s=3))
    assert isinstance(error, UpstreamUnreachableError)


def test_an_upstream_that_speaks_no_tls_is_unanswered_and_gets_no_request(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        connection.sock.recv(65536)
        connection.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serving(script) as server:
        with pytest.raises(UnansweredError):
            fetch(make, outbound(server.address.replace("http:", "https:") + "/", "POST", body=b"{}"))
        assert server.received == []
