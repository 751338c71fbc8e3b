"""The command line as operators run it, at a gateway of its own: stores in process, noted as `make run` notes them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner, Result

from gatehouse.cli import admins
from gatehouse.cli.app import NAME, app
from local import variables
from local.house import House
from local.running import noted
from local.template import ROOT

SECRET = "mV7xQ2wE9rT4yU1iO6pA3sD8fG5hJ0kL-command-line"
ADA = "a demo password that nobody else has"
NEW = "correct horse battery staple"
NEWER = "another horse, another staple"
URL = "http://127.0.0.1:3000"

Run = Callable[..., Result]


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "GATEHOUSE_"))]:
            patch.delenv(name)
        patch.setenv("GATEWAY_JWT_SECRET", SECRET)
        patch.setenv("ADMIN_PASSWORD", ADA)
        forget_everything()
        with House() as house:
            yield house
        forget_everything()


def forget_everything() -> None:
    """Empty the stores: those of one process are the same ones, for whatever tests ran before and will run after."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        urlopen(Request(f"http://127.0.0.1:{server.get_host_and_port()[1]}/moto-api/reset", method="POST")).close()
    finally:
        server.stop()


@pytest.fixture(scope="package")
def state(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the note of what is running."""
    folder = tmp_path_factory.mktemp("state")
    with noted(URL, house.environment(), variables.unset(house.projects, {}), folder):
        yield folder


def invoke(*words: str, stdin: str = "", **environ: str | None) -> Result:
    """Run one command; nothing that it writes may hold a secret of ours."""
    result = CliRunner().invoke(app, list(words), input=stdin, env=environ, prog_name=NAME)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for secret in (SECRET, ADA, NEW, NEWER, "PRIVATE KEY", "$argon2"):
        assert secret not in result.output
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output
    return result


@pytest.fixture
def cli(state: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command at the gateway in process, by --local."""
    monkeypatch.setattr(admins.time, "sleep", lambda _: None)
    monkeypatch.delenv("GATEHOUSE_STACK", raising=False)

    def run(*words: str, stdin: str = "", **environ: str | None) -> Result:
        return invoke(*words, "--local", stdin=stdin, GATEHOUSE_STATE=str(state), **environ)

    return run


@pytest.fixture
def client(house: House) -> Callable[[str], Any]:
    """Clients of the stores, to look at them directly."""
    session = boto3.Session("local", "local", region_name="us-east-1")
    return lambda service: session.client(service, endpoint_url=house.environment()["AWS_ENDPOINT_URL"])


def audit_lines(result: Result) -> list[dict[str, Any]]:
    """What the command wrote into the audit trail: on standard error, whatever else it said."""
    assert '"audit"' not in result.stdout
    return [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]


def projects(folder: Path, text: str) -> Path:
    (folder / "one.yaml").write_text(text)
    return folder


def now() -> float:
    return time.time()


__all__ = ["ADA", "NEW", "NEWER", "ROOT", "SECRET", "URL", "Run", "audit_lines", "invoke", "now", "projects"]
