"""The options that many commands share, and the decorators that give commands to Typer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, cast

import typer

from gatehouse.cli import place
from gatehouse.cli.gate import Gate
from gatehouse.cli.output import Said, tell

P = ParamSpec("P")

Stack = Annotated[
    str,
    typer.Option("--stack", metavar="NAME", help="The CloudFormation stack of the gateway (or GATEHOUSE_STACK)."),
]
Local = Annotated[bool, typer.Option("--local", help="What 'make run' has running in this folder.")]
Region = Annotated[
    str, typer.Option("--region", metavar="REGION", help="The stack's AWS region; as boto3 finds it, if left out.")
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--projects",
        metavar="DIR",
        help="The folder with the project files: PROJECTS_DIR or layers/config/projects, if left out.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def examples(*lines: str) -> str:
    """Return the end of a help text: commands to paste."""
    return "\b\nExamples:\n" + "\n".join(f"  python -m gatehouse {line}" for line in lines)


def at_a_gateway(command: Callable[Concatenate[Gate, P], Said]) -> Callable[..., None]:
    """Give *command* the options that say which gateway it is for, open that, and say what it returns."""

    def run(**given: Any) -> None:
        as_json = given.pop("as_json")
        where = {name: given.pop(name) for name in ("stack", "local", "region", "projects")}
        with place.found(**where) as found:
            said = cast(Any, command)(Gate(found), **given)
        tell(said, as_json=as_json)

    shared = {"stack": (Stack, ""), "local": (Local, False), "region": (Region, ""), "projects": (Folder, None)}
    return _like(run, command, shared, skipped=1)


def anywhere(command: Callable[P, Said]) -> Callable[..., None]:
    """Give *command* the option --json and say what it returns."""

    def run(**given: Any) -> None:
        as_json = given.pop("as_json")
        tell(cast(Any, command)(**given), as_json=as_json)

    return _like(run, command, {}, skipped=0)


def _like(
    run: Callable[..., None], command: Callable[..., Said], shared: dict[str, Any], *, skipped: int
) -> Callable[..., None]:
    """Return *run* with the name, the text and the parameters of *command*, and those that are *shared*."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[skipped:]
    more = {**shared, "as_json": (Json, False)}
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in more.items()
    ]
    made: Any = run
    made.__name__, made.__doc__ = command.__name__, command.__doc__
    made.__signature__ = inspect.Signature(parameters)
    made.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
