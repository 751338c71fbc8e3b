"""What `providers` and `organization` of a project file must be, and what routes may ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gatehouse.hygiene import HOP_BY_HOP, spelling
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
_NO_TOKEN = HOP_BY_HOP | {"cookie", "host", "content-length", "content-type", "x-request-id"}
"""Headers that mean something else: they are read by others on the way, or written down."""
VISITORS = "/anonymous"
"""How the audience of visitors' tokens ends: no other token may have such a one."""
NEEDED: Mapping[type, tuple[str, ...]] = {
    JwksProvider: ("issuer", "audience", "jwks_url"),
    SessionProvider: ("url",),
    ApiKeyProvider: ("url",),
    AnonymousProvider: ("url", "token_url"),
}


class Needed(str):
    """What is said of an address that is missing; only the loader knows which variable it would be in."""

    __slots__ = ()


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
    yield from _addresses(project)
    for number, route in enumerate(project.routes):
        for where, message in _route(route, project):
            yield ("routes", number, *where), message


def _addresses(project: Project) -> Iterator[Finding]:
    """Yield what has no address here and is needed: a route that has an upstream asks there who is calling."""
    live = [route for route in project.routes if route.upstream]
    for name, provider in project.providers.items():
        users = [route.name for route in live if name in route.accept]
        for key in NEEDED[type(provider)]:
            if users and getattr(provider, key) is None:
                yield ("providers", name, key), Needed(f"is needed by the route '{users[0]}'")
    for kind, needed in (("session", "session"), ("membership", "session"), ("api_key", "api_key")):
        users = [route.name for route in live if route.organization != "none" and needed in _kinds(route, project)]
        if project.organization and users and getattr(project.organization, kind) is None:
            yield ("organization", kind), Needed(f"is needed by the route '{users[0]}'")


def _kinds(route: Route, project: Project) -> set[str]:
    """Return the types of the providers that *route* accepts."""
    return {project.providers[name].type for name in route.accept if name in project.providers}


def in_the_open(project: Project, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which keys of issuers would come unprotected: whoever changes them on the way could call as anybody.

    On somebody's own machine, where `ENVIRONMENT` in *environ* is `local`, issuers are there as well.
    """
    if environ.get("ENVIRONMENT") == "local":
        return
    for name, provider in project.providers.items():
        address = provider.jwks_url if isinstance(provider, JwksProvider) else None
        if address is not None and urlsplit(address).scheme != "https":
            advice = "write https:// (http:// counts only where ENVIRONMENT is local)"
            yield ("providers", name, "jwks_url"), f"keys that come over plain http could be anybody's: {advice}"


def _provider(provider: Provider) -> Iterator[Finding]:
    if isinstance(provider, JwksProvider):
        yield from _holding(provider.headers, _NO_TOKEN, "holds no token; name a header of its own, or use 'cookie'")
        return
    yield from _said(provider.set_headers, ("set_headers",))
    if isinstance(provider, AnonymousProvider) and provider.token_url and provider.url == "":
        yield ("token_url",), "'token_url' is asked after 'url' was: say that, too"
    if isinstance(provider, ApiKeyProvider):
        if not provider.headers and not provider.bearer:
            yield ("headers",), "an API key needs a header to be in, or bearer: true"
        advice = "is not a header for API keys; for Authorization say bearer: true"
        yield from _holding(provider.headers, _NO_TOKEN | {"authorization"}, advice)


def _holding(names: tuple[str, ...], wrong: frozenset[str], advice: str) -> Iterator[Finding]:
    return ((("headers",), f"'{name}' {advice}") for name in names if spelling(name) in wrong)


def _said(headers: Mapping[str, Any], where: Where) -> Iterator[Finding]:
    """Yield what is wrong with *headers* that a service is told: it is asked before anybody knows who is calling."""
    names: dict[str, str] = {}
    for name, value in headers.items():
        first = names.setdefault(spelling(name), name)
        if first != name:
            yield (*where, name), f"'{first}' and '{name}' are one header to many servers; keep one of them"
        for message in header_rules.of_a_service(name, value):
            yield (*where, name), f"{name}: {message}"


def _route(route: Route, project: Project) -> Iterator[Finding]:
    accepted = [(name, project.providers[name]) for name in route.accept if name in project.providers]
    yield from _order(route, accepted)
    yield from _one_reader(route, accepted)
    if route.organization != "none":
        yield from _organization(route, project, accepted)
    yield from _unanswered(route, project)
    if route.public and route.auth == "none":
        yield ("public",), "everything is public where auth is none: leave 'public' out"


def _unanswered(route: Route, project: Project) -> Iterator[Finding]:
    """Yield what *route* has public and does not answer; a default may stand over routes that take other methods."""
    if "public" in project.defaults and len(project.defaults["public"]) == len(route.public):
        return
    for method, below in route.public:
        if method not in route.methods:
            yield ("public",), f"'{method} {below}' is public, but 'methods' of the route has no {method}"


def _order(route: Route, accepted: list[tuple[str, Provider]]) -> Iterator[Finding]:
    visitors = [name for name, provider in accepted if isinstance(provider, AnonymousProvider)]
    if visitors and route.accept[-1] not in visitors:
        yield ("accept",), f"'{visitors[0]}' takes everybody: put it last"
    if len(visitors) > 1:
        yield ("accept",), f"'{visitors[0]}' takes everybody, so '{visitors[1]}' is never asked; keep one of them"


def _one_reader(route: Route, accepted: list[tuple[str, Provider]]) -> Iterator[Finding]:
    """Yield where two credentials would be read from one place: the first would refuse what the second is for."""
    providers = dict(accepted)
    readers: dict[str, list[str]] = {}
    for name in route.accept:
        for place in dict.fromkeys(_places(name, providers.get(name))):
            before = readers.setdefault(place, [])
            for first in before:
                advice = _advice(place, providers.get(first), providers.get(name))
                if advice:
                    yield ("accept",), f"'{first}' and '{name}' both read {place}; {advice}"
            before.append(name)


def _advice(place: str, first: Provider | None, second: Provider | None) -> str:
    """Return what to do about *first*, asked before *second*, which reads the same *place*; empty if all is well.

    Of bearers, an API key with a prefix leaves those to others that do not begin with it. Anywhere else whatever
    stands there is taken for what the first of them looks for.
    """
    bearers = [one for one in (first, second) if isinstance(one, ApiKeyProvider)] if place == _AUTHORIZATION else []
    if not bearers:
        return "keep one, or have one of them elsewhere"
    if len(bearers) == 1:
        return "" if bearers[0] is first else "put the one with a prefix first, or keep one"
    if not bearers[1].prefix.startswith(bearers[0].prefix):
        return ""
    return "put the one with the longer prefix first" if bearers[1].prefix != bearers[0].prefix else "keep one"


def _places(name: str, provider: Provider | None) -> list[str]:
    if name == GATEWAY:
        return [_AUTHORIZATION]
    if isinstance(provider, JwksProvider):
        cookie = [f"the cookie {provider.cookie}"] if provider.cookie else []
        return _fields(provider.headers or (() if cookie else (_AUTHORIZATION,))) + cookie
    if isinstance(provider, ApiKeyProvider):
        return _fields((*provider.headers, *((_AUTHORIZATION,) if provider.bearer else ())))
    if isinstance(provider, SessionProvider):
        return [f"the cookie {name}" for name in reversed(provider.cookies)]
    return []


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
