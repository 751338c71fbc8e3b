"""Where callers put their credentials: so that they stay behind at the gateway, and for those who sent none to hear."""

from __future__ import annotations

from collections.abc import Callable

from gatehouse.cookies import cookies
from gatehouse.errors import MissingTokenError
from gatehouse.headers import Headers
from gatehouse.hygiene import spelled, spelling
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


def header_names(project: Project) -> frozenset[str]:
    """Return the headers that *project* takes credentials from, in the one spelling."""
    taking = [one for one in project.providers.values() if isinstance(one, JwksProvider | ApiKeyProvider)]
    return frozenset(spelling(name) for provider in taking for name in provider.headers)


def token_cookies(project: Project) -> frozenset[str]:
    """Return the cookies that hold tokens of other issuers: these never pass, whatever a route says of cookies."""
    return frozenset(one.cookie for one in project.providers.values() if isinstance(one, JwksProvider) and one.cookie)


def credential_cookies(route: Route, project: Project) -> frozenset[str]:
    """Return the cookies that prove who is calling on *route*."""
    accepted = [project.providers[name] for name in route.accept if name != GATEWAY]
    sessions = [name for one in accepted if isinstance(one, SessionProvider) for name in one.cookies]
    tokens = [one.cookie for one in accepted if isinstance(one, JwksProvider) and one.cookie]
    return frozenset((*sessions, *tokens))


def passes_cookies(route: Route, project: Project) -> bool:
    """Say whether the Cookie header passes on *route*: as it says, else unless the project takes credentials there."""
    if route.cookies is not None:
        return route.cookies
    providers = project.providers.values()
    return not (token_cookies(project) or any(isinstance(one, SessionProvider) for one in providers))


def wanted(route: Route, project: Project) -> str:
    """Return what callers of *route* are told who have no credential: which there are and where to put them."""
    if route.accept == (GATEWAY,):
        return MissingTokenError.message
    named = [words for name in route.accept if (words := _words(name, project))]
    return f"This route needs one of these: {'; '.join(named)}." if named else MissingTokenError.message


def _words(name: str, project: Project) -> str:
    return (
        "a token of the gateway as 'Authorization: Bearer <token>'"
        if name == GATEWAY
        else described(project.providers[name])
    )


def described(provider: Provider) -> str:
    """Return what a credential of *provider* is and where it goes, in words; empty for visitors, who have none."""
    if isinstance(provider, SessionProvider):
        return f"a session (the cookie '{provider.cookie}'; sign in to get one)"
    if isinstance(provider, ApiKeyProvider):
        places = [*provider.headers, *(["Authorization: Bearer"] if provider.bearer else [])]
        return f"an API key ({provider.prefix}…) in {' or '.join(places)}"
    if isinstance(provider, JwksProvider):
        places = [*provider.headers, *([f"the cookie '{provider.cookie}'"] if provider.cookie else [])]
        return f"a token of its issuer in {' or '.join(places or ['Authorization: Bearer'])}"
    return ""


def is_there(headers: Headers, provider: Provider) -> bool:
    """Say whether *headers* hold a credential of *provider*, good or bad; visitors have theirs always."""
    if isinstance(provider, AnonymousProvider):
        return True
    sent = {name for name, _ in cookies(headers)}
    if isinstance(provider, SessionProvider):
        return not sent.isdisjoint(provider.cookies)
    if spelled(headers, provider.headers):
        return True
    if isinstance(provider, ApiKeyProvider):
        return provider.bearer and any(map(_begins(provider.prefix), headers.get_all("authorization")))
    if provider.headers or provider.cookie:
        return provider.cookie in sent
    return "authorization" in headers


def _begins(prefix: str) -> Callable[[str], bool]:
    """Return what says whether the value of an Authorization header is a bearer token that begins with *prefix*."""

    def begins(value: str) -> bool:
        scheme, _, token = value.partition(" ")
        return scheme.lower() == "bearer" and token.strip(" ").startswith(prefix)

    return begins
