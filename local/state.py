"""What survives a restart of `make run`: secrets made up at the first start, in `.gatehouse/`, for this user only."""

from __future__ import annotations

import secrets
from pathlib import Path

from local.template import ROOT

FOLDER = ROOT / ".gatehouse"


def kept(name: str, folder: Path = FOLDER) -> str:
    """Return the secret called *name*; it is made the first time."""
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / name
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(36) + "\n")
    return file.read_text().strip()
