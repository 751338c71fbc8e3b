"""What `set_headers` of a route may say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from gatehouse.hygiene import may_be_set, spelling
from gatehouse.projects.model import Project, Route
from gatehouse.templates import FILLED, KEPT, OWN_TOKEN, PLACEHOLDER, SECRET, Placeholder, parse

ORGANIZATION = Placeholder("identity", "organization")
SECRET_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,127}"  # noqa: S105  # what one may be called


def findings(route: Route, project: Project) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield what is wrong with the headers that *route* sets, each with its place in the route."""
    names: dict[str, str] = {}
    for name, value in route.set_headers.items():
        first = names.setdefault(spelling(name), name)
        if first != name:
            yield ("set_headers", name), f"'{first}' and '{name}' are one header to many servers; keep one of them"
        if not may_be_set(name):
            yield ("set_headers", name), f"'{name}' is said by the gateway itself; leave it out"
        inherited = _default(project).get(name) == value
        found = [*_form(value)] or [*_sense(value, route, inherited=inherited)]
        for message in found:
            yield ("set_headers", name), f"{name}: {message}"


def of_a_service(name: str, value: str | Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a header that a service is told which is asked who is calling: nobody knows that yet."""
    if not may_be_set(name) or spelling(name) == "cookie":
        yield "is said by the gateway itself; leave it out"
    found = [*_form(value)]
    yield from found
    if not found:
        known = (placeholder for placeholder in parse(value).placeholders if placeholder.source != SECRET)
        yield from (f"nobody knows yet who is calling, so '{one}' is never filled" for one in dict.fromkeys(known))


def _default(project: Project) -> Mapping[str, Any]:
    default = project.defaults.get("set_headers")
    return default if isinstance(default, dict) else {}


def _form(value: str | Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the placeholders of *value*, whatever the route."""
    texts = [value] if isinstance(value, str) else [said for said in value.values() if isinstance(said, str)]
    for text in texts:
        for said in PLACEHOLDER.findall(text):
            yield from _known(said)
        if "${" in PLACEHOLDER.sub("", text):
            yield "a '${' is not closed: write ${identity.email}, ${claims.name} or ${request.id}"
    if not isinstance(value, str) and any("${" in name for name in value):
        yield "the names of a mapping are not filled: '${' may stand in its values alone"


def _known(said: str) -> Iterator[str]:
    source, _, name = said.partition(".")
    if said.startswith(f"{SECRET}:"):
        if not re.fullmatch(SECRET_NAME, said.partition(":")[2]):
            yield f"'${{{said}}}' is not the name of a secret: letters, digits and '_'"
    elif source == "claims" and not name:
        yield "'${claims.}' names no claim: write ${claims.name}"
    elif source != "claims" and name not in FILLED.get(source, ()):
        known = [f"{one}.{field}" for one, fields in FILLED.items() for field in fields]
        near = get_close_matches(said, known, 1)
        advice = f"did you mean '${{{near[0]}}}'?" if near else f"there is claims.… and {', '.join(known)}"
        yield f"'${{{said}}}' is not known ({advice})"


def _sense(value: str | Mapping[str, Any], route: Route, *, inherited: bool) -> Iterator[str]:
    """Yield what can never be filled on *route*; a default may stand over routes that have no use for it."""
    for placeholder in dict.fromkeys(parse(value).placeholders):
        if placeholder.source in {"identity", "claims"} and route.auth == "none" and not inherited:
            yield f"nobody looks at who is calling where auth is none, so '{placeholder}' is never filled"
        elif placeholder == ORGANIZATION and not inherited and route.organization == "none":
            yield "nobody asks for organisations here, so it is never filled: say organization: required, or optional"
        elif placeholder == OWN_TOKEN and not inherited and set(route.accept) == {KEPT}:
            yield f"the gateway's own tokens never leave it, so '{placeholder}' is never filled; name claims instead"
