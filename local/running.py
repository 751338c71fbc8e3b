"""What `make run` notes of itself while it runs, for the command line: `python -m gatehouse … --local`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local import state

NAME = "running.json"
STORES = ("TOKENS_TABLE", "CACHE_TABLE", "ADMINS_BUCKET", "GATEWAY_SECRET_ARN")


@contextmanager
def noted(url: str, environment: Mapping[str, str], variables: list[str], folder: Path | None = None) -> Iterator[None]:
    """Keep the note while the context lasts; one that another run has written meanwhile stays.

    Args:
        url: where the gateway answers.
        environment: the functions' variables.
        variables: the names of those that project files name.
        folder: where the note goes; where this machine's secrets are, if left out.
    """
    file = (folder or state.FOLDER) / NAME
    state.write(file, json.dumps(_note(url, environment, variables), indent=2) + "\n")
    try:
        yield
    finally:
        if _is_ours(file):
            file.unlink()


def _note(url: str, environment: Mapping[str, str], variables: list[str]) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "url": url,
        "endpoint": environment["AWS_ENDPOINT_URL"],
        "region": environment["AWS_REGION"],
        **{name: environment[name] for name in STORES},
        "PROJECTS_DIR": str(Path(environment["PROJECTS_DIR"]).resolve()),
        "variables": {name: environment[name] for name in variables if environment.get(name)},
    }


def _is_ours(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text(encoding="utf-8"))["pid"] == os.getpid())
    except (OSError, ValueError, KeyError, TypeError):
        return False
