"""What a project file may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import voluptuous as vol

from gatehouse.projects import checks
from gatehouse.projects.schema import count, flag, flag_or, key, listing, mapping, of, off_or, one_of, text

SECURITY_DEFAULT = "required"
GATEWAY = "gateway"
"""What `accept` calls the gateway's own tokens."""
ISSUER = "gatehouse"
"""Who issues the tokens of projects whose files do not say."""
EXPOSED = ("Retry-After", "X-Request-Id", "RateLimit", "RateLimit-Policy")
"""What the gateway says itself and pages may want to read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cors:
    """Which web pages may read the answers (Fetch Standard, section 3.2)."""

    origins: tuple[str, ...] = key(listing(checks.origin, least=1))
    headers: tuple[str, ...] = key(listing(checks.header), ("Authorization", "Content-Type"))
    methods: tuple[str, ...] = key(listing(one_of(*checks.METHODS), least=1), checks.METHODS)
    expose: tuple[str, ...] = key(listing(checks.header), EXPOSED)
    max_age: float = key(checks.lifetime, 86_400.0)
    credentials: bool = key(flag, default=False)
    local_origins: tuple[str, ...] = key(checks.local_origins, ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """The tokens that the gateway issues for this project."""

    issuer: str = key(text)
    audience: str = key(text)
    ttl: float = key(checks.lifetime, 3600.0)
    elevated: tuple[str, ...] = key(listing(checks.name), ())
    guest_routes: tuple[str, ...] = key(listing(checks.name), ())
    login_route: str = key(checks.name, "")
    default: bool = key(flag, default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """How many requests in how long, counted by what."""

    requests: int = key(count)
    per: float = key(checks.duration)
    by: str = key(one_of("ip", "subject", "organization", "key"), "ip")
    burst: int | None = key(count, None)
    shadow: bool = key(flag, default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """How long answers that say nothing themselves are kept, and for whom."""

    ttl: float = key(checks.fresh)
    by: str = key(one_of("organization", "subject", "public"), "subject")
    stale_if_error: float = key(checks.stale, 0.0)
    stale_while_revalidate: float = key(checks.stale, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Streaming:
    """The limits of a streamed answer."""

    keep_alive: float = key(checks.signs, 15.0)
    idle: float = key(checks.stream, 60.0)
    total: float = key(checks.stream, 300.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ai:
    """What calls of language models may ask for."""

    models: tuple[str, ...] = key(listing(checks.model, least=1), ())
    max_tokens: int | None = key(count, None)
    max_body: int = key(checks.most_body, checks.MOST_BODY)
    paths: tuple[str, ...] = key(listing(checks.model_path, least=1), ())
    include_usage: bool = key(flag, default=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How many tokens of a model may be used in how long."""

    tokens: int = key(count)
    per: float = key(checks.budget_time)
    by: str = key(one_of("subject", "organization", "key"), "subject")


@dataclass(frozen=True, kw_only=True, slots=True)
class Organization:
    """Where organisations are asked for: one URL for each kind of credential that can name one."""

    session: str | None = key(checks.service_with("organization"), None)
    api_key: str | None = key(checks.service_with("user"), None)
    membership: str | None = key(checks.service_with("user"), "")
    headers: Mapping[str, Any] = key(mapping(checks.set_header, checks.header), {})
    cache: float = key(checks.keeping, 300.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class JwksProvider:
    """Tokens of another issuer, whose keys are at a URL."""

    type: str = key(one_of("jwks"))
    issuer: str | None = key(checks.variable)
    audience: tuple[str, ...] | None = key(checks.audiences)
    jwks_url: str | None = key(checks.service)
    headers: tuple[str, ...] = key(listing(checks.header), ())
    cookie: str = key(checks.token_cookie, "")
    require: tuple[str, ...] = key(listing(text), ())
    service_logins: Mapping[str, str] = key(mapping(text), {})
    cache: float = key(checks.keys_fresh, 3600.0)
    retry: tuple[float, ...] = key(listing(checks.duration), (0.2, 0.5))


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionProvider:
    """A session cookie that an auth service knows."""

    type: str = key(one_of("session"))
    cookie: str = key(checks.cookie)
    url: str | None = key(checks.service)
    set_headers: Mapping[str, Any] = key(mapping(checks.set_header, checks.header), {})
    cache: float = key(checks.keeping, 30.0)

    @property
    def cookies(self) -> tuple[str, str]:
        """Return the names that the cookie may have, the one that counts first first: `__Secure-…`, and its own.

        better-auth puts that before it where the site is served over HTTPS (RFC 6265bis section 4.1.3.1).
        """
        return f"__Secure-{self.cookie}", self.cookie


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKeyProvider:
    """An API key that an auth service knows."""

    type: str = key(one_of("api_key"))
    prefix: str = key(checks.prefix)
    url: str | None = key(checks.service)
    headers: tuple[str, ...] = key(listing(checks.header), ("x-api-key",))
    bearer: bool = key(flag, default=False)
    set_headers: Mapping[str, Any] = key(mapping(checks.set_header, checks.header), {})
    cache: float = key(checks.keeping, 30.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnonymousProvider:
    """A token for visitors who have nothing to show: of the gateway's own making, or asked from `url`."""

    type: str = key(one_of("anonymous"))
    ttl: float = key(checks.visit, 3600.0)
    url: str | None = key(checks.service, "")
    token_url: str | None = key(checks.service, "")
    set_headers: Mapping[str, Any] = key(mapping(checks.set_header, checks.header), {})


Provider = JwksProvider | SessionProvider | ApiKeyProvider | AnonymousProvider
PROVIDERS: Mapping[str, type[Provider]] = {
    "jwks": JwksProvider,
    "session": SessionProvider,
    "api_key": ApiKeyProvider,
    "anonymous": AnonymousProvider,
}


def provider(value: Any) -> Provider:
    """Take a provider, of the kind that its `type` names."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in PROVIDERS:
        raise vol.Invalid(f"expected a provider with a type: one of {', '.join(PROVIDERS)}", path=["type"])
    model: type[Provider] = PROVIDERS[kind]
    return of(model)(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One path of the gateway and what happens to requests on it."""

    name: str = key(checks.name)
    path: str = key(checks.path, "")
    paths: tuple[str, ...] = key(listing(checks.path, least=1), ())
    upstream: str | None = key(checks.upstream)
    methods: tuple[str, ...] = key(listing(one_of(*checks.METHODS), least=1), checks.METHODS)
    auth: str = key(one_of("required", "optional", "none"), SECURITY_DEFAULT)
    accept: tuple[str, ...] = key(listing(checks.name, least=1), ())
    strip_prefix: bool = key(flag, default=True)
    timeout: float = key(checks.duration, 25.0)
    limit: tuple[str, ...] = key(checks.one_or_more(checks.name), ())
    cache: Cache | None = key(off_or(of(Cache)), None)
    claims: Mapping[str, tuple[str, ...]] = key(mapping(checks.allowed), {})
    set_headers: Mapping[str, Any] = key(mapping(checks.set_header, checks.header), {})
    public: tuple[tuple[str, str], ...] = key(listing(checks.public), ())
    organization: str = key(one_of("required", "optional", "none"), "none")
    cookies: bool | None = key(flag, None)
    revocation: str = key(one_of("normal", "strict"), "normal")
    health: str = key(checks.health, "")
    streaming: bool | Streaming = key(flag_or(of(Streaming)), default=False)
    errors: str = key(one_of("gatehouse", "openai"), "gatehouse")
    ai: Ai | None = key(off_or(of(Ai)), None)
    budget: Budget | None = key(off_or(of(Budget)), None)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Every path that this route answers to, as the project file writes them."""
        return self.paths or (self.path,)

    @property
    def stream(self) -> Streaming | None:
        """Return the limits of this route's streams; None if its answers are not streamed."""
        return self.streaming if isinstance(self.streaming, Streaming) else Streaming() if self.streaming else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """One project file."""

    project: str = key(checks.name)
    cors: Cors | None = key(of(Cors), None)
    tokens: Tokens | None = key(of(Tokens), None)
    providers: Mapping[str, Provider] = key(mapping(provider, checks.name), {})
    limits: Mapping[str, Limit] = key(mapping(of(Limit), checks.name), {})
    organization: Organization | None = key(of(Organization), None)
    defaults: Mapping[str, Any] = key(dict, {})
    routes: tuple[Route, ...] = key(listing(of(Route), least=1))

    @property
    def issuer(self) -> str:
        """Return the `iss` of this project's tokens; a file without `tokens` has service tokens all the same."""
        return self.tokens.issuer if self.tokens else ISSUER

    @property
    def audience(self) -> str:
        """Return the `aud` of this project's tokens: without `tokens`, the project's name."""
        return self.tokens.audience if self.tokens else self.project
