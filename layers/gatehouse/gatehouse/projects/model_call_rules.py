"""What the `ai` and the `budget` of a route must be."""

from __future__ import annotations

from collections.abc import Iterator

from gatehouse.projects.document import Where
from gatehouse.projects.model import Route

Finding = tuple[Where, str]


def findings(route: Route) -> Iterator[Finding]:
    """Yield what is wrong with the calls of models on *route*; the places are below the route's."""
    if (route.ai or route.budget) and route.cache:
        yield ("cache",), "the answers of models are not kept: leave 'cache', or 'ai' and 'budget', out"
    if route.budget is None:
        return
    if route.auth == "none":
        yield ("budget",), f"it counts by {route.budget.by}, and nobody looks at who is calling where auth is none"
    elif route.budget.by == "organization" and route.organization == "none":
        yield ("budget",), "it counts by organization: say organization: required or optional, or by: subject"
