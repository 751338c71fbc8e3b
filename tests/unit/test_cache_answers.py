"""What a process has in memory, what all have in the table, and what happens while the table does not answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from gatehouse.caching.answers import ASKED_ABOUT_S, GONE_S
from gatehouse.caching.freshness import MOST_FRESH_S, MOST_STALE_S, Keeping
from gatehouse.caching.keying import gone_key
from gatehouse.caching.marks import LOOK_EVERY_S, SKEW_S
from gatehouse.caching.sharing import BUDGET_S, MOST_OWED, Budget
from gatehouse.call import Reply
from gatehouse.comfort import QUIET_S
from tests.unit.caching_fakes import (
    PATH,
    RULES,
    FakeTable,
    Look,
    Origin,
    Process,
    a_stored,
    a_wanted,
    drive,
    said,
    somebody,
)
from tests.unit.fakes import NOW, FakeClock, ok

MISS = ["look", "claim", "keep", "release"]


def two(ahead_s: float = 0.0, *, origin: Origin | None = None) -> tuple[FakeTable, Process, Process]:
    """Return a table, a process, and another one whose wall clock is *ahead_s*; they ask one upstream."""
    table, clock, asked = FakeTable(), FakeClock(), origin or Origin()
    return table, Process(clock, table, origin=asked), Process(clock, table, origin=asked, ahead_s=ahead_s)


# ------------------------------------------------------------------------------------------------------ what it costs


def test_what_is_not_kept_costs_one_look_one_lease_and_one_write() -> None:
    table, here, _ = two()
    assert said(here.ask()).startswith("fwd=uri-miss; fwd-status=200; stored")
    assert table.heard() == MISS


@pytest.mark.parametrize(("passed_s", "calls"), [(0.0, []), (4.999, []), (5.0, ["look"]), (59.999, ["look"])])
def test_what_is_in_memory_costs_nothing_for_five_seconds_and_then_one_look(passed_s: float, calls: list[str]) -> None:
    table, here, _ = two()
    here.ask()
    table.heard()
    here.passes(passed_s)
    assert (here.ask().body, said(here.ask()).endswith("detail=memory")) == (b"1", True)
    assert table.heard() == calls
    assert here.origin.count == 1


def test_what_was_looked_at_counts_for_five_seconds_more() -> None:
    table, here, _ = two()
    here.ask()
    for _ in range(3):
        here.passes(LOOK_EVERY_S)
        table.heard()
        here.ask()
        here.passes(LOOK_EVERY_S - 0.001)
        here.ask()
        assert table.heard() == ["look"]
        here.clock.now = round(here.clock.now + 0.001, 3) - LOOK_EVERY_S


def test_what_another_process_has_fetched_costs_one_look() -> None:
    table, here, there = two()
    there.ask()
    table.heard()
    reply = here.ask()
    assert (reply.body, said(reply), table.heard()) == (b"1", "hit; ttl=60; detail=table", ["look"])
    assert (said(here.ask()), table.heard()) == ("hit; ttl=60; detail=memory", [])


def test_what_is_known_of_one_path_says_nothing_of_another() -> None:
    table, here, _ = two()
    here.ask()
    here.passes(LOOK_EVERY_S)
    here.ask("/a/other")  # the purges of the project are read with it
    table.heard()
    here.ask()
    assert table.heard() == ["look"]


def test_purges_are_read_with_an_answer_and_not_more_often_than_need_be() -> None:
    table, here, _ = two()
    read: list[str] = []
    look = table.look

    def noting(*args: str, purges: str = "", **others: float) -> Look:
        read.append(purges)
        return look(*args, purges=purges, **others)  # type: ignore[arg-type]

    table.look = noting  # type: ignore[method-assign, assignment]
    for path, passed_s in (("/a/1", 0.0), ("/a/2", 4.0), ("/a/1", 1.0), ("/a/2", 4.0)):
        here.passes(passed_s)
        here.ask(path)
    assert read == ["p", "", "p", ""]


# ------------------------------------------------------------------------------------------ what others do is noticed


def test_what_another_process_changes_is_noticed_after_five_seconds() -> None:
    _, here, there = two()
    here.ask()
    there.ask(method="PUT")
    here.passes(LOOK_EVERY_S - 0.001)
    assert here.ask().body == b"1"
    here.passes(0.001)
    assert here.ask().body == b"3"
    assert there.ask().body == b"3"


def test_what_this_process_changes_it_knows_at_once_and_with_it_who_has_nothing_in_memory() -> None:
    _, here, there = two()
    here.ask()
    here.ask(method="DELETE")
    here.passes(SKEW_S + 0.1)
    assert here.ask().body == b"3"
    there.ask("/a/other", method="POST")
    assert there.ask().body == b"3"
    there.ask(method="POST")
    assert there.ask().body == b"6"


def test_what_was_on_its_way_when_it_was_changed_is_given_to_who_asked_and_not_kept() -> None:
    table, here, there = two(origin=Origin(takes_s=1.0))

    async def meanwhile() -> str:
        asked = asyncio.create_task(here.asks())
        await asyncio.sleep(0.5)
        await there.asks(method="PUT", origin=Origin())
        return said(await asked)

    assert "stored" in drive(meanwhile(), here.clock)  # here nobody knows yet
    table.heard()
    here.passes(LOOK_EVERY_S)
    assert said(here.ask()).startswith("fwd=uri-miss")
    assert said(there.ask()).startswith("hit")


def test_what_was_on_its_way_when_this_process_changed_it_is_not_kept() -> None:
    _, here, _ = two(origin=Origin(takes_s=1.0))

    async def meanwhile() -> str:
        asked = asyncio.create_task(here.asks())
        await asyncio.sleep(0.5)
        await here.asks(method="PUT", origin=Origin())
        return said(await asked)

    assert drive(meanwhile(), here.clock) == "fwd=uri-miss; fwd-status=200"
    assert here.ask().body == b"2"


@pytest.mark.parametrize(
    ("what", "gone"), [({}, True), ({"route": "r"}, True), ({"route": "q"}, False), ({"path": PATH}, True)]
)
def test_what_is_purged_is_noticed_after_five_seconds(what: dict[str, str], gone: bool) -> None:
    table, here, there = two()
    here.ask()
    table.purge(**what)
    here.passes(LOOK_EVERY_S - 0.001)
    assert here.ask().body == b"1"
    here.passes(0.001)
    assert here.ask().body == (b"2" if gone else b"1")
    assert there.ask().body == (b"2" if gone else b"1")
    here.passes(LOOK_EVERY_S)
    assert here.ask().body == (b"2" if gone else b"1")


def test_what_another_process_has_renewed_is_found_instead_of_asking() -> None:
    _, here, there = two()
    here.ask()
    there.passes(60.0)
    assert there.ask().body == b"2"
    reply = here.ask()
    assert (reply.body, said(reply)) == (b"2", "hit; ttl=60; detail=table")
    assert here.origin.count == 2


def test_what_is_newer_here_than_in_the_table_stays() -> None:
    table, here, _ = two()
    here.ask()
    (place,) = table.answers
    here.passes(10.0)
    table.answers[place] = (replace(table.answers[place][0], asked_at=NOW - 1.0, body=b"old"), NOW + 999.0)
    here.passes(50.0)
    assert here.ask().body == b"2"  # the older one is not fresh, either, and is not what is asked about


# ----------------------------------------------------------------------------------------------------------- variants


def test_each_variant_has_a_place_of_its_own_in_the_table() -> None:
    table, here, there = two(origin=Origin(always=(("vary", "accept"),)))
    assert (here.ask(PATH, ("accept", "a")).body, table.heard()) == (b"1", MISS)
    reply = there.ask(PATH, ("accept", "b"))
    assert (reply.body, said(reply)) == (b"2", "fwd=vary-miss; fwd-status=200; stored; ttl=60")
    assert table.heard() == ["look", "look", "keep"]
    for value, body, looks in (("a", b"1", 1), ("b", b"2", 2)):
        fresh = Process(here.clock, table, origin=here.origin)
        reply = fresh.ask(PATH, ("accept", value))
        assert (reply.body, said(reply)) == (body, "hit; ttl=60; detail=table")
        assert table.heard() == ["look"] * looks
        assert said(fresh.ask(PATH, ("accept", value))).endswith("detail=memory")


@pytest.mark.parametrize("what", ["variant", "names"])
def test_another_variant_than_belongs_at_a_place_is_not_given(what: str) -> None:
    table, here, there = two(origin=Origin(always=(("vary", "accept"),)))
    here.ask(PATH, ("accept", "a"))
    (first,) = table.answers
    there.ask(PATH, ("accept", "b"))
    (other,) = set(table.answers) - {first}
    stored = table.answers[other][0]
    wrong = {"variant": table.answers[first][0].variant} if what == "variant" else {"names": ("accept", "x-a")}
    table.answers[other] = (replace(stored, **wrong), NOW + 999.0)
    fresh = Process(here.clock, table, origin=here.origin)
    assert said(fresh.ask(PATH, ("accept", "b"))).startswith("fwd=vary-miss")


def test_a_variant_that_cannot_be_looked_for_is_asked_for() -> None:
    table, here, there = two(origin=Origin(always=(("vary", "accept"),)))
    here.ask(PATH, ("accept", "a"))
    original = table.look

    def once(*args: object, **kwargs: object) -> object:
        if table.calls[-1:] == ["look"]:
            table.error = OSError()
        return original(*args, **kwargs)  # type: ignore[arg-type]

    table.heard()
    table.look = once  # type: ignore[assignment, method-assign]
    assert there.ask(PATH, ("accept", "b")).body == b"2"
    assert there.notes["cacheShared"] is False


def test_without_a_table_it_is_said_whether_there_is_another_variant() -> None:
    here = Process(origin=Origin(always=(("vary", "accept"),)))
    assert said(here.ask(PATH, ("accept", "a"))).startswith("fwd=uri-miss")
    assert said(here.ask(PATH, ("accept", "b"))).startswith("fwd=vary-miss")
    assert said(here.ask("/a/other", ("accept", "b"))).startswith("fwd=uri-miss")


# -------------------------------------------------------------------------------------------------- without the table


@pytest.mark.parametrize("error", [OSError(), ValueError(), KeyError("x"), TimeoutError(), RuntimeError()])
def test_without_the_table_the_upstream_is_asked_and_nobody_fails(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    table, here, _ = two()
    table.error = error
    assert said(here.ask()) == "fwd=uri-miss; fwd-status=200; stored; ttl=60"
    assert here.notes == {"cache": "miss", "cacheShared": False}
    assert table.heard() == ["look"]
    assert said(here.ask()).startswith("fwd=stale")  # nobody knows what was purged
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["message"], line["reason"]) == ("cache not reached", type(error).__name__)


def test_a_table_that_failed_is_left_alone_for_a_while_and_then_asked_again() -> None:
    table, here, _ = two()
    table.error = OSError()
    here.ask()
    table.heard()
    table.error = None
    here.passes(QUIET_S - 0.001)
    assert said(here.ask("/a/other")).startswith("fwd=uri-miss")
    assert (here.notes["cacheShared"], table.heard()) == (False, [])
    here.passes(0.001)
    here.ask("/a/third")
    assert ("cacheShared" not in here.notes, table.heard()) == (True, MISS)


def test_what_nobody_can_vouch_for_is_asked_about_with_its_tag() -> None:
    tag = ("etag", '"1"')
    table, here, _ = two(origin=Origin(ok(b"whole", tag), ok(b"", tag, status=304)))
    here.ask()
    table.error = OSError()
    here.passes(LOOK_EVERY_S)
    reply = here.ask()
    assert (reply.status, reply.body) == (200, b"whole")
    assert said(reply) == "fwd=stale; fwd-status=304; stored; ttl=60"
    assert here.origin.asked[1].headers.get("if-none-match") == '"1"'
    assert (here.notes["cache"], here.notes["cacheShared"]) == ("renewed", False)
    assert here.ask().body == b"3"


def test_what_nobody_can_vouch_for_stands_in_for_nothing() -> None:
    table, here, _ = two(origin=Origin(ok(b"one"), ok(b"down", status=503)))
    rules = replace(RULES, keeping=Keeping(ttl_s=60, stale_if_error_s=3600))
    here.ask(rules=rules)
    table.error = OSError()
    here.passes(LOOK_EVERY_S)
    assert here.ask(rules=rules).status == 503


@pytest.mark.parametrize(
    ("slow_s", "late_s", "quiet"), [(0.01, 0.04, False), (0.5, BUDGET_S, True), (60.0, BUDGET_S, True)]
)
def test_a_slow_table_costs_a_request_its_budget_and_the_next_nothing(
    slow_s: float, late_s: float, quiet: bool
) -> None:
    table, here, _ = two()
    table.slow_s = slow_s
    assert here.ask().body == b"1"
    assert here.clock.now - NOW == pytest.approx(late_s, abs=1e-6)
    assert here.comfort.is_quiet is quiet
    before = here.clock.now
    here.ask("/a/other")
    assert here.clock.now - before == pytest.approx(0.0 if quiet else late_s, abs=1e-6)


@pytest.mark.parametrize("slow_s", [0.06, 0.1, 0.14, 0.2, 0.29])
def test_all_calls_of_a_request_together_take_no_longer_than_its_budget_and_that_of_its_lease(slow_s: float) -> None:
    table, here, _ = two()
    table.slow_s = slow_s
    assert here.ask().status == 200
    assert here.clock.now - NOW <= BUDGET_S + (slow_s if "release" in table.calls else 0.0) + 1e-6


@pytest.mark.parametrize("slow_s", [0.08, 0.1, 0.14])
def test_a_lease_is_given_back_also_by_a_request_that_has_no_time_left(slow_s: float) -> None:
    table, here, there = two(origin=Origin(always=(("cache-control", "private"),)))
    table.slow_s = slow_s
    here.ask()
    assert table.heard()[-1] == "release"
    table.slow_s = 0.0
    before = there.clock.now
    there.ask()
    assert there.clock.now - before == pytest.approx(0.0, abs=0.01)


def test_a_change_is_told_also_where_the_table_is_left_alone_because_it_was_slow_to_read() -> None:
    table, here, there = two()
    there.ask()
    table.slow_s = 0.4
    here.ask("/a/other")
    assert here.comfort.is_quiet
    table.slow_s = 0.0
    here.ask(method="POST")
    assert gone_key("p", PATH) in table.gone
    there.passes(LOOK_EVERY_S)
    assert there.ask().body == b"4"


def test_a_table_that_takes_no_changes_is_read_all_the_same() -> None:
    table, here, there = two()
    there.ask()
    table.error = OSError()
    here.ask("/a/other", method="POST")
    table.error = None
    assert (here.changes.is_quiet, said(here.ask())) == (True, "hit; ttl=60; detail=table")


# ----------------------------------------------------------------------------------------- what ends what was kept

REFUSALS = [
    ok(b"no", status=401),
    ok(b"no", status=403),
    ok(b"no", status=404),
    ok(b"no", ("cache-control", "private")),
]
OLD = replace(RULES, keeping=Keeping(ttl_s=60, stale_if_error_s=3600, stale_while_revalidate_s=3600))
"""What is kept may be given for an hour after its time."""


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_was_refused_when_it_was_to_be_renewed_stands_in_for_no_failure_in_any_process(refusal: Reply) -> None:
    rules = replace(RULES, keeping=Keeping(ttl_s=60, stale_if_error_s=3600))
    down = [ok(b"down", status=503)] * 3
    table, here, there = two(origin=Origin(ok(b"kept"), refusal, *down))
    here.ask(rules=rules)
    there.ask(rules=rules)
    here.passes(61.0)
    assert here.ask(rules=rules).body == b"no"
    assert table.answers
    down_too = here.ask(rules=rules)
    assert (down_too.status, said(down_too)) == (503, "fwd=uri-miss; fwd-status=503; detail=status")
    anew = Process(here.clock, table, origin=here.origin)
    assert anew.ask(rules=rules).status == 503
    there.passes(LOOK_EVERY_S)
    assert there.ask(rules=rules).status == 503


@pytest.mark.parametrize("freezes", [False, True])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_was_refused_behind_is_not_given_a_second_time(refusal: Reply, freezes: bool) -> None:
    table, clock = FakeTable(), FakeClock()
    origin = Origin(ok(b"kept"), refusal)
    here, there = (Process(clock, table, origin=origin, freezes=freezes) for _ in range(2))
    here.ask(rules=OLD)
    here.passes(61.0)

    async def behind() -> bytes | AsyncGenerator[bytes, None]:
        reply = await here.asks(rules=OLD)
        await asyncio.gather(*here.cache.renewing)
        return reply.body

    assert drive(behind(), clock) == (b"no" if freezes else b"kept")
    here.passes(0.001)
    assert there.ask(rules=OLD).body == b"3"
    assert here.ask(rules=OLD).body == b"3"


@pytest.mark.parametrize("says", ["private", "no-store", "private, no-store"])
def test_a_304_that_forbids_to_keep_it_ends_what_was_kept(says: str) -> None:
    tag = ("etag", '"1"')
    origin = Origin(ok(b"kept", tag), ok(b"", tag, ("cache-control", says), status=304), ok(status=503), ok(status=503))
    rules = replace(RULES, keeping=Keeping(ttl_s=60, stale_if_error_s=3600))
    _, here, there = two(origin=origin)
    here.ask(rules=rules)
    here.passes(61.0)
    assert (here.ask(rules=rules).body, there.ask(rules=rules).status, here.ask(rules=rules).status) == (
        b"kept",
        503,
        503,
    )


def test_what_was_refused_is_over_also_if_it_is_from_a_process_whose_clock_is_ahead() -> None:
    _, here, there = two(2.0, origin=Origin(ok(b"kept"), ok(b"no", status=403)))
    there.ask()
    assert here.ask().body == b"kept"
    assert here.ask(PATH, ("cache-control", "no-cache")).body == b"no"
    assert here.ask().body == b"3"


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("first", ["a", "b"])
def test_what_was_refused_is_over_at_whichever_place_the_table_has_its_variant(first: str, taken: bool) -> None:
    vary = ("vary", "accept")
    table, here, _ = two(origin=Origin(always=(vary,)))
    one, other = ("accept", "a"), ("accept", "b")
    for field in (one, other) if first == "a" else (other, one):
        here.ask(PATH, field)
    refused = Origin(ok(b"no", vary, status=403))
    assert here.ask(PATH, other, ("cache-control", "no-cache"), origin=refused).body == b"no"
    anew = Process(here.clock, table, origin=Origin(always=(vary, ("x-new", "1"))))
    anew.passes(0.001)
    if taken:  # by another variant: then this one is looked for at a place of its own
        del table.answers[a_wanted().key.place]
        anew.ask(PATH, one)
    assert anew.ask(PATH, other).headers.get("x-new") == "1"


def test_what_one_caller_is_not_to_have_any_more_others_at_the_same_path_keep() -> None:
    by_subject = replace(RULES, by="subject")
    _, here, there = two()
    callers = [somebody(name) for name in ("ada", "bob", "eve")]
    before = [here.ask(identity=caller, rules=by_subject).body for caller in callers]
    refused = Origin(ok(b"no", status=403))
    no_cache = ("cache-control", "no-cache")
    assert here.ask(PATH, no_cache, identity=callers[2], rules=by_subject, origin=refused).body == b"no"
    for process in (here, there):
        after = [process.ask(identity=caller, rules=by_subject).body for caller in callers]
        assert after[:2] == before[:2]
        assert after[2] == b"4"


def test_an_older_answer_that_comes_later_replaces_nothing_in_memory_and_in_the_table() -> None:
    _, here, there = two()

    async def late() -> bytes | AsyncGenerator[bytes, None]:
        first = asyncio.create_task(here.asks(origin=Origin(ok(b"old"), takes_s=10.0)))
        await asyncio.sleep(0.1)
        await here.asks(PATH, ("cache-control", "no-cache"), origin=Origin(ok(b"new")))
        await first
        return (await here.asks()).body

    assert drive(late(), here.clock) == b"new"
    assert there.ask().body == b"new"


def test_what_the_table_said_late_is_not_put_over_what_came_meanwhile() -> None:
    table, here, there = two()
    here.ask()
    wanted, look = a_wanted(), table.look
    early = look(wanted.key.place, wanted.key.gone, now=NOW)

    async def late() -> bytes | AsyncGenerator[bytes, None]:
        table.slow_s, table.look = 0.2, lambda *_, **__: early  # type: ignore[method-assign]
        looking = asyncio.create_task(there.asks())
        await asyncio.sleep(0.1)
        table.slow_s, table.look = 0.0, look  # type: ignore[method-assign]
        await there.asks(PATH, ("cache-control", "no-cache"), origin=Origin(ok(b"new")))
        await looking
        return (await there.asks()).body

    assert drive(late(), here.clock) == b"new"


# ------------------------------------------------------------------------------------- where the table is no help


def test_a_change_that_the_table_was_not_told_of_it_is_told_when_it_answers_again() -> None:
    table, here, there = two()
    here.ask()
    there.ask()
    table.error = OSError()
    changed_at = here.marks.moment()
    assert here.ask(method="PUT").status == 200
    table.error = None
    there.passes(QUIET_S)
    assert there.ask().body == b"1"  # it cannot know
    here.ask("/a/other")
    assert table.gone[gone_key("p", PATH)] >= changed_at
    there.passes(LOOK_EVERY_S)
    assert there.ask().body == b"4"


def test_changes_that_are_owed_are_told_one_by_one_and_are_not_without_bounds() -> None:
    table, here, _ = two()
    assert here.shared
    shared = here.shared
    table.error = OSError()

    async def many() -> None:
        for number in range(MOST_OWED + 10):
            await shared.forget(str(number), NOW, NOW + 1, Budget())

    drive(many(), here.clock)
    assert (len(shared._owed), next(iter(shared._owed))) == (MOST_OWED, "10")
    table.error = None
    here.passes(QUIET_S)
    table.heard()
    here.ask()
    assert table.heard() == ["look", "forget", *MISS[1:]]
    assert (list(table.gone), next(iter(shared._owed))) == (["10"], "11")


def test_a_change_that_is_owed_twice_is_owed_as_the_later_one() -> None:
    table, here, _ = two()
    assert here.shared
    shared = here.shared
    table.error = OSError()

    async def late() -> None:
        await shared.forget("g", 10.0, 11.0, Budget())
        table.error, table.slow_s = None, 0.1
        here.passes(QUIET_S)
        paying = asyncio.create_task(shared._pay(Budget()))
        await asyncio.sleep(0.05)
        await shared.forget("g", 20.0, 21.0, Budget(0.0))
        table.error = OSError()
        await paying

    drive(late(), here.clock)
    assert shared._owed == {"g": (20.0, 21.0)}


def test_who_has_no_time_left_does_without() -> None:
    table, here, _ = two()
    found = drive(here.answers.find(a_wanted(), Budget(0.0)), here.clock)
    assert (found.held, found.sure, table.calls) == (None, False, [])


# --------------------------------------------------------------------------------------------------------- two clocks


@pytest.mark.parametrize("ahead_s", [-2.0, 2.0])
def test_an_answer_from_a_process_with_another_clock_has_an_age(ahead_s: float) -> None:
    _, here, there = two(ahead_s)
    there.ask()
    reply = here.ask()
    assert said(reply).startswith("hit")
    assert reply.headers.get("age") == ("2" if ahead_s < 0 else "0")
    here.passes(10.0)
    assert here.ask().headers.get("age") == ("12" if ahead_s < 0 else "10")
    here.passes(50.0)
    assert here.ask().body == b"2"


@pytest.mark.parametrize("ahead_s", [-2.0, 0.0, 2.0])
def test_a_change_is_noticed_from_a_process_with_another_clock(ahead_s: float) -> None:
    _, here, there = two(ahead_s)
    here.ask()
    here.passes(2.5)
    there.ask(method="PUT")
    here.passes(LOOK_EVERY_S)
    assert here.ask().body == b"3"


@pytest.mark.parametrize("behind_s", [0.0, 0.5, SKEW_S])
def test_a_change_right_after_the_answer_is_noticed_from_a_process_whose_clock_is_behind(behind_s: float) -> None:
    _, here, there = two(-behind_s)
    here.ask()
    here.passes(0.01)
    there.ask(method="PUT")
    here.passes(LOOK_EVERY_S)
    assert here.ask().body == b"3"


def test_who_has_changed_something_keeps_what_there_is_then_at_once() -> None:
    _, here, there = two()
    here.ask(method="PUT")
    assert "stored" in said(here.ask())
    assert said(here.ask()).startswith("hit")
    there.passes(0.5)
    there.ask(method="PUT")
    here.passes(LOOK_EVERY_S)
    assert "fwd=uri-miss" in said(here.ask())


def test_what_is_asked_for_after_a_change_that_a_clock_ahead_notes_is_not_kept_for_a_while() -> None:
    _, here, there = two(2.0)
    there.ask(method="PUT")
    assert said(here.ask()) == "fwd=uri-miss; fwd-status=200"
    here.passes(2.0 + SKEW_S + 0.1)
    assert "stored" in said(here.ask())
    assert said(here.ask()).startswith("hit")


@pytest.mark.parametrize("ahead_s", [-2.0, 2.0])
def test_a_clock_that_is_set_back_or_forward_makes_nothing_younger(ahead_s: float) -> None:
    _, here, _ = two()
    here.ask()
    here.ahead_s = ahead_s
    here.passes(57.0)
    assert here.ask().headers.get("age") == str(int(57 + max(0.0, ahead_s)))
    here.passes(3.0)
    assert here.ask().body == b"2"


# ---------------------------------------------------------------------------------------------------- how long it stays


@pytest.mark.parametrize(
    ("keeping", "tagged", "kept_s"),
    [
        (Keeping(ttl_s=60), False, 60),
        (Keeping(ttl_s=60), True, 60 + ASKED_ABOUT_S),
        (Keeping(ttl_s=60, stale_if_error_s=3600), False, 3660),
        (Keeping(ttl_s=60, stale_if_error_s=3600, stale_while_revalidate_s=7200), True, 7260),
    ],
)
def test_an_answer_stays_in_the_table_as_long_as_it_is_of_use(keeping: Keeping, tagged: bool, kept_s: float) -> None:
    table, here, _ = two(origin=Origin(always=(("etag", '"1"'),) if tagged else ()))
    here.ask(rules=replace(RULES, keeping=keeping))
    ((_, until),) = table.answers.values()
    assert until - NOW == kept_s


def test_what_is_of_no_use_any_more_when_it_comes_is_not_put_into_the_table() -> None:
    table, here, _ = two()
    wanted = a_wanted()
    old = a_stored(age_s=61.0)
    found = drive(here.answers.find(wanted, Budget()), here.clock)
    assert drive(here.answers.keep(old, wanted, found, Budget()), here.clock)
    assert not table.answers


def test_a_change_is_remembered_for_longer_than_anything_is_kept() -> None:
    assert MOST_FRESH_S + max(MOST_STALE_S, ASKED_ABOUT_S) < GONE_S


def test_an_answer_that_memory_cannot_take_is_not_kept() -> None:
    here = Process(most_bytes=2000, origin=Origin(ok(b"x" * 2000), ok(b"x" * 100)))
    assert said(here.ask()) == "fwd=uri-miss; fwd-status=200"
    assert "stored" in said(here.ask())
