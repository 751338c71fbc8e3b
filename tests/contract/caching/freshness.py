"""RFC 9111 section 4.2.1: for how long an answer is fresh; section 5.3: Expires."""

from __future__ import annotations

from tests.contract.caching.case import At, Keeping, case, get, ok

TTL = Keeping(ttl="60s")


def fresh_for(seconds, section, sentence, says, **changes):
    """The answer is given one second before its time is over, and asked for again when it is."""
    early, late = get(after=seconds - 1, gives=says.body), get(ok("two", "max-age=60"), after=1)
    return case(section, sentence, get(says), early, late, **changes)


def stale_at_once(section, sentence, says, **changes):
    return case(section, sentence, get(says), get(ok("two", "max-age=60"), after=1), **changes)


def expires(*values, **fields):
    return ok("one", expires=values if len(values) > 1 else values[0], **fields)


CASES = (
    fresh_for(
        60,
        "9111 4.2",
        "an answer is fresh while its age is below its lifetime, and not when they are equal",
        ok("one", "max-age=60"),
    ),
    fresh_for(60, "9111 4.2.1", "s-maxage counts before a shorter max-age", ok("one", "max-age=1, s-maxage=60")),
    fresh_for(10, "9111 4.2.1", "s-maxage counts before a longer max-age", ok("one", "s-maxage=10, max-age=600")),
    fresh_for(10, "9111 4.2.1", "s-maxage counts before Expires", ok("one", "s-maxage=10", expires=At(600))),
    fresh_for(60, "9111 4.2.1", "max-age counts before an earlier Expires", ok("one", "max-age=60", expires=At(5))),
    fresh_for(10, "9111 4.2.1", "max-age counts before a later Expires", ok("one", "max-age=10", expires=At(600))),
    fresh_for(60, "9111 4.2.1", "max-age counts before an Expires that is none", ok("one", "max-age=60", expires="0")),
    fresh_for(10, "9111 4.2.1", "max-age counts before the project's ttl", ok("one", "max-age=10"), keeping=TTL),
    fresh_for(90, "9111 4.2.1", "a longer max-age counts, too", ok("one", "max-age=90"), keeping=TTL),
    fresh_for(10, "9111 4.2.1", "s-maxage counts before the project's ttl", ok("one", "s-maxage=10"), keeping=TTL),
    fresh_for(10, "9111 4.2.1", "Expires counts before the project's ttl", expires(At(10)), keeping=TTL),
    stale_at_once("9111 4.2.1", "max-age=0 counts before the project's ttl", ok("one", "max-age=0"), keeping=TTL),
    stale_at_once("9111 4.2.1", "s-maxage=0 counts before max-age", ok("one", "s-maxage=0, max-age=60")),
    fresh_for(
        60,
        "9111 4.2.2",
        "Last-Modified gives no lifetime beside the project's ttl",
        ok("one", last_modified=At(-1_000_000)),
        keeping=TTL,
        demand="stricter",
    ),
    stale_at_once(
        "9111 4.2.2",
        "nothing is guessed from Last-Modified",
        ok("one", last_modified=At(-1_000_000)),
        demand="stricter",
    ),
    # ------------------------------------------------------------------------------------------------- Expires
    fresh_for(10, "9111 4.2.1", "Expires less Date is the lifetime", expires(At(10))),
    fresh_for(10, "9111 4.2.1", "an origin whose clock is ahead means its own Date", expires(At(1010), date=At(1000))),
    fresh_for(10, "9111 4.2.1", "without Date, Expires counts from when the answer came", expires(At(10), date="")),
    fresh_for(10, "9110 5.6.7", "Expires may have the form of RFC 850", expires(At(10, "rfc850"))),
    fresh_for(10, "9110 5.6.7", "Expires may have the form of asctime", expires(At(10, "asctime"))),
    fresh_for(10, "9110 5.6.7", "Date may have the form of asctime", expires(At(10), date=At(0, "asctime"))),
    stale_at_once("9111 5.3", "Expires that is past is stale", expires(At(-10))),
    stale_at_once("9111 5.3", "Expires that is Date is stale", expires(At(0))),
    *(
        stale_at_once("9111 5.3", f"Expires '{value}' is past", expires(value))
        for value in ("0", "-1", "60", "never", "Fri, 32 Jan 2027 08:00:00 GMT", "2027-01-16T08:00:00Z")
    ),
    stale_at_once("9111 5.3", "Expires with an offset in place of GMT is past", expires(At(600, "zone"))),
    stale_at_once("9111 5.3", "Expires that is none counts before the project's ttl", expires("0"), keeping=TTL),
    stale_at_once("9111 4.2.1", "of two Expires, not only the later one counts", expires(At(-10), At(600))),
    stale_at_once("9111 4.2.1", "of two Expires, the earlier one counts", expires(At(600), At(-10)), demand="stricter"),
    fresh_for(60, "9111 4.2.1", "two Expires that say the same are one", expires(At(60), At(60)), demand="may"),
    # ----------------------------------------------------------------------------------- what is said, and how
    *(
        stale_at_once("9111 4.2.1", f"max-age={value} is no lifetime", ok("one", f"max-age={value}"), demand="stricter")
        for value in ("abc", "", "-1", "1.5", "0x3c", "+60", "60s", "1e9", '""', "60;public")
    ),
    stale_at_once("9111 4.2.1", "max-age without a value is no lifetime", ok("one", "max-age"), demand="stricter"),
    stale_at_once(
        "9111 4.2.1",
        "max-age that is no number does not leave it to the project",
        ok("one", "max-age=abc"),
        keeping=TTL,
        demand="stricter",
    ),
    stale_at_once(
        "9111 4.2.1",
        "s-maxage that is no number does not leave it to max-age",
        ok("one", "s-maxage=abc, max-age=60"),
        demand="stricter",
    ),
    stale_at_once(
        "9111 4.2.1",
        "max-age that is no number does not leave it to Expires",
        ok("one", "max-age=abc", expires=At(60)),
        demand="stricter",
    ),
    case(
        "9111 4.2.1",
        "of two max-age, not only the longer one counts",
        get(ok("one", "max-age=1, max-age=100")),
        get(ok("two"), after=50),
    ),
    case(
        "9111 4.2.1",
        "of two max-age, the shorter one counts",
        get(ok("one", "max-age=100, max-age=1")),
        get(ok("two"), after=50),
        demand="stricter",
    ),
    case(
        "9111 4.2.1",
        "also on two lines",
        get(ok("one", ("max-age=100", "max-age=1"))),
        get(ok("two"), after=50),
        demand="stricter",
    ),
    fresh_for(
        60, "9111 4.2.1", "two max-age that say the same are one", ok("one", "max-age=60, max-age=60"), demand="may"
    ),
    fresh_for(60, "9111 5.2", "an argument may be quoted", ok("one", 'max-age="60"'), demand="should"),
    fresh_for(60, "9111 1.2.2", "a number may begin with zeros", ok("one", "max-age=00060")),
    fresh_for(60, "9111 5.2", "a directive's case does not count", ok("one", "Max-AGE=60")),
    fresh_for(60, "9110 5.6.1", "elements of a list may be empty", ok("one", ", ,max-age=60,, ,")),
    fresh_for(60, "9110 5.6.3", "spaces and tabs may stand around commas", ok("one", "public \t,\t max-age=60 \t, x")),
    fresh_for(60, "9111 5.2", "spaces around an equals sign are read over", ok("one", "max-age = 60"), demand="may"),
    fresh_for(60, "9110 5.3", "directives may be on several lines", ok("one", ("public", "max-age=60"))),
    *(
        case(
            "9111 1.2.2",
            f"a lifetime of {name} is a very long one",
            get(ok("one", f"max-age={value}")),
            get(after=100_000, gives="one"),
        )
        for name, value in (("2^31", 2**31), ("2^63", 2**63), ("400 digits", "9" * 400))
    ),
    fresh_for(
        60,
        "9111 5.2.3",
        "a directive that nobody knows is passed over",
        ok("one", 'frobnicate, max-age=60, community="UCI"'),
    ),
    fresh_for(
        60,
        "9111 5.2.3",
        "what is said inside of quotes is no directive",
        ok("one", 'max-age=60, x="a, no-store, private"'),
    ),
    fresh_for(60, "9111 5.2.3", "escaped quotes do not end quotes", ok("one", r'x="a\", no-store, \"", max-age=60')),
    fresh_for(
        60,
        "9111 5.2.3",
        "a name that only begins like a directive is another",
        ok("one", "no-storehouse, privately, max-age=60"),
    ),
)
