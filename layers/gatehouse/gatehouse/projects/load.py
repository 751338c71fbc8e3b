"""Load every project file of a folder, or say everything that is wrong with them, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import voluptuous as vol

from gatehouse.errors import InvalidRequestError
from gatehouse.projects import document, provider_rules, rules, salvage, secret_rules
from gatehouse.projects.document import Document, Where
from gatehouse.projects.model import (
    GATEWAY,
    PROVIDERS,
    Ai,
    Budget,
    Cache,
    Cors,
    Limit,
    Organization,
    Project,
    Route,
    Streaming,
    Tokens,
)
from gatehouse.projects.schema import check_key, keys_of, of

MOST_BYTES = 256 * 1024
NOT_A_DEFAULT = ("name", "path", "paths")
ABOUT_CALLERS = frozenset({"accept", "claims", "revocation", "organization", "public"})
SECTIONS: Mapping[Any, type] = {
    "routes": Route,
    "defaults": Route,
    "cors": Cors,
    "tokens": Tokens,
    "organization": Organization,
}
_check = of(Project)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where it is (line 0: in no line of it) and what to do about it."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class ProjectFileError(Exception):
    """The project files have mistakes; all of them are in `problems`."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Projects:
    """All projects of a gateway."""

    all: tuple[Project, ...]

    @property
    def cors(self) -> tuple[Cors, ...]:
        """Return every project's CORS policy."""
        return tuple(project.cors for project in self.all if project.cors)

    @property
    def named(self) -> frozenset[str]:
        """Return every project that tokens can be of: those of the files, and those that routes ask for."""
        asked = {name for one in self.all for route in one.routes for name in route.claims.get("project", ())}
        return frozenset({one.project for one in self.all} | asked)

    def issuing(self, name: str | None = None) -> tuple[Project, Tokens]:
        """Return the project that a login is for, and its tokens: the one called *name*, or the default one.

        Raises:
            InvalidRequestError: there is no such project, or several and none was named.
        """
        issuers = {project.project: (project, project.tokens) for project in self.all if project.tokens}
        if name is None:
            defaults = [one for one in issuers.values() if one[1].default] or list(issuers.values())
            if len(defaults) == 1:
                return defaults[0]
        if name is None or name not in issuers:
            raise InvalidRequestError("Name the project to log in to with the key 'project'.")
        return issuers[name]


def load(folder: Path, environ: Mapping[str, str], secrets: Mapping[str, str] | None = None) -> Projects:
    """Load the project files (`*.yaml`) in *folder*.

    Args:
        folder: where they are.
        environ: what fills `${NAME}`; `ENVIRONMENT` in it says whether this is somebody's own machine.
        secrets: the named secrets, to find those that are missing; None where nobody can say.

    Raises:
        ProjectFileError: something is wrong; it lists every problem of every file.
    """
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not files:
        why = "in this folder" if folder.is_dir() else "since there is no such folder"
        raise ProjectFileError([Problem(str(folder), 0, f"there is no project file (*.yaml) {why}")])
    problems: list[Problem] = []
    loaded: list[tuple[str, Project]] = []
    documents: dict[str, Document] = {}
    for file in files:
        documents[str(file)], project = _one(file, environ, secrets, problems)
        if project:
            loaded.append((str(file), project))
    for name, where, message in rules.between(loaded):
        problems.append(Problem(name, documents[name].line(where), message))
    if problems:
        raise ProjectFileError(problems)
    return Projects(tuple(project for _, project in loaded))


def _one(
    file: Path, environ: Mapping[str, str], secrets: Mapping[str, str] | None, problems: list[Problem]
) -> tuple[Document, Project | None]:
    try:
        raw = file.read_bytes()
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raw, text = b"", ""
        problems.append(Problem(str(file), 1, f"cannot be read as UTF-8 text: {type(error).__name__}"))
    if len(raw) > MOST_BYTES:
        text = ""
        problems.append(Problem(str(file), 1, f"is larger than {MOST_BYTES} bytes"))
    read = document.read(text, environ)
    problems.extend(Problem(str(file), line, message) for line, message in read.problems)
    if read.value is None and read.problems:
        return read, None
    project, findings = _project(read.value)
    if project:
        findings += [*secret_rules.findings(project, secrets), *provider_rules.in_the_open(project, environ)]
        project = _here(project, environ)
    named = ((where, _naming(read, where, message)) for where, message in findings)
    problems.extend(Problem(str(file), _line(read, where), message) for where, message in named if message)
    return read, project


def _naming(read: Document, where: Where, message: str) -> str:
    """Return *message*; if it is about a missing address, with what to do: set a variable, or add the key.

    Empty if neither would help: then something else is wrong there, which is said elsewhere.
    """
    if not isinstance(message, provider_rules.Needed):
        return message
    names = [name for place, said in read.unset.items() if place[: len(where)] == where for name in said]
    place = ".".join(map(str, where))
    if where not in read.lines:
        return f"{place}: {message}: add it"
    return f"{place}: {message}: set {' and '.join(dict.fromkeys(names))}" if names else ""


def _here(project: Project, environ: Mapping[str, str]) -> Project:
    """Return *project* as it is here: origins of somebody's own machine count on such a machine alone."""
    if project.cors is None or environ.get("ENVIRONMENT") == "local":
        return project
    return replace(project, cors=replace(project.cors, local_origins=()))


def _project(value: Any) -> tuple[Project | None, list[rules.Finding]]:
    findings = list(_defaults(value))
    wrong = {where[1] for where, _ in findings}
    merged = _merged(value, wrong)
    try:
        project = _with_accept(_check(merged))
    except vol.Invalid as error:
        errors = error.errors if isinstance(error, vol.MultipleInvalid) else [error]
        findings += [(tuple(one.path), _words(one, merged)) for one in errors]
        return None, findings + list(salvage.findings(merged, lambda left: _with_accept(_check(left))))
    return project, findings + list(rules.within(project))


def _defaults(value: Any) -> Iterator[rules.Finding]:
    """Yield what is wrong with `defaults`, each once and not once for every route."""
    defaults = value.get("defaults") if isinstance(value, dict) else None
    if not isinstance(defaults, dict):
        return
    for name, what in defaults.items():
        if name in NOT_A_DEFAULT:
            yield ("defaults", name), f"'{name}' differs from route to route; it has no default"
            continue
        try:
            check_key(Route, name, what)
        except vol.Invalid as error:
            for one in error.errors if isinstance(error, vol.MultipleInvalid) else [error]:
                where = ("defaults", name, *one.path)
                yield where, _words(vol.Invalid(one.error_message, path=list(where)))


def _merged(value: Any, wrong: AbstractSet[Any]) -> Any:
    """Put `defaults` under every route, but for those that are *wrong*."""
    if not isinstance(value, dict) or not isinstance(value.get("routes"), list):
        return value
    defaults = value.get("defaults")
    if not isinstance(defaults, dict):
        return value
    shared = {key: what for key, what in defaults.items() if key not in wrong}
    routes = [_under(shared, route) if isinstance(route, dict) else route for route in value["routes"]]
    return {**value, "routes": routes}


def _under(shared: Mapping[Any, Any], route: Mapping[Any, Any]) -> dict[Any, Any]:
    """Put *route* over the defaults; those about callers are not for a route that asks for none."""
    merged = {**shared, **route}
    if merged.get("auth") == "none":
        return {key: what for key, what in merged.items() if key in route or key not in ABOUT_CALLERS}
    return merged


def _with_accept(project: Project) -> Project:
    """Let routes that name nobody accept the project's own tokens."""
    if not project.tokens:
        return project
    routes = tuple(
        replace(route, accept=(GATEWAY,)) if route.auth != "none" and not route.accept else route
        for route in project.routes
    )
    return replace(project, routes=routes)


def _line(read: Document, where: Where) -> int:
    """Return the line of *where*; of a key that came from `defaults`, the line there."""
    if where not in read.lines and len(where) > 2 and where[0] == "routes":  # noqa: PLR2004  # ("routes", number, key…)
        inherited = ("defaults", *where[2:])
        if inherited in read.lines:
            return read.line(inherited)
    return read.line(where)


def _words(error: vol.Invalid, value: Any = None) -> str:
    where = ".".join(str(part) for part in error.path) or "the file"
    if error.error_message == "extra keys not allowed":
        return f"{where}: unknown key{_near(str(error.path[-1]), _model(error.path, value))}"
    if error.error_message == "required key not provided":
        return f"{where}: this key is missing"
    return f"{where}: {error.error_message}"


def _model(path: list[Any], value: Any) -> type:
    """Return the model whose keys stand where *path* leads in *value*, the file's."""
    if len(path) > 2 and path[0] == "providers":  # noqa: PLR2004  # ("providers", name, key…)
        return PROVIDERS[value["providers"][path[1]]["type"]]
    if len(path) > 2 and path[0] == "limits":  # noqa: PLR2004  # the same
        return Limit
    nested = {"cache": Cache, "streaming": Streaming, "ai": Ai, "budget": Budget}
    for name in path[:-1]:
        if name in nested:
            return nested[name]
    return SECTIONS.get(path[0], Project) if len(path) > 1 else Project


def _near(key: str, model: type) -> str:
    near = get_close_matches(key, keys_of(model), 1)
    return f" (did you mean '{near[0]}'?)" if near else ""
