"""The command line for operators: `python -m gatehouse --help`."""

from __future__ import annotations

import sys

MISSING = "gatehouse: the command line needs Typer, which is not installed here: pip install typer (or: make run, once)"


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 done, 1 refused or failed, 2 not a command that there is."""
    try:
        import typer  # noqa: F401, PLC0415  # a development requirement: functions have neither it nor a use for it
    except ModuleNotFoundError:
        print(MISSING, file=sys.stderr)
        sys.exit(2)
    from gatehouse.cli.app import main as run  # noqa: PLC0415

    run(arguments)


if __name__ == "__main__":
    main()
