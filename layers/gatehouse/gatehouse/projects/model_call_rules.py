"""What the `ai` and the `budget` of a route must be."""

from __future__ import annotations

from collections.abc import Iterator

from gatehouse.projects.document import Where
from gatehouse.projects.model import Route

Finding = tuple[Where, str]


def findings(route: Route) -> Iterator[Finding]:
    """Yield what is wrong with the calls of models on *route*; the places are below the route's."""
    if route.ai and route.cache:
        yield ("cache",), "the answers of models are not kept: leave one of 'ai' and 'cache' out"
    if route.budget is None:
        return
    if route.ai is None:
        yield ("budget",), "a budget is of a model's tokens: say that the route is for models with ai: {}"
    if route.auth == "none":
        yield ("budget",), f"it counts by {route.budget.by}, and nobody looks at who is calling where auth is none"
    elif route.budget.by == "organization" and route.organization == "none":
        yield ("budget",), "it counts by organization: say organization: required or optional, or by: subject"
