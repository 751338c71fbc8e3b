"""RFC 9111 section 4.1: answers that depend on fields of the request."""

from __future__ import annotations

from tests.contract.caching.case import ask, case, get, head, ok, post

FRESH = "max-age=60"
EN, DE, FR = ({"Accept-Language": value} for value in ("en", "de", "fr"))


def by(vary, body="one", **fields):
    return ok(body, FRESH, vary=vary, **fields)


CASES = (
    case(
        "9111 4.1",
        "a request with the same fields is given the answer",
        get(by("Accept-Language"), h=EN),
        get(gives="one", h=EN),
    ),
    case(
        "9111 4.1",
        "each variant is kept beside the others",
        get(by("Accept-Language", "hello"), h=EN),
        get(by("Accept-Language", "hallo"), h=DE, cs="fwd=vary-miss"),
        get(gives="hello", h=EN),
        get(gives="hallo", h=DE),
        get(by("Accept-Language", "bonjour"), h=FR),
        get(gives="hello", h=EN),
    ),
    case("9111 4.1", "a field that neither has matches", get(by("Accept-Language")), get(gives="one")),
    case("9111 4.1", "a field that only the first had does not", get(by("Accept-Language"), h=EN), get(ok("two"))),
    case("9111 4.1", "a field that only the second has does not", get(by("Accept-Language")), get(ok("two"), h=EN)),
    case(
        "9111 4.1",
        "fields that Vary does not name do not count",
        get(by("Accept-Language"), h={"Accept": "a/b"}),
        get(gives="one", h={"Accept": "c/d"}),
    ),
    case("9111 4.1", "Vary * matches nothing", get(by("*")), get(ok("two"))),
    case(
        "9111 4.1",
        "Vary * matches nothing among others",
        get(by("Accept, *"), h={"Accept": "a/b"}),
        get(ok("two"), h={"Accept": "a/b"}),
    ),
    case("9111 4.1", "Vary * counts on a line of its own", get(by(("Accept", "*"))), get(ok("two"))),
    case(
        "9111 4.1",
        "all the fields must match",
        get(by("Accept-Language, X-Flavor"), h={**EN, "X-Flavor": "a"}),
        get(by("Accept-Language, X-Flavor", "two"), h={**EN, "X-Flavor": "b"}),
        get(by("Accept-Language, X-Flavor", "three"), h={**DE, "X-Flavor": "a"}),
        get(gives="one", h={**EN, "X-Flavor": "a"}),
    ),
    case(
        "9110 5.3",
        "Vary may be on several lines",
        get(by(("Accept-Language", "X-Flavor")), h={**EN, "X-Flavor": "a"}),
        get(ok("two"), h={**EN, "X-Flavor": "b"}),
    ),
    case(
        "9110 5.1",
        "the case of names does not count",
        get(by("ACCEPT-language"), h={"accept-LANGUAGE": "en"}),
        get(gives="one", h=EN),
        get(ok("two"), h=DE),
    ),
    case(
        "9110 12.5.5",
        "odd spacing in Vary does not count",
        get(by(" ,Accept-Language\t, ,X-Flavor,"), h=EN),
        get(ok("two"), h={**EN, "X-Flavor": "b"}),
        get(gives="one", h=EN),
    ),
    case(
        "9111 4.1",
        "lines that are combined match one line",
        get(by("Accept-Language"), h={"Accept-Language": ("en", "de")}),
        get(gives="one", h={"Accept-Language": "en, de"}),
        demand="may",
    ),
    case(
        "9111 4.1",
        "space around commas does not count",
        get(by("Accept-Language"), h={"Accept-Language": "en, de"}),
        get(gives="one", h={"Accept-Language": "en ,de"}),
        demand="may",
    ),
    case(
        "9111 4.1",
        "the order of a field's members counts",
        get(by("X-Flavor"), h={"X-Flavor": "a, b"}),
        get(ok("two"), h={"X-Flavor": "b, a"}),
    ),
    case(
        "9111 4.1",
        "what looks like two fields is not one: nothing runs together",
        get(by("X-A, X-B"), h={"X-A": "1", "X-B": "23"}),
        get(ok("two"), h={"X-A": "12", "X-B": "3"}),
    ),
    case(
        "9111 4.1",
        "encodings are variants",
        get(by("Accept-Encoding", content_encoding="gzip"), h={"Accept-Encoding": "gzip"}),
        get(by("Accept-Encoding", "two")),
        get(gives="one", h={"Accept-Encoding": "gzip"}, has={"content-encoding": "gzip"}),
        get(gives="two", lacks=("content-encoding",)),
    ),
    case(
        "9111 4.1",
        "what a later answer varies by counts for it",
        get(by("Accept-Language"), h={**EN, "X-Flavor": "a"}),
        get(by("X-Flavor", "two"), h={**DE, "X-Flavor": "a"}),
        get(by("X-Flavor", "three"), h={**DE, "X-Flavor": "b"}),
    ),
    case(
        "9111 4.1",
        "HEAD is answered from its variant",
        get(by("Accept-Language"), h=EN),
        head(h=EN),
        head(ok("two"), h=DE),
    ),
    case(
        "9111 4.1",
        "a query has variants of its own",
        get(by("Accept-Language"), h=EN, path="?a=1"),
        get(by("Accept-Language", "two"), h=EN, path="?a=2"),
        get(gives="one", h=EN, path="?a=1"),
    ),
    case(
        "9111 4.3.1",
        "a stale variant is asked about by its own tag",
        get(ok("hello", "max-age=10", vary="Accept-Language", etag='"en"'), h=EN),
        get(ok("hallo", "max-age=10", vary="Accept-Language", etag='"de"'), h=DE),
        get(
            ok("hello", "max-age=10", vary="Accept-Language", etag='"en"', answers_304=True),
            h=EN,
            after=15,
            told={"accept-language": "en", "if-none-match": '"en"'},
            cs="fwd=stale",
        ),
        get(gives="hello", h=EN),
    ),
    case(
        "9111 4.3.4",
        "what confirms one variant confirms no other",
        get(ok("hello", "max-age=10", vary="Accept-Language", etag='"en"'), h=EN),
        get(ok("hallo", "max-age=10", vary="Accept-Language", etag='"de"'), h=DE),
        get(ok("hello", "max-age=10", vary="Accept-Language", etag='"en"', answers_304=True), h=EN, after=15),
        get(ok("neu", "max-age=10", vary="Accept-Language", etag='"d2"'), h=DE),
    ),
    case(
        "9111 4.4",
        "an unsafe method makes all variants invalid",
        get(by("Accept-Language", "hello"), h=EN),
        get(by("Accept-Language", "hallo"), h=DE),
        post(ok("done"), body=b"x", after=1),
        get(ok("two", FRESH), h=EN),
        get(ok("three", FRESH), h=DE, asked=-1, gives=None, cs=None),
    ),
    case(
        "9110 12.5.5",
        "a field that is another in each request is matched by none",
        get(by("X-Request-Id"), h={"X-Request-Id": "a"}),
        get(ok("two"), h={"X-Request-Id": "b"}),
    ),
    case(
        "9111 4.1",
        "what counts is what the upstream saw: a field that stays at the gateway is no difference",
        get(by("X-Forwarded-User"), h={"X-Forwarded-User": "a"}),
        get(gives="one", h={"X-Forwarded-User": "b"}),
        demand="stricter",
    ),
    case(
        "9111 4.1",
        "a cookie that stays at the gateway is no difference",
        get(by("Cookie"), h={"Cookie": "a=1"}),
        get(gives="one", h={"Cookie": "a=2"}),
        demand="stricter",
    ),
    case(
        "9111 4.1",
        "a cookie that passes is",
        get(ok("one", "public, max-age=60", vary="Cookie"), h={"Cookie": "a=1"}),
        get(ok("two", "public, max-age=60", vary="Cookie"), h={"Cookie": "a=2"}),
        get(gives="one", h={"Cookie": "a=1"}),
        door="cookies",
    ),
    case(
        "9111 4.1",
        "a field that the gateway tells of the caller is a difference",
        get(ok("of ada", "public, max-age=60", vary="X-User-Id"), who="ada", told={"x-user-id": "ada"}),
        get(ok("of kim", "public, max-age=60", vary="X-User-Id"), who="kim", told={"x-user-id": "kim"}),
        get(gives="of ada", who="ada"),
        get(gives="of kim", who="kim"),
        door="told",
    ),
    case(
        "9111 4.1",
        "a client cannot name itself into another's variant",
        get(ok("of ada", "public, max-age=60", vary="X-User-Id"), who="ada"),
        get(ok("of kim", "public, max-age=60", vary="X-User-Id"), who="kim", h={"X-User-Id": "ada"}),
        door="told",
    ),
    case(
        "9111 4.1",
        "Vary is said again when the answer is given again",
        get(by("Accept-Language, X-Flavor"), h=EN),
        get(gives="one", h=EN, has={"vary": "Accept-Language, X-Flavor"}),
    ),
    case(
        "9110 9.3.7",
        "OPTIONS has no variant",
        get(by("Accept-Language"), h=EN),
        ask("OPTIONS", ok("two"), h=EN),
        get(gives="one", h=EN),
    ),
)
