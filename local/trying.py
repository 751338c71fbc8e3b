"""What somebody new can paste to try each kind of credential on the demo services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatehouse.projects import Project, Projects, Route
from gatehouse.projects.model import AnonymousProvider, ApiKeyProvider, JwksProvider, Provider, SessionProvider
from local.demo_callers import KEY, SESSION

CHAT = """{"model": "demo", "messages": [{"role": "user", "content": "Who am I?"}]}"""


def commands(projects: Projects, url: str, demos: Iterable[str]) -> str:
    """Return a command for each kind of provider, on the first route that takes it from a demo service.

    Args:
        projects: what is served.
        url: where.
        demos: the addresses of the demo services: with real ones nobody here knows a credential.
    """
    tried = {provider.type: line for provider, line in _lines(projects, url, tuple(demos))}
    return "".join(f"\n  {line}\n" for line in tried.values())


def _lines(projects: Projects, url: str, demos: tuple[str, ...]) -> Iterator[tuple[Provider, str]]:
    found = ((project, route, name) for project in projects.all for route in project.routes for name in route.accept)
    seen: set[str] = set()
    for project, route, name in found:
        provider = project.providers.get(name)
        if provider is None or provider.type in seen or not _asks(provider, project, demos):
            continue
        seen.add(provider.type)
        yield provider, _line(provider, route, url)


def _asks(provider: Provider, project: Project, demos: tuple[str, ...]) -> bool:
    """Say whether *provider* asks a demo service, or nobody; and so do the organisations of *project*."""
    asked = provider.jwks_url if isinstance(provider, JwksProvider) else provider.url
    where = [asked, *((project.organization.session, project.organization.api_key) if project.organization else ())]
    return all(address == "" or (address or "").startswith(demos) for address in where)


def _line(provider: Provider, route: Route, url: str) -> str:
    path = f"{url}{route.patterns[0].replace('{version}', '1')}"
    if isinstance(provider, SessionProvider):
        return f"curl -s -b {provider.cookie}={SESSION} {path}/hello"
    if isinstance(provider, ApiKeyProvider):
        header = provider.headers[0] if provider.headers else ""
        key = f"{provider.prefix}{KEY}"
        return f"curl -s -H '{f'{header}: {key}' if header else f'Authorization: Bearer {key}'}' {path}/hello"
    if isinstance(provider, AnonymousProvider):
        return f"curl -s {path}/hello"
    return _access(provider, route, path)


def _access(provider: JwksProvider, route: Route, path: str) -> str:
    field = f"{provider.headers[0]}: " if provider.headers else "Authorization: Bearer "
    token = f'-H "{field}$(curl -s {provider.issuer}/token)"'
    if route.methods == ("POST",):
        return f"curl -s {token} -H 'Content-Type: application/json' -d '{CHAT}' {path}/v1/chat/completions"
    return f"curl -s {token} {path}/hello"
