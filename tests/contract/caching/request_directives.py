"""RFC 9111 sections 5.2.1 and 5.4: what clients ask of a cache, which may do as they ask (section 5.2.1)."""

from __future__ import annotations

from tests.contract.caching.case import At, Keeping, case, get, head, ok

MINUTE = ok("one", "max-age=60")
TWO = ok("two", "max-age=60")


def asks(*values):
    return {"Cache-Control": values if len(values) > 1 else values[0]}


def asked(section, sentence, *steps, **changes):
    return case(section, sentence, *steps, **{"demand": "may" if "5.2.1." in section else "must", **changes})


def given(section, sentence, after, directive, says=MINUTE, **changes):
    return asked(section, sentence, get(says), get(after=after, gives=says.body, h=asks(directive)), **changes)


def not_given(section, sentence, after, directive, says=MINUTE, cs="", **changes):
    return asked(section, sentence, get(says), get(TWO, after=after, h=asks(directive), cs=cs), **changes)


def only_if_cached(section, sentence, after, directive, says, **changes):
    refused = get(after=after, h=asks(directive), status=504, cs=None)
    return asked(section, sentence, *([get(says)] if says else []), refused, **changes)


SHORT = ok("one", "max-age=10")

CASES = (
    given("9111 5.2.1.1", "max-age takes what is as old as that", 5, "max-age=5"),
    not_given("9111 5.2.1.1", "max-age does not take what is older", 6, "max-age=5", cs="fwd=request"),
    not_given("9111 5.2.1.1", "max-age=0 asks for something new", 1, "max-age=0", cs="fwd=request"),
    not_given("9111 5.2.1.1", "a long max-age makes nothing fresh that is stale", 61, "max-age=600", cs="fwd=stale"),
    asked(
        "9111 5.2.1.1",
        "what is too old for a client is asked about by its tag",
        get(ok("one", "max-age=60", etag='"1"')),
        get(
            ok("one", "max-age=60", etag='"1"', answers_304=True),
            after=9,
            h=asks("max-age=5"),
            told={"if-none-match": '"1"'},
            cs="fwd=request fwd-status=304",
        ),
        get(after=55, gives="one"),
    ),
    not_given("9111 5.2.1.1", "the age that it came with counts", 1, "max-age=30", ok("one", "max-age=60", age="30")),
    given("9111 5.2.1.2", "max-stale takes what is stale by less", 15, "max-stale=10", SHORT),
    given("9111 5.2.1.2", "max-stale takes what is stale by just so much", 20, "max-stale=10", SHORT),
    not_given("9111 5.2.1.2", "max-stale does not take what is stale by more", 21, "max-stale=10", SHORT),
    given("9111 5.2.1.2", "max-stale without a number takes whatever is stale", 5000, "max-stale", SHORT),
    not_given("9111 5.2.1.2", "max-stale that is no number takes nothing stale", 15, "max-stale=abc", SHORT),
    *(
        not_given(
            "9111 4.2.4",
            f"max-stale takes nothing that says {word}",
            15,
            "max-stale=100",
            ok("one", f"max-age=10, {word}"),
        )
        for word in ("must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache")
    ),
    given("9111 5.2.1.3", "min-fresh takes what is fresh for so long", 40, "min-fresh=20"),
    not_given("9111 5.2.1.3", "min-fresh does not take what is fresh for less", 41, "min-fresh=20", cs="fwd=request"),
    not_given("9111 5.2.1.3", "min-fresh above the lifetime takes nothing", 1, "min-fresh=61"),
    not_given("9111 5.2.1.4", "no-cache asks for something new", 1, "no-cache", cs="fwd=request"),
    asked(
        "9111 5.2.1.4",
        "no-cache asks about what is kept by its tag",
        get(ok("one", "max-age=60", etag='"1"')),
        get(
            ok("one", "max-age=60", etag='"1"', answers_304=True),
            h=asks("no-cache"),
            after=1,
            told={"if-none-match": '"1"'},
            cs="fwd=request fwd-status=304",
        ),
        get(gives="one"),
    ),
    asked(
        "9111 5.2.1.4",
        "what no-cache asked for is kept for the next",
        get(MINUTE),
        get(TWO, after=1, h=asks("no-cache")),
        get(after=1, gives="two"),
    ),
    not_given("9111 5.2.1.4", "no-cache counts on a HEAD's GET, too", 1, "No-Cache"),
    not_given("9110 5.3", "what clients ask may be on several lines", 1, ("max-age=600", "no-cache")),
    asked(
        "9111 5.2.1.5",
        "what no-store asked for is not kept",
        get(MINUTE, h=asks("no-store"), cs="!stored"),
        get(TWO),
        get(gives="two"),
    ),
    asked(
        "9111 5.2.1.5",
        "also not what it asked about",
        get(ok("one", "max-age=10", etag='"1"', x_a="1")),
        get(ok("two", "max-age=60", etag='"2"'), after=15, h=asks("no-store"), cs="!stored"),
        get(ok("three", "max-age=60")),
    ),
    given("9111 5.2.1.6", "no-transform changes nothing here", 5, "no-transform"),
    asked(
        "9111 5.2.1.7",
        "only-if-cached is answered with 504 where nothing is kept",
        get(h=asks("only-if-cached"), status=504, cs=None),
    ),
    given("9111 5.2.1.7", "only-if-cached is given what is fresh", 5, "only-if-cached"),
    only_if_cached(
        "9111 5.2.1.7", "only-if-cached is answered with 504 where it is stale", 61, "only-if-cached", MINUTE
    ),
    only_if_cached(
        "9111 5.2.1.7",
        "only-if-cached is answered with 504 where it is too old for the client",
        9,
        "only-if-cached, max-age=5",
        MINUTE,
    ),
    only_if_cached(
        "9111 5.2.1.7",
        "only-if-cached is answered with 504 where it must be asked about",
        1,
        "only-if-cached",
        ok("one", "max-age=60, no-cache", etag='"1"'),
    ),
    given(
        "9111 5.2.1.7",
        "only-if-cached with max-stale is given what is stale",
        15,
        "only-if-cached, max-stale=10",
        SHORT,
    ),
    asked(
        "9111 5.2.1.7",
        "a HEAD may be only-if-cached",
        head(h=asks("only-if-cached"), status=504, cs=None),
        get(MINUTE),
        head(h=asks("only-if-cached")),
    ),
    asked(
        "9111 5.2.1.7",
        "another variant is not what is asked for",
        get(ok("one", "max-age=60", vary="Accept"), h={"Accept": "a/b"}),
        get(h={"Accept": "c/d", **asks("only-if-cached")}, status=504, cs=None),
    ),
    given(
        "9111 5.2.3", "what nobody knows of what clients ask is passed over", 5, 'frobnicate="no-cache, x", max-age=60'
    ),
    given("9111 5.2.1", "directives of answers mean nothing in a request", 5, "private, s-maxage=0, must-revalidate"),
    asked(
        "9111 5.4",
        "Pragma: no-cache of a client that says nothing else asks for something new",
        get(MINUTE),
        get(TWO, after=1, h={"Pragma": "no-cache"}),
        demand="may",
    ),
    asked(
        "9111 5.4",
        "Pragma beside Cache-Control means nothing",
        get(MINUTE),
        get(after=1, gives="one", h={"Pragma": "no-cache", "Cache-Control": "max-age=60"}),
        demand="may",
    ),
    asked("9111 5.4", "another Pragma means nothing", get(MINUTE), get(after=1, gives="one", h={"Pragma": "x-y=z"})),
    asked(
        "9111 5.4",
        "Pragma of an answer means nothing",
        get(ok("one", "max-age=60", pragma="no-cache")),
        get(after=5, gives="one"),
    ),
    asked(
        "9111 5.2.1",
        "what one client asks for changes nothing for the next",
        get(MINUTE),
        get(TWO, after=9, h=asks("max-age=1")),
        get(after=9, gives="two"),
        get(after=9, gives="two", h=asks("max-age=20")),
    ),
    asked(
        "9111 5.2.1.1",
        "a client's max-age keeps nothing that says no lifetime",
        get(ok("one"), h=asks("max-age=60")),
        get(ok("two"), h=asks("max-age=60"), after=1),
    ),
    asked(
        "9111 5.2.1.4",
        "no-cache asks about what is fresh by the project's ttl, too",
        get(ok("one", last_modified=At(-9))),
        get(ok("one", last_modified=At(-9), answers_304=True), h=asks("no-cache"), told={"if-modified-since": At(-9)}),
        keeping=Keeping(ttl="60s"),
    ),
)
