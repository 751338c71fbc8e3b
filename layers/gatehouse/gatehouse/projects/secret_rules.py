"""Which named secrets the headers of a project file are filled with, and what is wrong with those that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gatehouse.projects.document import Where
from gatehouse.projects.model import JwksProvider, Project
from gatehouse.templates import parse, unfit

Finding = tuple[Where, str]


def findings(project: Project, secrets: Mapping[str, str] | None) -> Iterator[Finding]:
    """Yield which secrets of *project* are missing among *secrets*, or nobody should trust; None: nobody can say.

    A route whose upstream has no address is never forwarded to, so nobody misses its secrets; nor those of what is
    asked about callers, where no route has one.
    """
    if secrets is None:
        return
    for where, value in _headers(project):
        for name in dict.fromkeys(parse(value).secrets):
            reason = unfit(secrets[name]) if secrets.get(name) else "is missing"
            if reason:
                yield where, f"the secret '{name}' {reason}; give it a value: python -m gatehouse secrets set {name}"


def _headers(project: Project) -> Iterator[tuple[Where, str | Mapping[str, Any]]]:
    """Yield every header that is ever sent, with its place in the file."""
    live = [(number, route) for number, route in enumerate(project.routes) if route.upstream]
    for number, route in live:
        yield from ((("routes", number, "set_headers", name), value) for name, value in route.set_headers.items())
    if project.organization and any(route.organization != "none" for _, route in live):
        headers = project.organization.headers
        yield from ((("organization", "headers", name), value) for name, value in headers.items())
    for accepted in {name for _, route in live for name in route.accept} & project.providers.keys():
        provider = project.providers[accepted]
        if not isinstance(provider, JwksProvider):
            set_headers = provider.set_headers
            yield from ((("providers", accepted, "set_headers", name), value) for name, value in set_headers.items())
