"""What a command says: one JSON document, or text that a person can read. Never colours, never control characters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import typer

GAP = "  "
NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command has to say.

    Attributes:
        document: all of it, for programs.
        text: for people, on standard output.
        aside: for people, on standard error: what must not get between a program and `text`.
        code: the exit code.
    """

    document: Any
    text: str
    aside: str = ""
    code: int = 0


def tell(said: Said, *, as_json: bool) -> None:
    """Say it; leave with its code if that is not 0."""
    if as_json:
        typer.echo(json.dumps(said.document, indent=2))
    else:
        if said.aside:
            typer.echo(said.aside, err=True)
        if said.text:
            typer.echo(said.text)
    if said.code:
        raise typer.Exit(said.code)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return *rows* in columns under *head*."""
    lines = [[*head], *([plain(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return *pairs* one under the other, names on the left. A value with several lines stays in its column."""
    kept = list(pairs)
    width = max((len(name) for name, _ in kept), default=0)
    lines: list[str] = []
    for name, value in kept:
        first, *more = str(value).split("\n") if isinstance(value, str) else [plain(value)]
        lines.append(f"{name.ljust(width)}{GAP}{plain(first)}".rstrip())
        lines += [f"{' ' * width}{GAP}{plain(line)}" for line in more]
    return "\n".join(lines)


def plain(value: object) -> str:
    """Return *value* as one line that a terminal shows and does not obey."""
    if value is None or value == "":
        return NONE
    text = (
        value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list | bool) else str(value)
    )
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
