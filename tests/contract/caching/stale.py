"""RFC 9111 section 4.2.4 and RFC 5861: when something stale is better than nothing, or than waiting."""

from __future__ import annotations

from tests.contract.caching.case import Keeping, case, get, head, ok, post

DOWN = ok("down", status=503)
HANGS_UP, REFUSES, CUT = ok(how="hangs up"), ok(how="refuses"), ok("two", "max-age=60", how="cut")
IF_ERROR = "max-age=10, stale-if-error=30"
MEANWHILE = "max-age=10, stale-while-revalidate=30"
TAG = '"1"'
HOUR = Keeping(stale_if_error="1h")
HALF = Keeping(ttl="10s", stale_while_revalidate="30s")


def stands_in(section, sentence, trouble, *, after=15, cache_control=IF_ERROR, asked=1, **changes):
    """What is stale is given in place of *trouble*, which it may be."""
    changes = {"demand": "may", **changes}
    given = get(trouble, after=after, status=200, gives="one", asked=asked, has={"age": str(after)}, cs=None)
    return case(section, sentence, get(ok("one", cache_control)), given, **changes)


def passed_on(section, sentence, trouble, *, after=15, cache_control=IF_ERROR, status=503, asked=1, **changes):
    """Nothing stale is given in place of *trouble*."""
    return case(
        section,
        sentence,
        get(ok("one", cache_control)),
        get(trouble, after=after, status=status, asked=asked, cs=None),
        **changes,
    )


CASES = (
    passed_on("9111 4.2.4", "nothing stale is given unless somebody said so", DOWN, cache_control="max-age=10"),
    passed_on(
        "9111 4.2.4",
        "also not when the origin is gone",
        REFUSES,
        cache_control="max-age=10",
        status=502,
        asked=0,
        demand="stricter",
    ),
    *(
        stands_in("5861 4", f"something stale stands in for status {status}", ok("down", status=status))
        for status in (500, 502, 503, 504)
    ),
    *(
        passed_on("5861 4", f"status {status} is no such error", ok("no", status=status), status=status)
        for status in (400, 403, 404, 410, 429, 501, 505)
    ),
    stands_in("5861 4", "something stale stands in for an origin that is gone", REFUSES, asked=0),
    stands_in("5861 4", "something stale stands in for an origin that hangs up", HANGS_UP, asked=2),
    stands_in("5861 4", "something stale stands in for an answer that breaks off", CUT),
    stands_in("5861 4", "it does so until the time is over", DOWN, after=39),
    passed_on("5861 4", "and not after it", DOWN, after=41),
    passed_on("5861 4", "an origin that is gone for longer is an error", REFUSES, after=41, status=502, asked=0),
    stands_in(
        "5861 4",
        "the project's stale_if_error does the same",
        DOWN,
        cache_control="max-age=10",
        after=3000,
        keeping=HOUR,
    ),
    stands_in(
        "5861 4",
        "also for an origin that is gone",
        REFUSES,
        asked=0,
        cache_control="max-age=10",
        after=3000,
        keeping=HOUR,
    ),
    passed_on("5861 4", "the project's has an end, too", DOWN, cache_control="max-age=10", after=3611, keeping=HOUR),
    passed_on(
        "5861 4",
        "what the answer says counts before it",
        DOWN,
        cache_control="max-age=10, stale-if-error=2",
        keeping=HOUR,
    ),
    passed_on("5861 4", "also where it says none", DOWN, cache_control="max-age=10, stale-if-error=0", keeping=HOUR),
    *(
        passed_on(
            "9111 4.2.4", f"stale-if-error counts for nothing beside {word}", DOWN, cache_control=f"{IF_ERROR}, {word}"
        )
        for word in ("must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache")
    ),
    passed_on(
        "5861 4", "stale-if-error that is no number is none", DOWN, cache_control="max-age=10, stale-if-error=abc"
    ),
    case(
        "5861 4",
        "what stood in is asked about again by the next",
        get(ok("one", IF_ERROR, etag=TAG)),
        get(DOWN, after=15, status=200, gives="one", told={"if-none-match": TAG}, cs=None),
        get(ok("one", IF_ERROR, etag=TAG, answers_304=True), told={"if-none-match": TAG}),
        get(gives="one"),
        demand="may",
    ),
    case(
        "5861 4",
        "when the origin is well again, what it says is given",
        get(ok("one", IF_ERROR)),
        get(DOWN, after=15, status=200, gives="one", cs=None),
        get(ok("two", IF_ERROR), after=1),
        get(gives="two"),
        demand="may",
    ),
    case(
        "5861 4",
        "a client may say itself that it takes something stale in place of an error",
        get(ok("one", "max-age=10", etag=TAG)),
        get(DOWN, after=15, h={"Cache-Control": "stale-if-error=30"}, status=200, gives="one", cs=None),
        get(DOWN, after=1),
        demand="may",
    ),
    case(
        "5861 4",
        "what is fresh is given without asking an origin that is down",
        get(ok("one", IF_ERROR)),
        get(after=5, gives="one"),
    ),
    case("5861 4", "where nothing is kept, the error is passed on", get(DOWN), get(DOWN), keeping=HOUR),
    case(
        "5861 4",
        "an error is not kept in place of what is stale",
        get(ok("one", IF_ERROR)),
        get(ok("down", "max-age=600", status=503), after=15, status=200, gives="one", cs=None),
        get(ok("two", IF_ERROR), after=1),
        demand="may",
    ),
    case(
        "5861 4",
        "HEAD is answered with what is stale, too",
        get(ok("one", IF_ERROR)),
        head(DOWN, after=15, status=200, cs=None),
        demand="may",
    ),
    case(
        "9111 4.2.4",
        "what a change made invalid stands in for nothing",
        get(ok("one", IF_ERROR)),
        post(ok("done"), after=1),
        get(DOWN, after=15),
    ),
    case(
        "9111 4.1",
        "another variant stands in for nothing",
        get(ok("one", IF_ERROR, vary="Accept"), h={"Accept": "a/b"}),
        get(DOWN, after=15, h={"Accept": "c/d"}),
    ),
    # ------------------------------------------------------------------------------------- stale-while-revalidate
    case(
        "5861 3",
        "something stale is given at once, and asked for anew meanwhile",
        get(ok("one", MEANWHILE)),
        get(ok("two", MEANWHILE), after=15, gives="one", status=200, has={"age": "15"}, meanwhile=True),
        get(after=1, gives="two"),
        demand="may",
    ),
    case(
        "5861 3",
        "it is asked about by its tag",
        get(ok("one", MEANWHILE, etag=TAG)),
        get(
            ok("one", MEANWHILE, etag=TAG, answers_304=True),
            after=15,
            gives="one",
            status=200,
            told={"if-none-match": TAG},
            meanwhile=True,
        ),
        get(after=1, gives="one", has={"age": "1"}),
        demand="may",
    ),
    case(
        "5861 3",
        "after that time the client waits",
        get(ok("one", MEANWHILE)),
        get(ok("two", MEANWHILE), after=41, cs="fwd=stale"),
    ),
    case(
        "5861 3",
        "the project's stale_while_revalidate does the same",
        get(ok("one")),
        get(ok("two"), after=15, gives="one", status=200, meanwhile=True),
        get(after=1, gives="two"),
        keeping=HALF,
        demand="may",
    ),
    case("5861 3", "and has an end, too", get(ok("one")), get(ok("two"), after=41), keeping=HALF),
    *(
        case(
            "9111 4.2.4",
            f"stale-while-revalidate counts for nothing beside {word}",
            get(ok("one", f"{MEANWHILE}, {word}")),
            get(ok("two"), after=15, cs="!hit"),
        )
        for word in ("must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache")
    ),
    case(
        "5861 3",
        "an origin that is down meanwhile changes nothing",
        get(ok("one", MEANWHILE)),
        get(DOWN, after=15, gives="one", status=200, meanwhile=True),
        get(ok("two", MEANWHILE), after=10, meanwhile=True, gives="one", status=200),
        demand="may",
    ),
    case(
        "9111 5.2.1.4",
        "a client that wants something new is given it",
        get(ok("one", MEANWHILE)),
        get(ok("two", MEANWHILE), after=15, h={"Cache-Control": "no-cache"}),
        get(after=1, gives="two"),
    ),
    case(
        "9111 5.2.1.1",
        "a client that takes nothing so old is given something new",
        get(ok("one", MEANWHILE)),
        get(ok("two", MEANWHILE), after=15, h={"Cache-Control": "max-age=12"}),
    ),
    case(
        "5861 3",
        "a new answer that must not be kept ends the old one",
        get(ok("one", MEANWHILE)),
        get(ok("two", "no-store"), after=15, gives="one", status=200, meanwhile=True),
        get(ok("three", MEANWHILE), after=1),
        demand="should",
    ),
)
