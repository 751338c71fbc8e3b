"""What has been taken back, how soon every process knows, and what happens while none can know."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import revocation_watch, sessions, token_ids
from gatehouse.call import Identity
from gatehouse.errors import GatewayError
from gatehouse.revocation_watch import CLOSED_AFTER_S, OVERLAP_S, RETRY_S, RevocationWatch
from gatehouse.revocations import Revocation, RevocationSet
from gatehouse.tokens import LEEWAY_S
from tests.unit.fakes import NOW, FakeClock, run

HOUR = 3600


class FakeLog:
    """A revocation log that counts looks, can be down, and can be held up."""

    def __init__(self) -> None:
        self.rows: list[Revocation] = []
        self.looks: list[float] = []
        self.down = False
        self.held: asyncio.Event | None = None

    async def since(self, moment: float) -> list[Revocation]:
        self.looks.append(moment)
        rows = list(self.rows)  # a look sees what is there when it begins
        if self.held:
            await self.held.wait()
        if self.down:
            raise ConnectionError
        return rows


class Watched:
    """A watch on a fake log, with clocks to turn."""

    def __init__(self, refresh_s: float = 5.0) -> None:
        self.log = FakeLog()
        self.wall, self.steady = FakeClock(), FakeClock(100.0)
        self.watch = RevocationWatch(self.log, refresh_s, self.wall, self.steady)

    def passes(self, seconds: float) -> None:
        self.wall.now += seconds
        self.steady.now += seconds

    async def answer(self, identity: Identity, *, strict: bool = False) -> str:
        try:
            await self.watch.check(identity, "metacogna", strict=strict)
        except GatewayError as error:
            return error.code
        return "ok"

    def __call__(self, identity: Identity, *, strict: bool = False) -> str:
        return run(self.answer(identity, strict=strict))


def bearer_of(jti: str = "a" * 32, subject: str = "ada", issued_at: int = NOW, **claims: Any) -> Identity:
    said = {"jti": jti, "iat": issued_at, "exp": issued_at + HOUR, **claims}
    return Identity(kind="gateway", subject=subject, claims=said, token_id=jti)


def of_id(jti: str, **more: Any) -> Revocation:
    return Revocation(kind="jti", value=jti, **{"expires_at": NOW + HOUR, **more})


ADA = bearer_of()


# ------------------------------------------------------------------------------------------------- how soon it holds


def test_a_revocation_holds_after_five_seconds_at_the_latest_in_a_process_that_had_let_the_token_in():
    watched = Watched()
    assert watched(ADA) == "ok"
    watched.log.rows.append(of_id(ADA.token_id))
    watched.passes(4.999)
    assert watched(ADA) == "ok"
    watched.passes(0.001)
    assert watched(ADA) == "TOKEN_REVOKED"


def test_a_strict_route_knows_at_once():
    watched = Watched()
    assert watched(ADA, strict=True) == "ok"
    watched.log.rows.append(of_id(ADA.token_id))
    assert watched(ADA, strict=True) == "TOKEN_REVOKED"
    assert watched(ADA) == "TOKEN_REVOKED"


def test_nothing_is_asked_between_looks():
    watched = Watched()
    for _ in range(1000):
        assert watched(ADA) == "ok"
        watched.passes(0.0049)
    assert len(watched.log.looks) == 1
    watched.passes(0.2)
    watched(ADA)
    assert len(watched.log.looks) == 2


@pytest.mark.parametrize("clock", ["wall", "steady"])
def test_a_process_that_was_frozen_looks_whichever_clock_stood_still(clock: str):
    watched = Watched()
    watched(ADA)
    getattr(watched, clock).now += 3600
    watched(ADA)
    assert len(watched.log.looks) == 2


def test_a_clock_that_is_set_back_does_not_put_off_the_next_look():
    watched = Watched()
    watched(ADA)
    watched.wall.now -= 3600
    watched.steady.now += 5
    watched(ADA)
    assert len(watched.log.looks) == 2


def test_the_first_look_asks_for_everything_and_the_next_for_what_is_new_with_a_margin_for_other_clocks():
    watched = Watched()
    watched(ADA)
    watched.passes(5)
    watched(ADA)
    assert watched.log.looks == [0, NOW - OVERLAP_S]


# ----------------------------------------------------------------------------------------------- while nobody answers


@pytest.mark.parametrize(
    ("age_s", "normal", "strict"),
    [
        (0, "ok", "AUTH_UNAVAILABLE"),
        (5, "ok", "AUTH_UNAVAILABLE"),
        (30, "ok", "AUTH_UNAVAILABLE"),
        (59.999, "ok", "AUTH_UNAVAILABLE"),
        (60, "AUTH_UNAVAILABLE", "AUTH_UNAVAILABLE"),
        (86_400, "AUTH_UNAVAILABLE", "AUTH_UNAVAILABLE"),
    ],
)
def test_what_is_known_serves_for_a_minute_and_never_a_strict_route(age_s: float, normal: str, strict: str):
    for asked, expected in ((False, normal), (True, strict)):
        watched = Watched()
        assert watched(ADA) == "ok"
        watched.log.down = True
        watched.passes(age_s)
        assert watched(ADA, strict=asked) == expected


def test_what_was_revoked_before_stays_so_while_nobody_answers():
    watched = Watched()
    watched.log.rows.append(of_id(ADA.token_id))
    assert watched(ADA) == "TOKEN_REVOKED"
    watched.log.down = True
    watched.passes(30)
    assert watched(ADA) == "TOKEN_REVOKED"


def test_a_process_that_never_got_an_answer_lets_nobody_in():
    watched = Watched()
    watched.log.down = True
    assert watched(ADA) == "AUTH_UNAVAILABLE"
    assert CLOSED_AFTER_S == 60


def test_it_opens_again_when_the_log_is_back():
    watched = Watched()
    watched(ADA)
    watched.log.down = True
    watched.passes(61)
    assert watched(ADA) == "AUTH_UNAVAILABLE"
    watched.log.down = False
    watched.passes(RETRY_S)
    assert watched(ADA) == "ok"


def test_a_look_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(revocation_watch, "LOOK_S", 0.01)
    watched = Watched()
    watched(ADA)

    async def scene() -> list[str]:
        watched.log.held = asyncio.Event()
        watched.passes(5)
        return [await watched.answer(ADA), await watched.answer(ADA, strict=True)]

    assert run(scene()) == ["ok", "AUTH_UNAVAILABLE"]


def test_a_log_that_is_down_is_not_asked_by_every_request():
    watched = Watched()
    watched(ADA)
    watched.log.down = True
    watched.passes(5)
    for _ in range(50):
        watched(ADA)
    assert len(watched.log.looks) == 2
    watched.passes(RETRY_S)
    watched(ADA)
    assert len(watched.log.looks) == 3


# -------------------------------------------------------------------------------------------------- many at one time


def test_a_crowd_that_comes_at_once_shares_one_look():
    watched = Watched()

    async def crowd() -> list[str]:
        return await asyncio.gather(*(watched.answer(ADA) for _ in range(50)))

    assert set(run(crowd())) == {"ok"}
    assert len(watched.log.looks) == 1


def test_a_strict_crowd_shares_looks_but_none_that_began_before_it_came():
    watched = Watched()

    async def scene() -> list[str]:
        watched.log.held = asyncio.Event()
        first = asyncio.create_task(watched.answer(ADA, strict=True))
        await asyncio.sleep(0)  # its look has begun, and saw nothing
        watched.log.rows.append(of_id(ADA.token_id))
        late = [asyncio.create_task(watched.answer(ADA, strict=True)) for _ in range(20)]
        await asyncio.sleep(0)
        watched.log.held.set()
        return [await first, *await asyncio.gather(*late)]

    # The first one's own look saw nothing; by the time it decides, a later look may already have.
    _, *late = run(scene())
    assert set(late) == {"TOKEN_REVOKED"}
    assert len(watched.log.looks) == 2


def test_a_look_that_was_given_up_is_nobody_elses_answer():
    watched = Watched()
    watched(ADA)

    async def scene() -> list[str]:
        watched.log.held = asyncio.Event()
        busy = asyncio.create_task(watched.answer(ADA, strict=True))
        await asyncio.sleep(0)
        second = asyncio.create_task(watched.answer(ADA, strict=True))
        third = asyncio.create_task(watched.answer(ADA, strict=True))
        await asyncio.sleep(0)
        watched.log.rows.append(of_id(ADA.token_id))
        busy.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second.cancel()  # its look has begun; the third waits behind it
        await asyncio.sleep(0)
        watched.log.held.set()
        return [await third]

    assert run(scene()) == ["TOKEN_REVOKED"]


# ------------------------------------------------------------------------------------------------------ what is taken


@pytest.mark.parametrize(
    ("row", "identity", "project", "refused"),
    [
        (of_id("a" * 32), ADA, "metacogna", True),
        (of_id("b" * 32), ADA, "metacogna", False),
        (of_id("A" * 32), ADA, "metacogna", False),
        (sessions.everything(project="", subject="ada", before=NOW + 1), ADA, "metacogna", True),
        (sessions.everything(project="", subject="ada", before=NOW), ADA, "metacogna", False),
        (sessions.everything(project="", subject="eve", before=NOW + 1), ADA, "metacogna", False),
        (sessions.everything(project="metacogna", subject="ada", before=NOW + 1), ADA, "metacogna", True),
        (sessions.everything(project="metacogna", subject="ada", before=NOW + 1), ADA, "other", False),
        (sessions.everything(project="metacogna", subject="", before=NOW + 1), ADA, "metacogna", True),
        (sessions.everything(project="metacogna", subject="", before=NOW + 1), ADA, "other", False),
        (sessions.everything(project="metacogna", subject="", before=NOW - 1), ADA, "metacogna", False),
        (Revocation(kind="of a later version", value="a" * 32, expires_at=NOW + HOUR), ADA, "metacogna", False),
    ],
)
def test_a_revocation_takes_back_what_it_names_and_nothing_else(
    row: Revocation, identity: Identity, project: str, refused: bool
):
    known = RevocationSet()
    known.add([row])
    assert known.holds(identity, project, NOW) is refused


@pytest.mark.parametrize(
    ("began", "issued_at", "refused"),
    [(NOW - 100, NOW + 50, True), (NOW - 1, NOW + 50, True), (NOW, NOW + 50, False), (None, NOW - 1, True)],
)
def test_refreshing_a_token_does_not_carry_it_past_a_revocation_of_everything(
    began: int | None, issued_at: int, refused: bool
):
    """A refresh on its way while everything is revoked gives a token that was issued afterwards."""
    claims = {} if began is None else {"auth_time": began}
    known = RevocationSet()
    known.add([sessions.everything(project="", subject="ada", before=NOW)])
    assert known.holds(bearer_of(issued_at=issued_at, **claims), "metacogna", NOW + 60) is refused


@pytest.mark.parametrize("jti", [token_ids.for_session(NOW + HOUR), "sha256:" + "ab" * 32], ids=["ours", "digest"])
def test_the_end_of_a_session_is_kept_for_as_long_as_any_token_of_it_can_live(jti: str):
    """Refreshed in its last second, a token is good for up to twelve hours more."""
    known = RevocationSet()
    known.add(sessions.ended(bearer_of(jti)))
    last = token_ids.for_session(NOW + 13 * HOUR, token_ids.session_of(jti))
    known.forget(NOW + 13 * HOUR + LEEWAY_S)
    assert known.holds(bearer_of(last), "metacogna", NOW + 13 * HOUR)


def test_a_token_of_another_system_and_what_it_was_refreshed_to_end_together():
    original = "sha256:" + "ab" * 32
    child = token_ids.for_session(NOW + HOUR, token_ids.session_of(original))
    for rows in (sessions.ended(bearer_of(original)), sessions.foreign(original, NOW)):
        known = RevocationSet()
        known.add(rows)
        held = [known.holds(bearer_of(jti), "metacogna", NOW) for jti in (original, child, "sha256:" + "cd" * 32)]
        assert held == [True, True, False]


@pytest.mark.parametrize(("revoked", "refused"), [("a", True), ("b", True), ("c", False)])
def test_a_project_is_the_routes_and_the_one_that_the_token_names(revoked: str, refused: bool):
    """A route of project a may ask for `claims: {project: [a, b]}`: tokens of b pass it too."""
    known = RevocationSet()
    known.add([sessions.everything(project=revoked, subject="", before=NOW + 1)])
    assert known.holds(bearer_of(project="b", service="x"), "a", NOW) is refused


def test_ending_a_session_ends_every_token_that_it_was_refreshed_to_and_no_other_session():
    first = token_ids.for_session(NOW + HOUR)
    read = token_ids.SessionTokenId.read(first)
    assert read is not None
    later = token_ids.for_session(NOW + 2 * HOUR, read.session)
    other = token_ids.for_session(NOW + HOUR)
    known = RevocationSet()
    known.add(sessions.ended(bearer_of(first)))
    assert [known.holds(bearer_of(jti), "metacogna", NOW) for jti in (first, later, other)] == [True, True, False]


@pytest.mark.parametrize(("passed", "refused"), [(0, False), (29.9, False), (30, True), (3000, True)])
def test_a_refreshed_token_ends_after_its_grace(passed: float, refused: bool):
    known = RevocationSet()
    known.add([sessions.superseded(ADA, NOW)])
    assert known.holds(ADA, "metacogna", NOW + passed) is refused


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_revocation_at_once_is_not_put_off_by_a_refresh_before_or_after_it(order: tuple[int, int]):
    rows = [sessions.superseded(ADA, NOW), of_id(ADA.token_id)]
    known = RevocationSet()
    known.add([rows[number] for number in order])
    assert known.holds(ADA, "metacogna", NOW)


moments = st.integers(min_value=NOW - 100, max_value=NOW + 100)


@given(st.lists(st.tuples(st.sampled_from(["", "p"]), st.sampled_from(["", "s"]), moments, moments), max_size=8))
def test_revocations_of_many_add_up_in_any_order_and_however_often_they_are_read(rows: list[tuple[str, str, int, int]]):
    made = [
        Revocation(
            kind="subject" if subject else "project", value=subject, project=project, before=before, expires_at=ends
        )
        for project, subject, before, ends in rows
        if project or subject
    ]
    known, again = RevocationSet(), RevocationSet()
    known.add(made)
    again.add([*reversed(made), *made])
    for issued_at in range(NOW - 101, NOW + 101, 7):
        expected = any(issued_at < row.before and row.project in {"", "p"} and (row.value in {"", "s"}) for row in made)
        assert known.covers(project="p", subject="s", issued_at=issued_at) is expected
        assert again.covers(project="p", subject="s", issued_at=issued_at) is expected


# ---------------------------------------------------------------------------------------------------------- forgetting


def test_what_no_token_needs_any_more_is_forgotten():
    watched = Watched()
    watched.log.rows = [
        of_id("a" * 32, expires_at=NOW + 100),
        of_id("b" * 32, expires_at=NOW + 7200, since=NOW + 30),
        Revocation(kind="subject", value="ada", before=NOW, expires_at=NOW + 100),
        Revocation(kind="subject", value="ada", before=NOW - 5, expires_at=NOW + 7200),
    ]
    watched(bearer_of("c" * 32))
    assert len(watched.watch.known) == 4
    watched.log.rows = []
    watched.passes(101)
    watched(bearer_of("c" * 32))
    assert len(watched.watch.known) == 2
    watched.passes(7200)
    watched(bearer_of("c" * 32))
    assert len(watched.watch.known) == 0


def test_a_narrower_revocation_that_lives_longer_is_kept_beside_a_wider_one():
    known = RevocationSet()
    known.add(
        [
            Revocation(kind="subject", value="ada", before=NOW, expires_at=NOW + 10),
            Revocation(kind="subject", value="ada", before=NOW - 50, expires_at=NOW + 1000),
        ]
    )
    known.forget(NOW + 11)
    assert known.covers(project="x", subject="ada", issued_at=NOW - 51)
    assert not known.covers(project="x", subject="ada", issued_at=NOW - 50)


def test_a_hundred_thousand_revocations_fit_into_forty_megabytes_and_are_asked_in_microseconds():
    rows = [of_id(token_ids.for_service()) for _ in range(100_000)]
    tracemalloc.start()
    known = RevocationSet()
    known.add(of_id("".join(row.value)) for row in rows)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(known) == 100_000
    assert size < 40 * 1024 * 1024
    identity = bearer_of(token_ids.for_session(NOW + HOUR))
    full, empty = best(lambda: known.holds(identity, "p", NOW)), best(lambda: RevocationSet().holds(identity, "p", NOW))
    assert full < 100e-6, (full, empty)
    assert known.holds(bearer_of(rows[77].value), "p", NOW)


def best(work: Callable[[], object]) -> float:
    """The shortest of many runs, in seconds."""
    found = []
    for _ in range(300):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)
