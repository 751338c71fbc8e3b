"""What must hold within one project file and between all of them, beyond the form of each key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from gatehouse.projects import cache_rules, header_rules, limit_rules, model_call_rules, provider_rules, stream_rules
from gatehouse.projects.checks import RESERVED
from gatehouse.projects.document import Where
from gatehouse.projects.model import GATEWAY, Cors, Project, Route, Tokens
from gatehouse.routes import pattern

Finding = tuple[Where, str]


def within(project: Project) -> Iterator[Finding]:
    """Yield what is wrong inside *project*."""
    names = [route.name for route in project.routes]
    if project.cors:
        yield from _cors(project.cors)
    if project.tokens:
        yield from _tokens(project.tokens, names)
    yield from provider_rules.within(project)
    yield from limit_rules.within(project)
    for number, route in enumerate(project.routes):
        if names.index(route.name) != number:
            yield ("routes", number, "name"), f"another route of this file is called '{route.name}'"
        for where, message in _route(route, project):
            yield ("routes", number, *where), message


def _cors(cors: Cors) -> Iterator[Finding]:
    if "*" in cors.origins and len(cors.origins) > 1:
        yield ("cors", "origins"), "'*' is every origin: leave the others out, or leave '*' out"
    if "*" in cors.origins and cors.credentials:
        yield (
            ("cors", "credentials"),
            "credentials need a list of origins: '*' would let every web page act as the user",
        )


def _tokens(tokens: Tokens, names: list[str]) -> Iterator[Finding]:
    for guest in tokens.guest_routes:
        if guest in tokens.elevated:
            yield ("tokens", "guest_routes"), f"'{guest}' is elevated: a guest would be let into every route"
        elif guest not in names:
            yield ("tokens", "guest_routes"), f"no route of this file is called '{guest}'"
    if tokens.login_route and tokens.login_route not in {*tokens.elevated, *names}:
        yield (
            ("tokens", "login_route"),
            f"'{tokens.login_route}' is neither a route of this file nor elevated",
        )
    if not tokens.login_route and not tokens.elevated:
        yield ("tokens",), "say which route logins get: login_route, or a first name in elevated"


def _route(route: Route, project: Project) -> Iterator[Finding]:
    if bool(route.path) == bool(route.paths):
        yield (), f"route '{route.name}' needs either 'path' or 'paths'"
    for path in route.patterns:
        first = path[1:].partition("/")[0]
        if first in RESERVED:
            yield ("path" if route.path else "paths",), f"'/{first}' belongs to the gateway itself; choose another path"
    if route.auth == "none" and route.accept:
        yield ("accept",), "nobody looks at credentials where auth is none: leave 'accept' out, or say auth: optional"
    if route.auth != "none" and not route.accept and not project.tokens:
        yield (), f"route '{route.name}' needs 'accept' (who may call), or 'auth: none' if anyone may"
    yield from _accept(route, project)
    yield from _callers(route)
    yield from cache_rules.findings(route)
    yield from stream_rules.findings(route)
    yield from model_call_rules.findings(route)
    yield from header_rules.findings(route, project)


def _callers(route: Route) -> Iterator[Finding]:
    """Yield what *route* asks of callers whom it does not ask for."""
    if route.claims and route.auth != "required":
        yield ("claims",), "'claims' are held against every caller: say auth: required, or leave them out"
    if route.revocation == "strict" and (route.auth == "none" or (route.accept and GATEWAY not in route.accept)):
        yield ("revocation",), "'strict' is about the gateway's own tokens: accept 'gateway', or leave 'revocation' out"


def _accept(route: Route, project: Project) -> Iterator[Finding]:
    for accepted in route.accept:
        if accepted != GATEWAY and accepted not in project.providers:
            yield ("accept",), f"there is no provider '{accepted}'; there is 'gateway' and what 'providers' names"


def between(projects: list[tuple[str, Project]]) -> Iterator[tuple[str, Where, str]]:
    """Yield what is wrong between *projects*, each with the name of its file."""
    paths = [
        (file, number, f"'{route.name}' of {project.project}", path)
        for file, project in projects
        for number, route in enumerate(project.routes)
        for path in route.patterns
    ]
    for (_, _, owner, first), (file, number, other, second) in combinations(paths, 2):
        if first and second and pattern(first).ties_with(pattern(second)):
            yield file, ("routes", number), f"{other} has the path {second}, which {owner} has already as {first}"
    if sum(project.tokens is not None and project.tokens.default for _, project in projects) > 1:
        yield projects[-1][0], ("tokens", "default"), "more than one file says that it is the default of logins"
    for (_, one), (file, another) in combinations(projects, 2):
        if one.project == another.project:
            yield file, ("project",), f"another file is already the project '{one.project}'"
        # Without any `tokens` they are the same only if the names are, and that was said just now.
        if (one.tokens or another.tokens) and _issues(one) == _issues(another):
            same = f"project '{one.project}' has the same issuer and audience ('{one.issuer}', '{one.audience}')"
            yield file, ("tokens",), f"{same}: tokens of one would open the other; write others under 'tokens'"


def _issues(project: Project) -> tuple[str, str]:
    return project.issuer, project.audience
