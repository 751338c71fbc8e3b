"""Routes that somebody may have meant whose path has none."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import unquote

from gatehouse.build import entries
from gatehouse.projects import Projects
from gatehouse.routes import Pattern, pattern, split

MOST = 5
ALIKE = 0.6


@dataclass(frozen=True, slots=True)
class Miss:
    """A route that the path is not of, and what it lacks."""

    project: str
    route: str
    path: str
    why: str


def misses(raw: str, projects: Projects) -> list[Miss]:
    """Return the routes that the path *raw* may have been meant for, the likeliest first."""
    path = _cleaned(raw)
    known = entries(projects)
    alike = set(_alike(path, [text for _, _, text in known]))
    found: list[tuple[int, Miss]] = []
    for project, route, text in known:
        rank, why = _why(path, text)
        if not why and text in alike:
            rank, why = 4, "is spelled almost like it"
        if why:
            found.append((rank, Miss(project.project, route.name, text, why)))
    found.sort(key=lambda one: one[0])
    return [miss for _, miss in found[:MOST]]


def _cleaned(raw: str) -> str:
    """Return the path that *raw* might be without what makes it ambiguous."""
    segments = unquote(raw, errors="replace").replace("\\", "/").split("/")
    return "/" + "/".join(segment for segment in segments if segment not in {"", ".", ".."})


def _alike(path: str, texts: list[str]) -> list[str]:
    """Return those of *texts* that are spelled almost like the beginning of *path* that is as long as they are."""
    segments = split(path)
    return [text for text in texts if get_close_matches("/" + "/".join(segments[: len(split(text))]), [text], 1, ALIKE)]


def _why(path: str, text: str) -> tuple[int, str]:
    """Return how near *path* comes to *text*, a route's path (0 is nearest), and what is between them."""
    given, wanted = split(path), pattern(text)
    if wanted.matches(given):
        return 0, "is what the path says without what could be misread"
    if pattern(text.lower()).matches(split(path.lower())):
        return 1, "differs in upper and lower case, which counts"
    if len(given) < len(wanted.segments) and Pattern(wanted.segments[: len(given)]).matches(given) and given:
        return 2, "begins so and goes on: the path is too short"
    if len(text) > 1 and path.startswith(text):
        return 2, "is its beginning, but whole segments are compared"
    if given and split(text)[:1] == given[:1]:
        return 3, "has the same first segment"
    return 5, ""
