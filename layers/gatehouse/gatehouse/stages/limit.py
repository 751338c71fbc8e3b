"""Let through no more requests than the route's limits say, and say on every answer what is left."""

from __future__ import annotations

from typing import Protocol

from gatehouse.call import Call, Count, Handler, Reply, Stage
from gatehouse.counting import RouteLimit
from gatehouse.errors import RateLimitedError
from gatehouse.rate_fields import policies, state


class Limits(Protocol):
    """What counts requests; `route_limits.RouteLimits` is it."""

    async def count(self, limit: RouteLimit, call: Call) -> Count:
        """Count *call* under *limit*, and return what that says."""
        ...


def limit(limits: tuple[RouteLimit, ...], counting: Limits) -> Stage:
    """Return the stage that counts requests under *limits*, one after the other, by *counting*.

    The first that has none left refuses, and those after it do not count the request. One in the shadow refuses
    nothing: the access log says what it would have refused.
    """

    async def limit(call: Call, forward: Handler) -> Reply:
        for one in limits:
            count = await counting.count(one, call)
            call.counts.append(count)
            if count.allowed:
                continue
            if not one.shadow:
                call.notes["limitedBy"] = one.name
                raise RateLimitedError(retry_after_s=count.more_after_s)
            call.notes["shadowLimits"] = [*_noted(call), one.name]
        return await forward(call)

    return limit


def _noted(call: Call) -> list[str]:
    return [count.limit for count in call.counts[:-1] if count.shadow and not count.allowed]


def rate_fields(limits: tuple[RouteLimit, ...]) -> Stage:
    """Return the stage that says on answers, failures included, what *limits* allow and what is left of that.

    An upstream may have limits of its own: what it says of them stays beside ours, in the same lists.
    """
    fixed = policies(limits)

    async def rate_fields(call: Call, forward: Handler) -> Reply:
        reply = await forward(call)
        return reply.with_headers(reply.headers.adding((*fixed, *state(call.counts))))

    return rate_fields
