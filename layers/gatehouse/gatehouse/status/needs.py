"""What a project depends on, as its file says: what it does not use cannot make it unready."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gatehouse.projects import Project, Route, health_urls
from gatehouse.projects.model import GATEWAY, AnonymousProvider
from gatehouse.projects.secret_rules import findings

SECRET, REVOCATIONS, ADMINS, CACHE, USAGE = "secret", "revocation log", "admins bucket", "cache table", "usage table"
COMFORTS = frozenset({CACHE, USAGE})
"""What requests go on without: limits count in each process for itself, nothing is kept, budgets are not asked.

But nobody logs in without the cache table, where failed logins are counted.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An upstream that says whether it is well: the name of its route, and the URL to ask."""

    route: str
    url: str


def stores_of(project: Project) -> tuple[str, ...]:
    """Return the stores that requests to *project* need, or would like to have."""
    return tuple(_stores(project, [route for route in project.routes if route.upstream]))


def is_comfort(project: Project, store: str) -> bool:
    """Say whether every request to *project* is answered without *store*, if only with less comfort."""
    return store in COMFORTS and not (store == CACHE and project.tokens)


def names_secrets(project: Project) -> bool:
    """Say whether headers that *project* sends are filled with named secrets."""
    return any(findings(project, {}))


def watched(project: Project) -> list[Watched]:
    """Return the upstreams of *project* that have an address here and a `health` path."""
    return [Watched(route=name, url=url) for name, url in health_urls(project)]


def unset(project: Project) -> list[str]:
    """Return the routes of *project* whose upstream has no address here."""
    return [route.name for route in project.routes if route.upstream is None]


def _stores(project: Project, live: list[Route]) -> Iterator[str]:
    ours = any(GATEWAY in route.accept for route in live)
    proved = {name for route in live for name in route.accept} - {GATEWAY}
    visited = any(isinstance(project.providers[name], AnonymousProvider) for name in proved)
    if project.tokens or ours or visited or names_secrets(project):
        yield SECRET
    if project.tokens or ours:
        yield REVOCATIONS
    if project.tokens:
        yield ADMINS
    if project.tokens or proved or any(route.limit or route.cache for route in live):
        yield CACHE
    if any(route.ai or route.budget for route in live):
        yield USAGE
