"""What can be sent to a socket and not through a client: the gateway as `make run` serves it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from local.house import House
from local.router import router
from local.servers import listen, served
from tests.contract.upstream import Lab


@pytest.fixture(scope="module")
def port(house: House) -> Iterator[int]:
    listening = listen("127.0.0.1", 0)
    with served(router(house.template), [listening]):
        yield listening.getsockname()[1]


def exchange(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


CHUNKED = (
    b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n%s\r\n"
)


def test_a_trailer_is_not_a_header(port: int, lab: Lab):
    assert status(exchange(port, CHUNKED % (b"/lab/echo/x", b"X-Late: 1\r\nX-Gateway-Route: 2\r\n"))) == 200
    assert lab.last["body"] == b"hello"
    assert not lab.values("x-late")
    assert lab.values("x-gateway-route") == ["ECHO"]


def test_a_trailer_does_not_say_who_is_calling(port: int, admin_token: str):
    trailer = b"Authorization: Bearer " + admin_token.encode() + b"\r\n"
    assert b'"MISSING_TOKEN"' in exchange(port, CHUNKED % (b"/build/x", trailer))


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /lab/echo HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /lab/echo HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /lab/echo#/../x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /lab/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /lab/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"GET /lab/echo HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer x\r\n\r\n",
        b"GET /lab/echo HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /lab/echo HTTP/1.1\nHost: a\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
    ids=lambda value: repr(value[:60]),
)
def test_a_head_that_two_servers_could_read_in_two_ways_is_refused(port: int, lab: Lab, request_bytes: bytes):
    before = len(lab.seen)
    answer = exchange(port, request_bytes)
    assert status(answer) == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "INVALID_REQUEST"
    assert len(lab.seen) == before


def test_an_absolute_target_is_routed_by_its_path(port: int, lab: Lab):
    request = b"GET http://evil.example/lab/echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert status(exchange(port, request)) == 200
    assert lab.last["path"] == "/x"


def test_an_old_client_without_a_host_is_served(port: int):
    assert status(exchange(port, b"GET /lab/echo/x HTTP/1.0\r\n\r\n")) == 200


def test_pipelined_requests_are_answered_in_their_order(port: int):
    first = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = exchange(port, first + b"GET /lab/echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert [part.split(b" ", 1)[0] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200"]


def test_an_upgrade_is_not_passed_on(port: int, lab: Lab):
    request = (
        b"GET /lab/echo/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        assert status(connection.recv(65536)) == 200
    assert not lab.values("upgrade")
    assert "upgrade" not in [value.lower() for value in lab.values("connection")]


def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_failure(port: int, capfd: pytest.CaptureFixture[str]):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST /lab/echo/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    assert status(exchange(port, b"GET /lab/echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) == 200
    assert "unexpected failure" not in capfd.readouterr().out


@pytest.mark.parametrize("value", [b"h2c", b"websocket"])
def test_an_upgrade_with_a_body_is_refused_before_the_body_is_lost(port: int, lab: Lab, value: bytes):
    before = len(lab.seen)
    head = (
        b"POST /lab/echo/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert status(exchange(port, head % value)) == 400
    assert len(lab.seen) == before


@pytest.mark.parametrize(
    "head",
    [
        b"GET /lab/echo/x HTTP/1.1\r\nHost: a\r\nX-Endless: ",
        b"GET /lab/echo/x HTTP/1.1\r\nHost: a\r\nX-Endless",
        b"POST /lab/echo/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Late: ",
    ],
)
def test_a_field_without_an_end_is_cut_off(port: int, head: bytes):
    with pytest.raises(ConnectionError):
        flood(port, head)


def flood(port: int, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for piece in (head, *(b"a" * 65536 for _ in range(200))):
            connection.sendall(piece)


def test_a_kept_connection_survives_an_unchanged_answer(port: int):
    request = b"GET /lab/echo/%s HTTP/1.1\r\nHost: a\r\n%s\r\n"
    answer = exchange(port, request % (b"unchanged", b"") + request % (b"x", b"Connection: close\r\n"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"304", b"200"]
