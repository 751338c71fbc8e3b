"""RFC 9111 section 4.2.3 and 5.1: how old an answer is."""

from __future__ import annotations

from tests.contract.caching.case import At, case, get, ok

FRESH = "max-age=60"


def came_old(age, section, sentence, says, **changes):
    """The answer was *age* seconds old when it came, and may be 60."""
    return case(
        section,
        sentence,
        get(says),
        get(after=59 - age, gives="one", has={"age": "59"}),
        get(ok("two"), after=1),
        **changes,
    )


CASES = (
    case(
        "9111 5.1",
        "Age says how long an answer has been kept",
        get(ok("one", FRESH)),
        get(gives="one", has={"age": "0"}),
        get(after=7, gives="one", has={"age": "7"}),
        get(after=5, gives="one", has={"age": "12"}),
    ),
    came_old(40, "9111 4.2.3", "the age that the upstream names counts", ok("one", FRESH, age="40")),
    came_old(40, "9111 4.2.3", "the time since Date counts", ok("one", FRESH, date=At(-40))),
    came_old(40, "9111 4.2.3", "the larger of both counts: Age", ok("one", FRESH, age="40", date=At(-10))),
    came_old(
        40, "9111 4.2.3", "the larger of both counts: the time since Date", ok("one", FRESH, age="10", date=At(-40))
    ),
    came_old(0, "9111 4.2.3", "a Date to come makes nothing younger than new", ok("one", FRESH, date=At(40))),
    came_old(0, "9111 4.2.3", "without Date, age counts from when the answer came", ok("one", FRESH, date="")),
    came_old(0, "9110 6.6.1", "a Date that is none counts as none", ok("one", FRESH, date="yesterday"), demand="may"),
    came_old(10, "9111 4.2.3", "the time that the answer took counts", ok("one", FRESH, takes_s=10)),
    came_old(15, "9111 4.2.3", "it is added to the upstream's Age", ok("one", FRESH, age="5", takes_s=10)),
    came_old(30, "9111 4.2.3", "it is not added to the time since Date", ok("one", FRESH, date=At(-20), takes_s=10)),
    case(
        "9111 4.2.3",
        "an answer that was too old when it came is stale",
        get(ok("one", FRESH, age="60")),
        get(ok("two")),
    ),
    case("9111 4.2.3", "also by its Date", get(ok("one", FRESH, date=At(-60))), get(ok("two"))),
    case(
        "9111 4.2.3",
        "age counts against Expires, too",
        get(ok("one", age="40", expires=At(60))),
        get(after=19, gives="one"),
        get(ok("two"), after=1),
    ),
    came_old(0, "9111 5.1", "an Age that is no number is passed over", ok("one", FRESH, age="old"), demand="should"),
    came_old(0, "9111 5.1", "a negative Age is passed over", ok("one", FRESH, age="-40"), demand="should"),
    came_old(0, "9111 5.1", "an Age with a fraction is passed over", ok("one", FRESH, age="40.5"), demand="should"),
    came_old(5, "9111 5.1", "of several Ages the first counts", ok("one", FRESH, age="5, 40"), demand="should"),
    came_old(5, "9111 5.1", "also on several lines", ok("one", FRESH, age=("5", "40")), demand="should"),
    case(
        "9111 1.2.2",
        "an Age beyond measure is a very large one",
        get(ok("one", FRESH, age="9" * 400)),
        get(ok("two")),
    ),
    case(
        "9111 5.1",
        "the upstream's Age is replaced and not said twice",
        get(ok("one", FRESH, age="40")),
        get(after=3, gives="one", has={"age": ("43",)}),
    ),
    case(
        "9111 4.3.4",
        "age counts anew from the answer that confirmed it",
        get(ok("one", "max-age=10", etag='"1"')),
        get(ok("one", "max-age=10", etag='"1"', answers_304=True), after=15),
        get(after=4, gives="one", has={"age": "4"}),
        get(ok("two"), after=6),
    ),
    case(
        "9111 4.2.3",
        "the age of a confirmation counts",
        get(ok("one", "max-age=10", etag='"1"')),
        get(ok("one", "max-age=10", etag='"1"', age="6", answers_304=True), after=15),
        get(after=3, gives="one", has={"age": "9"}),
        get(ok("two"), after=1),
    ),
)
