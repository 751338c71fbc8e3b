"""SnapStart: what is done before the snapshot, and in every copy of it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatehouse import snapshot
from gatehouse.snapshot import INITIALIZATION, SNAP_START, after_restore, before_snapshot, hook
from gatehouse.stores import clients
from tests.unit.fakes import ROOT, TARGETS


class Runtime:
    """Lambda's module for hooks."""

    def __init__(self) -> None:
        self.before: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.after: list[Callable[[], None]] = []

    def register_before_snapshot(self, hook: Callable[..., None], *args: Any) -> None:
        self.before.append((hook, args))

    def register_after_restore(self, hook: Callable[[], None]) -> None:
        self.after.append(hook)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(clients, "client", names.append)
    return names


@pytest.mark.parametrize("how", [{}, {INITIALIZATION: "on-demand"}, {INITIALIZATION: "provisioned-concurrency"}])
def test_without_a_snapshot_nothing_is_registered(how: dict[str, str]) -> None:
    runtime = Runtime()
    hook(how, lambda: None, lambda _: runtime)
    assert (runtime.before, runtime.after) == ([], [])


def test_before_the_snapshot_clients_are_made_and_connections_closed(made: list[str]) -> None:
    runtime, closed = Runtime(), []
    hook({INITIALIZATION: SNAP_START}, lambda: closed.append(True), lambda _: runtime)
    ((run, arguments),) = runtime.before
    run(*arguments)
    assert (made, closed) == (["secretsmanager", "dynamodb"], [True])


def test_a_client_that_cannot_be_made_does_not_stop_the_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_region(_: str) -> None:
        raise LookupError

    closed: list[bool] = []
    monkeypatch.setattr(clients, "client", no_region)
    before_snapshot(lambda: closed.append(True))
    assert (closed, "LookupError" in capsys.readouterr().out) == ([True], True)


def test_copies_of_one_snapshot_draw_different_lots() -> None:
    kept = random.getstate()
    try:
        drawn = set()
        for _ in range(3):
            random.setstate(kept)
            after_restore()
            drawn.add(random.getrandbits(64))
        assert len(drawn) == 3
    finally:
        random.setstate(kept)


def test_lambda_names_the_module_that_is_asked_for() -> None:
    asked: list[str] = []

    def load(name: str) -> Runtime:
        asked.append(name)
        return Runtime()

    hook({INITIALIZATION: SNAP_START}, lambda: None, load)
    assert asked == ["snapshot_restore_py"]
    assert snapshot.ASKED


@pytest.mark.parametrize("function", ["guest", "login", "proxy", "status", "tokens"])
def test_every_function_that_may_have_a_snapshot_registers_what_it_takes(function: str, tmp_path: Path) -> None:
    (tmp_path / "snapshot_restore_py.py").write_text(
        "def register_before_snapshot(hook, *more): print('before', hook.__name__)\n"
        "def register_after_restore(hook): print('after', hook.__name__)\n",
        encoding="utf-8",
    )
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("COV_", "AWS_", "PYTEST"))},
        **TARGETS,
        INITIALIZATION: SNAP_START,
        "PROJECTS_DIR": str(ROOT / "layers/config/projects"),
        "PYTHONPATH": f"{ROOT / 'layers/gatehouse'}{os.pathsep}{tmp_path}",
        "UPSTREAM_CLIENT": "buffered",
    }
    done = subprocess.run(
        [sys.executable, "-c", "import app"],
        cwd=ROOT / "functions" / function, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["before", "before_snapshot", "after", "after_restore"], done.stderr
