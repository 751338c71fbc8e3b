"""What `limits` of a project file must be, and which of them a route may name."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from gatehouse.gcra import Rate
from gatehouse.projects.document import Where
from gatehouse.projects.model import GATEWAY, Limit, Project, Route

Finding = tuple[Where, str]
KEYED = frozenset({"api_key"})
"""The types of providers whose credentials have a name of their own."""


def within(project: Project) -> Iterator[Finding]:
    """Yield what is wrong with the limits of *project*, and with those that its routes name."""
    for name, limit in project.limits.items():
        try:
            Rate(limit.requests, limit.per, limit.burst or limit.requests)
        except ValueError as error:
            yield ("limits", name), str(error)
    for number, route in enumerate(project.routes):
        for message in _route(route, project):
            yield ("routes", number, "limit"), message


def _route(route: Route, project: Project) -> Iterator[str]:
    for name in dict.fromkeys(route.limit):
        if route.limit.count(name) > 1:
            yield f"'{name}' is named twice; once is enough"
        limit = project.limits.get(name)
        if limit is None:
            yield _unknown(name, project)
        else:
            yield from _countable(name, limit, route, project)


def _unknown(name: str, project: Project) -> str:
    near = get_close_matches(name, project.limits, 1)
    advice = f"did you mean '{near[0]}'?" if near else "add it to 'limits' at the top of the file"
    return f"there is no limit '{name}' ({advice})"


def _countable(name: str, limit: Limit, route: Route, project: Project) -> Iterator[str]:
    """Yield why *route* has nothing that *limit* could count by."""
    counts = f"'{name}' counts by {limit.by}"
    if limit.by != "ip" and route.auth == "none":
        yield f"{counts}, and nobody looks at who is calling where auth is none: name one that counts by ip, or say []"
        return
    if limit.by == "organization" and route.organization == "none":
        yield f"{counts}: say organization: required or optional, or name one that counts by subject"
    kinds = {project.providers[one].type for one in route.accept if one in project.providers}
    if limit.by == "key" and GATEWAY not in route.accept and not KEYED & kinds:
        yield f"{counts}: accept a provider of type api_key, or 'gateway', or name one that counts by subject"
