"""Short ways to write project files, and to hear what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gatehouse.projects import Problem, Project, ProjectFileError, load
from tests.unit.fakes import write

TOKENS = {"issuer": "i", "audience": "a", "elevated": ["AUTH"]}
ROUTE = {"name": "A", "path": "/a", "upstream": "http://a.test", "auth": "none"}


def a_file(*, route: dict[str, Any] | None = None, **changes: Any) -> str:
    """A project file that is right, but for the changes."""
    whole = {"project": "demo", "routes": [{**ROUTE, **(route or {})}], **changes}
    return yaml.safe_dump({name: value for name, value in whole.items() if value is not None}, sort_keys=False)


def loaded(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, secrets: Mapping[str, str] | None = None
) -> Project:
    (project,) = load(write(folder, text), environ or {}, secrets).all
    return project


def problems(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, secrets: Mapping[str, str] | None = None
) -> list[Problem]:
    with pytest.raises(ProjectFileError) as caught:
        load(write(folder, text), environ or {}, secrets)
    return caught.value.problems


def said(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, secrets: Mapping[str, str] | None = None
) -> str:
    return "\n".join(f"{problem.line}: {problem.message}" for problem in problems(folder, text, environ, secrets))
