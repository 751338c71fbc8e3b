"""RFC 9111 section 5.2.2: what origins say that no other section's cases have."""

from __future__ import annotations

from tests.contract.caching.case import Keeping, case, get, ok

TTL = Keeping(ttl="60s")
EVER = Keeping(ttl="60s", stale_if_error="1h", stale_while_revalidate="1h")
DOWN = ok("down", status=503)


def kept(section, sentence, cache_control, **changes):
    return case(section, sentence, get(ok("one", cache_control)), get(after=5, gives="one"), **changes)


def not_kept(section, sentence, cache_control, **changes):
    return case(section, sentence, get(ok("one", cache_control)), get(ok("two", "max-age=60"), after=1), **changes)


CASES = (
    *(
        case(
            f"9111 {section}",
            f"{words} forbids all that is stale, whatever the project says",
            get(ok("one", value)),
            get(DOWN, after=15),
            get(ok("two", value), after=1),
            keeping=EVER,
        )
        for words, value, section in (
            ("must-revalidate", "max-age=10, must-revalidate", "5.2.2.2"),
            ("proxy-revalidate", "max-age=10, proxy-revalidate", "5.2.2.8"),
            ("s-maxage", "s-maxage=10", "5.2.2.10"),
            ("no-cache", "max-age=10, no-cache", "5.2.2.4"),
        )
    ),
    case(
        "9111 5.2.2.2",
        "an origin that is gone is an error and no stale answer",
        get(ok("one", "max-age=10, must-revalidate")),
        get(ok(how="refuses"), after=15, status=(502, 504), asked=0, cs=None),
        keeping=EVER,
    ),
    kept("9111 5.2.2.2", "must-revalidate does not forbid what is fresh", "max-age=60, must-revalidate"),
    kept("9111 5.2.2.8", "proxy-revalidate does not forbid what is fresh", "max-age=60, proxy-revalidate"),
    kept("9111 5.2.2.2", "must-revalidate leaves the lifetime to the project", "must-revalidate", keeping=TTL),
    kept("9111 5.2.2.6", "no-transform is kept", "max-age=60, no-transform"),
    kept("9111 5.2.2.9", "public is kept", "public, max-age=60"),
    kept("8246 2", "immutable is kept as if it were not said", "max-age=60, immutable"),
    case("8246 2", "immutable is no lifetime", get(ok("one", "immutable")), get(ok("two"), after=1)),
    not_kept("9111 5.2.2.5", "the case of no-store does not count", "Max-Age=60, NO-STORE"),
    not_kept("9111 5.2.2.7", "the case of private does not count", "max-age=60, Private"),
    not_kept("9111 5.2.2.5", "no-store with an argument is no-store", "max-age=60, no-store=x", demand="stricter"),
    not_kept(
        "9111 5.2.2.7", "private with an argument that is none is private", "max-age=60, private=x", demand="stricter"
    ),
    not_kept("9110 5.3", "no-store counts on a line of its own", ("max-age=60", "no-store")),
    not_kept("9111 5.2.2.5", "no-store counts at the end of a broken list", 'max-age=60, x="a" b, , no-store'),
    not_kept("9111 5.2.2.5", "no-store counts without a space", "max-age=60,no-store"),
    not_kept("9111 5.2.2.5", "no-store counts beside what nobody knows", "frobnicate=1, max-age=60, no-store, x"),
    not_kept("9111 4.2.1", "of max-age and no-cache the stricter counts", "max-age=60, no-cache"),
    case(
        "9111 5.2.2.4",
        "no-cache counts although the case is another",
        get(ok("one", "max-age=60, No-Cache", etag='"1"')),
        get(ok("one", "max-age=60, No-Cache", etag='"1"', answers_304=True), told={"if-none-match": '"1"'}),
    ),
    case(
        "9111 5.2.2",
        "what an answer says is said again as it was",
        get(ok("one", "max-age=60 , X=y,public")),
        get(gives="one", has={"cache-control": "max-age=60 , X=y,public"}),
    ),
    case(
        "9213 3",
        "CDN-Cache-Control is for others, and passed on",
        get(ok("one", "max-age=60", cdn_cache_control="no-store")),
        get(gives="one", has={"cdn-cache-control": "no-store"}),
        demand="may",
    ),
)
