"""Refuse what another site's page has a browser do with cookies that prove who is calling (CSRF, RFC 6265 section 8.2).

Browsers send cookies along unasked, and the gateway makes of a session's cookie a header that upstreams trust. A
cookie's `SameSite` keeps most of that away, if the auth service sets it; CORS hides the answer alone, when all is done.
"""

from __future__ import annotations

from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.cookies import cookies as cookies_in
from gatehouse.errors import ForbiddenError
from gatehouse.projects.model import Cors

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""RFC 9110 section 9.2.1: what changes nothing needs no guard."""
REFUSED = (
    "A page of another site may not send this with the cookies of this one. Its origin must be listed in the project's "
    "'cors'; a program that is no browser leaves Origin out, or sends no cookie."
)


def own_pages(names: frozenset[str], policy: Cors | None) -> Stage:
    """Return the stage that lets cookies called one of *names* through with unsafe methods only from pages we know.

    Those are pages of the gateway's own origin, and of those that *policy* lists; `*` lists none. A browser says where
    a page is from in `Origin`, or at least in `Sec-Fetch-Site`; who sends neither is no browser.
    """
    known = frozenset((*policy.origins, *policy.local_origins)) if policy else frozenset[str]()

    async def own_pages(call: Call, forward: Handler) -> Reply:
        if call.method not in SAFE and _is_foreign(call, known) and _carries(call, names):
            raise ForbiddenError(REFUSED)
        return await forward(call)

    return own_pages


def _is_foreign(call: Call, known: frozenset[str]) -> bool:
    origins = set(call.headers.get_all("origin"))
    if origins:
        return not origins <= {*known, f"{call.scheme}://{call.headers.get('host')}"} - {"*"}
    return call.headers.get("sec-fetch-site").lower() in {"cross-site", "same-site"}


def _carries(call: Call, names: frozenset[str]) -> bool:
    return any(name in names for name, _ in cookies_in(call.headers))
