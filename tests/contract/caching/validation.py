"""RFC 9111 sections 3.2 and 4.3: asking the origin whether what is kept still holds."""

from __future__ import annotations

from tests.contract.caching.case import ANY_NUMBER, At, Keeping, case, get, head, ok

LIFE = "max-age=10"
TAG = '"1"'


def tagged(body="one", cache_control=LIFE, **fields):
    return ok(body, cache_control, **{"etag": TAG, **fields})


def unchanged(cache_control=LIFE, **fields):
    """What the origin says of "one" if it is asked on the right condition; else all of it."""
    return ok("one", cache_control, answers_304=True, **{"etag": TAG, **fields})


def only_304(cache_control=LIFE, **fields):
    return ok("", cache_control, status=304, **fields)


CASES = (
    case(
        "9111 4.3.1",
        "a stale answer is asked about by its tag, and given again when it still holds",
        get(tagged()),
        get(
            unchanged(), after=15, told={"if-none-match": TAG, "if-modified-since": None}, cs="fwd=stale fwd-status=304"
        ),
        get(after=5, gives="one"),
    ),
    case(
        "9111 4.3.1",
        "a weak tag is sent as it is",
        get(tagged(etag='W/"1"')),
        get(unchanged(etag='W/"1"'), after=15, told={"if-none-match": 'W/"1"'}),
        get(gives="one"),
    ),
    case(
        "9111 4.3.1",
        "a stale answer is asked about by its Last-Modified",
        get(ok("one", LIFE, last_modified=At(-500))),
        get(
            ok("one", LIFE, last_modified=At(-500), answers_304=True),
            after=15,
            told={"if-modified-since": At(-500), "if-none-match": None},
        ),
        get(gives="one"),
        demand="should",
    ),
    case(
        "9111 4.3.1",
        "both are sent where both are known",
        get(tagged(last_modified=At(-500))),
        get(unchanged(last_modified=At(-500)), after=15, told={"if-none-match": TAG, "if-modified-since": At(-500)}),
        demand="should",
    ),
    case(
        "9111 4.3.1",
        "without either it is asked for anew",
        get(ok("one", LIFE)),
        get(ok("two", LIFE), after=15, told={"if-none-match": None, "if-modified-since": None}),
        get(gives="two"),
    ),
    case(
        "9111 4.3.1",
        "what else the client says goes with the question",
        get(tagged()),
        get(unchanged(), after=15, h={"Accept": "a/b"}, told={"if-none-match": TAG, "accept": "a/b"}),
    ),
    case(
        "9111 4.3.3",
        "an answer with content replaces what was kept",
        get(tagged()),
        get(tagged("two", etag='"2"'), after=15),
        get(after=5, gives="two", has={"etag": '"2"'}),
    ),
    case(
        "9111 4.3.3",
        "also where its tag is the same",
        get(tagged()),
        get(tagged("two"), after=15),
        get(gives="two"),
    ),
    case(
        "9111 4.3.3",
        "a new answer that must not be kept ends the old one",
        get(tagged()),
        get(ok("two", "no-store"), after=15),
        get(ok("three", LIFE), asked=ANY_NUMBER, gives="three", cs=None),
    ),
    case(
        "9111 4.3.3",
        "a failure of the origin is passed on, and the answer is still asked about",
        get(tagged()),
        get(ok("down", status=503), after=15),
        get(unchanged(), told={"if-none-match": TAG}),
        get(gives="one"),
        demand="may",
    ),
    case(
        "9111 4.3.3",
        "what is no more is passed on",
        get(tagged()),
        get(ok("gone", status=404), after=15),
        get(ok("two", LIFE), asked=1),
    ),
    # ----------------------------------------------------------------------------- section 3.2: what a 304 changes
    case(
        "9111 3.2",
        "the fields of a confirmation replace those that were kept",
        get(tagged(x_a="1", x_b="1")),
        get(unchanged("max-age=100", x_a="2"), after=15, has={"x-a": "2", "x-b": "1"}),
        get(after=90, gives="one", has={"x-a": "2", "x-b": "1", "cache-control": "max-age=100"}),
    ),
    case(
        "9111 3.2",
        "a field with several lines is replaced by all of the new ones",
        get(tagged(x_a=("1", "2", "3"))),
        get(unchanged(x_a=("4", "5")), after=15),
        get(gives="one", has={"x-a": ("4", "5")}),
    ),
    case(
        "9111 3.2",
        "fields that are new are added",
        get(tagged()),
        get(unchanged(x_new="1"), after=15, has={"x-new": "1"}),
        get(gives="one", has={"x-new": "1"}),
    ),
    case(
        "9111 3.2",
        "Date is the confirmation's",
        get(tagged()),
        get(unchanged(), after=15, has={"date": At(15)}),
        get(after=1, gives="one", has={"date": At(15)}),
    ),
    case(
        "9111 3.2",
        "Content-Length stays what it was",
        get(tagged("four")),
        get(only_304(etag=TAG, content_length="3"), after=15, gives="four", status=200),
        get(gives="four", has={"content-length": "4"}),
    ),
    case(
        "9111 3.2",
        "Content-Encoding stays what it was",
        get(tagged(content_encoding="x-old")),
        get(only_304(etag=TAG, content_encoding="x-new"), after=15, gives="one", status=200),
        get(gives="one", has={"content-encoding": "x-old"}),
    ),
    case(
        "9111 3.2",
        "Content-Type is replaced like any other field",
        get(tagged(content_type="text/old")),
        get(only_304(etag=TAG, content_type="text/new"), after=15, gives="one", status=200),
        get(gives="one", has={"content-type": "text/new"}),
    ),
    case(
        "9111 3.2",
        "Content-Range is not taken from a confirmation",
        get(tagged()),
        get(only_304(etag=TAG, content_range="bytes 0-1/9"), after=15, gives="one", status=200),
        get(gives="one", lacks=("content-range",)),
    ),
    case(
        "9111 3.1",
        "fields about one connection are not taken from a confirmation",
        get(tagged()),
        get(unchanged(connection="x-hop", x_hop="1", keep_alive="timeout=9"), after=15),
        get(gives="one", lacks=("x-hop", "keep-alive")),
    ),
    case(
        "9111 3.2",
        "a confirmation that says no-store ends what was kept",
        get(tagged()),
        get(unchanged("no-store"), after=15),
        get(ok("two", LIFE)),
    ),
    case(
        "9111 3.2",
        "a confirmation that says private ends what was kept",
        get(tagged()),
        get(unchanged("private, max-age=10"), after=15),
        get(ok("two", LIFE)),
    ),
    case(
        "6265 3",
        "a cookie that comes with a confirmation is given to nobody else",
        get(tagged()),
        get(unchanged(set_cookie="a=1"), after=15),
        get(unchanged(), asked=ANY_NUMBER, cs=None, lacks=("set-cookie",)),
        demand="stricter",
    ),
    case(
        "9111 3.2",
        "a confirmation may make the answer one that is asked about every time",
        get(tagged()),
        get(unchanged("no-cache"), after=15),
        get(unchanged("no-cache"), told={"if-none-match": TAG}),
    ),
    # --------------------------------------------------------------- section 4.3.4: which answers a 304 speaks of
    case(
        "9111 4.3.4",
        "a 304 of another strong tag confirms nothing, and the answer is asked for anew",
        get(tagged()),
        get(
            only_304(etag='"2"'), tagged("two", etag='"2"'), after=15, asked=2, gives="two", told={"if-none-match": TAG}
        ),
        get(gives="two"),
    ),
    case(
        "9111 4.3.4",
        "a 304 without a tag confirms the only answer there is",
        get(tagged()),
        get(only_304(), after=15, status=200, gives="one"),
        get(gives="one"),
        demand="may",
    ),
    case(
        "9111 4.3.4",
        "a 304 with the weak form of its weak tag confirms it",
        get(tagged(etag='W/"1"')),
        get(only_304(etag='W/"1"'), after=15, status=200, gives="one"),
        get(gives="one"),
    ),
    case(
        "9111 4.3.4",
        "a 304 with the same Last-Modified confirms it",
        get(ok("one", LIFE, last_modified=At(-500))),
        get(only_304(last_modified=At(-500)), after=15, status=200, gives="one"),
        get(gives="one"),
    ),
    # ------------------------------------------------------------------------------------ every time, and HEAD
    case(
        "9111 5.2.2.4",
        "no-cache is kept, and asked about every time",
        get(tagged(cache_control="no-cache")),
        *[get(unchanged("no-cache"), after=1, told={"if-none-match": TAG}) for _ in range(3)],
    ),
    case(
        "9111 5.2.2.4",
        "no-cache counts before a lifetime",
        get(tagged(cache_control="max-age=60, no-cache")),
        get(unchanged("max-age=60, no-cache"), told={"if-none-match": TAG}),
    ),
    case(
        "9111 5.2.2.4",
        "no-cache counts although the project keeps",
        get(tagged(cache_control="no-cache")),
        get(tagged("two", "no-cache"), after=1),
        keeping=Keeping(ttl="60s"),
    ),
    case(
        "9111 5.2.2.4",
        "no-cache for one field counts for all",
        get(tagged(cache_control='max-age=60, no-cache="x-a"', x_a="1")),
        get(unchanged('max-age=60, no-cache="x-a"'), told={"if-none-match": TAG}),
        demand="stricter",
    ),
    case(
        "9111 5.2.2.4",
        "no-cache without a tag is asked for every time",
        get(ok("one", "no-cache")),
        get(ok("two", "no-cache")),
    ),
    case(
        "9111 4.3.1",
        "an answer that is never fresh is asked about all the same",
        get(tagged(cache_control="max-age=0")),
        get(unchanged("max-age=0"), after=1, told={"if-none-match": TAG}),
        demand="may",
    ),
    case(
        "9111 4.3.1",
        "the project's ttl counts anew after a confirmation",
        get(ok("one", etag=TAG)),
        get(ok("one", etag=TAG, answers_304=True), after=70, told={"if-none-match": TAG}),
        get(after=59, gives="one"),
        keeping=Keeping(ttl="60s"),
    ),
    case(
        "9111 4.3.5",
        "a HEAD of something else makes what is kept stale",
        get(tagged(cache_control="max-age=60")),
        head(tagged("two", "max-age=60", etag='"2"'), h={"Cache-Control": "no-cache"}, after=1),
        get(tagged("two", "max-age=60", etag='"2"'), after=1),
        demand="should",
    ),
    case(
        "9111 4.3.5",
        "a HEAD of another length makes what is kept stale",
        get(ok("one", "max-age=60")),
        head(ok("longer", "max-age=60"), h={"Cache-Control": "no-cache"}, after=1),
        get(ok("longer", "max-age=60"), after=1),
        demand="should",
    ),
    case(
        "9111 4.3.5",
        "a HEAD of the same freshens what is kept",
        get(tagged(x_a="1")),
        head(unchanged("max-age=100", x_a="2"), h={"Cache-Control": "no-cache"}, after=5),
        get(after=50, gives="one", has={"x-a": "2"}),
        demand="should",
    ),
    case(
        "9111 4.3.5",
        "a HEAD of what is stale is never given content, nor leaves none behind",
        get(tagged()),
        head(unchanged(), after=15),
        get(unchanged(), asked=ANY_NUMBER, gives="one", cs=None),
    ),
    case(
        "9111 4.3.5",
        "a HEAD of what is stale and has changed does not make the old one fresh",
        get(tagged()),
        head(tagged("two", etag='"2"'), after=15),
        get(tagged("two", etag='"2"')),
    ),
)
