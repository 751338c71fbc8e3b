"""RFC 9111 section 4.4: what a change makes invalid."""

from __future__ import annotations

from tests.contract.caching.case import ask, case, get, head, ok, post

LIFE = "max-age=600"


def changed_by(section, sentence, method, says, **changes):
    return case(
        section,
        sentence,
        get(ok("one", LIFE)),
        ask(method, says, body=b"a", after=1),
        get(ok("two", LIFE), after=1),
        get(gives="two"),
        **changes,
    )


def unchanged_by(section, sentence, method, says, **changes):
    return case(
        section,
        sentence,
        get(ok("one", LIFE)),
        ask(method, says, body=b"a", after=1),
        get(after=1, gives="one"),
        **changes,
    )


def beside(section, sentence, says, *, invalid, **changes):
    """POST to one place says something of another, which is at `/x` below the case's path."""
    last = get(ok("two", LIFE), path="/x", after=1) if invalid else get(path="/x", after=1, gives="one")
    return case(section, sentence, get(ok("one", LIFE), path="/x"), post(says, body=b"a", after=1), last, **changes)


CASES = (
    *(
        changed_by("9111 4.4", f"{method} that succeeds makes what is kept invalid", method, ok("done"))
        for method in ("POST", "PUT", "PATCH", "DELETE")
    ),
    *(
        changed_by(
            "9111 4.4", f"status {status} counts as success", "POST", ok("" if status == 204 else "done", status=status)
        )
        for status in (201, 202, 204, 302, 303, 307)
    ),
    *(
        unchanged_by("9111 4.4", f"status {status} changes nothing", "POST", ok("no", status=status))
        for status in (400, 403, 404, 409, 412, 500, 503)
    ),
    unchanged_by("9111 4.4", "OPTIONS changes nothing", "OPTIONS", ok("")),
    case(
        "9111 4.4",
        "GET of another place changes nothing",
        get(ok("one", LIFE)),
        get(ok("two", LIFE), path="/x"),
        get(gives="one"),
    ),
    case("9111 4.4", "HEAD changes nothing", get(ok("one", LIFE)), head(), get(gives="one")),
    case(
        "9111 4.4",
        "a change of another path changes nothing here",
        get(ok("one", LIFE)),
        post(ok("done"), path="/x", after=1),
        get(after=1, gives="one"),
    ),
    case(
        "9111 4.4",
        "a change below changes nothing above, nor the other way round",
        get(ok("one", LIFE), path="/a"),
        get(ok("two", LIFE), path="/a/b"),
        post(ok("done"), path="/a", after=1),
        get(path="/a/b", after=1, gives="two"),
        get(ok("three", LIFE), path="/a"),
    ),
    case(
        "9111 4.4",
        "a change makes all queries of the path invalid",
        get(ok("one", LIFE), path="?a=1"),
        get(ok("two", LIFE)),
        post(ok("done"), after=1),
        get(ok("three", LIFE), path="?a=1", after=1),
        get(ok("four", LIFE)),
        demand="stricter",
    ),
    case(
        "9111 4.4",
        "a change with a query makes the path without one invalid, too",
        get(ok("one", LIFE)),
        post(ok("done"), path="?a=1", after=1),
        get(ok("two", LIFE), after=1),
        demand="stricter",
    ),
    case(
        "9111 4.4",
        "what is kept after a change is valid",
        post(ok("done"), body=b"a"),
        get(ok("one", LIFE), after=1),
        get(after=1, gives="one"),
    ),
    case(
        "9111 4.4",
        "an invalid answer is not asked about as if it were there, or confirmed by the origin",
        get(ok("one", LIFE, etag='"1"')),
        post(ok("done"), after=1),
        get(ok("two", LIFE, etag='"2"'), after=1),
        get(gives="two"),
    ),
    case(
        "9111 4.4",
        "a change through one host counts for the path on all of them",
        get(ok("one", LIFE), h={"Host": "a.example"}),
        post(ok("done"), h={"Host": "b.example"}, after=1),
        get(ok("two", LIFE), h={"Host": "a.example"}, after=1),
        demand="stricter",
    ),
    beside(
        "9111 4.4",
        "Location of a change is invalid, too",
        ok("done", status=201, location="{path}/x"),
        invalid=True,
        demand="may",
    ),
    beside(
        "9111 4.4",
        "Content-Location of a change is invalid, too",
        ok("done", content_location="{path}/x"),
        invalid=True,
        demand="may",
    ),
    beside(
        "9111 4.4",
        "also with the host that the client asked",
        ok("done", status=201, location="{gateway}{path}/x"),
        invalid=True,
        demand="may",
    ),
    beside(
        "9111 4.4",
        "a Location on another host is not",
        ok("done", status=201, location="http://elsewhere.example{path}/x"),
        invalid=False,
    ),
    beside(
        "9111 4.4",
        "a Content-Location on another host is not",
        ok("done", content_location="//elsewhere.example{path}/x"),
        invalid=False,
    ),
    beside(
        "9111 4.4",
        "a Location that is none does no harm",
        ok("done", status=201, location="http://[::1"),
        invalid=False,
    ),
    beside(
        "9111 4.4",
        "the Location of a change that failed is not",
        ok("no", status=404, location="{path}/x"),
        invalid=False,
    ),
)
