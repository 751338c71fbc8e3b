"""Questions to services that know credentials: what is sent, what counts as an answer, and how long it may take.

The first half asks a stand-in for the client; the second asks real servers on loopback by both clients.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from gatehouse.asking import Answer, Question
from gatehouse.auth_answers import UnclearAnswerError, document_of
from gatehouse.auth_service import LEAST_S, MOST_BYTES, AuthService, origin_of
from gatehouse.call import Reply
from gatehouse.circuit import MOST_FAILURES, OPEN_S, Circuits
from gatehouse.clock import Elapsed
from gatehouse.errors import AuthUnavailableError, ResponseTooLargeError, UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Headers
from gatehouse.upstreams import UnansweredError, Upstream
from gatehouse.upstreams.buffered import BufferedUpstream
from gatehouse.upstreams.streaming import StreamingUpstream
from tests.unit.fakes import FakeClock, FakeUpstream, ok, run
from tests.unit.scripted import PATIENCE_S, Connection, Script, Scripted, keep_answering, serving

URL = "http://auth.test/get-session?disableRefresh=true"
GET = Question(method="GET", url=URL, headers=(("cookie", "s=1"),))
POST = Question(method="POST", url="http://auth.test/verify", body=b'{"key":"crow_secret"}')
CLIENTS: list[Callable[[], Upstream]] = [BufferedUpstream, StreamingUpstream]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def ask(upstream: FakeUpstream, clock: FakeClock, question: Question = GET, deadline: float | None = None) -> Answer:
    return run(AuthService(upstream, clock)(question, deadline))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# ----------------------------------------------------------------------------------------------------- what is sent


def test_a_question_goes_out_as_it_is_with_what_the_gateway_adds(clock: FakeClock) -> None:
    upstream = FakeUpstream(ok(b"{}"))
    answer = ask(upstream, clock)
    assert (answer.status, answer.body) == (200, b"{}")
    sent = upstream.only
    assert (sent.method, sent.url, sent.body, sent.timeout_s) == ("GET", URL, b"", 3.0)
    assert sent.headers == [
        ("cookie", "s=1"), ("accept", "application/json"), ("accept-encoding", "identity"), ("user-agent", "gatehouse"),
    ]  # fmt: skip


def test_what_the_question_says_itself_is_not_added_to(clock: FakeClock) -> None:
    upstream = FakeUpstream(ok(b"{}"))
    ask(upstream, clock, Question(method="GET", url=URL, headers=(("accept", "application/jwk-set+json"),)))
    assert [value for name, value in upstream.only.headers if name == "accept"] == ["application/jwk-set+json"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (URL, "http://auth.test"),
        ("HTTPS://Auth.Test:8443/x?token=y", "https://auth.test:8443"),
        ("http://[::1]:80/x#y", "http://[::1]:80"),
    ],
)
def test_an_origin_is_all_that_is_said_of_a_url(url: str, origin: str) -> None:
    assert origin_of(url) == origin


# ------------------------------------------------------------------------------------------ what counts as an answer


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 405, 422, 499])
def test_these_are_answers_whatever_they_say(clock: FakeClock, status: int) -> None:
    answer = ask(FakeUpstream(ok(b"no", ("X-Said", "1"), status=status)), clock)
    assert (answer.status, answer.body, answer.headers.get("X-Said")) == (status, b"no", "1")


@pytest.mark.parametrize("status", [101, 199, 201, 204, 206, 301, 302, 307, 408, 429, 500, 502, 503, 504, 599, 999])
def test_these_are_none(clock: FakeClock, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    upstream = FakeUpstream(ok(b"{}", ("location", "http://elsewhere.test/"), status=status))
    with pytest.raises(AuthUnavailableError):
        ask(upstream, clock)
    assert len(upstream.sent) == 1
    assert [(line["origin"], line["reason"]) for line in lines(capsys)] == [("http://auth.test", f"status {status}")]


@pytest.mark.parametrize(("coding", "good"), [("", True), ("identity", True), ("IDENTITY ", True), ("gzip", False),
                                              ("br", False), ("identity, gzip", False), ("zstd", False)])  # fmt: skip
def test_a_compressed_answer_is_none_since_nobody_asked_for_it(clock: FakeClock, coding: str, good: bool) -> None:
    upstream = FakeUpstream(ok(b"{}", ("content-encoding", coding)))
    if good:
        assert ask(upstream, clock).body == b"{}"
    else:
        with pytest.raises(AuthUnavailableError):
            ask(upstream, clock)


@pytest.mark.parametrize(("size", "good"), [(MOST_BYTES - 1, True), (MOST_BYTES, True), (MOST_BYTES + 1, False)])
@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_is_as_long_as_it_may_be_and_no_longer(
    clock: FakeClock, size: int, good: bool, streamed: bool
) -> None:
    body: Any = pieces(b"x" * size) if streamed else b"x" * size
    upstream = FakeUpstream(Reply(status=200, headers=Headers(), body=body))
    if good:
        assert len(ask(upstream, clock).body) == size
    else:
        with pytest.raises(AuthUnavailableError):
            ask(upstream, clock)


async def pieces(body: bytes, read: list[int] | None = None) -> AsyncGenerator[bytes, None]:
    """Give *body* in pieces, and note in *read* how many were asked for, and with 0 that it was closed."""
    read = [] if read is None else read
    try:
        for start in range(0, len(body), 1000):
            read.append(len(body[start : start + 1000]))
            yield body[start : start + 1000]
    finally:
        read.append(0)


@pytest.mark.parametrize("status", [200, 500])
def test_of_a_stream_no_more_is_read_than_may_be_and_it_is_closed(clock: FakeClock, status: int) -> None:
    read: list[int] = []
    upstream = FakeUpstream(Reply(status=status, headers=Headers(), body=pieces(b"x" * 5_000_000, read)))
    with pytest.raises(AuthUnavailableError):
        ask(upstream, clock)
    assert MOST_BYTES < sum(read) <= MOST_BYTES + 1000
    assert read[-1] == 0


def test_a_longer_answer_can_be_allowed_with_the_same_circuits(clock: FakeClock) -> None:
    circuits = Circuits(Elapsed(clock, clock))
    long = Reply(status=200, headers=Headers(), body=b"x" * (MOST_BYTES + 1))
    roomy = AuthService(FakeUpstream(long), clock, most_bytes=256 * 1024, circuits=circuits)
    assert len(run(roomy(GET)).body) == MOST_BYTES + 1
    narrow = AuthService(FakeUpstream(*[long] * 3), clock, circuits=circuits)
    for _ in range(MOST_FAILURES):
        with pytest.raises(AuthUnavailableError):
            run(narrow(GET))
    silent = FakeUpstream()
    with pytest.raises(AuthUnavailableError):
        run(AuthService(silent, clock, circuits=circuits)(GET))
    assert silent.sent == []


# ------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UpstreamTimeoutError(), "timeout"),
        (TimeoutError(), "timeout"),
        (UpstreamUnreachableError(), "broken answer"),
        (ResponseTooLargeError(), "too large"),
        (OSError("cookie s=1"), "broken answer (OSError)"),
        (ValueError("cookie s=1"), "broken answer (ValueError)"),
    ],
)
def test_whatever_fails_is_one_refusal_and_one_line_in_the_log(
    clock: FakeClock, error: Exception, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream = FakeUpstream(error)
    with pytest.raises(AuthUnavailableError) as caught:
        ask(upstream, clock)
    assert caught.value.status == 503
    assert len(upstream.sent) == 1
    (line,) = lines(capsys)
    assert (line["message"], line["origin"], line["reason"]) == ("auth service failed", "http://auth.test", reason)
    assert "s=1" not in json.dumps(line)
    assert "disableRefresh" not in json.dumps(line)


def test_a_get_that_was_not_answered_is_sent_once_more(clock: FakeClock) -> None:
    upstream = FakeUpstream(UnansweredError(), ok(b"{}"))
    assert ask(upstream, clock).body == b"{}"
    assert len(upstream.sent) == 2
    upstream = FakeUpstream(*[UnansweredError()] * 3)
    with pytest.raises(AuthUnavailableError):
        ask(upstream, clock)
    assert len(upstream.sent) == 2


def test_a_post_is_never_sent_twice(clock: FakeClock) -> None:
    upstream = FakeUpstream(UnansweredError(), ok(b"{}"))
    with pytest.raises(AuthUnavailableError):
        ask(upstream, clock, POST)
    assert len(upstream.sent) == 1


def test_the_same_failure_is_logged_once_a_minute_and_another_one_at_once(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    service = AuthService(FakeUpstream(*(ok(status=status) for status in (500, 500, 502, 500, 500))), clock)
    for later_s in (0, 1, 1, 57, 1):
        clock.now += later_s + OPEN_S
        with pytest.raises(AuthUnavailableError):
            run(service(GET))
    assert [line["reason"] for line in lines(capsys)] == ["status 500", "status 502", "status 500"]


def test_a_question_and_its_answer_show_nothing_of_what_they_hold() -> None:
    answer = Answer(status=200, headers=Headers((("set-auth-jwt", "eyJ"),)), body=b"secret")
    shown = f"{POST!r} {GET!r} {answer!r}"
    assert not [word for word in ("crow_secret", "s=1", "eyJ", "b'secret'") if word in shown]


# ----------------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("deadline_s", "given_s"), [(None, 3.0), (10.0, 3.0), (3.0, 3.0), (1.25, 1.25), (LEAST_S + 0.01, LEAST_S + 0.01)]
)
def test_a_question_is_given_three_seconds_or_what_is_left(
    clock: FakeClock, deadline_s: float | None, given_s: float
) -> None:
    upstream = FakeUpstream(ok(b"{}"))
    ask(upstream, clock, deadline=None if deadline_s is None else clock.now + deadline_s)
    assert upstream.only.timeout_s == pytest.approx(given_s, abs=1e-6)


@pytest.mark.parametrize("deadline_s", [LEAST_S - 0.01, 0.0, -1.0])
def test_with_no_time_left_nobody_is_asked(clock: FakeClock, deadline_s: float) -> None:
    upstream = FakeUpstream()
    with pytest.raises(AuthUnavailableError):
        ask(upstream, clock, deadline=clock.now + deadline_s)
    assert upstream.sent == []


class Slow(FakeUpstream):
    """A client that takes its time before it says that nothing was heard."""

    def __init__(self, clock: FakeClock, takes_s: float) -> None:
        super().__init__(UnansweredError(), ok(b"{}"))
        self.clock, self.takes_s = clock, takes_s

    async def send(self, outbound: Any) -> Reply:
        self.clock.now += self.takes_s
        return await super().send(outbound)


@pytest.mark.parametrize(("takes_s", "sent"), [(1.0, 2), (2.9, 2), (3.0, 1)])
def test_both_attempts_share_the_time_of_one(clock: FakeClock, takes_s: float, sent: int) -> None:
    upstream = Slow(clock, takes_s)
    if sent == 2:
        ask(upstream, clock)
        assert upstream.sent[1].timeout_s == pytest.approx(3.0 - takes_s)
    else:
        with pytest.raises(AuthUnavailableError):
            ask(upstream, clock)
    assert len(upstream.sent) == sent


def test_a_stream_that_never_ends_is_left_when_time_is_up_whatever_its_client_does(clock: FakeClock) -> None:
    async def endless() -> AsyncGenerator[bytes, None]:
        yield b"{"
        await asyncio.Event().wait()

    upstream = FakeUpstream(Reply(status=200, headers=Headers(), body=endless()))
    with pytest.raises(AuthUnavailableError):
        run(asyncio.wait_for(AuthService(upstream, clock, timeout_s=0.1)(GET), PATIENCE_S))


# -------------------------------------------------------------------------------------------------- dead services


@pytest.mark.parametrize("error", [UnansweredError(), UpstreamTimeoutError(), UpstreamUnreachableError()])
def test_a_dead_service_hears_three_questions_in_five_seconds_and_is_tried_again_after(
    clock: FakeClock, error: Exception
) -> None:
    upstream = FakeUpstream(*[error] * 4)
    service = AuthService(upstream, clock)
    for _ in range(50):
        with pytest.raises(AuthUnavailableError):
            run(service(GET))
        clock.now += 0.09
    assert len(upstream.sent) == 3
    clock.now += OPEN_S
    with pytest.raises(AuthUnavailableError):
        run(service(GET))
    assert len(upstream.sent) == 4
    clock.now += OPEN_S
    assert run(service(GET)).status == 200
    assert run(service(GET)).status == 200


def test_a_dead_service_is_left_alone_and_the_others_are_not(clock: FakeClock) -> None:
    upstream = FakeUpstream(*[UpstreamTimeoutError()] * 3)
    service = AuthService(upstream, clock)
    for _ in range(4):
        with pytest.raises(AuthUnavailableError):
            run(service(GET))
    assert run(service(Question(method="GET", url="http://keys.test/jwks"))).status == 200


@pytest.mark.parametrize(("left_s", "left_alone"), [(0.2, False), (0.99, False), (1.01, True), (3.0, True)])
def test_a_service_that_was_given_no_time_has_not_failed(clock: FakeClock, left_s: float, left_alone: bool) -> None:
    upstream = FakeUpstream(*[UpstreamTimeoutError()] * 5)
    service = AuthService(upstream, clock)
    for _ in range(5):
        with pytest.raises(AuthUnavailableError):
            run(service(GET, clock.now + left_s))
    assert len(upstream.sent) == (3 if left_alone else 5)


@pytest.mark.parametrize("status", [429])
def test_a_service_that_has_had_enough_of_one_caller_is_not_left_alone(clock: FakeClock, status: int) -> None:
    """It counts by the caller's address, which it is told: one caller would shut out all others."""
    upstream = FakeUpstream(*[ok(b"{}", status=status)] * 10)
    service = AuthService(upstream, clock)
    for _ in range(10):
        with pytest.raises(AuthUnavailableError):
            run(service(GET))
    assert run(service(GET)).status == 200


def test_what_fails_at_one_path_is_no_failure_of_what_else_is_at_the_address(clock: FakeClock) -> None:
    upstream = FakeUpstream(*[ok(b"", status=500)] * 3)
    service = AuthService(upstream, clock)
    for number in range(3):
        odd = Question(method="GET", url=f"http://auth.test/organizations/{number}", service="organizations")
        with pytest.raises(AuthUnavailableError):
            run(service(odd))
    with pytest.raises(AuthUnavailableError):
        run(service(Question(method="GET", url="http://auth.test/organizations/4", service="organizations")))
    assert len(upstream.sent) == 3
    assert run(service(GET)).status == 200


def test_an_answer_nobody_likes_is_no_failure_of_the_service(clock: FakeClock) -> None:
    upstream = FakeUpstream(*[ok(b"<html>", status=404)] * 10)
    service = AuthService(upstream, clock)
    assert [run(service(GET)).status for _ in range(10)] == [404] * 10


def test_a_client_who_hangs_up_says_nothing_about_the_service(clock: FakeClock) -> None:
    class Stuck(FakeUpstream):
        async def send(self, outbound: Any) -> Reply:
            self.sent.append(outbound)
            await asyncio.Event().wait()
            raise AssertionError

    upstream = Stuck()
    service = AuthService(upstream, clock)

    async def hang_up() -> None:
        asking = asyncio.ensure_future(service(GET))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    for _ in range(5):
        run(hang_up())
    assert len(upstream.sent) == 5


# -------------------------------------------------------------------------------------------------- real servers


@pytest.fixture(params=CLIENTS, ids=["buffered", "streaming"])
def make(request: pytest.FixtureRequest) -> Callable[[], Upstream]:
    return request.param


def asked(
    make: Callable[[], Upstream], server: Scripted, times: int = 1, timeout_s: float = 3.0, method: str = "GET"
) -> list[Answer | BaseException]:
    """Ask *server* one question after another; return each answer, or what was raised instead."""

    async def work() -> list[Answer | BaseException]:
        upstream = make()
        service = AuthService(upstream, time.monotonic, timeout_s=timeout_s)
        question = Question(method=method, url=f"{server.address}/ask", headers=(("x-tag", "1"),))
        try:
            return [(await asyncio.gather(service(question), return_exceptions=True))[0] for _ in range(times)]
        finally:
            await upstream.close()

    return run(work())


def saying(raw: bytes) -> Script:
    def script(connection: Connection) -> None:
        if connection.read():
            connection.say(raw)

    return script


def head(*fields: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields]).encode() + b"\r\n\r\n"


CHUNKED = b"".join(b"1000\r\n" + b"x" * 4096 + b"\r\n" for _ in range(1250)) + b"0\r\n\r\n"
GZIPPED = gzip.compress(b'{"user":{"id":"1"}}')


def test_a_question_arrives_and_its_answer_comes_back(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        while connection.read():
            connection.answer(b'{"user":null}', "Content-Type: application/json")

    with serving(script) as server:
        answers = asked(make, server, times=2)
    assert [json.loads(one.body) for one in answers if isinstance(one, Answer)] == [{"user": None}] * 2
    assert server.received[0].line == "GET /ask HTTP/1.1"
    assert server.received[0].get_all("accept") == ["application/json"]
    assert server.received[0].get_all("x-tag") == ["1"]


@pytest.mark.parametrize(
    "raw",
    [
        head("Content-Length: 0", status="500 Oops"),
        head("Content-Length: 5000000", status="502 Oops") + b"x" * 5_000_000,
        head("Location: http://127.0.0.1:9/", "Content-Length: 0", status="302 Found"),
        head(f"Content-Length: {len(GZIPPED)}", "Content-Encoding: gzip") + GZIPPED,
        head("Content-Length: 5000000") + b"x" * 5_000_000,
        head("Transfer-Encoding: chunked") + CHUNKED,
        head("Connection: close") + b"x" * 5_000_000,
        head("Content-Length: 1000") + b'{"user":',
        head("Transfer-Encoding: chunked") + b'400\r\n{"user":',
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        head("Upgrade: websocket", status="101 Switching Protocols"),
    ],
    ids=["500", "502 and 5 MB", "redirect", "gzip", "5 MB", "5 MB in chunks", "5 MB to the end", "half a body",
         "half a chunk", "half a head", "no HTTP", "101"],
)  # fmt: skip
def test_what_is_no_answer_is_a_refusal_after_one_question_and_nothing_stays_open(
    make: Callable[[], Upstream], raw: bytes
) -> None:
    with serving(saying(raw)) as server:
        (error,) = asked(make, server)
        server.wait_closed()
    gc.collect()
    assert type(error) is AuthUnavailableError
    assert len(server.received) == 1


def test_html_is_an_answer_that_holds_no_document(make: Callable[[], Upstream]) -> None:
    page = b"<!doctype html><title>Welcome"
    with serving(saying(head(f"Content-Length: {len(page)}", "Content-Type: text/html") + page)) as server:
        (answer,) = asked(make, server)
    assert isinstance(answer, Answer)
    with pytest.raises(UnclearAnswerError):
        document_of(answer)


@pytest.mark.parametrize(("method", "connections"), [("GET", 2), ("POST", 1)])
def test_a_connection_that_is_dropped_before_a_byte_is_tried_again_for_a_get_alone(
    make: Callable[[], Upstream], method: str, connections: int
) -> None:
    def script(connection: Connection) -> None:
        connection.read()

    with serving(script) as server:
        (error,) = asked(make, server, method=method)
    assert type(error) is AuthUnavailableError
    assert len(server.received) == connections


def test_a_dropped_connection_is_made_good_by_the_next(make: Callable[[], Upstream]) -> None:
    def script(connection: Connection) -> None:
        if connection.read() and connection.number > 1:
            connection.answer(b"{}")

    with serving(script) as server:
        (answer,) = asked(make, server)
    assert isinstance(answer, Answer)
    assert len(server.received) == 2


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\n", head("Content-Length: 9") + b"{", head() + b"{"])
def test_a_service_that_stalls_is_waited_for_no_longer_than_allowed(make: Callable[[], Upstream], says: bytes) -> None:
    def script(connection: Connection) -> None:
        connection.read()
        connection.say(says)
        connection.wait_for_end()

    with serving(script) as server:
        started = time.monotonic()
        (error,) = asked(make, server, timeout_s=0.3)
        took_s = time.monotonic() - started
    assert type(error) is AuthUnavailableError
    assert took_s < 2
    assert len(server.received) == 1


def test_a_service_that_is_down_hears_nothing_and_soon_is_not_even_tried(make: Callable[[], Upstream]) -> None:
    with serving(keep_answering) as server:
        pass
    started = time.monotonic()
    errors = asked(make, server, times=200)
    assert {type(error) for error in errors} == {AuthUnavailableError}
    assert time.monotonic() - started < 2


def test_a_dead_service_hears_three_questions_at_most(make: Callable[[], Upstream]) -> None:
    with serving(saying(head("Content-Length: 0", "Connection: close", status="503 Down"))) as server:
        errors = asked(make, server, times=100)
    assert {type(error) for error in errors} == {AuthUnavailableError}
    assert len(server.received) == 3
