"""The commands put together, and how each of them ends."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from gatehouse import logs
from gatehouse.cli import admins, cache, keys, secrets, tokens
from gatehouse.cli.check import check
from gatehouse.cli.explain import explain
from gatehouse.cli.options import examples
from gatehouse.cli.problems import run

NAME = "python -m gatehouse"
HELP = """Gatehouse for operators: administrators, service tokens, signing keys, named secrets, cache, project files.

Most commands need to know which gateway: --stack NAME, --local for what 'make run' has running, or the functions' own
variables in the environment. Exit codes: 0 done, 1 refused or failed, 2 not a command that there is.
"""


class Commands(TyperGroup):
    """All commands. Whatever happens in one ends in one line on standard error and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command that the arguments name and leave with its exit code: there is one way for this to end."""
        extra["standalone_mode"] = False

        def command() -> object:
            return super(Commands, self).main(*args, **extra)

        with logs.written_to(sys.stderr):
            sys.exit(run(command))


app = typer.Typer(
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(admins.app, name="admin")
app.add_typer(tokens.app, name="token")
app.add_typer(keys.app, name="keys")
app.add_typer(secrets.app, name="secrets")
app.add_typer(cache.app, name="cache")
app.command(
    epilog=examples("check", "check layers/config/projects --health --local", "check --template template.yaml")
)(check)
app.command(epilog=examples("explain GET /build/x", "explain POST '/kv/a?b=1' -H 'Origin: https://app.example.com'"))(
    explain
)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    app(arguments, prog_name=NAME)
