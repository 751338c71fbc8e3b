"""Answer from what is kept, keep what may be, and forget what is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import urljoin, urlsplit

from gatehouse.caching import status
from gatehouse.caching.answers import Wanted
from gatehouse.caching.exchange import exchange
from gatehouse.caching.inquiry import Cache
from gatehouse.caching.keying import key_of, variant_of
from gatehouse.caching.rules import CacheRules, rules_of
from gatehouse.caching.sharing import Budget
from gatehouse.caching.validators import NOT_OF_A_CACHE
from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.errors import (
    BadPathError,
    GatewayError,
    ResponseTooLargeError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gatehouse.headers import Pair
from gatehouse.hygiene import spelling
from gatehouse.paths import canonical
from gatehouse.projects.model import Project, Route
from gatehouse.routes import split
from gatehouse.stages.forward import seen, target_of

READ = frozenset({"GET", "HEAD"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110 section 9.2.1."""
FAILED = 400

Seen = Callable[[Call], list[Pair]]
"""Returns the fields that the upstream sees of a request, but for secrets."""


def cache(rules: CacheRules, kept: Cache, seen: Seen) -> Stage:
    """Return the stage that keeps answers in *kept* by *rules* (RFC 9111, as a shared cache).

    Args:
        rules: of the route.
        kept: the cache of the process.
        seen: what the upstream sees of a request: answers vary by that, and not by what the client sent.
    """

    async def cache(call: Call, forward: Handler) -> Reply:
        if call.method not in READ:
            return await _changing(call, forward, rules, kept)
        aside = await _aside(call) if rules.keeps else "public"
        if aside:
            call.notes["cache"] = "bypass"
            reply = await forward(call)
            return status.saying(reply, status.Forwarded(why="bypass", status=reply.status, detail=aside))
        wanted = Wanted(rules, key_of(rules, call), partial(_variant, call, seen))
        return await exchange(call, forward, kept, wanted)

    return cache


def cached(project: Project, route: Route, path: str, kept: Cache, *, keeps: bool = True) -> Stage:
    """Return the stage that keeps the answers of *route* of *project* in *kept*.

    Args:
        project: the project.
        route: one of its routes that has a cache.
        path: the pattern of the route that requests are under.
        kept: the cache of the process.
        keeps: whether answers are kept at all. Those to what the route has `public` are not: they are about the
            service, such as its health. What changes something is noted in any case.
    """
    target = target_of(route, path, project)
    return cache(rules_of(route, path, project, keeps=keeps), kept, lambda call: seen(target, call))


def _variant(call: Call, seen: Seen, names: tuple[str, ...]) -> str:
    if not names:
        return ""
    fields = seen(call)
    return variant_of(names, lambda wanted: (value for name, value in fields if spelling(name) == spelling(wanted)))


async def _aside(call: Call) -> str:
    """Return why the cache stays out of *call*; empty if it does not.

    A body of GET is part of the request to some upstreams, and of no key. Parts and preconditions are the upstream's.
    """
    for name, _ in call.headers:
        if spelling(name) in NOT_OF_A_CACHE:
            return spelling(name)
    return "body" if await call.body.read() else ""


async def _changing(call: Call, forward: Handler, rules: CacheRules, kept: Cache) -> Reply:
    """Return the answer to a method that nothing is kept of; one that changes something makes us forget it.

    Where nobody knows whether it was changed, it is forgotten, too.
    """
    try:
        reply = await forward(call)
    except BaseException as error:
        if call.method not in SAFE and not _never_left(error):
            await asyncio.shield(_forget([call.path], rules, kept))
        raise
    if call.method not in SAFE and reply.status < FAILED:
        await _forget([call.path, *_named(call, reply, rules.above)], rules, kept)
    call.notes["cache"] = "method"
    return status.saying(reply, status.Forwarded(why="method", status=reply.status))


def _never_left(error: BaseException) -> bool:
    """Say whether *error* means that the upstream has not heard of the request."""
    heard = (UpstreamUnreachableError, UpstreamTimeoutError, ResponseTooLargeError)
    return isinstance(error, GatewayError) and not isinstance(error, heard)


async def _forget(paths: list[str], rules: CacheRules, kept: Cache) -> None:
    budget = Budget()
    for path in dict.fromkeys(paths):
        await kept.answers.forget(rules.project, path, budget)


def _named(call: Call, reply: Reply, above: int) -> Iterator[str]:
    """Yield the paths of this route that *reply* names as changed, too (RFC 9111 section 4.4): of this very origin."""
    asked = f"{call.scheme}://{call.headers.get('host')}{call.path}"
    values = [*reply.headers.get_all("location")[:1], *reply.headers.get_all("content-location")[:1]]
    for value in values:
        try:
            here, there = urlsplit(asked), urlsplit(urljoin(asked, value))
            path = canonical(there.path or "/")
        except (ValueError, BadPathError):  # also of a Host that only looks like an address
            continue
        same = (there.scheme, there.netloc.lower()) == (here.scheme, here.netloc.lower())
        if same and split(path)[:above] == split(call.path)[:above]:
            yield path
