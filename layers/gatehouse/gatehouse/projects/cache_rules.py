"""What the `cache` of a route must be."""

from __future__ import annotations

from collections.abc import Iterator

from gatehouse.projects.document import Where
from gatehouse.projects.model import Route

Finding = tuple[Where, str]
_OFF = "say cache: false to be without one"


def findings(route: Route) -> Iterator[Finding]:
    """Yield what is wrong with the cache of *route*; the places are below the route's."""
    if route.cache is None:
        return
    by = route.cache.by
    if by != "public" and route.auth == "none":
        why = f"answers are kept by {by}, and nobody looks at who is calling where auth is none"
        yield ("cache",), f"{why}: say by: public, or {_OFF}"
    elif by == "organization" and route.organization == "none":
        yield (
            ("cache",),
            "answers are kept by organization: say organization: required or optional, or by: subject",
        )
    if "GET" not in route.methods:
        yield ("cache",), f"only answers to GET are kept, and without it there is nothing to keep: {_OFF}"
