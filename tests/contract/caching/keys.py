"""RFC 9111 section 2: what is looked under, and who may be answered from what is there."""

from __future__ import annotations

from tests.contract.caching.case import ask, case, get, head, ok, post

FRESH = "max-age=60"

CASES = (
    case("9111 4", "a fresh answer to GET is given again", get(ok("one", FRESH)), get(after=5, gives="one")),
    case(
        "9111 4",
        "it is given as often as it is asked for",
        get(ok("one", FRESH)),
        get(gives="one"),
        get(gives="one"),
        get(after=59, gives="one"),
    ),
    case(
        "9110 9.3.2",
        "what GET left answers HEAD, without the body",
        get(ok("one", FRESH, etag='"1"', x_thing="a")),
        head(after=5, has={"etag": '"1"', "x-thing": "a", "age": "5"}),
    ),
    case(
        "9110 9.3.2",
        "what HEAD left does not answer GET",
        head(ok("one", FRESH)),
        get(ok("one", FRESH)),
        get(gives="one"),
    ),
    case(
        "9110 9.3.3",
        "answers to POST are not kept, whatever they say",
        post(ok("one", FRESH), body=b"a"),
        post(ok("two", FRESH), body=b"a"),
        get(ok("three", FRESH)),
        demand="stricter",
    ),
    case(
        "9110 9.3.3",
        "nor where the answer to POST names the same place as its content",
        post(ok("one", FRESH, content_location="/elsewhere"), body=b"a"),
        get(ok("two", FRESH)),
        demand="stricter",
    ),
    *(
        case(
            f"9110 {section}",
            f"answers to {method} are not kept",
            ask(method, ok("one", FRESH)),
            ask(method, ok("two", FRESH)),
            get(ok("three", FRESH)),
        )
        for method, section in (("PUT", "9.3.4"), ("DELETE", "9.3.5"), ("OPTIONS", "9.3.7"))
    ),
    case("9110 9.2.3", "answers to PATCH are not kept", ask("PATCH", ok("one", FRESH)), get(ok("two", FRESH))),
    case(
        "9111 2",
        "another query is another place, and both are kept",
        get(ok("one", FRESH), path="?a=1"),
        get(ok("two", FRESH), path="?a=2"),
        get(path="?a=1", gives="one"),
        get(path="?a=2", gives="two"),
    ),
    case(
        "9111 2", "no query is another place than some query", get(ok("one", FRESH)), get(ok("two", FRESH), path="?a=1")
    ),
    case(
        "9111 2",
        "the order of the query's parts counts",
        get(ok("one", FRESH), path="?a=1&b=2"),
        get(ok("two", FRESH), path="?b=2&a=1"),
    ),
    case("9111 2", "a query's case counts", get(ok("one", FRESH), path="?a=x"), get(ok("two", FRESH), path="?a=X")),
    case(
        "9111 2",
        "a path's case counts",
        get(ok("one", FRESH), path="/a"),
        get(ok("two", FRESH), path="/A"),
        get(path="/a", gives="one"),
    ),
    case("9111 2", "a slash at the end counts", get(ok("one", FRESH), path="/a"), get(ok("two", FRESH), path="/a/")),
    case(
        "9111 2",
        "an escaped slash in a query is no slash",
        get(ok("one", FRESH), path="?a=x%26b=1"),
        get(ok("two", FRESH), path="?a=x&b=1"),
    ),
    case("9111 2", "a longer path is another place", get(ok("one", FRESH)), get(ok("two", FRESH), path="/more")),
    case(
        "9111 2",
        "another host is another place, and both are kept",
        get(ok("one", FRESH), h={"Host": "a.example"}),
        get(ok("two", FRESH), h={"Host": "b.example"}),
        get(gives="one", h={"Host": "a.example"}),
        get(gives="two", h={"Host": "b.example"}),
    ),
    case(
        "9110 9.2.1",
        "an unsafe method is sent on although there is a fresh answer",
        get(ok("one", FRESH)),
        post(ok("done"), body=b"a"),
    ),
    case(
        "9110 9.3.1",
        "a GET with content is passed on, and leaves nothing behind",
        get(ok("one", FRESH)),
        get(ok("two", FRESH), body=b"a", cs="fwd=bypass !stored"),
        get(gives="one"),
        demand="stricter",
    ),
    case(
        "9110 9.3.1",
        "and finds nothing, either",
        get(ok("one", FRESH), body=b"a", cs="fwd=bypass !stored"),
        get(ok("two", FRESH)),
        demand="stricter",
    ),
    case(
        "9110 14.2",
        "a request for a range is passed on although the whole is kept",
        get(ok("one", FRESH)),
        get(
            ok("n", FRESH, status=206, content_range="bytes 1-1/3"),
            h={"Range": "bytes=1-1"},
            told={"range": "bytes=1-1"},
            cs="fwd=bypass !stored",
        ),
        get(gives="one"),
        demand="stricter",
    ),
    case(
        "9111 3.3",
        "a part of an answer is not kept",
        get(ok("n", FRESH, status=206, content_range="bytes 1-1/3"), h={"Range": "bytes=1-1"}),
        get(ok("one", FRESH)),
        demand="stricter",
    ),
    case(
        "9110 14.2",
        "the whole answer to a request for a range is not kept",
        get(ok("one", FRESH), h={"Range": "bytes=1-1"}),
        get(ok("two", FRESH)),
        demand="stricter",
    ),
    *(
        case(
            f"9110 {section}",
            f"a request with {name} is passed on",
            get(ok("one", FRESH, etag='"1"')),
            get(ok("two", FRESH), h={name: value}, told={name.lower(): value}, cs="fwd=bypass !stored"),
            get(gives="one"),
            demand="stricter",
        )
        for name, value, section in (
            ("If-Match", '"1"', "13.1.1"),
            ("If-Unmodified-Since", "Fri, 15 Jan 2027 08:00:00 GMT", "13.1.4"),
            ("If-Range", '"1"', "13.1.5"),
        )
    ),
    case(
        "9111 4.3.2",
        "a precondition that the origin refuses is refused to the client",
        get(ok("one", FRESH, etag='"1"')),
        get(ok("no", status=412), h={"If-Match": '"0"'}),
        get(gives="one"),
    ),
)
