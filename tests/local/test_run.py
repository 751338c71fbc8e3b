"""`make run` as somebody new meets it: a process, its output, its end."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import pytest

from local.template import ROOT
from tests.log_watch import WATCH

PASSWORD = "a password with 'quotes' and \"more\""


class Run:
    """A running `python -m local`."""

    def __init__(self, process: subprocess.Popen[str], url: str, output: list[str]) -> None:
        self.process = process
        self.url = url
        self.output = output

    @property
    def commands(self) -> list[str]:
        return [line.strip() for line in self.output if line.startswith("  curl")]


def environment(**changes: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    state = os.environ["GATEHOUSE_STATE"]  # not what a person's own run has noted
    return {**kept, "PYTHONPATH": f"{ROOT / 'layers/gatehouse'}", "PORT": "0", "GATEHOUSE_STATE": state, **changes}


def start(**changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def log_is_watched(output: list[str], changes: Mapping[str, str] = MappingProxyType({})) -> None:
    """Have the lines of its log looked at, after what it prints for people: that has a password and tokens in it."""
    lines = [line for line in output if line.startswith("{")]
    people = "\n".join(line for line in output if not line.startswith("{"))
    given = [value for name, value in changes.items() if name.endswith(("PASSWORD", "SECRET", "_TOKEN"))]
    for secret in (*given, *re.findall(r"(?:Bearer |TOKEN=|password )([\w.-]+)", people)):
        WATCH.keep(secret, "secret of make run")
    WATCH.hear("\n".join(lines))


@contextmanager
def running(**changes: str) -> Iterator[Run]:
    process = start(**changes)
    output: list[str] = []
    try:
        assert process.stdout
        for line in process.stdout:
            output.append(line.rstrip("\n"))
            ready = re.fullmatch(r"gatehouse: ready on (http://\S+)\n", line)
            if ready:
                yield Run(process, ready[1], output)
                break
        else:
            pytest.fail("it never became ready:\n" + "\n".join(output))
    finally:
        process.terminate()
        process.wait(10)
        log_is_watched([*output, *process.stdout], changes)
        process.stdout.close()


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with running(ADMIN_PASSWORD=PASSWORD) as run:
        yield run


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


def status_of(url: str, token: str) -> str:
    return shell(f"curl -s -o /dev/null -w '%{{http_code}}' {url} -H 'Authorization: Bearer {token}'")


def test_the_three_printed_commands_work_as_they_are_pasted(run: Run):
    login, guest, protected = (json.loads(shell(command)) for command in run.commands[:3])
    assert login["user"] == {"username": "ada", "role": "admin"}
    assert guest["route"] == "BUILD"
    assert (protected["service"], protected["path"], protected["query"]) == ("BUILD_SERVICE_URL", "/hello", "x=1")


def test_each_other_kind_of_credential_has_a_command_that_works_as_it_is_pasted(run: Run):
    model, session, key, visitor = (json.loads(shell(command)) for command in run.commands[3:7])
    assert '{"user_id":"ada@example.com"}' in model["choices"][0]["message"]["content"]
    for seen in (session, key):
        told = dict(seen["headers"])
        assert (seen["service"], told["x-user-id"]) == ("PRODUCT_SERVICE_URL", "demo-user")
        assert told["x-organization-id"]
        assert told["authorization"].startswith("Bearer ey")
        assert not {"cookie", "x-api-key"} & set(told)
    told = dict(visitor["headers"])
    assert visitor["service"] == "CHAT_SERVICE_URL"
    assert told["authorization"].startswith("Bearer ey")
    assert not {"x-user-id", "x-organization-id"} & set(told)


def test_the_demo_upstream_shows_what_the_gateway_sends(run: Run):
    seen = json.loads(shell(run.commands[2]))
    headers = dict(seen["headers"])
    assert headers["x-gateway-route"] == "BUILD"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert "authorization" not in headers


def test_the_address_of_a_client_is_its_sockets_and_not_what_it_says(run: Run):
    seen = json.loads(shell(f"curl -s {run.url}/kv/x -H 'X-Forwarded-For: 203.0.113.9'"))
    assert [value for name, value in seen["headers"] if name == "x-forwarded-for"] == ["127.0.0.1"]


def test_a_second_run_on_a_taken_port_says_so_and_exits_1(run: Run):
    port = run.url.rpartition(":")[2]
    second = start(PORT=port)
    output, _ = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in output
    assert "PORT=" in output


def in_time(took: Iterator[float]) -> bool:
    """Say whether one of three tries took less than three seconds: others run beside this test, and delay it."""
    return any(one < 3 for one in islice(took, 3))


def ends_beside_an_idle_client(number: signal.Signals) -> Iterator[float]:
    while True:
        with running() as run:
            port = int(run.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)):  # a client that never says anything
                started = time.monotonic()
                run.process.send_signal(number)
                assert run.process.wait(10) == 0
                took = time.monotonic() - started
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=1)
        yield took


def ends_while_an_upstream_hangs() -> Iterator[float]:
    while True:
        with socket.create_server(("127.0.0.1", 0)) as stuck:
            url = f"http://127.0.0.1:{stuck.getsockname()[1]}"
            with (
                running(KV_SERVICE_URL=url) as run,
                subprocess.Popen(["curl", "-s", f"{run.url}/kv/x"]) as client,
                stuck.accept()[0],
            ):
                started = time.monotonic()
                run.process.terminate()
                run.process.wait(10)
                took = time.monotonic() - started
                client.wait(5)
        yield took


class Relay:
    """Hands connections on to another server, until it is silent: then it takes what comes, and answers nothing."""

    def __init__(self, url: str) -> None:
        self.silent, self.asked_since = threading.Event(), threading.Event()
        self._behind = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ends = self._listening.accept()[0], socket.create_connection(self._behind)
                self._open += ends
                for pair in (ends, ends[::-1]):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.silent.is_set():
                    self.asked_since.set()
                else:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def ends_while_the_stores_are_silent(moto: str) -> Iterator[float]:
    while True:
        with closing(Relay(moto)) as relay, running(AWS_ENDPOINT_URL=relay.url) as run:
            relay.silent.set()
            with subprocess.Popen(["sh", "-c", f"{run.commands[0]} -o {os.devnull}"]) as login:
                assert relay.asked_since.wait(10)
                started = time.monotonic()
                run.process.terminate()
                run.process.wait(10)
                took = time.monotonic() - started
                login.wait(5)
        yield took


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_three_seconds_and_nothing_stays(number: signal.Signals):
    assert in_time(ends_beside_an_idle_client(number))


def test_a_signal_ends_it_also_while_an_upstream_hangs():
    assert in_time(ends_while_an_upstream_hangs())


def test_a_signal_ends_it_also_while_the_stores_say_nothing(moto_server: str):
    assert in_time(ends_while_the_stores_are_silent(moto_server))


def test_the_first_metrics_have_what_was_asked_just_before_and_a_token_that_was_given_is_not_printed():
    token = secrets.token_urlsafe(32)
    with running(METRICS_TOKEN=token) as run:
        shell(run.commands[2])
        found = shell(f"METRICS_TOKEN={token}; {run.commands[-1]}")
    asked = 'gatehouse_requests_total{code="200",method="GET",project="metacogna",route="BUILD"} 1.0'
    assert asked in found
    assert token not in "\n".join(run.output)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"GATEWAY_JWT_SECRET": "changeme"}, "is a placeholder"),
        ({"GATEWAY_JWT_SECRET": "short"}, "shorter than 32 bytes"),
        ({"ADMIN_USERNAME": "../x"}, "ADMIN_USERNAME"),
        ({"PORT": "http"}, "is not a port"),
        ({"UPSTREAM_CLIENT": "carrier-pigeon"}, "UPSTREAM_CLIENT"),
        ({"HOST": "nowhere.invalid"}, "Choose another with HOST="),
        ({"HOST": "192.0.2.1"}, "Choose another with HOST="),
        ({"PROJECTS": "/nonexistent"}, "/nonexistent: there is no project file (*.yaml) since there is no such folder"),
    ],
    ids=str,
)
def test_a_wrong_setting_stops_the_start_and_says_what_to_do(changes: dict[str, str], says: str):
    process = start(**changes)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert says in output
    assert "Traceback" not in output


def test_project_files_with_mistakes_stop_the_start_with_their_lines(tmp_path: Path):
    (tmp_path / "one.yaml").write_text(
        "project: one\nroutes:\n  - {name: a, path: /a, upstream: 'http://u', auht: none}\n"
    )
    process = start(PROJECTS=str(tmp_path))
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "one.yaml:3: routes.0.auht: unknown key (did you mean 'auth'?)" in output
    assert "Traceback" not in output


def test_project_files_may_come_from_elsewhere_and_their_variables_are_demo_upstreams(tmp_path: Path):
    route = "{name: A, path: /a, upstream: '${A_URL}', auth: none}"
    (tmp_path / "one.yaml").write_text(f"project: one\nroutes:\n  - {route}\n")
    with running(PROJECTS=str(tmp_path)) as run:
        assert json.loads(shell(f"curl -s {run.url}/a/b"))["service"] == "A_URL"
        assert "NOT_FOUND" in shell(f"curl -s {run.url}/build")


def test_a_token_survives_a_restart(run: Run):
    token = json.loads(shell(run.commands[1]))["token"]
    with running() as again:
        answer = shell(
            f"curl -s -o /dev/null -w '%{{http_code}}' {again.url}/build/x -H 'Authorization: Bearer {token}'"
        )
    assert answer == "200"


def test_a_secret_of_the_original_systems_checks_their_tokens():
    import jwt

    secret = "0123456789abcdef0123456789abcdef-metacogna"
    now = int(time.time())
    claims = {
        "iss": "gateway.metacogna.ai",
        "aud": "metacogna-clients",
        "sub": "ada",
        "projectId": "ada",
        "route": "AUTH",
        "scopes": ["admin"],
        "environment": "production",
        "iat": now,
        "exp": now + 600,
    }
    token = jwt.encode(claims, secret, algorithm="HS256")
    with running(GATEWAY_JWT_SECRET=secret) as run:
        assert status_of(f"{run.url}/build/x", token) == "200"
