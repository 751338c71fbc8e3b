"""RFC 9111 section 3.5, and whose answers are whose: who is calling decides before anything that is kept."""

from __future__ import annotations

from tests.contract.caching.case import ANY_NUMBER, Keeping, case, get, ok, post

LIFE = "max-age=600"
SUBJECT, ORGANIZATION, PUBLIC = (Keeping(ttl="60s", by=by) for by in ("subject", "organization", "public"))
COOKIE = {"Cookie": "session=1"}

CASES = (
    case(
        "9111 3.5", "by subject: an answer is its caller's alone, and both are kept",
        get(ok("of ada"), who="ada"), get(ok("of kim"), who="kim"), get(gives="of ada", who="ada"), get(gives="of kim", who="kim"),
        door="required", keeping=SUBJECT,
    ),
    case(
        "9111 3.5", "by subject: also where the answer names its lifetime",
        get(ok("of ada", LIFE), who="ada"), get(gives="of ada", who="ada", after=5), get(ok("of kim", LIFE), who="kim"),
        door="required", keeping=SUBJECT,
    ),
    case(
        "9111 5.2.2.7", "by subject: private is for the caller's own cache and not for this one",
        get(ok("of ada", "private, max-age=60"), who="ada"), get(ok("two"), who="ada"), door="required", keeping=SUBJECT,
    ),
    case(
        "6265 3", "by subject: an answer with Set-Cookie is not kept",
        get(ok("of ada", LIFE, set_cookie="a=1"), who="ada"), get(ok("two"), who="ada"), door="required", keeping=SUBJECT, demand="stricter",
    ),
    case(
        "9111 4.4", "by subject: one caller's change makes the others' answers invalid",
        get(ok("of ada", LIFE), who="ada"), post(ok("done"), who="kim", after=1), get(ok("new", LIFE), who="ada", after=1),
        door="required", keeping=SUBJECT,
    ),
    case(
        "9111 3.5", "by subject: nobody's answer is nobody's, and not a caller's",
        get(ok("of nobody")), get(ok("of ada"), who="ada"), get(gives="of nobody"), get(gives="of ada", who="ada"),
        door="optional", keeping=SUBJECT,
    ),
    case(
        "9111 3.5", "by subject: a caller's answer is not nobody's",
        get(ok("of ada"), who="ada"), get(ok("of nobody")), door="optional", keeping=SUBJECT,
    ),
    case(
        "9111 4.1", "by subject: each caller has variants",
        get(ok("ada en", LIFE, vary="Accept"), who="ada", h={"Accept": "a/b"}), get(ok("ada de", LIFE, vary="Accept"), who="ada", h={"Accept": "c/d"}),
        get(ok("kim en", LIFE, vary="Accept"), who="kim", h={"Accept": "a/b"}), get(gives="ada en", who="ada", h={"Accept": "a/b"}),
        door="required", keeping=SUBJECT,
    ),
    case(
        "9111 4.3.2", "by subject: another's tag finds nothing of his",
        get(ok("of ada", LIFE, etag='"1"'), who="ada"),
        get(ok("of kim", LIFE, etag='"2"'), who="kim", h={"If-None-Match": '"1"'}), door="required", keeping=SUBJECT,
    ),
    case(
        "5861 4", "by subject: another's stale answer stands in for nothing",
        get(ok("of ada", "max-age=10, stale-if-error=600"), who="ada"), get(ok("down", status=503), who="kim", after=15),
        door="required", keeping=SUBJECT,
    ),
    case(
        "9111 3.5", "a caller who shows nothing is refused, whatever is kept",
        get(ok("of ada", "public, max-age=600"), who="ada"), get(status=401, cs=None), door="required", keeping=PUBLIC,
    ),
    case(
        "9111 3.5", "a token that is none is refused, whatever is kept",
        get(ok("of ada", "public, max-age=600"), who="ada"), get(h={"Authorization": "Bearer a.b.c"}, status=(401, 403), cs=None),
        door="required", keeping=PUBLIC,
    ),
    case(
        "9111 3.5", "by organization: what one member got is given to another",
        get(ok("of o1"), who="ada"), get(after=5, gives="of o1", who="kim"), door="members", keeping=ORGANIZATION,
    ),
    case(
        "9111 3.5", "by organization: and to nobody of another organization",
        get(ok("of o1"), who="ada"), get(ok("of o2"), who="rook"), get(gives="of o1", who="kim"), get(gives="of o2", who="rook"),
        door="members", keeping=ORGANIZATION,
    ),
    case(
        "9111 4.4", "by organization: a change by one organization makes the answers of all invalid",
        get(ok("of o1"), who="ada"), post(ok("done"), who="rook", after=1), get(ok("new"), who="kim", after=1),
        door="members", keeping=ORGANIZATION,
    ),
    case(
        "9111 3.5", "by subject: members of one organization share nothing",
        get(ok("of ada"), who="ada"), get(ok("of kim"), who="kim"), door="members", keeping=SUBJECT,
    ),
    case(
        "9111 3.5", "by public: a caller's answer that says nothing of it is not kept",
        get(ok("of ada"), who="ada", cs="!stored"), get(ok("of kim"), who="kim"), door="required", keeping=PUBLIC,
    ),
    case(
        "9111 3.5", "by public: nor with a lifetime for everybody's caches",
        get(ok("of ada", LIFE), who="ada"), get(ok("two", LIFE), who="ada"), door="required", keeping=PUBLIC,
    ),
    *(
        case(
            "9111 3.5", f"by public: a caller's answer that says {word} is everybody's",
            get(ok("for all", value), who="ada"), get(after=5, gives="for all", who="kim"), get(gives="for all"),
            door="optional", keeping=PUBLIC, demand="may",
        )
        for word, value in (("public", "public, max-age=600"), ("s-maxage", "s-maxage=600"), ("public and no time", "public"))
    ),
    case(
        "9111 3.5", "by public: must-revalidate does not make it everybody's",
        get(ok("of ada", "max-age=600, must-revalidate"), who="ada"), get(ok("two"), who="kim"),
        door="required", keeping=PUBLIC, demand="stricter",
    ),
    case(
        "9111 3.5", "by public: nobody's answer is kept for nobody",
        get(ok("of nobody")), get(after=5, gives="of nobody"), door="optional", keeping=PUBLIC,
    ),
    case(
        "9111 3.5", "by public: a caller's confirmation does not make it everybody's",
        get(ok("for all", "public, max-age=10", etag='"1"'), who="ada"),
        get(ok("for all", "max-age=10", etag='"1"', answers_304=True), who="ada", after=15),
        get(ok("two"), who="kim", asked=ANY_NUMBER, cs=None), door="required", keeping=PUBLIC, demand="may",
    ),
    case(
        "9111 3.5", "an answer to a cookie that went upstream is not kept",
        get(ok("one", LIFE), h=COOKIE, told={"cookie": "session=1"}, cs="!stored"), get(ok("two", LIFE)), door="cookies", demand="stricter",
    ),
    case(
        "9111 3.5", "unless it says that it is public",
        get(ok("one", "public, max-age=600"), h=COOKIE), get(after=5, gives="one"), door="cookies", demand="may",
    ),
    case(
        "9111 3.5", "a cookie that stays at the gateway changes nothing",
        get(ok("one", LIFE), h=COOKIE, told={"cookie": None}), get(after=5, gives="one"), demand="may",
    ),
    case(
        "fetch 3.2", "pages of two origins may read the same kept answer, each in its own name",
        get(ok("one", LIFE), h={"Origin": "https://a.example"}, has={"access-control-allow-origin": "https://a.example"}),
        get(gives="one", h={"Origin": "https://b.example"}, has={"access-control-allow-origin": "https://b.example"}),
        get(gives="one", h={"Origin": "https://evil.example"}, lacks=("access-control-allow-origin",)),
        get(gives="one", lacks=("access-control-allow-origin",)), door="pages",
    ),
)
