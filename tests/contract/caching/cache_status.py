"""RFC 9211: what the answer says of how it came about."""

from __future__ import annotations

from tests.contract.caching.case import Keeping, ask, case, get, head, ok, post

LIFE = "max-age=60"
TAG = '"1"'

CASES = (
    case(
        "9211 2.2", "the first request is a uri-miss, and stored", get(ok("one", LIFE), cs="fwd=uri-miss stored !hit")
    ),
    case("9211 2.5", "what is not kept is not stored", get(ok("one", "no-store"), cs="fwd=uri-miss !stored")),
    case(
        "9211 2.1",
        "what is given again is a hit, and says for how long",
        get(ok("one", LIFE)),
        get(after=5, gives="one", cs="hit ttl=55 !fwd !stored !fwd-status"),
    ),
    case(
        "9211 2.4",
        "the time that is left counts the age that it came with",
        get(ok("one", LIFE, age="40")),
        get(after=5, gives="one", cs="hit ttl=15"),
    ),
    case(
        "9211 2.4",
        "the project's ttl counts there, too",
        get(ok("one")),
        get(after=5, gives="one", cs="hit ttl=55"),
        keeping=Keeping(ttl="60s"),
    ),
    case(
        "9211 2.4",
        "what is given stale has no time left",
        get(ok("one", "max-age=10")),
        get(after=15, gives="one", h={"Cache-Control": "max-stale"}, cs="hit ttl=-5"),
        demand="may",
    ),
    case(
        "9211 2.2",
        "what was stale is fwd=stale",
        get(ok("one", "max-age=10")),
        get(ok("two", LIFE), after=15, cs="fwd=stale stored !hit"),
    ),
    case(
        "9211 2.3",
        "what was confirmed says what the origin answered",
        get(ok("one", "max-age=10", etag=TAG)),
        get(ok("one", LIFE, etag=TAG, answers_304=True), after=15, cs="fwd=stale fwd-status=304 !hit"),
    ),
    case(
        "9211 2.2",
        "another variant is a vary-miss",
        get(ok("one", LIFE, vary="Accept"), h={"Accept": "a/b"}),
        get(ok("two", LIFE, vary="Accept"), cs="fwd=vary-miss stored"),
    ),
    case(
        "9211 2.2",
        "what the client's directives forbid is fwd=request",
        get(ok("one", LIFE)),
        get(ok("two", LIFE), h={"Cache-Control": "no-cache"}, cs="fwd=request stored"),
    ),
    *(
        case("9211 2.2", f"{method} is fwd=method", ask(method, ok("done"), body=b"a", cs="fwd=method !stored !hit"))
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")
    ),
    case(
        "9211 2.2",
        "what is not for the cache is fwd=bypass",
        get(ok("one", LIFE), h={"Range": "bytes=0-1"}, cs="fwd=bypass !stored !hit"),
    ),
    case(
        "9211 2.2",
        "a HEAD that finds nothing is a uri-miss, and not stored",
        head(ok("one", LIFE), cs="fwd=uri-miss !stored"),
    ),
    case("9211 2.1", "a HEAD that finds it is a hit", get(ok("one", LIFE)), head(after=5, cs="hit ttl=55")),
    case(
        "9211 2.1",
        "a 304 that the gateway made is a hit",
        get(ok("one", LIFE, etag=TAG)),
        get(h={"If-None-Match": TAG}, status=304, cs="hit !fwd"),
    ),
    case(
        "9211 2.3",
        "what stands in for a failure says what the origin answered",
        get(ok("one", "max-age=10, stale-if-error=60")),
        get(ok("down", status=503), after=15, status=200, gives="one", cs="fwd=stale fwd-status=503 !hit"),
        demand="may",
    ),
    case(
        "9211 2",
        "what the upstream's caches say stands before",
        get(
            ok("one", LIFE, cache_status="origin; hit; ttl=9"),
            has={"cache-status": ("origin; hit; ttl=9", "...")},
            cs="fwd=uri-miss",
        ),
    ),
    case(
        "9211 2",
        "what a gateway before this one says stands before what this one says",
        get(
            ok("one", LIFE, cache_status="gatehouse; hit; ttl=9"),
            has={"cache-status": ("gatehouse; hit; ttl=9", "...")},
            cs="fwd=uri-miss stored",
        ),
        get(after=5, gives="one", cs="hit ttl=55"),
    ),
    case(
        "9211 2",
        "an answer that is given again several times says it once",
        get(ok("one", LIFE)),
        get(gives="one", cs="hit"),
        get(gives="one", cs="hit"),
    ),
    case(
        "9211 2",
        "a route that keeps nothing says nothing, and leaves what upstreams say",
        get(ok("one", LIFE, cache_status="origin; hit"), has={"cache-status": "origin; hit"}, cs=None),
        get(ok("two", LIFE), lacks=("cache-status", "age"), cs=None),
        door="uncached",
    ),
    case(
        "9211 2.2",
        "an error of the origin is forwarded like any answer",
        get(ok("down", status=503), cs="fwd=uri-miss !stored"),
    ),
    case(
        "9111 4.4",
        "what a change made invalid is not a hit",
        get(ok("one", LIFE)),
        post(ok("done"), after=1),
        get(ok("two", LIFE), after=1, cs="stored !hit"),
    ),
)
