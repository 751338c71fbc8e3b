"""Tokens of our own: how old what is known of revocations was when they were judged is always said."""

from __future__ import annotations

from math import inf

import pytest

from gatehouse.call import Identity
from gatehouse.credentials.gateway import MOST_LAG_S, gateway
from gatehouse.errors import AuthUnavailableError, TokenRevokedError
from tests.unit.fakes import a_call, an_identity, run


class Verifier:
    async def verify(self, _: str) -> Identity:
        return an_identity()


class Watch:
    """Revocations of which a test says how old they are, and what comes of asking."""

    def __init__(self, age_s: float, refusal: Exception | None) -> None:
        self._age_s = age_s
        self._refusal = refusal

    async def check(self, identity: Identity, project: str, *, strict: bool) -> None:
        if self._refusal:
            raise self._refusal

    def age_s(self) -> float:
        return self._age_s


@pytest.mark.parametrize(
    ("age_s", "refusal", "said"),
    [
        (0.0, None, 0.0),
        (4.99949, None, 4.999),
        (4.0, TokenRevokedError(), 4.0),
        (60.0, AuthUnavailableError(), 60.0),
        (3600.001, AuthUnavailableError(), MOST_LAG_S),
        (inf, AuthUnavailableError(), MOST_LAG_S),  # a process that never read them
    ],
)
def test_the_age_is_said_also_where_nobody_is_let_through(age_s: float, refusal: Exception | None, said: float) -> None:
    """That is when operators look at it: without it an alarm would be over as soon as the outage is total."""
    call = a_call("/x", "GET", ("authorization", "Bearer x"))
    prove = gateway(Verifier(), Watch(age_s, refusal), "demo", strict=False)  # type: ignore[arg-type]
    if refusal is None:
        assert run(prove(call)) is not None
    else:
        with pytest.raises(type(refusal)):
            run(prove(call))
    assert call.notes["revocationLagS"] == said
