"""How often sessions write to the log that every process reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatehouse import token_ids
from gatehouse.errors import RateLimitedError
from gatehouse.gcra import US, Rate, decide
from gatehouse.session_limits import OF_A_SESSION, OF_ALL_GUESTS, SessionLimits
from gatehouse.stores.limits import Outcome
from tests.unit.fakes import NOW, FakeClock, an_identity


class FakeBuckets:
    """Buckets in a mapping; they can be out of order."""

    def __init__(self) -> None:
        self.tats: dict[str, int | None] = {}
        self.down = False

    def take(self, key: str, rate: Rate, now_us: int) -> Outcome:
        if self.down:
            raise ConnectionError
        decision = decide(self.tats.get(key), now_us, rate)
        self.tats[key] = decision.tat
        return Outcome(decision.allowed, decision.retry_after_us / US, decision.remaining)


def charged(limits: SessionLimits, identity, times: int) -> int:
    passed = 0
    for _ in range(times):
        try:
            limits.charge(identity)
        except RateLimitedError:
            continue
        passed += 1
    return passed


def of(jti: str, *scopes: str, **claims: str):
    made = an_identity("BUILD", "ada", *(scopes or ("admin",)))
    return replace(made, token_id=jti, claims={**made.claims, **claims})


@pytest.fixture
def buckets() -> FakeBuckets:
    return FakeBuckets()


@pytest.fixture
def limits(buckets: FakeBuckets) -> SessionLimits:
    return SessionLimits(buckets, FakeClock())


def test_every_token_of_a_session_counts_for_the_session(limits: SessionLimits):
    first = token_ids.for_session(NOW + 60)
    second = token_ids.for_session(NOW + 120, token_ids.session_of(first))
    assert charged(limits, of(first), 20) + charged(limits, of(second), 20) == OF_A_SESSION.burst
    assert charged(limits, of(token_ids.for_session(NOW + 60)), 1) == 1


def test_all_guests_are_one(limits: SessionLimits, buckets: FakeBuckets):
    passed = sum(
        charged(limits, of(token_ids.for_session(NOW + 60), "guest"), 1) for _ in range(OF_ALL_GUESTS.burst + 9)
    )
    assert passed == OF_ALL_GUESTS.burst
    assert list(buckets.tats) == ["session-guests"]


def test_a_service_is_no_guest(limits: SessionLimits, buckets: FakeBuckets):
    service = replace(an_identity(None), scopes=frozenset(), claims={"project": "p", "service": "s"}, token_id="a" * 32)
    limits.charge(service)
    assert list(buckets.tats) != ["session-guests"]


def test_what_is_kept_names_no_session(limits: SessionLimits, buckets: FakeBuckets):
    jti = token_ids.for_session(NOW + 60)
    limits.charge(of(jti))
    assert token_ids.session_of(jti) not in next(iter(buckets.tats))


def test_where_nothing_can_be_counted_people_can_still_log_out(limits: SessionLimits, buckets: FakeBuckets):
    buckets.down = True
    assert charged(limits, of("a" * 32), 100) == 100
