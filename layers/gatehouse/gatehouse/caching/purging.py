"""What a purge may be asked for with.

A name that nothing can be kept under is refused: that would throw away nothing, and look as if it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from gatehouse.caching.marks import LOOK_EVERY_S
from gatehouse.caching.purges import BELOW
from gatehouse.caching.rules import PUBLIC
from gatehouse.errors import InvalidProjectError, InvalidRequestError, InvalidRouteError
from gatehouse.paths import canonical
from gatehouse.projects.model import Project, Route
from gatehouse.routes import VERSION, Pattern, RouteTable, pattern, split

EFFECTIVE_WITHIN_S = ceil(LOOK_EVERY_S)
"""For how long a process may go on answering with what was purged, in seconds: it looks for purges that often."""
MOST_PATH = 1024
"""How long a path may be, in bytes: the last purges of a project are one item, which every process reads."""
MOST_ORGANIZATION = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeOrder:
    """What is to be thrown away: whatever meets all that is said. An empty field says nothing.

    Attributes:
        project: the name of the project.
        route: the name of one of its routes.
        path: a canonical path as clients send it, whatever the query; one that ends in `/*` means all below it, too.
        organization: the own id of the organisation that an answer is kept for.
    """

    project: str
    route: str = ""
    path: str = ""
    organization: str = ""

    def view(self, generation: int) -> dict[str, object]:
        """Return what whoever gave this order is told, done as the purge number *generation* of the project."""
        return {
            "project": self.project,
            "route": self.route or None,
            "path": self.path or None,
            "organization": self.organization or None,
            "generation": generation,
            "effectiveWithinSeconds": EFFECTIVE_WITHIN_S,
        }


def order(
    projects: tuple[Project, ...],
    *,
    project: str | None,
    route: str | None = None,
    path: str | None = None,
    organization: str | None = None,
) -> PurgeOrder:
    """Return the order to throw away what the arguments mean together; None is what was not said.

    An empty text is not the same: whoever sends one has a variable that is not set, and means less than everything.

    Raises:
        InvalidProjectError: *project* is none of *projects*, or keeps nothing.
        InvalidRouteError: *route* is none of its routes, or keeps nothing.
        BadPathError: *path* could be read in more than one way.
        InvalidRequestError: nothing is kept under *path*, or for any organisation, or *organization* cannot be one.
    """
    found = _project(projects, project)
    routes = _routes(found, route)
    if organization is not None:
        routes = _apart(routes, organization)
    return PurgeOrder(
        project=found.project,
        route=route or "",
        path="" if path is None else _path(path, found, routes, projects),
        organization=organization or "",
    )


def _project(projects: tuple[Project, ...], name: str | None) -> Project:
    found = next((one for one in projects if one.project == name), None)
    if found is None:
        what = "There is no such project here" if name else "Name the project ('project') whose answers are to go"
        raise InvalidProjectError(f"{what}. There is: {', '.join(one.project for one in projects)}.")
    if not _keeping(found):
        others = ", ".join(one.project for one in projects if _keeping(one))
        raise InvalidProjectError(
            f"There is nothing to purge: no route of the project '{found.project}' has a 'cache' in the project file. "
            + (f"Projects that have one: {others}." if others else "No project has one.")
        )
    return found


def _keeping(project: Project) -> tuple[Route, ...]:
    return tuple(one for one in project.routes if one.cache)


def _routes(project: Project, name: str | None) -> tuple[Route, ...]:
    """Return the routes whose answers are meant: the one called *name*, or all that keep any."""
    keeping = _keeping(project)
    meant = keeping if name is None else tuple(one for one in keeping if one.name == name)
    if not meant:
        names = ", ".join(one.name for one in keeping)
        raise InvalidRouteError(
            f"No route of '{project.project}' with a 'cache' has that name. Those with one: {names}."
        )
    return meant


def _path(raw: str, project: Project, routes: tuple[Route, ...], projects: tuple[Project, ...]) -> str:
    if "?" in raw:
        raise InvalidRequestError("Leave the query out of 'path': a purge of a path is one of all its queries.")
    path = canonical(raw)
    if len(path) > MOST_PATH:
        raise InvalidRequestError(f"'path' has more than {MOST_PATH} bytes. Say a shorter one above it, with '/*'.")
    base = path.removesuffix(BELOW)
    if "*" in base:
        raise InvalidRequestError("'*' in 'path' means everything below, and stands at its end alone, as in '/a/b/*'.")
    meant = frozenset(one.name for one in routes)
    if _owner(base or "/", projects) in {(project.project, name) for name in meant}:
        return path
    if base != path and any(_lies_below(one, base) for route in routes for one in route.patterns):
        return path
    places = ", ".join(one for route in routes for one in route.patterns)
    version = f" ({VERSION} is a number)" if VERSION in places else ""
    raise InvalidRequestError(f"Nothing is kept under 'path'. What may go lies under: {places}{version}.")


def _owner(path: str, projects: tuple[Project, ...]) -> tuple[str, str] | None:
    """Return the project and the route that *path* belongs to, as the gateway finds them."""
    table = RouteTable(
        (pattern(text), (one.project, route.name))
        for one in projects
        for route in one.routes
        for text in route.patterns
    )
    return table.find(path)


def _lies_below(text: str, base: str) -> bool:
    """Say whether the pattern *text* has paths that lie below *base*."""
    segments = split(base)
    first = pattern(text).segments[: len(segments)]
    return len(first) == len(segments) and Pattern(first).matches(segments)


def _apart(routes: tuple[Route, ...], organization: str) -> tuple[Route, ...]:
    """Return those of *routes* that keep answers for organisations, each for its own."""
    if not 0 < len(organization) <= MOST_ORGANIZATION or not organization.isprintable():
        raise InvalidRequestError(
            f"'organization' is the id of one, of 1 to {MOST_ORGANIZATION} characters without control characters."
        )
    apart = tuple(one for one in routes if one.organization != "none" and one.cache and one.cache.by != PUBLIC)
    if not apart:
        raise InvalidRequestError(
            "Nothing of that is kept for an organization, but for everybody or for callers: leave 'organization' out."
        )
    return apart
