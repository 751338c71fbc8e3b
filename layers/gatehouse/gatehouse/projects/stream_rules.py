"""What cannot be together with streams, and with functions as upstreams."""

from __future__ import annotations

from collections.abc import Iterator

from gatehouse.function_names import is_function
from gatehouse.projects.document import Where
from gatehouse.projects.model import Route

Finding = tuple[Where, str]


def findings(route: Route) -> Iterator[Finding]:
    """Yield what is wrong with the streams of *route*, or with its function; the places are below the route's."""
    function = is_function(route.upstream or "")
    if route.stream and route.cache:
        yield ("cache",), "answers that are streamed are not kept: leave one of 'cache' and 'streaming' out"
    if route.stream and function:
        yield ("streaming",), "a function's answer comes whole: leave 'streaming' out, or write an http address"
    if route.stream and route.stream.idle > route.stream.total:
        yield ("streaming",), "'idle' is longer than 'total': nothing would ever be silent for that long"
