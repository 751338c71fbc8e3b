"""How the answers of one route are kept: what its project file says, and what follows from that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256

from gatehouse.caching.freshness import Keeping
from gatehouse.credentials_of import passes_cookies
from gatehouse.projects.model import Cache, Project, Route
from gatehouse.routes import split
from gatehouse.templates import parse

ORGANIZATION, SUBJECT, PUBLIC = "organization", "subject", "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRules:
    """How the answers of one route are kept.

    Attributes:
        project: the project's name.
        route: the route's name.
        source: what says where the answers come from: another upstream means other answers.
        by: who shares them: `organization`, `subject` or `public`.
        keeping: for how long, where they say nothing themselves.
        above: how many segments of the path are the route's own.
        cookies: whether clients' cookies go to the upstream.
        told: the names of the claims that the upstream is told.
        keeps: whether answers are kept at all: what changes something is noted in any case.
    """

    project: str
    route: str
    source: str
    by: str
    keeping: Keeping
    above: int = 0
    cookies: bool = False
    told: frozenset[str] = frozenset()
    keeps: bool = True


def rules_of(route: Route, path: str, project: Project, *, keeps: bool = True) -> CacheRules:
    """Return how answers of *route* of *project* under *path*, one of its patterns, are kept, if they are (*keeps*)."""
    said = route.cache or Cache(ttl=0.0)
    templates = [parse(value) for value in route.set_headers.values()]
    claims = {one.name for template in templates for one in template.placeholders if one.source == "claims"}
    return CacheRules(
        project=project.project,
        route=route.name,
        source=digest((route.upstream, route.strip_prefix, route.set_headers)),
        by=said.by,
        keeping=Keeping(
            ttl_s=said.ttl,
            stale_if_error_s=said.stale_if_error,
            stale_while_revalidate_s=said.stale_while_revalidate,
        ),
        above=len(split(path)),
        cookies=passes_cookies(route, project),
        told=frozenset(name.partition(".")[0] for name in claims),
        keeps=keeps,
    )


def digest(about: object) -> str:
    """Return the SHA-256 of *about*, in hex: of texts, numbers, and lists and mappings of them."""
    return sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
