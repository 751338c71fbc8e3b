"""The end of a pipeline: send the call to its upstream and hand the answer back."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypedDict

from gatehouse import credentials_of
from gatehouse.call import Call, Handler, Reply
from gatehouse.clock import Clock
from gatehouse.cookies import without
from gatehouse.credentials_of import passes_cookies
from gatehouse.errors import UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Headers, Pair
from gatehouse.hygiene import inward, outward, removed, sayable, spelling
from gatehouse.named_secrets import Secrets, no_secrets
from gatehouse.projects.model import Project, Route
from gatehouse.routes import below, split
from gatehouse.templates import Filling, Template, fill, parse
from gatehouse.upstreams import Outbound, UnansweredError, Upstream

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2."""
MOST_REPEATED_BYTES = 64 * 1024
LEAST_TIME_S = 0.05
_COOKIE = frozenset({"cookie"})
_SOME_SECRET = "what-nobody-is-shown-7f3a9c51"  # noqa: S105  # stands for one where only the rest counts


class _Times(TypedDict):
    timeout_s: float
    head_s: float | None
    streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a route's requests go.

    Attributes:
        route: the route's name, as upstreams are told.
        address: scheme, host and base path; no slash at the end.
        stripped: how many leading segments of the path stay behind at the gateway.
        timeout_s: how long the upstream may take.
        set_headers: what the project file has the upstream told, by lower-case name.
        withheld: what no client may tell it, in the one spelling: the headers of credentials.
        kept_cookies: the cookies that stay behind at the gateway although the others pass.
        stream_s: how long an answer may take that is streamed; None where answers are not.
    """

    route: str
    address: str
    stripped: int
    timeout_s: float
    set_headers: tuple[tuple[str, Template], ...] = field(default=(), repr=False)
    withheld: frozenset[str] = frozenset()
    kept_cookies: frozenset[str] = frozenset()
    stream_s: float | None = None

    @property
    def needs_secrets(self) -> bool:
        """Say whether the upstream is told a secret."""
        return any(template.secrets for _, template in self.set_headers)


def target_of(route: Route, path: str, project: Project) -> Target:
    """Return where requests of *route* of *project* under *path*, one of its patterns, go."""
    withheld = frozenset(spelling(name) for name in route.set_headers) | credentials_of.header_names(project)
    return Target(
        route=route.name,
        address=route.upstream or "",
        stripped=len(split(path)) if route.strip_prefix else 0,
        timeout_s=route.timeout,
        set_headers=tuple((name.lower(), parse(value)) for name, value in route.set_headers.items()),
        withheld=withheld if passes_cookies(route, project) else withheld | _COOKIE,
        kept_cookies=credentials_of.token_cookies(project),
        stream_s=route.stream.total if route.stream else None,
    )


def forward(
    upstream: Upstream, target: Target, monotonic: Clock = time.monotonic, *, secrets: Secrets = no_secrets
) -> Handler:
    """Return the handler that sends calls to *target* by *upstream*; *secrets* are what its headers are filled with."""
    needs_secrets = target.needs_secrets

    async def forward(call: Call) -> Reply:
        outbound = Outbound(
            method=call.method,
            url=location(target, call),
            headers=sent(target, call, await secrets() if needs_secrets else {}),
            body=await call.body.read(),
            **_times(target, call, monotonic),
        )
        started = monotonic()
        try:
            try:
                reply = await upstream.send(outbound)
            except UnansweredError:
                if not repeatable(outbound):
                    raise
                reply = await upstream.send(replace(outbound, **_times(target, call, monotonic, started)))
        finally:
            call.notes["upstreamMs"] = round((monotonic() - started) * 1000, 1)
        if not sayable(reply.status, reply.headers):
            if not isinstance(reply.body, bytes):
                await reply.body.aclose()
            raise UpstreamUnreachableError
        return reply.with_headers(outward(reply.headers))

    return forward


def location(target: Target, call: Call) -> str:
    """Return the URL that *call* goes to: the canonical path, less the prefix, byte for byte."""
    path = below(call.path, target.stripped)
    return f"{target.address}{path}?{call.query}" if call.query else f"{target.address}{path}"


def sent(target: Target, call: Call, secrets: Mapping[str, str]) -> list[Pair]:
    """Return the fields that the upstream is sent.

    Raises:
        ForbiddenError: one of them would say something that no header can say.
        AuthUnavailableError: a secret is missing.
    """
    ours = (*told(target, call), *_set(target, call, secrets))
    return inward(_passing(target, call.headers), ours, target.withheld)


@dataclass(frozen=True, slots=True)
class Passage:
    """What becomes of a request's fields: those that pass, those that do not (name, why), and the gateway's own."""

    kept: tuple[Pair, ...]
    removed: tuple[tuple[str, str], ...]
    added: tuple[Pair, ...]


def passage(target: Target, call: Call, secrets: Mapping[str, str]) -> Passage:
    """Return what `sent` does with the fields of *call*, for people to read; `kept` and `added` are what is sent.

    Raises:
        ForbiddenError, AuthUnavailableError: as `sent`.
    """
    ours = (*told(target, call), *_set(target, call, secrets))
    kept = sent(target, call, secrets)[: -len(ours)]
    said = frozenset(spelling(name) for name, _ in (*ours, *target.set_headers))
    return Passage(tuple(kept), removed(call.headers, said, target.withheld), ours)


def _set(target: Target, call: Call, secrets: Mapping[str, str]) -> tuple[Pair, ...]:
    """Return what the project file has the upstream told about *call*."""
    if not target.set_headers:
        return ()
    filling = Filling(call.identity, call.request_id, secrets)
    filled = ((name, fill(template, filling)) for name, template in target.set_headers)
    return tuple((name, value) for name, value in filled if value is not None)


def _passing(target: Target, headers: Headers) -> Headers:
    """Return *headers* less the cookies that are tokens."""
    if not target.kept_cookies or "cookie" in target.withheld or "cookie" not in headers:
        return headers
    left = tuple((name, without(value, target.kept_cookies)) for name, value in headers if name == "cookie")
    return headers.without("cookie").adding(pair for pair in left if pair[1])


def told(target: Target, call: Call) -> tuple[Pair, ...]:
    """Return what the gateway itself tells an upstream about *call*."""
    fields = (
        ("x-forwarded-for", call.client_ip),
        ("x-forwarded-proto", call.scheme),
        ("x-forwarded-host", call.headers.get("host")),
        ("x-request-id", call.request_id),
        ("x-gateway-route", target.route),
    )
    return tuple(pair for pair in fields if pair[1])


def seen(target: Target, call: Call) -> list[Pair]:
    """Return the fields that the upstream is sent, with one text in place of every secret: these are no caller's.

    Raises:
        ForbiddenError: as `sent`.
    """
    return sent(target, call, {name: _SOME_SECRET for _, template in target.set_headers for name in template.secrets})


def repeatable(outbound: Outbound) -> bool:
    """Say whether *outbound* may be sent once more after nothing was heard."""
    return outbound.method in IDEMPOTENT and len(outbound.body) <= MOST_REPEATED_BYTES


def _times(target: Target, call: Call, monotonic: Clock, started: float | None = None) -> _Times:
    """Return how long the upstream may take: the route's time, and never past the invocation's end."""
    now = monotonic()
    gone_s = 0.0 if started is None else now - started
    ends_s = math.inf if call.deadline is None else call.deadline - now
    head_s = min(target.timeout_s - gone_s, ends_s)
    if head_s < LEAST_TIME_S:
        raise UpstreamTimeoutError
    if target.stream_s is None:
        return {"timeout_s": head_s, "head_s": None, "streamed": False}
    return {"timeout_s": min(target.stream_s - gone_s, ends_s), "head_s": head_s, "streamed": True}
