"""What somebody new can paste to try each kind of credential on the demo services."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from gatehouse.projects import Project, Projects, Route
from gatehouse.projects.model import AnonymousProvider, ApiKeyProvider, JwksProvider, Provider, SessionProvider
from local.demo_callers import EMAIL, KEY, SESSION

CHAT = """{"model": "demo", "messages": [{"role": "user", "content": "Who am I?"}]}"""
NONE, REQUIRED = "none", "required"
SHOWS = {
    "session": "a session, by its cookie",
    "api_key": "an API key",
    "anonymous": "a visitor, who has nothing to show and gets a token of the gateway's own for the service",
    "jwks": f"a token of another issuer; its e-mail address is {EMAIL}",
}


def commands(projects: Projects, url: str, demos: Iterable[str]) -> str:
    """Return a command for each kind of provider, and what it shows, on a route that takes it from a demo service.

    Args:
        projects: what is served.
        url: where.
        demos: the addresses of the demo services: with real ones nobody here knows a credential.
    """
    chosen = _chosen(projects, tuple(f"{demo}/" for demo in demos))
    return "".join(f"\n  # {_shown(provider, route)}\n  {_line(provider, route, url)}\n" for provider, route in chosen)


def _chosen(projects: Projects, demos: tuple[str, ...]) -> Iterator[tuple[Provider, Route]]:
    """Yield each kind of provider once: on a route that works for an organization, if there is one."""
    found = [
        (project.providers[name], route)
        for project in projects.all
        for route in project.routes
        for name in route.accept
        if name in project.providers and _works(project.providers[name], route, project, demos)
    ]
    for kind in dict.fromkeys(provider.type for provider, _ in found):
        of_kind = [(provider, route) for provider, route in found if provider.type == kind]
        yield next((one for one in of_kind if one[1].organization == REQUIRED), of_kind[0])


def _works(provider: Provider, route: Route, project: Project, demos: tuple[str, ...]) -> bool:
    """Say whether *provider* can be tried on *route*: none but demo services are asked, for they know a credential."""
    if not route.upstream or route.claims or not {"GET", "POST"}.intersection(route.methods):
        return False
    if isinstance(provider, AnonymousProvider):
        return provider.url == ""
    return all((address or "").startswith(demos) for address in _asked(provider, route, project))


def _asked(
    provider: JwksProvider | SessionProvider | ApiKeyProvider, route: Route, project: Project
) -> tuple[str | None, ...]:
    """Return the addresses that are asked about a credential of *provider*, and about its organization."""
    if isinstance(provider, JwksProvider):
        return provider.jwks_url, f"{provider.issuer}/"
    where = project.organization
    if where is None or route.organization == NONE:
        return (provider.url,)
    if isinstance(provider, ApiKeyProvider):
        return provider.url, where.api_key
    return provider.url, where.session, *((where.membership,) if where.membership != "" else ())


def _shown(provider: Provider, route: Route) -> str:
    return SHOWS[provider.type] + (", for its organization" if route.organization == REQUIRED else "")


def _line(provider: Provider, route: Route, url: str) -> str:
    path = f"{url}{route.patterns[0].rstrip('/').replace('{version}', '1')}"
    asked = f"{path}/hello"
    if "GET" not in route.methods:
        asked = f"-H 'Content-Type: application/json' -d '{CHAT}' {path}/v1/chat/completions"
    return " ".join(filter(None, ("curl -s", _credential(provider), asked)))


def _credential(provider: Provider) -> str:
    """Return the options by which `curl` sends a credential of *provider* that the demo services know."""
    if isinstance(provider, SessionProvider):
        return f"-b {shlex.quote(f'{provider.cookie}={SESSION}')}"
    if isinstance(provider, ApiKeyProvider):
        field = f"{provider.headers[0]}: " if provider.headers else "Authorization: Bearer "
        return f"-H {shlex.quote(f'{field}{provider.prefix}{KEY}')}"
    if isinstance(provider, AnonymousProvider):
        return ""
    token = f"$(curl -s {provider.issuer}/token)"
    if provider.cookie and not provider.headers:
        return f'-b "{provider.cookie}={token}"'
    field = provider.headers[0] if provider.headers else "Authorization"
    return f'-H "{field}: {"Bearer " if field.lower() == "authorization" else ""}{token}"'
