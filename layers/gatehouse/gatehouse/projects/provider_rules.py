"""What `providers` and `organization` of a project file must be, and what routes may ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gatehouse.hygiene import spelling
from gatehouse.projects import header_rules
from gatehouse.projects.document import Where
from gatehouse.projects.model import (
    GATEWAY,
    AnonymousProvider,
    ApiKeyProvider,
    JwksProvider,
    Project,
    Provider,
    Route,
    SessionProvider,
)

Finding = tuple[Where, str]
_AUTHORIZATION = "Authorization"
_NO_TOKEN = frozenset({"cookie", "host", "content-length", "content-type"})
VISITORS = "/anonymous"
"""How the audience of visitors' tokens ends: no other token may have such a one."""
NEEDED: Mapping[type, tuple[str, ...]] = {
    JwksProvider: ("issuer", "audience", "jwks_url"),
    SessionProvider: ("url",),
    ApiKeyProvider: ("url",),
    AnonymousProvider: ("url", "token_url"),
}


def within(project: Project) -> Iterator[Finding]:
    """Yield what is wrong with the providers of *project*, its organisations, and what its routes accept."""
    for name, provider in project.providers.items():
        if name == GATEWAY:
            yield ("providers", name), "'gateway' means the gateway's own tokens; call this provider something else"
        for where, message in _provider(provider):
            yield ("providers", name, *where), message
    if project.audience.endswith(VISITORS):
        yield ("tokens", "audience"), f"an audience that ends in '{VISITORS}' is that of visitors; choose another"
    if project.organization:
        yield from _said(project.organization.headers, ("organization", "headers"))
    for number, route in enumerate(project.routes):
        for where, message in _route(route, project):
            yield ("routes", number, *where), message


def _provider(provider: Provider) -> Iterator[Finding]:
    if isinstance(provider, JwksProvider):
        yield from _holding(provider.headers, _NO_TOKEN, "holds no token; name a header of its own, or use 'cookie'")
        return
    yield from _said(provider.set_headers, ("set_headers",))
    if isinstance(provider, AnonymousProvider) and provider.token_url and provider.url == "":
        yield ("token_url",), "is asked after 'url' was: say that, too"
    if isinstance(provider, ApiKeyProvider):
        if not provider.headers and not provider.bearer:
            yield ("headers",), "an API key needs a header to be in, or bearer: true"
        advice = "is not a header for API keys; for Authorization say bearer: true"
        yield from _holding(provider.headers, _NO_TOKEN | {"authorization"}, advice)


def _holding(names: tuple[str, ...], wrong: frozenset[str], advice: str) -> Iterator[Finding]:
    return ((("headers",), f"'{name}' {advice}") for name in names if spelling(name) in wrong)


def _said(headers: Mapping[str, Any], where: Where) -> Iterator[Finding]:
    """Yield what is wrong with *headers* that a service is told: it is asked before anybody knows who is calling."""
    for name, value in headers.items():
        for message in header_rules.of_a_service(name, value):
            yield (*where, name), f"{name}: {message}"


def _route(route: Route, project: Project) -> Iterator[Finding]:
    accepted = [(name, project.providers[name]) for name in route.accept if name in project.providers]
    yield from _order(route, accepted)
    yield from _one_reader(route, accepted)
    if route.upstream:
        for name, provider in accepted:
            missing = [key for key in NEEDED[type(provider)] if getattr(provider, key) is None]
            if missing:
                yield ("accept",), f"'{name}' has no {' and no '.join(missing)} here: set what providers.{name} names"
    if route.organization != "none":
        yield from _organization(route, project, accepted)
    if route.public and route.auth == "none":
        yield ("public",), "everything is public where auth is none: leave 'public' out"


def _order(route: Route, accepted: list[tuple[str, Provider]]) -> Iterator[Finding]:
    visitors = [name for name, provider in accepted if isinstance(provider, AnonymousProvider)]
    if visitors and route.accept[-1] not in visitors:
        yield ("accept",), f"'{visitors[0]}' takes everybody: put it last"
    if len(visitors) > 1:
        yield ("accept",), f"'{visitors[0]}' takes everybody, so '{visitors[1]}' is never asked; keep one of them"
    if visitors and route.auth == "none":
        yield ("accept",), "nobody looks at credentials where auth is none"


def _one_reader(route: Route, accepted: list[tuple[str, Provider]]) -> Iterator[Finding]:
    """Yield where two credentials would be read from one place: the first would refuse what the second is for."""
    readers: dict[str, str] = {}
    for name in route.accept:
        provider = dict(accepted).get(name)
        for place in _places(name, provider):
            first = readers.setdefault(place, name)
            if first != name and not _leaves_others(dict(accepted).get(first), dict(accepted).get(name)):
                advice = "put the one with a prefix first, or keep one"
                yield ("accept",), f"'{first}' and '{name}' both read {place}; {advice}"


def _leaves_others(first: Provider | None, second: Provider | None) -> bool:
    """Say whether *first*, asked before *second*, leaves bearers to it that are not its own."""
    if not isinstance(first, ApiKeyProvider):
        return False
    return not (isinstance(second, ApiKeyProvider) and second.prefix.startswith(first.prefix))


def _places(name: str, provider: Provider | None) -> list[str]:
    if name == GATEWAY:
        return [_AUTHORIZATION]
    if isinstance(provider, JwksProvider):
        return _fields(provider.headers or (() if provider.cookie else (_AUTHORIZATION,)))
    if isinstance(provider, ApiKeyProvider):
        return _fields((*provider.headers, *((_AUTHORIZATION,) if provider.bearer else ())))
    return [f"the cookie {provider.cookie}"] if isinstance(provider, SessionProvider) else []


def _fields(names: Iterable[str]) -> list[str]:
    return [_AUTHORIZATION if spelling(name) == "authorization" else f"the header {spelling(name)}" for name in names]


def _organization(route: Route, project: Project, accepted: list[tuple[str, Provider]]) -> Iterator[Finding]:
    if project.organization is None:
        yield ("organization",), "say where organisations are asked for, with 'organization' at the top of the file"
        return
    if route.auth == "none":
        yield ("organization",), "nobody looks at who is calling where auth is none: leave 'organization' out"
    kinds = {provider.type for _, provider in accepted} & {"session", "api_key"}
    if route.auth != "none" and not kinds:
        yield ("organization",), "sessions and API keys alone name organisations: accept one, or say organization: none"
    asked = kinds | ({"membership"} if "session" in kinds else set())
    for kind in sorted(asked):
        if route.upstream and getattr(project.organization, kind) is None:
            yield ("organization",), f"the file's organization.{kind} has no address here: set what it names"
