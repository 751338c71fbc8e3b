"""Who fetches what is missing, and for how long the others wait: in one process, and in several."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gatehouse.caching.sharing import LEASE_S, Budget
from gatehouse.caching.turns import MOST_PASSED, PASSED_S, WAIT_S
from gatehouse.call import Reply
from gatehouse.errors import GatewayError, UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.headers import Pair
from tests.unit.caching_fakes import PATH, FakeTable, Origin, Process, a_wanted, drive, said
from tests.unit.fakes import NOW, FakeClock, ok

NO_STORE: Pair = ("cache-control", "no-store")


async def crowd(process: Process, count: int, *headers: Pair) -> list[Reply | BaseException]:
    """Send *count* requests at once."""
    return await asyncio.gather(*(process.asks(PATH, *headers) for _ in range(count)), return_exceptions=True)


def bodies(answers: list[Reply | BaseException]) -> list[object]:
    return [answer.body if isinstance(answer, Reply) else type(answer) for answer in answers]


# --------------------------------------------------------------------------------------------------------- in a process


@pytest.mark.parametrize("table", [None, FakeTable()], ids=["alone", "with a table"])
def test_fifty_who_ask_at_once_cause_one_request(table: FakeTable | None) -> None:
    here = Process(table=table, origin=Origin(takes_s=1.0))
    answers = drive(crowd(here, 50), here.clock)
    assert bodies(answers) == [b"1"] * 50
    assert here.origin.count == 1
    assert here.clock.now == pytest.approx(NOW + 1.0, abs=0.01)
    assert sum("collapsed" in said(answer) for answer in answers if isinstance(answer, Reply)) == 49


@pytest.mark.parametrize("error", [UpstreamTimeoutError(), UpstreamUnreachableError(), ValueError()])
def test_if_the_first_one_fails_the_others_go_through(error: Exception) -> None:
    here = Process(table=FakeTable(), origin=Origin(error, takes_s=1.0))
    answers = bodies(drive(crowd(here, 50), here.clock))
    assert answers[0] is type(error)
    assert sorted(answers[1:], key=str) == sorted((str(number).encode() for number in range(2, 51)), key=str)
    assert here.clock.now == pytest.approx(NOW + 2.0, abs=0.01)


@pytest.mark.parametrize(
    "first", [ok(b"no", status=503), ok(b"no", NO_STORE), ok(b"no", ("vary", "*")), ok(b"no", status=404)]
)
def test_if_the_first_answer_is_not_fit_to_be_kept_the_others_go_through(first: Reply) -> None:
    here = Process(origin=Origin(first, takes_s=1.0))
    answers = bodies(drive(crowd(here, 50), here.clock))
    assert answers[0] == b"no"
    assert len(set(answers)) == 50
    assert here.clock.now == pytest.approx(NOW + 2.0, abs=0.01)


def test_if_the_first_client_hangs_up_the_others_go_through() -> None:
    table = FakeTable()
    here = Process(table=table, origin=Origin(takes_s=1.0))

    async def hang_up() -> list[Reply | BaseException]:
        first = asyncio.create_task(here.asks())
        await asyncio.sleep(0.1)
        others = asyncio.create_task(crowd(here, 10))
        await asyncio.sleep(0.1)
        first.cancel()
        answers = await others
        assert first.cancelled()
        return answers

    assert len(set(bodies(drive(hang_up(), here.clock)))) == 10
    assert not here.turns._running
    (lease,) = table.leases.values()
    assert lease[0] == 0.0


def test_if_one_who_waits_hangs_up_nobody_else_notices() -> None:
    here = Process(origin=Origin(takes_s=1.0))

    async def hang_up() -> list[Reply | BaseException]:
        asked = [asyncio.create_task(here.asks()) for _ in range(3)]
        await asyncio.sleep(0.5)
        asked[1].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    assert bodies(drive(hang_up(), here.clock)) == [b"1", asyncio.CancelledError, b"1"]
    assert here.origin.count == 1


@pytest.mark.parametrize(("takes_s", "asked"), [(WAIT_S - 0.1, 1), (WAIT_S + 0.1, 2), (60.0, 2)])
def test_nobody_waits_longer_than_three_seconds(takes_s: float, asked: int) -> None:
    here = Process(origin=Origin(takes_s=takes_s))

    async def late() -> float:
        first = asyncio.create_task(here.asks())
        await asyncio.sleep(0)
        here.origin.takes_s = 0.0
        await here.asks()
        waited_s = here.clock.now - NOW
        await first
        return waited_s

    assert drive(late(), here.clock) == pytest.approx(min(takes_s, WAIT_S), abs=0.01)
    assert here.origin.count == asked


def test_those_who_want_something_else_do_not_wait() -> None:
    here = Process(origin=Origin(takes_s=1.0))

    async def different() -> list[Reply]:
        return await asyncio.gather(
            here.asks(),
            here.asks("/a/other"),
            here.asks(PATH, query="a=1"),
            here.asks(method="HEAD"),
            here.asks(PATH, NO_STORE),
            here.asks(method="POST"),
            here.asks(PATH, ("range", "bytes=0-1")),
        )

    answers = drive(different(), here.clock)
    assert len({answer.body for answer in answers}) == 7
    assert here.clock.now == pytest.approx(NOW + 1.0, abs=0.01)


def test_an_answer_that_varies_is_given_to_those_who_would_have_got_it() -> None:
    here = Process(origin=Origin(takes_s=1.0, always=(("vary", "accept"),)))

    async def both() -> list[Reply]:
        return await asyncio.gather(*(here.asks(PATH, ("accept", value)) for value in "abaabb"))

    one, other, *rest = (answer.body for answer in drive(both(), here.clock))
    assert one == b"1"
    assert rest[1:2] == [b"1"]
    assert other not in {one, rest[0]}
    before = here.origin.count
    assert {here.ask(PATH, ("accept", value)).body == b"1" for value in "aa"} == {True}
    assert here.origin.count == before


def test_an_answer_that_has_to_be_asked_about_each_time_is_nobodys_but_the_first_ones() -> None:
    here = Process(origin=Origin(takes_s=1.0, always=(("cache-control", "no-cache"), ("etag", '"1"'))))
    assert sorted(bodies(drive(crowd(here, 3), here.clock)), key=str) == [b"1", b"2", b"3"]


def test_one_who_wants_it_newer_than_it_is_asks_for_it() -> None:
    here = Process(origin=Origin(ok(b"old", ("age", "30")), takes_s=1.0))

    async def both() -> list[Reply]:
        return await asyncio.gather(here.asks(), here.asks(PATH, ("cache-control", "max-age=10")))

    assert [answer.body for answer in drive(both(), here.clock)] == [b"old", b"2"]


# ---------------------------------------------------------------------------------------- what was not fit to be kept


@pytest.mark.parametrize(("passed_s", "waits"), [(0.0, False), (PASSED_S - 0.001, False), (PASSED_S, True)])
def test_nobody_waits_for_what_was_not_fit_to_be_kept_a_minute_ago(passed_s: float, waits: bool) -> None:
    here = Process(origin=Origin(takes_s=1.0, always=(NO_STORE,)))
    here.ask()
    here.passes(passed_s)
    before = here.clock.now
    drive(crowd(here, 10), here.clock)
    assert here.clock.now - before == pytest.approx(2.0 if waits else 1.0, abs=0.01)
    assert here.origin.count == 11


def test_it_is_waited_for_again_as_soon_as_it_was_fit_once() -> None:
    here = Process(origin=Origin(ok(b"no", NO_STORE), takes_s=1.0))
    here.ask()
    here.ask()
    here.passes(60.0)
    assert set(bodies(drive(crowd(here, 5), here.clock))) == {b"3"}


def test_the_clients_own_conditions_go_upstream_where_nothing_is_kept() -> None:
    here = Process(origin=Origin(ok(b"no", NO_STORE), ok(b"", status=304)))
    here.ask()
    assert here.ask(PATH, ("if-none-match", '"1"')).status == 304
    assert here.origin.asked[1].headers.get("if-none-match") == '"1"'


def test_what_failed_says_nothing_of_what_is_fit_to_be_kept() -> None:
    here = Process(origin=Origin(ok(b"no", status=503), takes_s=1.0))
    here.ask()
    assert set(bodies(drive(crowd(here, 5), here.clock))) == {b"2"}


def test_what_is_remembered_of_that_has_bounds() -> None:
    here = Process()
    for number in range(MOST_PASSED + 5):
        here.turns.note(a_wanted(f"/a/{number}").key, fit=False)
    assert len(here.turns._passed) == MOST_PASSED
    assert not here.turns.passes(a_wanted("/a/4").key)
    assert here.turns.passes(a_wanted("/a/5").key)


# ---------------------------------------------------------------------------------------------------------------- loops


def test_a_turn_of_a_loop_that_is_gone_holds_up_nobody() -> None:
    here = Process()

    async def begin() -> bool:
        return here.turns.begin("t")

    async def wait() -> bool:
        return await here.turns.outcome("t", WAIT_S)

    assert drive(begin(), here.clock)
    assert drive(wait(), here.clock) is False
    assert drive(begin(), here.clock)
    assert here.clock.now == NOW


def test_a_process_that_shares_nothing_needs_no_lease() -> None:
    here = Process()

    async def alone() -> bool | None:
        found = await here.answers.find(a_wanted(), Budget())
        await here.turns.release(a_wanted().key, done=True)
        assert await here.turns.awaited(a_wanted(), found, WAIT_S) is None
        return await here.turns.claim(a_wanted().key, found, Budget())

    assert drive(alone(), here.clock) is None


def test_a_turn_can_be_ended_that_nobody_has() -> None:
    here = Process()

    async def end() -> bool:
        here.turns.end("t", kept=True)
        assert here.turns.begin("t")
        assert not here.turns.begin("t")
        here.turns.end("t", kept=True)
        here.turns.end("t", kept=False)
        return here.turns.begin("t")

    assert drive(end(), here.clock)


# --------------------------------------------------------------------------------------------------- several processes


class Several:
    """Processes that share a table and ask one upstream."""

    def __init__(self, *answers: Reply | Exception, takes_s: float = 1.0, count: int = 2, **origin: tuple[Pair, ...]):
        self.table, self.clock = FakeTable(), FakeClock()
        self.origin = Origin(*answers, takes_s=takes_s, **origin)
        self.processes = [Process(self.clock, self.table, origin=self.origin) for _ in range(count)]

    def at_once(self, each: int = 1, *headers: Pair) -> list[Reply | BaseException]:
        """Have every process asked so often at once, the first one a little earlier."""

        async def all_of_them() -> list[Reply | BaseException]:
            first = asyncio.create_task(crowd(self.processes[0], each, *headers))
            await asyncio.sleep(0.001)
            rest = await asyncio.gather(*(crowd(process, each, *headers) for process in self.processes[1:]))
            return [*await first, *(answer for answers in rest for answer in answers)]

        return drive(all_of_them(), self.clock)

    @property
    def took_s(self) -> float:
        return self.clock.now - NOW


def test_of_four_processes_one_asks_and_all_have_its_answer() -> None:
    several = Several(count=4)
    answers = several.at_once(50)
    assert bodies(answers) == [b"1"] * 200
    assert several.origin.count == 1
    assert several.took_s == pytest.approx(1.0, abs=0.3)
    before = several.origin.count
    for process in several.processes:
        assert said(process.ask()).endswith("detail=memory")
    assert several.origin.count == before


@pytest.mark.parametrize(
    "first",
    [ok(b"no", NO_STORE), ok(b"", status=500), UpstreamTimeoutError(), UpstreamUnreachableError(), ValueError()],
)
def test_if_the_process_that_asks_gets_nothing_to_keep_the_others_go_through(first: Reply | Exception) -> None:
    several = Several(first)
    one, other = several.at_once()
    assert isinstance(one, Reply) is isinstance(first, Reply)
    assert bodies([other]) == [b"2"]
    assert several.took_s == pytest.approx(2.0, abs=0.3)


def test_if_the_process_that_asks_takes_too_long_the_others_go_through_after_three_seconds() -> None:
    several = Several(takes_s=10.0)
    assert bodies(several.at_once()) == [b"1", b"2"]
    assert several.took_s == pytest.approx(WAIT_S + 10.0, abs=0.3)


@pytest.mark.parametrize(("passed_s", "waits_s"), [(0.0, WAIT_S), (LEASE_S - 5.0, WAIT_S), (LEASE_S, 0.0)])
def test_a_process_that_died_holds_up_the_others_for_a_while_and_not_for_ever(passed_s: float, waits_s: float) -> None:
    several = Several(takes_s=0.0)
    one, other = several.processes

    async def die() -> None:
        found = await one.answers.find(a_wanted(), Budget())
        assert await one.turns.claim(a_wanted().key, found, Budget())

    drive(die(), several.clock)
    other.passes(passed_s)
    before = other.clock.now
    assert other.ask().body == b"1"
    assert other.clock.now - before == pytest.approx(waits_s, abs=0.3)


@pytest.mark.parametrize("slow_s", [0.01, 0.06, 0.09, 0.15, 0.25])
@pytest.mark.parametrize("within_s", [0.0, 0.049, 0.1, 0.3, 1.0, WAIT_S])
def test_nobody_waits_for_another_process_longer_than_was_said_however_slow_the_table_is(
    within_s: float, slow_s: float
) -> None:
    several = Several()
    one, other = several.processes

    async def wait() -> float:
        found = await other.answers.find(a_wanted(), Budget())
        assert await one.turns.claim(a_wanted().key, found, Budget())
        several.table.slow_s = slow_s
        before = several.clock.now
        assert await other.turns.awaited(a_wanted(), found, within_s) is None
        return several.clock.now - before

    assert drive(wait(), several.clock) <= within_s + 1e-6


@pytest.mark.parametrize(("left_s", "waits_s"), [(0.9, 0.3), (3.0, 1.0), (9.0, WAIT_S), (60.0, WAIT_S), (-1.0, 0.0)])
@pytest.mark.parametrize("who", ["this process", "another"])
def test_with_a_deadline_nobody_waits_longer_than_a_third_of_what_is_left(
    left_s: float, waits_s: float, who: str
) -> None:
    several = Several(takes_s=100.0)
    first, other = several.processes
    first = other if who == "this process" else first
    several.table.slow_s = 0.001

    async def late() -> float:
        asyncio.get_running_loop().call_later(0.05, setattr, several.origin, "takes_s", 0.0)
        task = asyncio.create_task(first.asks())
        await asyncio.sleep(0.1)
        began = several.clock.now
        assert (await other.asks(PATH, deadline=began + left_s)).body == b"2"
        waited_s = several.clock.now - began
        task.cancel()
        return waited_s

    assert drive(late(), several.clock) == pytest.approx(waits_s, abs=0.3 if who == "another" else 0.02)
    assert several.origin.count == 2


def test_if_the_answer_is_another_variant_the_others_go_through() -> None:
    several = Several(takes_s=1.0, always=(("vary", "accept"),))
    one, other = several.processes

    async def both() -> list[Reply]:
        first = asyncio.create_task(one.asks(PATH, ("accept", "a")))
        await asyncio.sleep(0.001)
        return [await other.asks(PATH, ("accept", "b")), await first]

    assert [answer.body for answer in drive(both(), several.clock)] == [b"2", b"1"]


def breaking(several: Several) -> None:
    several.table.error = OSError()


def slowing(several: Several) -> None:
    several.table.slow_s = 9.0


@pytest.mark.parametrize("away", [breaking, slowing])
def test_if_the_table_goes_away_meanwhile_the_others_go_through(away: Callable[[Several], None]) -> None:
    several = Several(takes_s=10.0)
    one, other = several.processes

    async def both() -> float:
        first = asyncio.create_task(one.asks())
        await asyncio.sleep(0.001)
        second = asyncio.create_task(other.asks())
        await asyncio.sleep(0.01)
        away(several)
        await second
        await first
        return several.took_s

    assert drive(both(), several.clock) == pytest.approx(10.35, abs=0.35)
    assert several.origin.count == 2


def test_what_was_changed_while_it_was_fetched_is_not_taken() -> None:
    several = Several(takes_s=1.0, count=3)
    one, other, third = several.processes

    async def meanwhile() -> list[Reply]:
        first = asyncio.create_task(one.asks())
        await asyncio.sleep(0.001)
        second = asyncio.create_task(other.asks())
        await asyncio.sleep(0.5)
        await third.asks(method="PUT", origin=Origin())
        return [await first, await second]

    assert [answer.body for answer in drive(meanwhile(), several.clock)] == [b"1", b"2"]


def test_who_asked_when_it_was_just_there_finds_it_instead_of_asking() -> None:
    several = Several(takes_s=0.0)
    one, other = several.processes

    async def late() -> tuple[bool | None, bytes]:
        found = await other.answers.find(a_wanted(), Budget())
        await one.asks()
        claimed = await other.turns.claim(a_wanted().key, found, Budget())
        held = await other.turns.awaited(a_wanted(), found, WAIT_S)
        return claimed, held.stored.body if held else b""

    assert drive(late(), several.clock) == (False, b"1")


def test_what_is_as_old_as_what_one_has_is_not_what_one_waits_for() -> None:
    several = Several(takes_s=0.0, always=(("etag", '"1"'),))
    one, other = several.processes
    one.ask()
    other.ask()
    other.passes(61.0)

    async def stale() -> bool:
        found = await other.answers.find(a_wanted(), Budget())
        assert found.held
        claimed = await one.turns.claim(a_wanted().key, found, Budget())
        assert claimed
        asyncio.get_running_loop().call_later(1.0, several.table.leases.clear)
        return await other.turns.awaited(a_wanted(), found, WAIT_S) is None

    assert drive(stale(), several.clock)
    assert several.took_s == pytest.approx(62.0, abs=0.3)


def test_errors_reach_the_one_who_caused_the_request_and_no_one_else() -> None:
    several = Several(UpstreamTimeoutError(), takes_s=0.5, count=3)
    errors = [answer for answer in several.at_once(10) if isinstance(answer, BaseException)]
    assert len(errors) == 1
    assert isinstance(errors[0], GatewayError)
