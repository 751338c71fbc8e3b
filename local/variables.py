"""The `${NAME}` and `${secret:NAME}` of project files: from the environment, or made up for local use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ADDRESS = re.compile(
    r"\b(?:upstream|url|token_url|jwks_url|issuer|session|api_key|membership)[\"']?\s*:\s*[\"']?\$\{([A-Za-z_][A-Za-z0-9_]*)\}"
)
_SECRET = re.compile(r"\$\{secret:([A-Za-z0-9_]+)\}")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*", re.MULTILINE)


def unset(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the variables that the project files in *folder* name and *environ* does not have."""
    return sorted(name for name in _found(folder, _VARIABLE) if not environ.get(name))


def addresses(folder: Path) -> frozenset[str]:
    """Return the variables in *folder* that stand for the address of a service: a key's value begins with them."""
    return frozenset(_found(folder, _ADDRESS))


def secret_names(folder: Path) -> list[str]:
    """Return the secrets that the project files in *folder* name."""
    return sorted(_found(folder, _SECRET))


def _found(folder: Path, form: re.Pattern[str]) -> set[str]:
    texts = (file.read_text(errors="replace") for file in [*folder.glob("*.yaml"), *folder.glob("*.yml")])
    return {name for text in texts for name in form.findall(_COMMENT.sub("", text))}
