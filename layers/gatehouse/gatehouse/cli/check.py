"""`check`: whether the project files are right, and whether the services behind them are well."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from yaml import YAMLError

from gatehouse.cli import health, streams
from gatehouse.cli.options import anywhere
from gatehouse.cli.output import Said, table
from gatehouse.cli.place import environment, projects_folder, running
from gatehouse.cli.problems import OK, REFUSED, RefusedError, words
from gatehouse.function_names import is_function
from gatehouse.projects import Project, ProjectFileError, Projects, Route, load

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        help="The folder with the project files: PROJECTS_DIR or layers/config/projects, if left out.",
    ),
]
Health = Annotated[bool, typer.Option("--health", help="Ask every upstream that has a 'health' path, 2 s at most.")]
Local = Annotated[
    bool, typer.Option("--local", help="With the folder and the upstreams of what 'make run' has running.")
]
TemplateFile = Annotated[
    Path | None,
    typer.Option("--template", metavar="FILE", help="Compare the routes that stream with those of this SAM template."),
]


@anywhere
def check(folder: Folder = None, ask: Health = False, local: Local = False, template: TemplateFile = None) -> Said:
    """Read project files and list everything that is wrong with them."""
    place = running(os.environ) if local else None
    directory = folder or (place.settings.projects_dir if place else projects_folder(None, os.environ))
    with environment(place.environ if place else {}):
        try:
            projects = load(directory, os.environ)
        except ProjectFileError as error:
            return _wrong(error)
    unstreamed = _unstreamed(projects, template) if template else []
    if unstreamed:
        return _unfit(template, unstreamed)
    answers = health.ask(projects) if ask else []
    document: dict[str, Any] = {"projects": [_view(project) for project in projects.all], "problems": []}
    text = "\n".join(_line(project) for project in projects.all)
    if ask:
        document["health"] = [one.view() for one in answers]
        text += "\n\n" + _health(projects, answers)
    return Said(document=document, text=text, code=OK if all(one.is_well for one in answers) else REFUSED)


def _unstreamed(projects: Projects, template: Path) -> list[str]:
    try:
        return streams.problems(projects, template)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError) as error:
        raise RefusedError(f"{template} is no SAM template that can be read ({type(error).__name__})") from error


def _unfit(template: Path | None, unstreamed: list[str]) -> Said:
    problems = [{"file": str(template), "line": 0, "message": one} for one in unstreamed]
    aside = f"gatehouse: {template} and the project files do not fit:\n" + "\n".join(unstreamed)
    return Said(document={"projects": [], "problems": problems}, text="", aside=aside, code=REFUSED)


def _wrong(error: ProjectFileError) -> Said:
    problems = [{"file": one.file, "line": one.line, "message": one.message} for one in error.problems]
    return Said(
        document={"projects": [], "problems": problems}, text="", aside=f"gatehouse: {words(error)}", code=REFUSED
    )


def _line(project: Project) -> str:
    return f"{project.project}: " + ", ".join(f"{' '.join(one.patterns)} ({one.auth})" for one in project.routes)


def _view(project: Project) -> dict[str, Any]:
    routes = [
        {
            "name": one.name,
            "paths": list(one.patterns),
            "auth": one.auth,
            "upstream": one.upstream,
            "health": one.health or None,
        }
        for one in project.routes
    ]
    return {"project": project.project, "issuer": project.issuer, "audience": project.audience, "routes": routes}


def _health(projects: Projects, answers: list[health.Answer]) -> str:
    unasked = [
        (
            one.project,
            route.name,
            _unasked(route),
            "",
            "",
        )
        for one in projects.all
        for route in one.routes
        if not (route.health and route.upstream) or is_function(route.upstream)
    ]
    rows = [(one.project, one.route, one.words, one.milliseconds, one.url) for one in answers]
    return table(("PROJECT", "ROUTE", "HEALTH", "MS", "URL"), [*rows, *unasked])


def _unasked(route: Route) -> str:
    if not route.upstream:
        return "no address (its variable is not set)"
    return "a function: GET /ready asks it" if route.health else "no health path"
