"""Where the upstreams of a project say that they are well."""

from __future__ import annotations

from gatehouse.projects.model import Project


def health_urls(project: Project) -> list[tuple[str, str]]:
    """Return the name of each route with a `health` path and the URL to ask, in the file's order.

    Routes whose upstream has no address here have no such URL, either. That of a function is `lambda://name/path`.
    """
    return [
        (route.name, f"{route.upstream}{route.health}") for route in project.routes if route.health and route.upstream
    ]
