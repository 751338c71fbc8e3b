"""`make run` as somebody new meets it: a process, its output, its end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

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


def log_is_watched(output: list[str], changes: dict[str, str]) -> None:
    """Have the lines of its log looked at, after what it prints for people: that has a password and tokens in it."""
    lines = [line for line in output if line.startswith("{")]
    people = "\n".join(line for line in output if not line.startswith("{"))
    given = [value for name, value in changes.items() if name.endswith(("PASSWORD", "SECRET"))]
    for secret in (*given, *re.findall(r"(?:Bearer |TOKEN=)([\w.-]+)", people)):
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_three_seconds_and_nothing_stays(number: signal.Signals):
    assert in_time(ends_beside_an_idle_client(number))


def test_a_signal_ends_it_also_while_an_upstream_hangs():
    assert in_time(ends_while_an_upstream_hangs())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"GATEWAY_JWT_SECRET": "changeme"}, "is a placeholder"),
        ({"GATEWAY_JWT_SECRET": "short"}, "shorter than 32 bytes"),
        ({"ADMIN_USERNAME": "../x"}, "ADMIN_USERNAME"),
        ({"PORT": "http"}, "is not a port"),
        ({"UPSTREAM_CLIENT": "carrier-pigeon"}, "UPSTREAM_CLIENT"),
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
