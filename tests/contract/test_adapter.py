"""The proxy as StreamFunction runs it: its own start script, and answers that leave while they are still being made."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.processes import BenchError, started
from bench.workshop import emulator
from gatehouse.adapter import behind_adapter, joined
from gatehouse.edge import DEADLINE, INVOCATION
from local import template
from local.template import ROOT
from tests import adapter_double
from tests.contract.conftest import Send
from tests.contract.rest_event import rest_event
from tests.contract.upstream import Lab

PATIENCE_S = 20
INVOKE = "/2015-03-31/functions/function/invocations"
PROJECT = """
project: streams
routes:
  - {{name: FLOW, path: /ai/flow, upstream: "http://127.0.0.1:{port}", auth: none, streaming: true}}
  - {{name: GONE, path: /ai/gone, upstream: "http://127.0.0.1:{closed}", auth: none, streaming: true}}
"""


# --------------------------------------------------------------------------------------- through the emulator


class Origin(ThreadingHTTPServer):
    """An upstream that says a second word only when it is allowed to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Speaker)
        self.may_go_on = threading.Event()
        self.went_on = threading.Event()
        self.seen: list[tuple[str, list[tuple[str, str]], bytes]] = []


class Speaker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append((self.path, [(k.lower(), v) for k, v in self.headers.items()], body))
        word = self.path.rpartition("/")[2]
        self.send_response(201 if word == "made" else 200)
        self.send_header("Content-Type", "text/event-stream")
        for name, value in (("Vary", "A"), ("Vary", "B"), ("Set-Cookie", "a=1"), ("X-Kind", "plain")):
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.say(b"data: first\n\n")
        if word == "cut":
            self.close_connection = True
            return
        if word == "two":
            self.server.may_go_on.wait(PATIENCE_S)
        self.server.went_on.set()
        self.say(b"data: second\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def say(self, piece: bytes) -> None:
        self.wfile.write(adapter_double.chunk(piece))
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Streamed:
    """An answer as it left the function."""

    prelude: dict[str, Any]
    body: bytes
    steps: list[dict[str, Any]]


@dataclass
class Stage:
    """A running StreamFunction, and what stands around it."""

    url: str
    origin: Origin
    witness: Path
    log: Path

    def steps(self) -> list[dict[str, Any]]:
        """What the adapter has done; a line that is only half written is not there yet."""
        text = self.witness.read_text(encoding="utf-8") if self.witness.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def invoke(self, event: Any) -> Streamed:
        before = len(self.steps())
        request = urllib.request.Request(self.url, json.dumps(event).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            whole = answer.read()
        head, end, body = whole.partition(adapter_double.PRELUDE_END)
        assert end, whole
        return Streamed(json.loads(head), body, self.steps()[before:])

    def send(self, target: str, headers: Any = (), body: bytes = b"", **more: Any) -> Streamed:
        pairs = [("Host", "gateway.example"), *headers]
        return self.invoke(rest_event("POST", target, pairs, body, source_ip="203.0.113.9", **more))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stream_variables() -> dict[str, str]:
    """What the template tells StreamFunction of how to run."""
    function = template.load().resources("AWS::Serverless::Function")["StreamFunction"]
    return {
        name: value
        for name, value in function["Environment"]["Variables"].items()
        if name.startswith("AWS_LWA_") or name == "UPSTREAM_CLIENT"
    }


def start_script(folder: Path) -> Path:
    """The function's own start script, where the adapter is at another place than /opt: that is not ours to write."""
    script, adapter = folder / "start", folder / "lambda-adapter"
    text = (ROOT / "functions/proxy/start").read_text(encoding="utf-8")
    assert text.count("/opt/extensions/lambda-adapter") == 1
    script.write_text(text.replace("/opt/extensions/lambda-adapter", str(adapter)))
    shutil.copy(ROOT / "tests/adapter_double.py", adapter)
    for file in (script, adapter):
        file.chmod(0o755)
    return script


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.may_go_on.set()
        server.shutdown()
        thread.join(5)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, origin: Origin) -> Iterator[Stage]:
    """The Runtime Interface Emulator, with the start script in it as Lambda would run it, and the adapter beside it."""
    try:
        rie = emulator()
    except BenchError as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("stream")
    projects = folder / "projects"
    projects.mkdir()
    (projects / "streams.yaml").write_text(PROJECT.format(port=origin.server_port, closed=free_port()))
    port, api, witness, log = free_port(), free_port(), folder / "witness", folder / "log"
    start = start_script(folder)
    # Lambda starts extensions beside the runtime; the emulator has one command.
    both = folder / "both"
    both.write_text(f'#!/bin/sh\n"{sys.executable}" "{folder}/lambda-adapter" &\nexec "{start}" "$@"\n')
    both.chmod(0o755)
    kept = ("PATH", "HOME", "LANG")
    environ = {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **stream_variables(),
        "AWS_LWA_PORT": str(free_port()),
        "ADAPTER_WITNESS": str(witness),
        "LAMBDA_TASK_ROOT": str(ROOT / "functions/proxy"),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
        "PYTHONPATH": str(ROOT / "layers/gatehouse"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PROJECTS_DIR": str(projects),
    }
    command: list[str | Path] = [
        *(rie, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"),
        *("--runtime-api-address", f"127.0.0.1:{api}"),
        *(both, sys.executable, "-m", "awslambdaric", "app.handler"),
    ]
    with started(command, port, log, environ, ROOT):
        yield Stage(f"http://127.0.0.1:{port}{INVOKE}", origin, witness, log)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def test_an_answer_is_a_prelude_eight_nuls_and_the_body(stage: Stage):
    answer = stage.send("/ai/flow/made")
    assert answer.prelude["statusCode"] == 201
    assert answer.prelude["headers"]["content-type"] == "text/event-stream"
    assert answer.prelude["headers"]["x-kind"] == "plain"
    assert answer.prelude["headers"]["x-content-type-options"] == "nosniff"
    assert answer.body == b"data: first\n\ndata: second\n\n"
    assert answer.steps[-1] == {"step": "done"}


def test_the_first_words_leave_before_the_upstream_has_said_the_second(stage: Stage):
    """If anything between held the answer back, the upstream would wait for ever for leave to go on."""
    stage.origin.may_go_on.clear()
    stage.origin.went_on.clear()
    before = len(stage.steps())
    answers: list[Streamed] = []
    asking = threading.Thread(target=lambda: answers.append(stage.send("/ai/flow/two")))
    asking.start()
    until(lambda: any("first" in step.get("text", "") for step in stage.steps()[before:]))
    assert not stage.origin.went_on.is_set()
    stage.origin.may_go_on.set()
    asking.join(PATIENCE_S)
    assert answers[0].body == b"data: first\n\ndata: second\n\n"


def test_a_repeated_field_is_one_list_and_a_cookie_is_left_out(stage: Stage):
    head = stage.send("/ai/flow/made").prelude
    assert head["headers"]["vary"] == "A, B"
    assert head["cookies"] == []
    assert all(isinstance(value, str) for value in head["headers"].values())
    assert "cookie left out" in stage.log.read_text()


def test_an_upstream_that_is_down_is_our_502(stage: Stage):
    answer = stage.send("/ai/gone/x")
    body = json.loads(answer.body)
    assert (answer.prelude["statusCode"], body["code"], body["route"]) == (502, "UPSTREAM_UNREACHABLE", "GONE")
    assert answer.prelude["headers"]["content-type"] == "application/json"
    assert body["requestId"] == answer.prelude["headers"]["x-request-id"]


def test_an_upstream_that_breaks_off_is_cut_and_not_ended(stage: Stage):
    answer = stage.send("/ai/flow/cut")
    assert [step["step"] for step in answer.steps][-2:] == ["cut", "done"]
    assert answer.body.startswith(b"data: first\n\n")
    assert b"second" not in answer.body
    log = stage.log.read_text()
    assert "stream cut" in log
    assert "Traceback" not in log


def test_who_is_calling_is_what_api_gateway_says_whatever_the_client_does(stage: Stage):
    forged = json.dumps({"identity": {"sourceIp": "192.0.2.66"}, "path": "/v1/ai/flow/made"})
    names = ("x-amzn-request-context", "X-Amzn-Lambda-Context", "X_Amzn_Request_Context", "X-Forwarded-For")
    stage.send("/ai/flow/made?a=1&b=%20", [(name, forged) for name in names], b"\x00\xff body")
    path, headers, body = stage.origin.seen[-1]
    assert dict(headers)["x-forwarded-for"] == "203.0.113.9"
    assert dict(headers)["x-forwarded-proto"] == "https"
    assert dict(headers)["x-forwarded-host"] == "gateway.example"
    assert "192.0.2.66" not in str(headers)
    assert not any("amzn" in name for name, _ in headers)
    assert path.startswith("/made?a=1&b=")
    assert body == b"\x00\xff body"


@pytest.mark.parametrize("event", [{}, {"Records": [{"body": "x"}]}, [1], "text", {"source": "aws.events"}])
def test_an_event_that_is_no_request_is_refused(stage: Stage, event: Any):
    answer = stage.invoke(event)
    assert (answer.prelude["statusCode"], json.loads(answer.body)["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", ["/ai/flow/../gone", "/ai/./flow", "/ai/%2e%2E/ai/flow/made", "/ai\\flow/made"])
def test_a_path_that_the_adapter_would_put_right_is_refused_as_everywhere(stage: Stage, path: str):
    before = len(stage.origin.seen)
    answer = stage.send(path)
    assert (answer.prelude["statusCode"], json.loads(answer.body)["code"]) == (400, "BAD_PATH")
    assert len(stage.origin.seen) == before


def test_nobody_from_outside_reaches_what_the_adapter_asks(stage: Stage):
    answer = stage.invoke(rest_event("GET", "/_ready", [("Host", "127.0.0.1")], b""))
    assert (answer.prelude["statusCode"], json.loads(answer.body)["code"]) == (404, "NOT_FOUND")


# ----------------------------------------------------------------------------------------- without the adapter


def test_without_the_adapter_the_script_hands_on_to_the_runtime_and_the_lighter_client():
    said = "import os, sys; print(os.environ['UPSTREAM_CLIENT'], *sys.argv[1:])"
    command = [ROOT / "functions/proxy/start", sys.executable, "-c", said, "app.handler", "two words"]
    environ = {**os.environ, "UPSTREAM_CLIENT": "streaming", "AWS_SAM_LOCAL": "true"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "buffered app.handler two words\n"


def test_under_sam_local_an_adapter_that_is_there_is_left_alone(tmp_path: Path):
    command = [start_script(tmp_path), sys.executable, "-c", "print('the runtime')"]
    environ = {**os.environ, "AWS_SAM_LOCAL": "true", "LAMBDA_TASK_ROOT": str(tmp_path)}
    assert subprocess.run(command, env=environ, capture_output=True, check=True, timeout=30).stdout == b"the runtime\n"


def test_what_only_the_adapter_may_say_is_dropped_by_every_other_host(send: Send, lab: Lab):
    forged = json.dumps({"identity": {"sourceIp": "192.0.2.66"}, "path": "/v1/lab/echo/x"})
    names = ("x-amzn-request-context", "x-amzn-lambda-context", "X_Amzn_Request_Context")
    assert send("GET", "/lab/echo/x", dict.fromkeys(names, forged)).status == 200
    assert lab.values("x-forwarded-for") == ["127.0.0.1"]
    assert "192.0.2.66" not in str(lab.last["headers"])
    assert not any("amzn" in name for name, _ in lab.last["headers"])


# -------------------------------------------------------------------------------------------- what it is told

GOOD = {"identity": {"sourceIp": "203.0.113.9"}, "path": "/v1/x"}


def asked(*fields: tuple[str, str], path: str = "/x", method: str = "GET") -> tuple[dict[str, Any] | None, int]:
    """Send a request with *fields* through the adapter's door; return the scope behind it, if any, and the status."""
    scopes: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in fields]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": ("127.0.0.1", 1)}
    door = behind_adapter(app, wall=lambda: 1000.0, monotonic=lambda: 50.0)
    asyncio.run(door(scope, None, send))  # type: ignore[arg-type]
    return (scopes[0] if scopes else None), sent[0]["status"]


def contexts(request: Any = GOOD, invocation: Any = None) -> list[tuple[str, str]]:
    return [("x-amzn-request-context", json.dumps(request)), ("x-amzn-lambda-context", json.dumps(invocation or {}))]


def test_a_request_is_told_whose_it_is_and_how_long_it_has():
    scope, _ = asked(*contexts(invocation={"request_id": "r-1", "deadline": 1_010_000}), ("host", "a"), ("x-a", "1"))
    assert scope is not None
    assert (scope["client"], scope["scheme"]) == (("203.0.113.9", 0), "https")
    assert (scope[DEADLINE], scope[INVOCATION]) == (50.0 + 10 - 0.5, "r-1")
    assert scope["headers"] == [(b"host", b"a"), (b"x-a", b"1")]


@pytest.mark.parametrize(
    ("deadline", "until"),
    [(1_000_000, 49.5), (999_000, 48.5), (10**18, 949.5), (None, None), ("soon", None), ([], None)],
)
def test_the_end_of_an_invocation_is_kept_within_reason(deadline: Any, until: float | None):
    scope, _ = asked(*contexts(invocation={"deadline": deadline}))
    assert scope is not None
    assert scope[DEADLINE] == until


@pytest.mark.parametrize(
    "request_context",
    [
        None, [], "x", 1, {}, {"identity": None, "path": "/"}, {"identity": {"sourceIp": ""}, "path": "/"},
        {"identity": {"sourceIp": 7}, "path": "/"}, {"identity": {"sourceIp": "203.0.113.9"}},
        {"http": {"sourceIp": "203.0.113.9", "path": "/"}}, {"elb": {"targetGroupArn": "arn"}},
    ],
)  # fmt: skip
def test_a_context_of_something_else_is_refused(request_context: Any):
    assert asked(*contexts(request_context)) == (None, 400)


def test_two_contexts_are_none():
    assert asked(*contexts(), *contexts()) == (None, 400)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"identity":'])
def test_a_context_that_is_no_json_is_refused(text: str):
    assert asked(("x-amzn-request-context", text)) == (None, 400)


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 204), ("localhost", 204), ("[::1]:80", 204), ("gateway.example", 400), ("127.0.0.1.evil", 400)],
)
def test_only_this_machine_hears_that_it_is_ready(host: str, status: int):
    assert asked(("host", host), path="/_ready") == (None, status)


def test_a_request_that_has_a_context_is_never_the_adapters_own():
    scope, status = asked(*contexts(), ("host", "127.0.0.1"), path="/_ready")
    assert (scope is not None, status) == (True, 200)


def test_repeated_fields_become_one_and_cookies_none():
    fields = [(b"Vary", b"A"), (b"x-a", b"1"), (b"vary", b"B"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    assert joined(fields) == [(b"vary", b"A, B"), (b"x-a", b"1")]
