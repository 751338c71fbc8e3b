"""The command line beside `make run`: what operators do there is so for those who call the gateway."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gatehouse import jose
from tests.cli.conftest import NEW, ROOT
from tests.local.test_run import log_is_watched

NOT_OURS = ("AWS_", "GATEHOUSE_", "COV_", "PYTEST_")


@dataclass(frozen=True)
class Gateway:
    """A running `python -m local`, and the command line at it."""

    url: str
    environ: dict[str, str]

    def call(self, method: str, path: str, *, token: str = "", body: object = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        try:
            connection.request(method, path, json.dumps(body).encode() if body else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def cli(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "gatehouse", *words, "--local"], cwd=ROOT, env=self.environ, input=stdin,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)},
        "PYTHONPATH": str(ROOT / "layers/gatehouse"),
        "GATEHOUSE_STATE": str(tmp_path_factory.mktemp("state")),
    }
    # No process waits before it looks for revocations anew: what operators do is seen at once.
    started = {**environ, "PORT": "0", "REVOCATION_REFRESH_S": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=ROOT,
        env=started,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                ready = re.fullmatch(r"gatehouse: ready on (http://\S+)\n", line)
                if ready:
                    yield Gateway(ready[1], environ)
                    break
            else:
                pytest.fail("it never became ready:\n" + "".join(lines))
        finally:
            process.terminate()
            process.wait(10)
            log_is_watched([*lines, *process.stdout])
    assert not (Path(environ["GATEHOUSE_STATE"]) / "running.json").exists()


def test_an_operator_lets_somebody_in_issues_takes_back_and_changes_the_keys(gateway: Gateway) -> None:
    first = gateway.call("POST", "/auth/guest", body={})[1]["token"]
    assert gateway.call("GET", "/build/x", token=first)[0] == 200  # the proxy has the ring as it is now

    kid = json.loads(gateway.cli("keys", "add", "--json"))["kid"]
    gateway.cli("keys", "promote", kid, "--force")
    gateway.cli("admin", "add", "grace", "--password-stdin", stdin=f"{NEW}\n")
    status, answer = gateway.call("POST", "/auth/login", body={"username": "grace", "password": NEW})
    assert status == 200

    token = gateway.cli("token", "issue", "--project", "captionacc", "--service", "modal").strip()
    assert jose.inspect(token).kid == kid
    assert gateway.call("GET", "/captionacc/prefect/x", token=token)[0] == 200  # by a key that the proxy had not seen
    assert gateway.call("GET", "/build/x", token=first)[0] == 200  # and one of the key before
    assert gateway.call("GET", "/auth/session", token=token)[0] == 200
    refreshed = gateway.call("POST", "/auth/refresh", token=answer["token"])[1]["token"]
    assert jose.inspect(refreshed).kid == kid
    assert gateway.call("GET", "/build/x", token=refreshed)[0] == 200
    gateway.cli("token", "revoke", str(jose.inspect(token).claims["jti"]), "--reason", "test")
    status, answer = gateway.call("GET", "/captionacc/prefect/x", token=token)
    assert (status, answer["code"]) == (403, "TOKEN_REVOKED")


def test_a_new_password_ends_what_the_old_one_began_and_a_new_login_works_at_once(gateway: Gateway) -> None:
    gateway.cli("admin", "add", "hopper", "--password-stdin", stdin=f"{NEW}\n")
    old = gateway.call("POST", "/auth/login", body={"username": "hopper", "password": NEW})[1]["token"]
    gateway.cli("admin", "passwd", "hopper", "--password-stdin", stdin="quite another password\n")
    assert gateway.call("GET", "/build/x", token=old)[1]["code"] == "TOKEN_REVOKED"
    assert gateway.call("POST", "/auth/login", body={"username": "hopper", "password": NEW})[0] == 401
    new = gateway.call("POST", "/auth/login", body={"username": "hopper", "password": "quite another password"})
    assert gateway.call("GET", "/build/x", token=new[1]["token"])[0] == 200
    gateway.cli("admin", "remove", "hopper", "--yes")
    assert gateway.call("GET", "/build/x", token=new[1]["token"])[1]["code"] == "TOKEN_REVOKED"


def test_what_the_gateway_would_do_is_what_it_does(gateway: Gateway) -> None:
    for method, path in (("GET", "/build/x"), ("GET", "/nowhere"), ("TRACE", "/kv"), ("GET", "/kv/%2e%2e")):
        outcome = json.loads(gateway.cli("explain", method, path, "--json"))["outcome"]
        status, answer = gateway.call(method, path)
        assert (outcome["status"], outcome["code"]) == (status, answer["code"])
