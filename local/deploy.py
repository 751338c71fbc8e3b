"""`sam deploy` to an environment of samconfig.toml, once another way than it says there: `make deploy DEPLOYMENT=…`.

SAM takes overrides of the command line in place of the file's, not with them, so all of them are handed over.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SETTINGS = Path(__file__).resolve().parents[1] / "samconfig.toml"
HOW = "Deployment="


def command(settings: Mapping[str, Any], environment: str, deployment: str = "") -> list[str]:
    """Return what deploys to *environment* by *settings*; by way of *deployment*, if one is given."""
    deploy = ["sam", "deploy", "--config-env", environment]
    if not deployment:
        return deploy
    overrides = settings[environment]["deploy"]["parameters"]["parameter_overrides"]
    kept = [one for one in overrides if not one.startswith(HOW)]
    return [*deploy, "--parameter-overrides", *kept, HOW + deployment]


if __name__ == "__main__":
    words = command(tomllib.loads(SETTINGS.read_text()), *sys.argv[1:])
    os.execvp(words[0], words)  # noqa: S606  # in its place, so that SAM's question reaches whoever is to answer
