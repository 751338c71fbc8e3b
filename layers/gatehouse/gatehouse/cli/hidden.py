"""Asking for what nobody may see: twice, and only where it is not shown."""

from __future__ import annotations

import warnings
from getpass import GetPassWarning

import typer

from gatehouse.cli.problems import MisuseError


def asked_twice(what: str, *, otherwise: str) -> str:
    """Return the answer to *what*, typed twice. *otherwise* is the option for those who have no terminal.

    Raises:
        MisuseError: there is no terminal to ask at.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", GetPassWarning)  # it would be seen
        try:
            answer: str = typer.prompt(what, hide_input=True, confirmation_prompt="Once more", err=True)
        except GetPassWarning as error:
            raise MisuseError(f"there is no terminal to ask at: say {otherwise}") from error
    return answer
