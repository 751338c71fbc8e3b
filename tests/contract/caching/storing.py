"""RFC 9111 section 3: what may be kept, and what of it."""

from __future__ import annotations

from tests.contract.caching.case import ANY_NUMBER, At, Keeping, case, get, ok

FRESH = "max-age=60"
TTL = Keeping(ttl="60s")
MB = 1_000_000


def kept(section, sentence, says, **changes):
    return case(section, sentence, get(says), get(after=5, gives=says.body), **changes)


def not_kept(section, sentence, says, *, h=None, **changes):
    return case(section, sentence, get(says, h=h, cs="!stored"), get(ok("two", FRESH), after=5), **changes)


STATUSES = {
    201: "15.3.2", 202: "15.3.3", 203: "15.3.4", 204: "15.3.5", 206: "15.3.7", 300: "15.4.1", 301: "15.4.2",
    302: "15.4.3", 307: "15.4.8", 308: "15.4.9", 400: "15.5.1", 404: "15.5.5", 405: "15.5.6", 410: "15.5.11",
    414: "15.5.15", 500: "15.6.1", 501: "15.6.2", 503: "15.6.4", 299: "15", 599: "15",
}  # fmt: skip

CASES = (
    not_kept("9111 3", "an answer that says no-store is not kept", ok("one", "no-store")),
    not_kept("9111 3", "no-store counts beside a lifetime", ok("one", "max-age=60, no-store")),
    not_kept("9111 3", "no-store counts beside public", ok("one", "public, max-age=60, no-store")),
    not_kept("9111 3", "no-store counts although the project keeps", ok("one", "no-store"), keeping=TTL),
    not_kept(
        "9111 3", "an answer to a request with no-store is not kept", ok("one", FRESH), h={"Cache-Control": "no-store"}
    ),
    not_kept("9111 3", "an answer that says private is not kept", ok("one", "private, max-age=60")),
    not_kept("9111 3", "private counts although the project keeps", ok("one", "private"), keeping=TTL),
    not_kept(
        "9111 5.2.2.7",
        "private for one field counts as private",
        ok("one", 'max-age=60, private="x-name"', x_name="ada"),
        demand="stricter",
    ),
    not_kept("6265 3", "an answer with Set-Cookie is not kept", ok("one", FRESH, set_cookie="a=1"), demand="stricter"),
    not_kept(
        "6265 3",
        "also not where it is public",
        ok("one", "public, s-maxage=60", set_cookie="a=1"),
        demand="stricter",
    ),
    not_kept(
        "6265 3",
        "also not where the project keeps",
        ok("one", set_cookie=("a=1", "b=2")),
        keeping=TTL,
        demand="stricter",
    ),
    *(
        not_kept(
            f"9110 {section}",
            f"an answer with status {status} is not kept",
            ok("" if status == 204 else "one", "public, max-age=60", status=status),
            demand="stricter",
        )
        for status, section in STATUSES.items()
    ),
    not_kept(
        "9110 15.4",
        "a redirect is not kept where the project keeps",
        ok("one", status=301, location="/x"),
        keeping=TTL,
        demand="stricter",
    ),
    case(
        "9111 3",
        "an answer that says nothing of time is asked for again where the project keeps none",
        get(ok("one")),
        get(ok("two")),
    ),
    case(
        "9111 3",
        "the project's ttl keeps an answer that says nothing",
        get(ok("one")),
        get(after=59, gives="one"),
        get(ok("two"), after=1),
        keeping=TTL,
    ),
    kept("9111 5.2.2.9", "public with the project's ttl is kept", ok("one", "public"), keeping=TTL),
    case(
        "9111 5.2.2.9", "public by itself is no lifetime", get(ok("one", "public")), get(ok("two", "public"), after=1)
    ),
    not_kept(
        "9111 3.5",
        "an answer to a request with Authorization is not kept",
        ok("one", FRESH),
        h={"Authorization": "Basic YTpi"},
    ),
    *(
        case(
            "9111 3.5",
            f"an answer to a request with Authorization is kept if it says {word}",
            get(ok("one", value), h={"Authorization": "Basic YTpi"}),
            get(after=5, gives="one", h={"Authorization": "Basic YTpi"}),
            demand="may",
        )
        for word, value in (("public", "public, max-age=60"), ("s-maxage", "s-maxage=60"))
    ),
    not_kept(
        "9111 3.5",
        "must-revalidate is not enough for that",
        ok("one", "max-age=60, must-revalidate"),
        h={"Authorization": "Basic YTpi"},
        demand="stricter",
    ),
    case(
        "9111 3.3",
        "an answer that breaks off is not kept",
        get(ok("one", FRESH, how="cut"), status=502, cs=None),
        get(ok("two", FRESH)),
        get(gives="two"),
    ),
    case(
        "9111 3.3",
        "an answer in chunks that breaks off is not kept",
        get(ok("one", FRESH, how="in chunks, cut"), status=(502, 0), cs=None),
        get(ok("two", FRESH)),
        get(gives="two"),
    ),
    kept(
        "9112 7.1",
        "an answer in chunks is kept once it is whole",
        ok("one and two", FRESH, how="in chunks"),
        demand="may",
    ),
    kept("9111 3", "an empty answer is kept", ok("", FRESH)),
    case(
        "9111 3",
        "a stream of events is not kept",
        get(ok("data: 1\n\n", FRESH, content_type="text/event-stream")),
        get(ok("data: 2\n\n", FRESH, content_type="text/event-stream")),
        demand="stricter",
    ),
    case(
        "9111 3",
        "also not one in chunks, with parameters",
        get(ok("data: 1\n\n", FRESH, content_type="Text/Event-Stream; charset=utf-8", how="in chunks")),
        get(ok("data: 2\n\n", FRESH)),
        demand="stricter",
    ),
    case(
        "9111 3",
        "an answer that is too large is passed on whole, and not kept",
        get(ok("x" * 3 * MB, FRESH), cs="!stored"),
        get(ok("y" * 3 * MB, FRESH)),
        demand="stricter",
    ),
    case(
        "9111 3",
        "also one in chunks",
        get(ok("x" * 3 * MB, FRESH, how="in chunks")),
        get(ok("y" * 3 * MB, FRESH, how="in chunks")),
        demand="stricter",
    ),
    kept("9111 3", "an answer of 100 KB is kept whole", ok("0123456789" * 10_000, FRESH), demand="may"),
    case(
        "9110 12.5.3",
        "an encoded answer that says no Vary counts as one that varies by Accept-Encoding",
        get(ok("one", FRESH, content_encoding="gzip"), h={"Accept-Encoding": "gzip"}),
        get(ok("two", FRESH, vary="Accept-Encoding")),
        get(gives="one", h={"Accept-Encoding": "gzip"}, has={"content-encoding": "gzip"}),
        get(gives="two"),
        demand="stricter",
    ),
    case(
        "9110 12.5.3",
        "also where it varies by something else",
        get(ok("one", FRESH, content_encoding="gzip", vary="Accept"), h={"Accept-Encoding": "gzip"}),
        get(ok("two", FRESH, vary="Accept")),
        demand="stricter",
    ),
    kept(
        "9111 5.2.2.3",
        "must-understand with a status that is understood is kept",
        ok("one", "must-understand, max-age=60"),
    ),
    kept(
        "9111 5.2.2.3",
        "no-store beside it means caches that do not know it",
        ok("one", "must-understand, no-store, max-age=60"),
        demand="should",
    ),
    not_kept(
        "9111 5.2.2.3",
        "must-understand with a status that is not understood is not kept",
        ok("one", "must-understand, no-store, max-age=60", status=299),
    ),
    # --------------------------------------------------------------------------------- section 3.1: which fields
    case(
        "9111 3.1",
        "fields that Connection names, and Connection, are not kept",
        get(ok("one", FRESH, connection="X-Hop, x-other-hop", x_hop="1", x_other_hop="2", x_kept="3")),
        get(gives="one", has={"x-kept": "3"}, lacks=("x-hop", "x-other-hop")),
    ),
    case(
        "9111 3.1",
        "fields about one connection are not kept",
        get(ok("one", FRESH, keep_alive="timeout=9", te="trailers", proxy_connection="keep-alive", upgrade="h2c")),
        get(gives="one", lacks=("keep-alive", "te", "proxy-connection", "upgrade", "transfer-encoding")),
    ),
    *(
        case(
            "9111 3.1",
            f"{name} is not kept",
            get(ok("one", FRESH, **{name: "a=b"})),
            get(gives="one", lacks=(name.lower(),)),
        )
        for name in ("Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization")
    ),
    case(
        "9111 3.1",
        "fields that nobody knows are kept, each as often as it was said",
        get(ok("one", FRESH, x_anything="a, b", link=("</a>; rel=x", "</b>; rel=y"))),
        get(gives="one", has={"x-anything": "a, b", "link": ("</a>; rel=x", "</b>; rel=y")}),
    ),
    case(
        "9111 3.1",
        "what describes the content is kept",
        get(ok("one", FRESH, content_type="text/x; a=b", content_language="de", content_location="/x")),
        get(gives="one", has={"content-type": "text/x; a=b", "content-language": "de", "content-location": "/x"}),
    ),
    case(
        "9111 3.1",
        "the id is the new request's",
        get(ok("one", FRESH, x_request_id="origin"), h={"X-Request-Id": "first"}, has={"x-request-id": "first"}),
        get(gives="one", h={"X-Request-Id": "second"}, has={"x-request-id": "second"}),
        demand="stricter",
    ),
    case(
        "9110 6.6.1", "Date stays the origin's", get(ok("one", FRESH)), get(after=9, gives="one", has={"date": At(0)})
    ),
    case(
        "9110 6.6.1",
        "an answer without Date has, when it is given again, the moment that it came",
        get(ok("one", FRESH, date="")),
        get(after=9, gives="one", has={"date": At(0), "age": "9"}),
    ),
    case(
        "9111 5.2.2.5",
        "an answer that must not be kept does not replace what was kept, which is asked about all the same",
        get(ok("one", "max-age=10", etag='"1"')),
        get(ok("two", "no-store"), after=11),
        get(ok("three", FRESH), asked=ANY_NUMBER, gives="three", cs=None),
    ),
)
