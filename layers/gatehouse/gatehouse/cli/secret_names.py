"""Which named secrets there are: those that project files name, and those that the gateway's secret holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatehouse import rotation
from gatehouse.cli.output import plain
from gatehouse.cli.problems import RefusedError
from gatehouse.keys import parse
from gatehouse.projects import document
from gatehouse.projects.header_rules import SECRET_NAME
from gatehouse.projects.load import MOST_BYTES
from gatehouse.templates import PLACEHOLDER, SECRET

NAME = SECRET_NAME
MOST_TEXT = 65_536
"""Bytes that Secrets Manager keeps as one secret."""


@dataclass(frozen=True, slots=True)
class Namings:
    """Which project files name which secrets.

    Attributes:
        files: the names of the files, by that of the secret.
        unread: why some of them are not known, each a sentence for the operator.
    """

    files: Mapping[str, tuple[str, ...]]
    unread: tuple[str, ...] = ()


def named(folder: Path) -> Namings:
    """Return which project files in *folder* name which secrets, whatever else is wrong with these files."""
    if not folder.is_dir():
        return Namings({}, (f"there is no folder {folder}; say --projects DIR: the folder with the project files",))
    found: dict[str, tuple[str, ...]] = {}
    unread: list[str] = []
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        value = _value(file)
        if value is None:
            unread.append(f"{file} cannot be read, so nobody knows which secrets it names; see 'check'")
        for name in dict.fromkeys(_names(value)):
            found[name] = (*found.get(name, ()), file.name)
    return Namings(found, tuple(unread))


def put(text: str, name: str, value: str) -> str:
    """Return *text*, that of the gateway's secret, with *value* as the named secret *name*.

    Raises:
        KeyRingError: *text* holds no key ring.
        RefusedError: there is no room.
        RotationError: a name stands twice in *text*.
    """
    whole = _loaded(text)
    whole["secrets"] = {**whole.get("secrets", {}), name: value}
    written = json.dumps(whole)
    if len(written) > MOST_TEXT:
        raise RefusedError(
            f"the gateway's secret would be longer than {MOST_TEXT} bytes; remove secrets that nobody names"
        )
    return written


def taken_out(text: str, name: str) -> str:
    """Return *text*, that of the gateway's secret, without the named secret *name*.

    Raises:
        KeyRingError: *text* holds no key ring.
        RefusedError: there is no such secret.
        RotationError: a name stands twice in *text*.
    """
    whole = _loaded(text)
    if name not in whole.get("secrets", {}):
        raise RefusedError(no_such(name))
    del whole["secrets"][name]
    return json.dumps(whole)


def no_such(name: str) -> str:
    """Return what there is to say if there is no secret *name*."""
    return f"there is no secret '{plain(name)}'; 'secrets list' shows those there are"


def _loaded(text: str) -> dict[str, Any]:
    parse(text)
    return rotation.loaded(text)


def _value(file: Path) -> Any:
    """Return what *file* holds, with its placeholders as they stand; None if it cannot be read."""
    try:
        raw = file.read_bytes()
        return document.read(raw.decode(), {}).value if len(raw) <= MOST_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _names(value: Any) -> Iterator[str]:
    """Yield the secrets that texts anywhere in *value* name."""
    if isinstance(value, str):
        said = (one.partition(":") for one in PLACEHOLDER.findall(value))
        yield from (name for source, colon, name in said if source == SECRET and colon)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names(item)
