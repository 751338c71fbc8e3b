"""Which web pages may read an answer, as pure functions (Fetch Standard, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable

from gatehouse.headers import Headers, Pair
from gatehouse.projects.model import Cors

ANY = "*"
OURS = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-max-age",
    "access-control-expose-headers",
)
"""Fields that an upstream may not set where the project file has `cors`: said twice, browsers refuse both."""


def admitted(policy: Cors, origin: str) -> str:
    """Return what `Access-Control-Allow-Origin` says to *origin*; empty where it says nothing."""
    if ANY in policy.origins:
        return ANY
    return origin if origin in policy.origins or origin in policy.local_origins else ""


def admitting(policies: Iterable[Cors], origin: str) -> Cors | None:
    """Return the first of *policies* that lets *origin* in: for answers that belong to no project."""
    return next((policy for policy in policies if admitted(policy, origin)), None)


def preflight(policy: Cors, origin: str) -> Headers:
    """Return the header fields that answer an OPTIONS request from *origin*."""
    allowed = _origin(policy, origin)
    if not admitted(policy, origin):
        return Headers(allowed)
    return Headers(
        (
            *allowed,
            ("access-control-allow-headers", ", ".join(policy.headers)),
            ("access-control-allow-methods", ",".join(policy.methods)),
            ("access-control-max-age", str(int(policy.max_age))),
        )
    )


def opened(headers: Headers, policy: Cors, origin: str) -> Headers:
    """Return *headers* of an answer, readable by *origin* if *policy* lets it."""
    exposed = (*headers.get_all("access-control-expose-headers"), *policy.expose)
    fields = _origin(policy, origin)
    if exposed and admitted(policy, origin):
        fields = (*fields, ("access-control-expose-headers", ", ".join(exposed)))
    return headers.without(*OURS).adding(fields)


def _origin(policy: Cors, origin: str) -> tuple[Pair, ...]:
    said = admitted(policy, origin)
    # Caches must know that another origin gets another answer, also where this one gets nothing.
    varies: tuple[Pair, ...] = () if ANY in policy.origins else (("vary", "Origin"),)
    if not said:
        return varies
    credentials: tuple[Pair, ...] = (("access-control-allow-credentials", "true"),) if policy.credentials else ()
    return (*varies, ("access-control-allow-origin", said), *credentials)
