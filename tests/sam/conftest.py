"""`sam local` as `make sam-local` runs it, once for all tests: the API on one port, the bare functions on another."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local.sam import ENVIRONMENT_FILE
from tests.log_watch import WATCH

ROOT = Path(__file__).resolve().parents[2]
START_S, END_S = 60, 30
ADMIN = {"username": "ada", "password": secrets.token_urlsafe(12)}
JWT_SECRET = secrets.token_urlsafe(48)


def environment(**more: str) -> dict[str, str]:
    """What `python -m local.sam` is started with."""
    return {
        **os.environ,
        "ADMIN_USERNAME": ADMIN["username"],
        "ADMIN_PASSWORD": ADMIN["password"],
        "GATEWAY_JWT_SECRET": JWT_SECRET,
        "PYTHONPATH": str(ROOT / "layers" / "gatehouse"),
        **more,
    }


def containers_left(log: str) -> set[str]:
    """Return those of the containers named in *log* that are still there."""
    engine = shutil.which("docker") or shutil.which("podman") or "docker"
    listed = subprocess.run([engine, "ps", "-aq", "--no-trunc"], capture_output=True, check=True, text=True)
    return set(re.findall(r"SAM_CONTAINER_ID: (\w+)", log)) & set(listed.stdout.split())


def log_is_watched(said: str) -> None:
    """Have what it *said* looked at, but for what it prints for people: that has a password in it."""
    for secret in (ADMIN["password"], JWT_SECRET):
        WATCH.keep(secret, "secret of sam local")
    WATCH.hear("\n".join(line for line in said.splitlines() if not line.startswith("gatehouse: ")))


@contextmanager
def serving(verb: str, log: Path) -> Iterator[str]:
    """Run `python -m local.sam VERB` and give its URL; when it is told to end, nothing of it may stay."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as out:
        command = [sys.executable, "-m", "local.sam", verb]
        process = subprocess.Popen(command, cwd=ROOT, env=environment(PORT=str(port)), stdout=out, stderr=out)
    try:
        wait_for(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        code = process.wait(END_S)
    said = log.read_text()
    log_is_watched(said)
    assert code == 0, said
    assert not containers_left(said)


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    """Wait until something listens on *port*."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"sam local did not start:\n{log.read_text()}")


@pytest.fixture(scope="session", autouse=True)
def _ends_what_it_started() -> None:
    """Make a SIGTERM end the tests as Ctrl-C does, so that fixtures end what they started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    """A client of `sam local start-api`."""
    log = tmp_path_factory.mktemp("sam") / "start-api.log"
    with serving("start-api", log) as url, httpx.Client(base_url=url, timeout=40) as client:
        yield client


@pytest.fixture(scope="session")
def lambdas(tmp_path_factory):
    """`sam local start-lambda`: its URL, and what its functions are told."""
    log = tmp_path_factory.mktemp("sam") / "start-lambda.log"
    with serving("start-lambda", log) as url:
        yield url, json.loads(ENVIRONMENT_FILE.read_text(encoding="utf-8"))["Parameters"]


@pytest.fixture(scope="session")
def invoke(lambdas):
    """Call a function by its name with an event, in one container for all events."""
    with httpx.Client(base_url=f"{lambdas[0]}/2015-03-31/functions/", timeout=40) as client:
        yield lambda function, event: client.post(f"{function}/invocations", json=event).json()


@pytest.fixture
def access_token(lambdas):
    """A token of the demo's issuer beside those functions: it alone has the key."""
    port = lambdas[1]["CF_ACCESS_URL"].rpartition(":")[2]
    return httpx.get(f"http://127.0.0.1:{port}/token").text.strip()


@pytest.fixture(scope="session")
def local_sam():
    """Run `python -m local.sam` with some words to its end."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "local.sam", *words]
        return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, check=False, text=True)

    return run


@pytest.fixture(scope="session")
def admin() -> dict[str, str]:
    """The administrator's username and password."""
    return ADMIN
