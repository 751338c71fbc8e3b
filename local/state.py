"""What survives a restart of `make run`: secrets made up at the first start, in `.gatehouse/`, for this user only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from local.template import ROOT

FOLDER = Path(os.environ.get("GATEHOUSE_STATE") or ROOT / ".gatehouse")


def kept(name: str, folder: Path = FOLDER) -> str:
    """Return the secret called *name*; it is made the first time."""
    file = folder / name
    if not file.exists() or not file.read_text().strip():
        write(file, secrets.token_urlsafe(36) + "\n")
    return file.read_text().strip()


def write(file: Path, text: str) -> None:
    """Write *text* so that nobody but this user can read it, and all of it or nothing."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.parent.chmod(0o700)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:  # noqa: PTH123  # a descriptor
        out.write(text)
    new.replace(file)
