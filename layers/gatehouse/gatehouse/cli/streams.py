"""Whether the template streams what project files have as `streaming`, and nothing else.

API Gateway decides by the path alone whether an answer may stream, and SAM takes nothing but the literal word for it:
whatever else stands there is buffered, silently. So both sides are compared before a deploy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from gatehouse.cli.rest_api import STREAM, Endpoint, endpoints, in_order, reaches, read
from gatehouse.projects import Projects, Route

_VARIABLE = re.compile(r"\{[^{}]+\}")
EXAMPLE_DIGITS = "870"
"""A `{version}` that no template has a path of its own for."""


def problems(projects: Projects, template: Path) -> list[str]:
    """Return what does not fit between *projects* and *template*, each as a sentence that says what to do.

    Raises:
        OSError, yaml.YAMLError: there is no template to read.
    """
    ways = in_order(endpoints(read(template)))
    routes = [(project.project, route) for project in projects.all for route in project.routes]
    found = [*_misspelt(ways)]
    for project, route in routes:
        found += _unmatched(f"{project}: the route '{route.name}'", route, ways)
    found += _useless(ways, [route for _, route in routes if route.stream])
    return found


def _misspelt(ways: Iterable[Endpoint]) -> Iterator[str]:
    for way in ways:
        if way.mode is not None and way.mode != "BUFFERED" and not way.streams:
            yield f"{way.path}: ResponseTransferMode must be the word {STREAM}, or SAM buffers without a warning"
        if way.streams and way.timeout_ms is None:
            yield f"{way.path}: a path that streams needs TimeoutInMillis, a plain number, or it ends after 29 s"


def _unmatched(name: str, route: Route, ways: list[Endpoint]) -> Iterator[str]:
    """Yield how what *route* says differs from what becomes of its requests."""
    for pattern in route.patterns:
        reached = [*_reached(pattern, ways)]
        if route.stream is None and any(way.streams for way in reached):
            yield f"{name} does not stream, but the template streams {pattern}: its cookies would be lost there"
        if route.stream is None:
            continue
        if not all(way.streams for way in reached) or len(reached) < 2:  # noqa: PLR2004 - itself, and below it
            yield f"{name} streams, but the template does not stream {pattern}; write under StreamFunction:\n" + _lines(
                pattern
            )
        timeouts_s = [way.timeout_ms / 1000 for way in reached if way.streams and way.timeout_ms is not None]
        if any(route.stream.total > timeout_s for timeout_s in timeouts_s):
            yield f"{name} has streams of {route.stream.total:g} s in all, and the template ends them earlier"


def _reached(pattern: str, ways: list[Endpoint]) -> Iterator[Endpoint]:
    """Yield where requests for *pattern*, and for what is below it, arrive."""
    path = _VARIABLE.sub(EXAMPLE_DIGITS, pattern)
    for example in (path, f"{path.rstrip('/')}/{EXAMPLE_DIGITS}"):
        yield from [way for way in ways if reaches(way, "POST", example)][:1]


def _lines(pattern: str) -> str:
    """Return the events that make the template stream *pattern*: up to a variable, since a path has whole ones only."""
    literal, variable, _ = pattern.partition("{")
    head = literal.rpartition("/")[0] if variable else pattern.rstrip("/")
    name = "".join(word.title() for word in re.findall(r"[A-Za-z0-9]+", head)) or "Root"
    paths = [] if variable else [(name, head or "/")]
    return "\n".join(_line(name, path) for name, path in [*paths, (f"{name}Below", f"{head}/{{proxy+}}")])


def _line(name: str, path: str) -> str:
    return (
        f"        {name}: {{Type: Api, Properties: {{RestApiId: !Ref Api, Path: '{path}', Method: ANY, "
        f"ResponseTransferMode: {STREAM}, TimeoutInMillis: 300000}}}}"
    )


def _useless(ways: list[Endpoint], routes: list[Route]) -> Iterator[str]:
    used = {way.path for route in routes for pattern in route.patterns for way in _reached(pattern, ways)}
    for way in ways:
        if way.streams and way.path not in used:
            yield f"the template streams {way.path}, and no route there has 'streaming': take its line away"
