"""Every command and every option of the command line is documented, and nothing else is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from gatehouse.cli.app import app
from local.template import ROOT

PAGE = (ROOT / "docs/command-line.md").read_text()


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that can be run, with the words that call it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield words, command
        return
    for name, one in inner.items():
        yield from commands(one, (*words, name))


ALL = list(commands(get_command(app)))


def test_there_are_as_many_commands_as_are_documented() -> None:
    groups = "admin|token|keys|secrets|cache|check|explain"
    documented = re.findall(rf"^\| `((?:{groups})[^`…]*)` \|", PAGE, flags=re.MULTILINE)
    names = [re.match(r"[a-z-]+(?: [a-z-]+)?", one)[0].strip() for one in documented]  # type: ignore[index]
    assert sorted(names) == sorted(" ".join(words) for words, _ in ALL)


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_every_option_and_argument_is_documented(words: tuple[str, ...], command: Any) -> None:
    for parameter in command.params:
        spellings = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []
        for spelling in set(spellings) - {"--help"}:
            assert re.search(rf"`(?:[^`\n]* )?{re.escape(spelling)}[` ]", PAGE), f"{words}: {spelling}"
        if parameter.param_type_name == "argument":
            assert re.search(rf"`{' '.join(words)} [^`]*{parameter.metavar}", PAGE), f"{words}: {parameter.metavar}"


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_every_command_has_a_sentence_and_an_example_in_its_help(words: tuple[str, ...], command: Any) -> None:
    assert command.help.split("\n")[0].endswith(".")
    assert f"python -m gatehouse {' '.join(words)}" in command.epilog
    for parameter in command.params:
        assert parameter.help, f"{words}: {parameter.name}"


def test_every_option_that_is_documented_is_there() -> None:
    known = {
        spelling for _, one in ALL for parameter in one.params for spelling in parameter.opts + parameter.secondary_opts
    }
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= known | {"--help"}
