"""The command line: `python -m gatehouse check DIR` says whether the project files there are right."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gatehouse.projects import ProjectFileError, load


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m gatehouse", description="Gatehouse for operators.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="read project files and list everything that is wrong with them")
    check.add_argument("folder", type=Path, help="the folder with the project files")
    folder: Path = parser.parse_args(arguments).folder
    try:
        projects = load(folder, os.environ).all
    except ProjectFileError as error:
        print(error, file=sys.stderr)
        return 1
    for project in projects:
        routes = ", ".join(f"{' '.join(route.patterns)} ({route.auth})" for route in project.routes)
        print(f"{project.project}: {routes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
