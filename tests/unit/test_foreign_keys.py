"""An issuer is asked for its keys as seldom as can be, and what it said last is used as long as it may be."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import pytest

from gatehouse.clock import Elapsed
from gatehouse.errors import AuthUnavailableError
from gatehouse.foreign_keys import EMPTY_QUIET_S, QUIET_S, UNKNOWN_S, ForeignKeys
from gatehouse.headers import Headers
from gatehouse.jwk_set import ForeignKey
from gatehouse.published_keys import LEAST_FRESH_S, SKEW_S, STALE_S, PublishedKeys, freshness_s
from tests.unit.fakes import NOW, FakeClock, run
from tests.unit.issuers import EC_1, ED_1, RSA_1, RSA_2, URL, FakeIssuer, FakeShared, an_answer, jwk, key_set

FRESH_S = 3600.0
DOWN = AuthUnavailableError()
NAME = "keys#" + sha256(URL.encode()).hexdigest()
ROTATED = an_answer(key_set(jwk(RSA_1, "k1"), jwk(RSA_2, "k2")))


class World:
    """An issuer, what processes share, their clocks, and one process."""

    def __init__(self, issuer: FakeIssuer | None = None, retry: tuple[float, ...] = (), **changes: Any) -> None:
        self.issuer = issuer or FakeIssuer()
        self.shared = FakeShared()
        self.wall, self.monotonic = FakeClock(), FakeClock(5000)
        self.slept: list[float] = []
        self.retry = retry
        self.changes = changes
        self.keys = self.process()

    def process(self) -> ForeignKeys:
        elapsed = Elapsed(self.wall, self.monotonic)
        published = PublishedKeys(URL, self.issuer, self.shared, elapsed, fresh_s=FRESH_S)
        return ForeignKeys(published, self.retry, **{"sleep": self._sleep, "jitter": lambda: 0.5, **self.changes})

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.wall.now += seconds
        self.monotonic.now += seconds

    async def has(self, kid: str = "k1", deadline: float | None = None) -> bool:
        return await self.keys.key(kid, deadline) is not None

    async def is_unavailable(self, kid: str = "k1", deadline: float | None = None) -> bool:
        try:
            await self.keys.key(kid, deadline)
        except AuthUnavailableError:
            return True
        return False


def scenario(play: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run an async test on a loop of its own."""

    def test() -> None:
        run(play())  # type: ignore[arg-type]

    test.__name__, test.__doc__ = play.__name__, play.__doc__
    return test


async def turns(count: int = 20) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


# --------------------------------------------------------------------------------------------------------- fresh keys


@scenario
async def test_keys_are_asked_for_once_and_kept() -> None:
    world = World()
    for _ in range(5):
        key = await world.keys.key("k1")
        assert isinstance(key, ForeignKey)
        assert key.kid == "k1"
    assert world.issuer.times == 1
    ((question, _),) = world.issuer.asked
    assert (question.method, question.url, question.headers, question.body) == ("GET", URL, (), b"")


@pytest.mark.parametrize(("age", "times"), [(FRESH_S - 1, 1), (FRESH_S, 2)])
@pytest.mark.parametrize("frozen", [False, True])
def test_keys_are_fresh_for_an_hour_by_either_clock(age: float, times: int, frozen: bool) -> None:
    """A process that Lambda froze has a steady clock that stood still."""

    async def play() -> None:
        world = World()
        assert await world.has()
        world.wall.now += age
        world.monotonic.now += 0 if frozen else age
        assert await world.has()
        assert world.issuer.times == times

    run(play())


@pytest.mark.parametrize(
    ("fields", "fresh_s"),
    [
        ((), FRESH_S),
        (("public, max-age=600",), 600),
        (("max-age=7200",), FRESH_S),
        (("max-age=0",), LEAST_FRESH_S),
        (("MAX-AGE=600",), 600),
        (('max-age="600"',), 600),
        (("max-age=900", "max-age=600"), 600),
        (("no-store",), LEAST_FRESH_S),
        (("no-cache, max-age=600",), LEAST_FRESH_S),
        (("s-maxage=1",), FRESH_S),
        (("max-age=", "max-age=x", "max-age=-1", "max-age=6.5", "max-age=٦٠٠", "max-age"), FRESH_S),
        (("max-age=" + "9" * 5000,), FRESH_S),
    ],
)
def test_an_answer_says_for_how_long_it_is_fresh_within_bounds(fields: tuple[str, ...], fresh_s: float) -> None:
    assert freshness_s(Headers(tuple(("cache-control", field) for field in fields)), FRESH_S) == fresh_s


@pytest.mark.parametrize(("age", "times"), [(599, 1), (600, 2)])
def test_keys_are_asked_for_again_when_their_answer_said(age: float, times: int) -> None:
    async def play() -> None:
        world = World(FakeIssuer(an_answer("", ("cache-control", "max-age=600"))))
        assert await world.has()
        world.pass_(age)
        assert await world.has()
        assert world.issuer.times == times

    run(play())


@scenario
async def test_a_key_that_its_issuer_took_back_is_gone() -> None:
    world = World()
    assert await world.has()
    world.issuer.now = an_answer(key_set(jwk(RSA_2, "k2")))
    world.pass_(FRESH_S)
    assert not await world.has("k1")
    assert await world.has("k2")


@scenario
async def test_an_id_can_become_another_kind_of_key() -> None:
    world = World()
    before = await world.keys.key("k1")
    world.issuer.now = an_answer(key_set(jwk(EC_1, "k1")))
    world.pass_(FRESH_S)
    after = await world.keys.key("k1")
    assert before is not None
    assert after is not None
    assert (before.algorithm, after.algorithm) == ("RS256", "ES256")


# ------------------------------------------------------------------------------------------------------ many at once


@pytest.mark.parametrize("kids", [["k1"], ["k1", "k2"], ["nobody"]])
def test_500_first_requests_ask_once(kids: list[str]) -> None:
    async def play() -> None:
        world = World(FakeIssuer(ROTATED))
        found = await asyncio.gather(*(world.has(kids[number % len(kids)]) for number in range(500)))
        assert all(found) == (kids != ["nobody"])
        assert world.issuer.times == 1
        assert world.shared.reads == 1

    run(play())


@scenario
async def test_500_first_requests_with_random_ids_ask_once() -> None:
    world = World()
    assert not any(await asyncio.gather(*(world.has(f"x{number}") for number in range(500))))
    assert not await world.has("one more")
    assert world.issuer.times == 1


@scenario
async def test_one_client_that_hangs_up_does_not_fail_the_others() -> None:
    world = World()
    world.issuer.open.clear()
    first, *others = [asyncio.create_task(world.has()) for _ in range(3)]
    await turns()
    first.cancel()
    await turns()
    world.issuer.open.set()
    assert await asyncio.gather(*others) == [True, True]
    assert world.issuer.times == 1


@scenario
async def test_whoever_stops_waiting_does_not_fail_the_others() -> None:
    world = World()
    world.issuer.open.clear()
    hurried = asyncio.create_task(world.is_unavailable(deadline=world.monotonic.now + 0.001))
    patient = asyncio.create_task(world.has())
    assert await hurried
    world.issuer.open.set()
    assert await patient
    assert world.issuer.times == 1


@scenario
async def test_a_request_with_no_time_left_asks_nothing() -> None:
    world = World()
    for deadline in (world.monotonic.now, world.monotonic.now - 1):
        assert await world.is_unavailable(deadline=deadline)
    assert world.issuer.times == 0
    assert await world.has(deadline=world.monotonic.now + 1)
    assert await world.has(deadline=world.monotonic.now - 1)  # nothing has to be waited for


@scenario
async def test_a_good_key_opens_also_where_no_time_is_left_to_ask_for_newer_ones() -> None:
    world = World()
    await world.has()
    world.pass_(FRESH_S)
    assert await world.has(deadline=world.monotonic.now)
    assert world.issuer.times == 1


@scenario
async def test_who_has_little_time_does_not_cut_it_short_for_others() -> None:
    """The attempt ends with the time of who began it; who joined meanwhile has more."""

    class Hurried(FakeIssuer):
        async def __call__(self, question: Any, deadline: float | None = None) -> Any:
            await super().__call__(question, deadline)
            if deadline == 5001:
                world.pass_(1)
                raise DOWN
            return an_answer()

    world = World(Hurried())
    world.issuer.open.clear()
    first = asyncio.create_task(world.has(deadline=5001))
    await turns()
    second = asyncio.create_task(world.has(deadline=5020))
    await turns()
    world.issuer.open.set()
    assert await second
    assert await first
    assert [deadline for _, deadline in world.issuer.asked] == [5001, 5020]


@scenario
async def test_requests_that_come_meanwhile_make_no_failure_longer() -> None:
    """Each of them has more time than the one before; that alone is no reason to ask again at once."""
    world = World(FakeIssuer(DOWN))
    world.issuer.open.clear()
    many = []
    for number in range(9):
        many.append(asyncio.create_task(world.is_unavailable(deadline=world.monotonic.now + 25 + number)))
        await turns()
    world.issuer.open.set()
    assert all(await asyncio.gather(*many))
    assert world.issuer.times == 1


@scenario
async def test_the_issuer_may_take_as_long_as_the_request_has() -> None:
    world = World()
    assert await world.has(deadline=world.monotonic.now + 7)
    assert world.issuer.asked[0][1] == world.monotonic.now + 7


def test_a_loop_that_has_ended_breaks_nothing_on_the_next_one() -> None:
    """A look that its loop left behind, half done, is not waited for by anybody."""
    world = World()
    world.issuer.open.clear()

    async def hang_up() -> None:
        waiting = asyncio.create_task(world.has())
        await turns()
        waiting.cancel()

    left = asyncio.new_event_loop()
    left.run_until_complete(hang_up())
    task = world.keys._looking
    assert task is not None
    assert not task.done()

    async def again() -> None:
        world.issuer.open = asyncio.Event()
        world.issuer.open.set()
        assert await world.has()

    run(again())
    assert world.issuer.times == 2
    task.cancel()
    left.run_until_complete(asyncio.gather(task, return_exceptions=True))
    left.close()
    gc.collect()


# ---------------------------------------------------------------------------------------------------- unknown key ids


@scenario
async def test_an_unknown_id_is_looked_for_once() -> None:
    world = World()
    assert await world.has("k1")
    world.issuer.now = ROTATED
    assert await world.has("k2")
    assert world.issuer.times == 2


@scenario
async def test_random_ids_ask_once_a_minute_at_most() -> None:
    world = World()
    assert await world.has("k1")
    for second in range(600):
        for number in range(5):
            assert not await world.has(f"x{second}-{number}")
        assert await world.has("k1")
        world.pass_(1)
    assert world.issuer.times == 1 + 10


@pytest.mark.parametrize(("after", "found"), [(UNKNOWN_S - 1, False), (UNKNOWN_S, True)])
def test_after_a_look_for_an_unknown_id_there_is_a_minute_of_quiet(after: float, found: bool) -> None:
    async def play() -> None:
        world = World()
        await world.has("k1")
        assert not await world.has("x")
        world.issuer.now = ROTATED
        world.pass_(after)
        assert await world.has("k2") == found
        assert world.issuer.times == (3 if found else 2)

    run(play())


@scenario
async def test_an_id_that_was_found_begins_the_quiet_too() -> None:
    world = World()
    await world.has("k1")
    world.issuer.now = ROTATED
    assert await world.has("k2")
    assert not await world.has("x")
    assert world.issuer.times == 2


@scenario
async def test_an_id_that_nobody_knew_a_moment_ago_waits_for_nothing() -> None:
    world = World()
    await world.has("k1")
    assert not await world.has("x")
    world.issuer.open.clear()
    for kid in ("x", "y"):
        assert not await asyncio.wait_for(world.has(kid), 5)
    assert world.issuer.times == 2


@scenario
async def test_two_unknown_ids_at_once_are_one_look() -> None:
    world = World()
    await world.has("k1")
    world.issuer.now = ROTATED
    assert await asyncio.gather(world.has("k2"), world.has("x"), world.has("k2")) == [True, False, True]
    assert world.issuer.times == 2


@scenario
async def test_a_flood_of_unknown_ids_is_one_look_and_leaves_nothing_behind() -> None:
    world = World()
    await world.has("k1")
    before = {name: repr(value) for name, value in vars(world.keys).items()}
    world.issuer.open.clear()
    many = [asyncio.create_task(world.has(f"x{number}")) for number in range(2000)]
    await turns()
    world.issuer.open.set()
    assert not any(await asyncio.gather(*many))
    assert world.issuer.times == 2
    changed = {name for name, value in vars(world.keys).items() if repr(value) != before[name]}
    assert changed == {"_sought", "_asked", "_looking", "_held"} & changed


# ------------------------------------------------------------------------------------------------- an issuer that fails


@scenario
async def test_without_any_keys_nobody_is_refused_and_nobody_is_let_in() -> None:
    world = World(FakeIssuer(DOWN))
    assert await world.is_unavailable()


@pytest.mark.parametrize(("after", "times"), [(0, 1), (EMPTY_QUIET_S - 0.5, 1), (EMPTY_QUIET_S, 2)])
def test_with_no_keys_at_all_there_are_two_seconds_of_quiet(after: float, times: int) -> None:
    async def play() -> None:
        world = World(FakeIssuer(DOWN))
        assert await world.is_unavailable("k1")
        world.pass_(after)
        assert await world.is_unavailable("x")
        assert world.issuer.times == times

    run(play())


BAD = [
    DOWN,
    RuntimeError("nobody expected this"),
    an_answer("<html>"),
    an_answer("null"),
    an_answer("{}"),
    an_answer(b"\xff"),
    an_answer(key_set(jwk(RSA_1), jwk(RSA_2))),
    an_answer(key_set(jwk(RSA_2, "k2", use="enc"))),
    an_answer(key_set(*(jwk(ED_1, f"k{number}") for number in range(65)))),
    an_answer(status=404),
    an_answer(status=401),
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_good_keys_stay_whatever_an_issuer_says_instead(bad: Any) -> None:
    async def play() -> None:
        world = World(retry=(0.2, 0.5))
        good = await world.keys.key("k1")
        world.issuer.now = bad
        world.pass_(FRESH_S)
        assert await world.keys.key("k1") == good
        assert world.issuer.times == 2
        assert world.slept == []
        assert world.shared.kept[NAME][0] == json.dumps({"at": NOW, "fresh_s": FRESH_S, "set": key_set()})

    run(play())


@pytest.mark.parametrize(("age", "good"), [(FRESH_S + STALE_S - 1, True), (FRESH_S + STALE_S, False)])
def test_good_keys_outlive_an_outage_by_a_day_and_no_longer(age: float, good: bool) -> None:
    async def play() -> None:
        world = World()
        await world.has()
        world.issuer.now = DOWN
        world.pass_(age)
        assert await world.is_unavailable() != good
        world.issuer.now = an_answer()
        world.pass_(QUIET_S)
        assert await world.has()

    run(play())


@pytest.mark.parametrize(("after", "times"), [(0, 2), (QUIET_S - 1, 2), (QUIET_S, 3)])
def test_with_good_keys_a_failure_brings_half_a_minute_of_quiet(after: float, times: int) -> None:
    async def play() -> None:
        world = World()
        await world.has()
        world.issuer.now = DOWN
        world.pass_(FRESH_S)
        assert await world.has()
        world.pass_(after)
        assert await world.has()
        assert world.issuer.times == times

    run(play())


@scenario
async def test_an_unknown_id_is_neither_good_nor_bad_while_the_issuer_cannot_be_asked() -> None:
    world = World()
    await world.has()
    world.issuer.now = DOWN
    assert await world.is_unavailable("k2")
    world.pass_(QUIET_S)
    assert await world.is_unavailable("k2")  # still within the minute: not asked again
    assert world.issuer.times == 2
    world.issuer.now = ROTATED
    world.pass_(UNKNOWN_S - QUIET_S)
    assert await world.has("k2")


@scenario
async def test_random_ids_ask_once_a_minute_at_most_in_an_outage_too() -> None:
    world = World()
    await world.has()
    world.issuer.now = DOWN
    for second in range(300):
        assert await world.is_unavailable(f"x{second}")
        assert await world.has()
        world.pass_(1)
    assert world.issuer.times == 1 + 5


@scenario
async def test_while_stale_keys_are_renewed_only_the_one_who_asks_waits() -> None:
    world = World()
    await world.has()
    world.pass_(FRESH_S)
    world.issuer.open.clear()
    asking = asyncio.create_task(world.has())
    await turns()
    assert await asyncio.gather(*(asyncio.wait_for(world.has(), 5) for _ in range(50))) == [True] * 50
    assert not asking.done()
    world.issuer.open.set()
    assert await asking
    assert world.issuer.times == 2


@scenario
async def test_the_one_who_asks_goes_on_with_good_keys_before_its_time_is_up() -> None:
    world = World()
    await world.has()
    world.pass_(FRESH_S)
    world.issuer.open.clear()
    assert await world.has(deadline=world.monotonic.now + 0.01)
    assert await world.is_unavailable("k2", deadline=world.monotonic.now + 0.01)
    world.issuer.open.set()
    await turns()
    assert world.issuer.times == 2


@pytest.mark.parametrize(("kid", "patience_s"), [("k1", 4.0), ("k2", 8.0)])
def test_with_a_good_key_half_of_the_time_is_left_for_the_request(
    kid: str, patience_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float | None] = []
    wait = asyncio.wait

    async def watched(tasks: Any, **options: Any) -> Any:
        waited.append(options["timeout"])
        return await wait(tasks, **options)

    async def play() -> None:
        world = World()
        await world.has()
        world.pass_(FRESH_S)
        monkeypatch.setattr(asyncio, "wait", watched)
        await world.has(kid, deadline=world.monotonic.now + 8)

    run(play())
    assert waited == [patience_s]


@scenario
async def test_a_defect_below_is_a_503_and_not_a_loop() -> None:
    world = World()

    async def broken(key: str) -> None:
        raise RuntimeError

    world.shared.read = broken  # type: ignore[method-assign,assignment]
    assert await world.is_unavailable()
    assert await world.is_unavailable()
    assert world.issuer.times == 0


def test_what_is_logged_of_a_failure_has_no_query_and_nothing_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> None:
        elapsed = Elapsed(FakeClock(), FakeClock())
        for bad in (RuntimeError("s3cret"), an_answer('{"keys": "s3cret"}')):
            published = PublishedKeys(f"{URL}?k=s3cret", FakeIssuer(bad), FakeShared(), elapsed, fresh_s=FRESH_S)  # type: ignore[arg-type]
            with pytest.raises(AuthUnavailableError):
                await ForeignKeys(published).key("s3cret")

    run(play())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["foreign keys not fetched", "foreign keys refused"]
    assert all(line["url"] == URL for line in lines)
    assert "s3cret" not in json.dumps(lines)


def test_a_change_of_keys_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    async def play() -> None:
        world = World()
        await world.has("k1")
        world.issuer.now = ROTATED
        await world.has("k2")
        world.pass_(FRESH_S)
        await world.has("k2")

    run(play())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["message"] != "foreign keys fetched"]
    assert (line["message"], line["kids"], line["level"]) == ("foreign keys changed", "k1, k2", "INFO")


# ----------------------------------------------------------------------------------------------------------- retries


def recovering(failures: int) -> FakeIssuer:
    class Recovering(FakeIssuer):
        async def __call__(self, *asked: Any) -> Any:
            self.now = DOWN if self.times < failures else an_answer()
            return await super().__call__(*asked)

    return Recovering()


@pytest.mark.parametrize(
    ("failures", "slept", "good"), [(0, [], True), (1, [5], True), (2, [5, 10], True), (3, [5, 10], False)]
)
def test_without_keys_an_issuer_is_asked_again_after_the_waits_of_the_project_file(
    failures: int, slept: list[float], good: bool
) -> None:
    async def play() -> None:
        world = World(recovering(failures), retry=(5.0, 10.0))
        assert await world.is_unavailable(deadline=world.monotonic.now + 60) != good
        assert world.slept == slept
        assert world.issuer.times == len(slept) + 1

    run(play())


@pytest.mark.parametrize(
    ("left_s", "slept"), [(4.9, []), (5, []), (5.1, [5]), (14.9, [5]), (15, [5]), (15.1, [5, 10]), (100, [5, 10])]
)
def test_nobody_waits_for_an_attempt_that_comes_too_late(left_s: float, slept: list[float]) -> None:
    async def play() -> None:
        world = World(FakeIssuer(DOWN), retry=(5.0, 10.0))
        assert await world.is_unavailable(deadline=world.monotonic.now + left_s)
        assert world.slept == slept

    run(play())


@scenario
async def test_the_waits_are_as_long_as_the_most_patient_request_allows() -> None:
    world = World(recovering(1), retry=(5.0,))
    world.issuer.open.clear()
    hurried = asyncio.create_task(world.is_unavailable(deadline=world.monotonic.now + 1))
    await turns(1)
    patient = asyncio.create_task(world.has(deadline=world.monotonic.now + 60))
    await turns()
    world.issuer.open.set()
    assert await patient
    assert not await hurried  # the waiting was done on a clock that nobody waited for
    assert world.slept == [5]


@pytest.mark.parametrize(("jitter", "slept"), [(0.0, 0.75), (0.5, 1.0), (1.0, 1.25)])
def test_waits_differ_so_that_processes_do_not_ask_in_step(jitter: float, slept: float) -> None:
    async def play() -> None:
        world = World(recovering(1), retry=(1.0,), jitter=lambda: jitter)
        assert await world.has()
        assert world.slept == [slept]

    run(play())


# ------------------------------------------------------------------------------------------------------ the shared copy


@scenario
async def test_a_cold_start_takes_the_copy_and_asks_nobody() -> None:
    world = World()
    await world.has()
    world.pass_(FRESH_S - 1)
    world.keys = world.process()
    assert await world.has()
    assert world.issuer.times == 1
    world.pass_(1)
    assert await world.has()
    assert world.issuer.times == 2


@scenario
async def test_the_copy_is_kept_as_long_as_it_may_be_used() -> None:
    world = World()
    await world.has()
    text, expires_at = world.shared.kept[NAME]
    assert expires_at == NOW + FRESH_S + STALE_S
    assert json.loads(text) == {"at": NOW, "fresh_s": FRESH_S, "set": key_set()}


@scenario
async def test_a_stale_copy_carries_a_cold_start_through_an_outage() -> None:
    world = World(retry=(5.0, 10.0))
    await world.has()
    world.issuer.now = DOWN
    world.pass_(FRESH_S + STALE_S - 1)
    world.keys = world.process()
    assert await world.has()
    assert (world.issuer.times, world.slept) == (2, [])
    world.pass_(1)
    world.keys = world.process()
    assert await world.is_unavailable()


@scenario
async def test_an_unknown_id_is_looked_for_in_the_copy_before_the_issuer_is_asked() -> None:
    world = World()
    await world.has("k1")
    other = world.process()
    assert await other.key("k1")
    world.issuer.now = ROTATED
    world.pass_(1)
    assert await other.key("k2")
    assert world.issuer.times == 2
    assert await world.has("k2")
    assert world.issuer.times == 2


@scenario
async def test_what_joined_a_look_at_the_copy_is_looked_for_at_the_issuer() -> None:
    world = World()
    await world.has("k1")
    other = world.process()
    await other.key("k1")
    world.issuer.now = ROTATED
    world.pass_(1)
    await other.key("k2")
    world.issuer.now = an_answer(key_set(jwk(RSA_1, "k1"), jwk(RSA_2, "k2"), jwk(ED_1, "k3")))
    assert await asyncio.gather(world.has("k2"), world.has("k3"), world.has("k3")) == [True, True, True]
    assert world.issuer.times == 3


@scenario
async def test_stale_keys_are_renewed_from_the_copy_of_a_process_that_asked() -> None:
    world = World()
    await world.has()
    other = world.process()
    await other.key("k1")
    world.pass_(FRESH_S)
    assert await world.has()
    assert await other.key("k1")
    assert world.issuer.times == 2


@scenario
async def test_an_older_copy_takes_no_newer_keys_away() -> None:
    world = World()
    await world.has()
    older = dict(world.shared.kept)
    world.issuer.now = ROTATED
    world.pass_(FRESH_S)
    assert await world.has("k2")
    world.shared.kept = older
    world.pass_(UNKNOWN_S)
    world.issuer.now = DOWN
    assert await world.is_unavailable("k3")
    assert await world.has("k2")


@pytest.mark.parametrize(("ahead", "times"), [(0, 0), (SKEW_S, 0), (SKEW_S + 1, 1)])
def test_a_copy_from_a_clock_that_runs_ahead_is_from_now_or_not_believed(ahead: float, times: int) -> None:
    async def play() -> None:
        world = World()
        world.shared.kept[NAME] = (json.dumps({"at": NOW + ahead, "fresh_s": 1e9, "set": key_set()}), NOW + 1e9)
        assert await world.has()
        assert world.issuer.times == times
        world.pass_(FRESH_S + SKEW_S)
        assert await world.has()
        assert world.issuer.times == times + 1

    run(play())


COPIES = [
    "", "null", "[]", "5", "{}", '{"at": 1}', '{"at": "x", "fresh_s": 1, "set": "{}"}', "[" * 100_000,
    json.dumps({"at": NOW, "fresh_s": FRESH_S, "set": "{}"}), json.dumps({"at": NOW, "fresh_s": FRESH_S, "set": 5}),
    json.dumps({"at": NOW, "fresh_s": FRESH_S}), json.dumps({"at": None, "fresh_s": FRESH_S, "set": key_set()}),
    json.dumps({"at": float("nan"), "fresh_s": FRESH_S, "set": key_set()}),
    json.dumps({"at": 10**400, "fresh_s": 1, "set": key_set()}),
    json.dumps({"at": NOW, "fresh_s": float("nan"), "set": key_set()}), json.dumps({"at": float("-inf"),
    "fresh_s": 1, "set": key_set()}),
]  # fmt: skip


@pytest.mark.parametrize("copy", COPIES, ids=range(len(COPIES)))
def test_a_copy_that_cannot_be_read_is_none(copy: str) -> None:
    async def play() -> None:
        world = World()
        world.shared.kept[NAME] = (copy, NOW + 1e9)
        assert await world.has()
        assert world.issuer.times == 1

    run(play())


@scenario
async def test_who_has_other_urls_has_other_copies() -> None:
    world = World()
    await world.has()
    elapsed = Elapsed(world.wall, world.monotonic)
    other = PublishedKeys(URL + "?b", FakeIssuer(ROTATED), world.shared, elapsed, fresh_s=FRESH_S)
    assert await ForeignKeys(other).key("k2")
    assert len(world.shared.kept) == 2
