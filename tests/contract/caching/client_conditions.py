"""RFC 9111 section 4.3.2, RFC 9110 sections 13 and 15.4.5: conditions that clients state."""

from __future__ import annotations

from tests.contract.caching.case import ANY_NUMBER, At, case, get, head, ok

LIFE = "max-age=60"
TAG = '"1"'


def unless(tag):
    return {"If-None-Match": tag}


def since(value):
    return {"If-Modified-Since": value}


def judged(section, sentence, says, h, status, **changes):
    """What is kept and fresh answers a conditional request with *status*; 304 is what a cache SHOULD say."""
    changes = {"demand": "should" if status == 304 else "must", **changes}
    return case(
        section,
        sentence,
        get(says),
        get(after=5, h=h, status=status, gives="" if status == 304 else says.body),
        **changes,
    )


def tagged(tag, section, sentence, condition, status, **changes):
    return judged(section, sentence, ok("one", LIFE, etag=tag), unless(condition), status, **changes)


MODIFIED = ok("one", LIFE, last_modified=At(-500))

CASES = (
    tagged('"1"', "9111 4.3.2", "the tag that the client has is answered with 304", '"1"', 304),
    tagged('"1"', "9111 4.3.2", "another tag is answered with all of it", '"2"', 200),
    tagged('"1"', "9110 13.1.2", "one tag of several is enough", '"0", "1", "2"', 304),
    tagged('"1"', "9110 13.1.2", "none of several is not", '"0", "2"', 200),
    tagged('"1"', "9110 5.3", "the tags may be on several lines", ('"0"', '"1"'), 304),
    tagged('"1"', "9110 8.8.3.2", "a weak tag matches the strong one", 'W/"1"', 304),
    tagged('W/"1"', "9110 8.8.3.2", "a strong tag matches the weak one", '"1"', 304),
    tagged('W/"1"', "9110 8.8.3.2", "two weak tags match", 'W/"1"', 304),
    tagged('"1"', "9110 13.1.2", "a star matches whatever there is", "*", 304),
    tagged('"a,b"', "9110 8.8.3", "a tag may hold a comma", '"x", "a,b"', 304),
    tagged('","', "9110 8.8.3", "what stands between two tags is not a tag", '"a","b"', 200),
    tagged('"a"', "9110 8.8.3", "the case of a tag counts", '"A"', 200),
    tagged('"1"', "9110 8.8.3", "what has no quotes is no tag", "1", 200),
    tagged('""', "9110 8.8.3", "a tag may be empty", '""', 304),
    judged("9110 13.1.2", "an answer without a tag matches none", ok("one", LIFE), unless('"1"'), 200),
    judged("9110 13.1.3", "the moment of its last change is not after it", MODIFIED, since(At(-500)), 304),
    judged("9110 13.1.3", "a later moment is not, either", MODIFIED, since(At(-100)), 304),
    judged("9110 13.1.3", "after an earlier moment it was changed", MODIFIED, since(At(-501)), 200),
    judged("9110 5.6.7", "the moment may be in the form of RFC 850", MODIFIED, since(At(-500, "rfc850")), 304),
    judged("9110 5.6.7", "the moment may be in the form of asctime", MODIFIED, since(At(-500, "asctime")), 304),
    *(
        judged("9110 13.1.3", f"a moment that is none ('{value}') is passed over", MODIFIED, since(value), 200)
        for value in ("yesterday", "0", "99999999999", "2027-01-15")
    ),
    judged("9110 13.1.3", "two moments are none", MODIFIED, since((At(-500), At(-400))), 200),
    judged(
        "9111 4.3.2", "without Last-Modified, Date stands for it", ok("one", LIFE), since(At(0)), 304, demand="should"
    ),
    judged("9111 4.3.2", "and an earlier moment is before it", ok("one", LIFE), since(At(-1)), 200),
    judged(
        "9110 13.2.2",
        "a tag counts before the moment: it does not match",
        ok("one", LIFE, etag=TAG, last_modified=At(-500)),
        {**unless('"2"'), **since(At(-500))},
        200,
    ),
    judged(
        "9110 13.2.2",
        "a tag counts before the moment: it matches",
        ok("one", LIFE, etag=TAG, last_modified=At(-500)),
        {**unless(TAG), **since(At(-900))},
        304,
    ),
    judged(
        "9110 13.1.3",
        "a tag that cannot match leaves nothing to the moment",
        MODIFIED,
        {**unless('"2"'), **since(At(-500))},
        200,
    ),
    case(
        "9110 15.4.5",
        "a 304 has what the 200 would have had, less what describes its content",
        get(
            ok(
                "one",
                LIFE,
                etag=TAG,
                vary="Accept",
                expires=At(90),
                content_location="/x",
                content_type="a/b",
                last_modified=At(-500),
            ),
        ),
        get(
            h=unless(TAG),
            after=5,
            status=304,
            gives="",
            has={
                "etag": TAG,
                "vary": "Accept",
                "expires": At(90),
                "content-location": "/x",
                "date": At(0),
                "cache-control": LIFE,
            },
            lacks=("content-encoding", "transfer-encoding"),
        ),
    ),
    case(
        "9110 13.1.2",
        "HEAD may state a condition",
        get(ok("one", LIFE, etag=TAG)),
        head(h=unless(TAG), status=304),
        head(h=unless('"2"')),
    ),
    case(
        "9111 4.3.2",
        "a condition on a place where nothing is kept is answered as the origin would",
        get(ok("one", LIFE, etag=TAG, answers_304=True), h=unless(TAG), status=304, gives=""),
    ),
    case(
        "9111 4.3.2",
        "and with all of it if it does not hold",
        get(ok("one", LIFE, etag=TAG, answers_304=True), h=unless('"0"')),
        get(gives="one"),
    ),
    case(
        "9111 3",
        "a 304 that was for one client is not given to another",
        get(ok("one", LIFE, etag=TAG, answers_304=True), h=unless(TAG), status=304, gives=""),
        get(ok("one", LIFE, etag=TAG, answers_304=True), asked=ANY_NUMBER, gives="one", cs=None),
    ),
    case(
        "9111 4.3.2",
        "also not one by a moment",
        get(ok("one", LIFE, last_modified=At(-500), answers_304=True), h=since(At(-500)), status=304, gives=""),
        get(ok("one", LIFE, last_modified=At(-500), answers_304=True), asked=ANY_NUMBER, gives="one", cs=None),
    ),
    case(
        "9111 4.3.2",
        "on a stale answer the client that has it is told so",
        get(ok("one", "max-age=10", etag=TAG)),
        get(ok("one", "max-age=10", etag=TAG, answers_304=True), h=unless(TAG), after=15, status=304, gives=""),
        get(gives="one"),
    ),
    case(
        "9111 4.3.2",
        "on a stale answer the client that has an older one is given it",
        get(ok("one", "max-age=10", etag=TAG)),
        get(ok("one", "max-age=10", etag=TAG, answers_304=True), h=unless('"0"'), after=15, status=200, gives="one"),
    ),
    case(
        "9111 4.3.2",
        "on a stale answer the client that has a newer one is told so",
        get(ok("one", "max-age=10", etag=TAG)),
        get(ok("two", "max-age=10", etag='"2"', answers_304=True), h=unless('"2"'), after=15, status=304, gives=""),
        get(ok("two", "max-age=10", etag='"2"', answers_304=True), asked=ANY_NUMBER, gives="two", cs=None),
        demand="should",
    ),
    case(
        "9111 4.3.2",
        "a stale answer by its moment is asked about by the kept one's, and the client's is judged here",
        get(ok("one", "max-age=10", last_modified=At(-500))),
        get(
            ok("one", "max-age=10", last_modified=At(-500), answers_304=True),
            h=since(At(-900)),
            after=15,
            status=200,
            gives="one",
        ),
    ),
    case(
        "9111 4.3.2",
        "a client that has nothing is never given a 304",
        get(ok("one", "max-age=10", etag=TAG)),
        get(ok("one", "max-age=10", etag=TAG, answers_304=True), after=15, status=200, gives="one"),
    ),
)
