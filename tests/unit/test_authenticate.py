"""Who is calling: credentials in their order, what is nobody's, who may pass without, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from gatehouse.call import Call, Handler, Identity, Reply, pipeline
from gatehouse.credentials import Credential
from gatehouse.errors import (
    AuthUnavailableError,
    ForeignTokenError,
    GatewayError,
    MissingTokenError,
    RejectedCredentialError,
)
from gatehouse.stages.authenticate import UNTAKEN, authenticate, within
from tests.unit.fakes import FakeClock, a_call, ok, run

SESSION = Identity(kind="session", subject="ada", user="ada")
KEY = Identity(kind="api_key", subject="key-1")
VISITOR = Identity(kind="anonymous", subject="anonymous:1")
BEARER = ("authorization", "Bearer of-somebody-else")


class Door:
    """The stage, and what came through it."""

    def __init__(self, *answers: Identity | GatewayError | None, visitors: Any = None, **policy: Any) -> None:
        self.asked: list[int] = []
        self.passed: list[Identity | None] = []
        credentials = tuple(self._credential(number, answer) for number, answer in enumerate(answers))
        asked = self._credential(-1, visitors) if visitors is not None else None
        self.handle: Handler = pipeline(
            authenticate(credentials, **{"required": True, "visitors": asked, **policy}), end=self._end
        )

    def _credential(self, number: int, answer: Identity | GatewayError | None) -> Credential:
        async def prove(_: Call) -> Identity | None:
            self.asked.append(number)
            if isinstance(answer, GatewayError):
                raise answer
            return answer

        return prove

    async def _end(self, call: Call) -> Reply:
        self.passed.append(call.identity)
        return ok()

    def __call__(self, *headers: tuple[str, str], **changes: Any) -> Identity | None:
        """Who came through."""
        run(self.handle(a_call("/a", "GET", *headers, **changes)))  # type: ignore[arg-type]  # it is a coroutine
        return self.passed[-1]


@pytest.mark.parametrize(
    ("answers", "asked", "who"),
    [
        ((SESSION,), [0], SESSION), ((SESSION, KEY), [0], SESSION), ((None, KEY), [0, 1], KEY),
        ((None, None, SESSION, KEY), [0, 1, 2], SESSION),
    ],
)  # fmt: skip
@pytest.mark.parametrize("required", [True, False])
def test_the_first_credential_that_is_there_decides(
    answers: tuple[Identity | None, ...], asked: list[int], who: Identity, required: bool
) -> None:
    door = Door(*answers, visitors=VISITOR, required=required)
    assert door(BEARER) is who
    assert door.asked == asked


@pytest.mark.parametrize("error", [RejectedCredentialError(), ForeignTokenError(), AuthUnavailableError()], ids=repr)
@pytest.mark.parametrize("before", [(), (None,)])
@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("visitors", [None, VISITOR], ids=["no visitors", "visitors"])
def test_a_bad_credential_ends_the_search_everywhere(
    error: GatewayError, before: tuple[None, ...], required: bool, visitors: Identity | None
) -> None:
    door = Door(*before, error, SESSION, visitors=visitors, required=required)
    with pytest.raises(type(error)) as caught:
        door()
    assert caught.value is error
    assert door.asked == list(range(len(before) + 1))
    assert door.passed == []


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("visitors", [None, VISITOR], ids=["no visitors", "visitors"])
@pytest.mark.parametrize("credentials", [(), (None,), (None, None)])
@pytest.mark.parametrize("value", ["Bearer x", "Basic YTpi", "", "nonsense"])
def test_an_authorization_that_is_nobodys_is_refused_before_anybody_becomes_a_visitor(
    required: bool, visitors: Identity | None, credentials: tuple[None, ...], value: str
) -> None:
    door = Door(*credentials, visitors=visitors, required=required, missing="Send a key.")
    with pytest.raises(MissingTokenError) as caught:
        door(("authorization", value))
    assert caught.value.status == 401
    assert str(caught.value) == f"{UNTAKEN} Send a key."
    assert (door.asked, door.passed) == ([*range(len(credentials))], [])


@pytest.mark.parametrize("name", ["cookie", "x-api-key", "x-authorization", "proxy-authorization"])
def test_other_headers_are_for_the_credentials_alone_to_judge(name: str) -> None:
    assert Door(None, visitors=VISITOR)((name, "x")) is VISITOR


@pytest.mark.parametrize("required", [True, False])
def test_who_has_nothing_to_show_is_a_visitor_where_there_are_visitors(required: bool) -> None:
    door = Door(None, visitors=VISITOR, required=required)
    assert door() is VISITOR
    assert door.asked == [0, -1]


@pytest.mark.parametrize("required", [True, False])
def test_visitors_alone_let_everybody_in_as_one(required: bool) -> None:
    assert Door(visitors=VISITOR, required=required)() is VISITOR


@pytest.mark.parametrize("required", [True, False])
def test_without_a_visitors_token_nobody_gets_in(required: bool) -> None:
    door = Door(None, visitors=AuthUnavailableError(), required=required)
    with pytest.raises(AuthUnavailableError):
        door()
    assert door.passed == []


def test_nobody_passes_only_where_nobody_may() -> None:
    assert Door(None, required=False)() is None
    door = Door(None, required=True, missing="This route needs a key.")
    with pytest.raises(MissingTokenError, match=r"^This route needs a key\.$"):
        door()
    assert door.passed == []


def test_who_is_told_nothing_in_particular_is_told_of_the_gateways_tokens() -> None:
    with pytest.raises(MissingTokenError, match="POST /auth/login gives one"):
        Door()()


KNOWN = Identity(kind="anonymous", subject="visitor-of-the-service", token="a.visitors.token")
TOKENLESS = Identity(kind="anonymous", subject="visitor-of-the-service")


def test_a_visitor_whom_an_auth_service_knows_is_one_where_there_are_visitors() -> None:
    door = Door(None, KNOWN, None, visitors=VISITOR)
    assert door() is KNOWN
    assert door.asked == [0, 1, 2]


def test_a_visitor_for_whom_the_service_has_no_token_gets_one_like_everybody() -> None:
    assert Door(TOKENLESS, visitors=VISITOR)() is VISITOR


@pytest.mark.parametrize("known", [KNOWN, TOKENLESS])
def test_a_visitor_whom_an_auth_service_knows_is_nobody_elsewhere(known: Identity) -> None:
    assert Door(known, required=False)() is None
    with pytest.raises(MissingTokenError):
        Door(known, required=True)()


@pytest.mark.parametrize("visitors", [None, VISITOR], ids=["no visitors", "visitors"])
def test_a_visitors_session_hides_no_credential_that_comes_with_it(visitors: Identity | None) -> None:
    door = Door(KNOWN, KEY, visitors=visitors)
    assert door(BEARER) is KEY
    assert door.asked == [0, 1]
    with pytest.raises(RejectedCredentialError):
        Door(KNOWN, RejectedCredentialError(), visitors=visitors)()
    for required in (True, False):
        with pytest.raises(MissingTokenError, match="holds no credential"):
            Door(KNOWN, visitors=visitors, required=required)(BEARER)


# ---------------------------------------------------------------------------------------------------------- until when


@pytest.mark.parametrize(
    ("before", "seconds", "after"),
    [
        (None, 25.0, 1025.0), (None, 0.5, 1000.5), (1010.0, 25.0, 1010.0), (1025.0, 25.0, 1025.0),
        (1030.0, 25.0, 1025.0),
        (1024.999, 25.0, 1024.999), (999.0, 25.0, 999.0), (0.0, 25.0, 0.0),
    ],
)  # fmt: skip
def test_a_call_has_the_time_of_its_route_and_never_more_than_the_invocation(
    before: float | None, seconds: float, after: float
) -> None:
    seen: list[float | None] = []

    async def end(call: Call) -> Reply:
        seen.append(call.deadline)
        return ok()

    run(pipeline(within(seconds, FakeClock(1000.0)), end=end)(a_call(deadline=before)))  # type: ignore[arg-type]
    assert seen == [after]


def test_the_time_runs_from_the_moment_a_call_comes() -> None:
    clock, seen = FakeClock(1000.0), []

    async def end(call: Call) -> Reply:
        seen.append(call.deadline)
        return ok()

    handle = pipeline(within(5.0, clock), end=end)
    for clock.now in (1000.0, 1003.0):
        run(handle(a_call()))  # type: ignore[arg-type]
    assert seen == [1005.0, 1008.0]
