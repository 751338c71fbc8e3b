"""Functions as upstreams: what one gets and says is what the same application behind HTTP would have got and said."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gatehouse import logs
from gatehouse.call import Reply
from gatehouse.errors import (
    GatewayError,
    PayloadTooLargeError,
    ResponseTooLargeError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gatehouse.headers import Pair
from gatehouse.stages.forward import Target, forward
from gatehouse.stores import access as access_module
from gatehouse.stores.access import NoCredentialsError, access
from gatehouse.upstreams import Outbound, UnansweredError, Upstream, invoking
from gatehouse.upstreams.buffered import BufferedUpstream
from gatehouse.upstreams.functions import FunctionUpstream
from local.servers import listen, served
from local.template import ROOT
from tests.contract.echo_app import app
from tests.contract.echo_app import handler as echo
from tests.contract.lambda_service import KEY, SECRET, LambdaService, serving
from tests.ministack import free_port
from tests.unit.fakes import a_call, run
from tests.unit.scripted import PATIENCE_S, Connection, Script, Scripted
from tests.unit.scripted import serving as scripted

ARN = "arn:aws:lambda:eu-west-3:123456789012:function:echo"
RIE = ".venv-sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
NEVER_COPIED = frozenset({"host", "date", "server", "content-length"})


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A function's environment, with credentials of its own."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return monkeypatch


@pytest.fixture
def service(environ: pytest.MonkeyPatch) -> Iterator[LambdaService]:
    made = LambdaService({"echo": echo})
    with serving(made) as url:
        environ.setenv("AWS_ENDPOINT_URL_LAMBDA", url)
        environ.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        yield made


@pytest.fixture
def said() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was logged."""
    out = io.StringIO()
    with logs.written_to(out):
        yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]


def outbound(
    target: str = "/", method: str = "GET", *headers: Pair, body: bytes = b"", name: str = "echo", timeout_s: float = 20
) -> Outbound:
    url = f"lambda://{name}{target}"
    return Outbound(method=method, url=url, headers=list(headers), body=body, timeout_s=timeout_s)


def fetch(*requests: Outbound, upstream: Upstream | None = None) -> Reply:
    """Send *requests*, one after the other, by one client; return the last answer."""

    async def work() -> Reply:
        client = upstream or FunctionUpstream()
        try:
            return [await client.send(request) for request in requests][-1]
        finally:
            await client.close()

    return run(work())


def instead(service: LambdaService, returned: Any) -> None:
    service.functions["odd"] = lambda *_: returned


# ----------------------------------------------------------------------------------------------- as by HTTP


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    listening = listen("127.0.0.1", 0)
    with served(app, [listening]):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "target",
    [
        "/", "/a/b%20c/%E2%82%AC", "/a;b=1,c/(d)!$&'*+=:@", "/trailing/", "/q?a=1&a=2&b=%2B+%20&c", "/q?u=/a?b=%C3%A9",
        "/bytes", "/cookies", "/gone", "/nothing", "/broken",
    ],
)  # fmt: skip
def test_a_function_gets_and_says_what_the_same_application_does_by_http(
    service: LambdaService, web: str, method: str, target: str
):
    forwarded = (("x-forwarded-for", "203.0.113.7"), ("x-request-id", "request-0001"))
    fields = (("x-tag", "1"), ("x-tag", "2"), ("content-type", "application/json"), *forwarded)
    body = b'{"name": "Zo\xc3\xab"}' if method in {"POST", "PUT", "PATCH"} else b""

    def heard(client: Upstream, address: str) -> Any:
        routed = Target(route="ECHO", address=address, stripped=1, timeout_s=20)
        path, _, query = f"/echo{target}".partition("?")
        reply = fetched(client, forward(client, routed), a_call(path, method, *fields, query=query, body=body))
        pairs = sorted(pair for pair in reply.headers if pair[0] not in NEVER_COPIED)
        return reply.status, pairs, b"" if method == "HEAD" else told(reply)

    by_http, invoked = heard(BufferedUpstream(), web), heard(FunctionUpstream(), "lambda://echo")
    assert invoked == by_http


def fetched(client: Upstream, handler: Callable[[Any], Awaitable[Reply]], call: Any) -> Reply:
    async def work() -> Reply:
        try:
            return await handler(call)
        finally:
            await client.close()

    return run(work())


def told(reply: Reply) -> Any:
    """Return the body; where it is what the application heard, without what differs between any two servers."""
    if reply.headers.get("content-type") != "application/json":
        return reply.whole
    document = json.loads(reply.whole)
    document["headers"] = {name: value.replace(", ", ",") for name, value in document["headers"].items()}
    if not document["body"]:
        document["headers"].pop("content-length", None)
    return document


def test_the_body_arrives_byte_for_byte_and_comes_back_so(service: LambdaService):
    body = bytes(range(256)) * 4000
    reply = fetch(outbound("/bytes", "POST", ("content-type", "application/octet-stream"), body=body))
    assert reply.whole == bytes(range(256)) + body


# --------------------------------------------------------------------------------------------- how it is invoked


@pytest.mark.parametrize(
    ("name", "target", "region"),
    [
        ("echo", "/2015-03-31/functions/echo/invocations", "eu-central-1"),
        ("echo:live", "/2015-03-31/functions/echo/invocations?Qualifier=live", "eu-central-1"),
        ("echo:$LATEST", "/2015-03-31/functions/echo/invocations?Qualifier=%24LATEST", "eu-central-1"),
        (f"{ARN}:7", f"/2015-03-31/functions/{ARN.replace(':', '%3A')}/invocations?Qualifier=7", "eu-west-3"),
    ],
)
@pytest.mark.parametrize("token", ["", "a-session-token"])
def test_the_signature_is_botocores_whatever_the_function_is_called(
    service: LambdaService, environ: pytest.MonkeyPatch, name: str, target: str, region: str, token: str
):
    environ.setenv("AWS_SESSION_TOKEN", token)
    assert fetch(outbound("/a", name=name)).status == 200
    ((came, headers, event),) = service.invoked
    assert came == target
    assert headers["x-amz-invocation-type"] == "RequestResponse"
    assert f"/{region}/lambda/aws4_request" in headers["authorization"]
    assert headers.get("x-amz-security-token", "") == token
    assert event["headers"]["host"] == "echo"


def test_a_connection_is_kept_for_the_next_invocation(service: LambdaService):
    fetch(outbound("/a"), outbound("/b"), outbound("/c"))
    assert (service.connections, len(service.invoked)) == (1, 3)


def test_without_an_endpoint_of_its_own_lambda_is_in_the_region_of_the_function(environ: pytest.MonkeyPatch):
    assert access("lambda").url == "https://lambda.eu-central-1.amazonaws.com"
    assert access("lambda", "eu-west-3").url == "https://lambda.eu-west-3.amazonaws.com"
    assert access("lambda", "eu-west-3").region == "eu-west-3"
    environ.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert access("lambda", "eu-west-3").url == "http://127.0.0.1:9"


def test_credentials_of_another_kind_are_boto3s_to_find(
    service: LambdaService, environ: pytest.MonkeyPatch, tmp_path: Path
):
    """As under SnapStart: they are nowhere in the environment, and end."""
    (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    environ.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    environ.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    environ.delenv("AWS_ACCESS_KEY_ID")
    environ.delenv("AWS_SECRET_ACCESS_KEY")
    access_module._known.cache_clear()
    assert fetch(outbound("/a", name=ARN)).status == 200
    assert "/eu-west-3/lambda/" in service.invoked[0][1]["authorization"]
    access_module._known.cache_clear()


def test_without_credentials_nothing_is_sent(
    service: LambdaService, environ: pytest.MonkeyPatch, tmp_path: Path, said: Callable[[], list[dict[str, Any]]]
):
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        environ.setenv(name, str(tmp_path / "nothing"))
    environ.setenv("AWS_EC2_METADATA_DISABLED", "true")
    environ.delenv("AWS_ACCESS_KEY_ID")
    access_module._known.cache_clear()
    with pytest.raises(NoCredentialsError):
        access("lambda", "eu-west-3")
    with pytest.raises(UpstreamUnreachableError):
        fetch(outbound("/a"))
    assert (service.invoked, said()[-1]["reason"]) == ([], "NoCredentialsError")
    access_module._known.cache_clear()


def test_many_invocations_are_under_way_at_once_and_never_more_than_there_are_threads(service: LambdaService):
    running, most, lock = 0, 0, threading.Lock()
    full = threading.Event()

    def slow(*_: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if running == 3:
                full.set()
        full.wait(PATIENCE_S)
        with lock:
            running -= 1
        return {"statusCode": 204}

    service.functions["slow"] = slow

    async def work() -> list[Reply]:
        client = FunctionUpstream(most_at_once=3)
        try:
            return await asyncio.gather(*(client.send(outbound(name="slow")) for _ in range(9)))
        finally:
            await client.close()

    assert [reply.status for reply in run(work())] == [204] * 9
    assert most == 3


# ------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("status", "kind", "raised"),
    [
        (429, "TooManyRequestsException", UpstreamUnreachableError),
        (403, "AccessDeniedException", UpstreamUnreachableError),
        (404, "ResourceNotFoundException", UpstreamUnreachableError),
        (500, "ServiceException", UpstreamUnreachableError),
        (502, "EC2ThrottledException", UpstreamUnreachableError),
        (413, "RequestTooLargeException", PayloadTooLargeError),
    ],
)
def test_a_refusal_of_the_service_is_named_in_the_log_and_not_to_the_client(
    service: LambdaService, said: Any, status: int, kind: str, raised: type[GatewayError]
):
    service.refusals["odd"] = (status, kind)
    with pytest.raises(raised) as caught:
        fetch(outbound(name="odd"))
    assert type(caught.value) is raised
    assert kind not in str(caught.value)
    (line,) = said()
    reason = kind if kind.isalpha() else f"status {status}"
    assert (line["message"], line["function"], line["reason"]) == ("invocation failed", "odd", reason)
    assert len(service.invoked) == 1


def test_a_function_that_is_not_there_is_named_in_the_log(service: LambdaService, said: Any):
    with pytest.raises(UpstreamUnreachableError):
        fetch(outbound(name="nobody:live"))
    assert (said()[0]["function"], said()[0]["reason"]) == ("nobody:live", "ResourceNotFoundException")


def test_a_function_that_fails_is_502_and_what_it_said_is_nowhere(service: LambdaService, said: Any):
    def failing(*_: Any) -> None:
        raise LookupError("the password is hunter2")

    service.functions["odd"] = failing
    with pytest.raises(UpstreamUnreachableError) as caught:
        fetch(outbound(name="odd", method="GET"))
    assert (said()[0]["message"], said()[0]["reason"]) == ("function failed", "LookupError")
    assert "hunter2" not in f"{caught.value}{said()}"
    assert len(service.invoked) == 1


@pytest.mark.parametrize(
    ("kind", "raised"),
    [("Sandbox.Timedout", UpstreamTimeoutError), ("Function.ResponseSizeTooLarge", ResponseTooLargeError)],
)
def test_what_lambda_says_of_a_function_is_said_to_the_client_in_its_words(
    service: LambdaService, kind: str, raised: type[GatewayError]
):
    def failing(*_: Any) -> None:
        raise type(kind, (Exception,), {})

    service.functions["odd"] = failing
    with pytest.raises(raised):
        fetch(outbound(name="odd"))


@pytest.mark.parametrize("returned", [None, "hello", {"body": "x"}, {"statusCode": 700}, b"\xff", {"statusCode": "x"}])
def test_what_is_no_answer_is_502_and_the_log_says_why(service: LambdaService, said: Any, returned: Any):
    instead(service, returned)
    with pytest.raises(UpstreamUnreachableError):
        fetch(outbound(name="odd"))
    assert said()[0]["message"] == "function answered what is no answer"
    assert said()[0]["reason"]


def test_a_request_that_no_function_can_be_sent_is_413_and_sent_to_none(service: LambdaService):
    with pytest.raises(PayloadTooLargeError, match=r"4\.5 MB"):
        fetch(outbound("/", "POST", body=b"\xff" * 4_800_000))
    assert service.invoked == []


def test_an_answer_larger_than_any_function_has_is_not_read_to_its_end(service: LambdaService):
    instead(service, b'{"statusCode":200,"body":"' + b"x" * 6_500_000 + b'"}')
    with pytest.raises(ResponseTooLargeError):
        fetch(outbound(name="odd"))


# -------------------------------------------------------------------------------------- what the wire does


def here(environ: pytest.MonkeyPatch, address: str) -> None:
    environ.setenv("AWS_ENDPOINT_URL_LAMBDA", address)


def hang(connection: Connection) -> None:
    connection.read()
    connection.wait_for_end()


def hang_up(connection: Connection) -> None:
    connection.read()


def reset(connection: Connection) -> None:
    connection.read()
    connection.reset()


def half(connection: Connection) -> None:
    connection.read()
    connection.say(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"statusCode":200}')


def head_alone(connection: Connection) -> None:
    connection.read()
    connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")


def half_a_chunk(connection: Connection) -> None:
    connection.read()
    connection.say(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n{"statusCode":200}\r\n')


def nonsense(connection: Connection) -> None:
    connection.read()
    connection.say(b"SSH-2.0-OpenSSH\r\n\r\n")


@pytest.mark.parametrize("script", [hang_up, reset, head_alone, half, half_a_chunk, nonsense])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_what_may_have_been_invoked_is_never_invoked_again(
    environ: pytest.MonkeyPatch, script: Script, method: str, said: Any
):
    """Also a GET, which an HTTP upstream would get once more: what an invocation does, nobody knows."""
    target = Target(route="ECHO", address="lambda://echo", stripped=0, timeout_s=PATIENCE_S)
    with scripted(script) as server:
        here(environ, server.address)
        client = FunctionUpstream()
        with pytest.raises(UpstreamUnreachableError) as caught:
            fetched(client, forward(client, target), a_call("/a", method))
        assert type(caught.value) is UpstreamUnreachableError
        assert len(server.received) == 1
    assert [line["message"] for line in said()] == ["invocation failed"]


def test_what_cannot_have_arrived_may_be_sent_again(environ: pytest.MonkeyPatch, said: Any):
    here(environ, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnansweredError):
        fetch(outbound())
    assert said()[0]["reason"] == "ConnectionRefusedError"


def test_what_broke_off_before_all_of_it_was_sent_may_be_sent_again(environ: pytest.MonkeyPatch):
    with scripted(Connection.reset) as server:
        here(environ, server.address)
        with pytest.raises(UnansweredError):
            fetch(outbound("/", "PUT", ("content-type", "text/plain"), body=b"x" * 6_000_000))


def test_an_answer_may_be_the_last_of_its_connection(environ: pytest.MonkeyPatch):
    def last(connection: Connection) -> None:
        connection.read()
        connection.answer(b'{"statusCode":204}', "Connection: close")

    with scripted(last) as server:
        here(environ, server.address)
        assert fetch(outbound("/a"), outbound("/b")).status == 204
        assert len(server.connections) == 2


def test_an_error_page_that_is_no_errors_document_is_named_by_its_status(environ: pytest.MonkeyPatch, said: Any):
    def page(connection: Connection) -> None:
        connection.read()
        connection.answer(b"<html>", status="503 Service Unavailable")

    with scripted(page) as server:
        here(environ, server.address)
        with pytest.raises(UpstreamUnreachableError):
            fetch(outbound())
    assert said()[0]["reason"] == "status 503"


# ---------------------------------------------------------------------------------------------------- over TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return file


@pytest.fixture
def secure(environ: pytest.MonkeyPatch, certificate: Path) -> Iterator[Callable[[Script], Script]]:
    """Return a script that plays another over TLS, with a certificate that the client believes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def over_tls(script: Script) -> Script:
        def play(connection: Connection) -> None:
            with contextlib.suppress(OSError):
                connection.sock = context.wrap_socket(connection.sock, server_side=True)
                script(connection)

        return play

    environ.setenv("SSL_CERT_FILE", str(certificate))
    invoking._tls.cache_clear()
    yield over_tls
    invoking._tls.cache_clear()


def answer_once(connection: Connection) -> None:
    connection.read()
    connection.answer(b'{"statusCode":204}')
    connection.wait_for_end()


def test_a_function_is_invoked_over_tls(environ: pytest.MonkeyPatch, secure: Callable[[Script], Script]):
    with scripted(secure(answer_once)) as server:
        here(environ, server.address.replace("http:", "https:"))
        assert fetch(outbound()).status == 204


def test_a_certificate_that_nobody_vouches_for_is_not_believed(
    environ: pytest.MonkeyPatch, secure: Callable[[Script], Script], said: Any
):
    environ.delenv("SSL_CERT_FILE")
    with scripted(secure(answer_once)) as server:
        here(environ, server.address.replace("http:", "https:"))
        with pytest.raises(UnansweredError):
            fetch(outbound())
        assert server.received == []
    assert said()[0]["reason"] == "SSLCertVerificationError"


def test_a_client_that_leaves_has_its_connection_closed_at_once_over_tls_too(
    environ: pytest.MonkeyPatch, secure: Callable[[Script], Script]
):
    with scripted(secure(hang)) as server:
        here(environ, server.address.replace("http:", "https:"))
        leaves(server)


def test_a_name_that_nobody_knows_is_502(environ: pytest.MonkeyPatch):
    here(environ, "http://lambda.invalid")
    with pytest.raises(UnansweredError):
        fetch(outbound())


def test_a_function_that_takes_too_long_is_504_and_its_thread_is_free_again(environ: pytest.MonkeyPatch, said: Any):
    with scripted(hang) as server:
        here(environ, server.address)
        before, started = set(threading.enumerate()), time.monotonic()
        with pytest.raises(UpstreamTimeoutError):
            fetch(outbound(timeout_s=0.2))
        assert time.monotonic() - started < 2
        server.wait_closed()
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
    assert said()[-1]["reason"] == "TimeoutError"


def test_an_answer_that_drips_is_cut_off_at_the_deadline(environ: pytest.MonkeyPatch):
    stop = threading.Event()

    def drip(connection: Connection) -> None:
        connection.read()
        connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not stop.wait(0.05):
            connection.say(b" ")

    with scripted(drip) as server:
        here(environ, server.address)
        started = time.monotonic()
        with pytest.raises(UpstreamTimeoutError):
            fetch(outbound(timeout_s=0.3))
        assert time.monotonic() - started < 2
        stop.set()


def test_who_waits_for_a_thread_in_vain_is_504_and_was_never_sent(environ: pytest.MonkeyPatch):
    with scripted(hang) as server:
        here(environ, server.address)

        async def work() -> None:
            client = FunctionUpstream(most_at_once=1)
            first = asyncio.create_task(client.send(outbound("/first")))
            await asyncio.to_thread(server.wait_arrived)
            with pytest.raises(UpstreamTimeoutError):
                await client.send(outbound("/second", timeout_s=0.1))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            await asyncio.to_thread(server.wait_closed)
            await client.close()

        run(work())
        assert [json.loads(one.body)["path"] for one in server.received] == ["/first"]


def test_a_client_that_leaves_has_its_connection_closed_at_once(environ: pytest.MonkeyPatch):
    with scripted(hang) as server:
        here(environ, server.address)
        leaves(server)


def leaves(server: Scripted) -> None:
    """Invoke a function that hangs, and leave; the thread that waited must end before the deadline."""
    before = set(threading.enumerate())

    async def work() -> None:
        client = FunctionUpstream()
        task = asyncio.create_task(client.send(outbound(timeout_s=60)))
        await asyncio.to_thread(server.wait_arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_closed)
        await client.close()

    run(work())
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_a_gateway_that_ends_does_not_wait_for_functions(environ: pytest.MonkeyPatch):
    with scripted(hang) as server:
        here(environ, server.address)

        async def work() -> None:
            client = FunctionUpstream(most_at_once=1)
            tasks = [asyncio.create_task(client.send(outbound(timeout_s=60))) for _ in range(3)]
            await asyncio.to_thread(server.wait_arrived)
            await client.close()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, UpstreamUnreachableError)

        run(work())
        assert len(server.received) == 1


def test_a_connection_that_was_closed_meanwhile_is_not_used(environ: pytest.MonkeyPatch):
    def once(connection: Connection) -> None:
        if connection.read():
            connection.answer(b'{"statusCode":204}')

    with scripted(once) as server:
        here(environ, server.address)

        async def work() -> list[int]:
            client = FunctionUpstream()
            statuses = []
            for _ in range(3):
                statuses.append((await client.send(outbound("/", "POST"))).status)
                await asyncio.to_thread(server.wait_closed)
            await client.close()
            return statuses

        assert run(work()) == [204] * 3
        assert len(server.received) == 3


# ------------------------------------------------------------------------------------------- which client sends


# ------------------------------------------------------------------------------------- the real thing, or nearly

HANDLER = """
import json

def handler(event, context):
    if event["path"] == "/fail":
        raise LookupError("the password is hunter2")
    return {
        "statusCode": 201,
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "Content-Type": ["application/json"]},
        "body": json.dumps({key: event[key] for key in ("path", "multiValueQueryStringParameters", "body")}),
    }
"""
RUNTIME = """
import json, os, urllib.request
from app import handler

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/"

def say(path, document):
    data = json.dumps(document).encode()
    urllib.request.urlopen(urllib.request.Request(API + path, data=data, method="POST")).read()

while True:
    with urllib.request.urlopen(API + "next") as invocation:
        number, event = invocation.headers["Lambda-Runtime-Aws-Request-Id"], json.load(invocation)
    try:
        result = handler(event, None)
    except Exception as error:
        say(number + "/error", {"errorType": type(error).__name__, "errorMessage": str(error)})
    else:
        say(number + "/response", result)
"""


def check_the_real_one(name: str) -> None:
    """Hold what runs HANDLER, and is not ours, to what our own service does."""
    text = ("content-type", "text/plain")
    reply = fetch(outbound("/a%20b?x=1&x=%2B", "POST", text, body="Zoë".encode(), name=name, timeout_s=60))
    assert reply.status == 201
    assert reply.headers.get_all("set-cookie") == ("a=1", "b=2")
    assert json.loads(reply.whole) == {
        "path": "/a%20b",
        "multiValueQueryStringParameters": {"x": ["1", "+"]},
        "body": "Zoë",
    }
    with pytest.raises(UpstreamUnreachableError):
        fetch(outbound("/fail", name=name, timeout_s=60))


def test_ministack_runs_a_function_as_our_own_service_does(ministack: str, environ: pytest.MonkeyPatch):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("app.py", HANDLER)
    environ.setenv("AWS_ENDPOINT_URL", ministack)
    client = boto3.client("lambda", region_name="eu-central-1")
    client.create_function(
        FunctionName="function-upstream",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/x",
        Handler="app.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    check_the_real_one("function-upstream")
    check_the_real_one("arn:aws:lambda:eu-central-1:000000000000:function:function-upstream")
    with pytest.raises(UpstreamUnreachableError):
        fetch(outbound(name="function-that-is-not-there"))


def test_the_runtime_interface_emulator_runs_a_function_as_our_own_service_does(
    environ: pytest.MonkeyPatch, tmp_path: Path
):
    machine = "arm64" if os.uname().machine in {"arm64", "aarch64"} else "x86_64"
    found = sorted(ROOT.glob(RIE.format(machine=machine)))
    if os.uname().sysname != "Linux" or not found:
        pytest.skip("the Runtime Interface Emulator comes with the SAM command line, which is not installed")
    (tmp_path / "app.py").write_text(HANDLER)
    (tmp_path / "runtime.py").write_text(RUNTIME)
    port, api = free_port(), free_port()
    command = [
        *(str(found[-1]), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api}", sys.executable, "runtime.py", "app.handler"),
    ]
    surroundings = {"PATH": os.environ["PATH"], "AWS_LAMBDA_FUNCTION_TIMEOUT": "30", "HOME": str(tmp_path)}
    with (tmp_path / "log.txt").open("wb") as log:
        emulator = subprocess.Popen(command, env=surroundings, cwd=tmp_path, stdout=log, stderr=log)
        try:
            wait_until_open(port)
            environ.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{port}")
            check_the_real_one("function")
        finally:
            emulator.terminate()
            emulator.wait(10)


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the emulator did not start")
