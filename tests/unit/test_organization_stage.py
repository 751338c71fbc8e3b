"""Which callers go on in the name of which organisation, for every policy of a route."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatehouse.call import Call, Identity, Reply
from gatehouse.clock import Elapsed
from gatehouse.errors import AuthUnavailableError, ForbiddenError, GatewayError
from gatehouse.kept import Kept
from gatehouse.organizations import Organizations
from gatehouse.projects.model import Organization
from gatehouse.proofs import Means
from gatehouse.stages.organization import NOBODY, UNCONFIRMED, UNNAMED, organization
from tests.unit.fakes import FakeClock, a_call, ok, run
from tests.unit.services import FakeService, FakeShared, said, telling

ORGANIZATION = Organization(session="http://orgs.test/o/{organization}", api_key="http://users.test/u/{user}")


def confirming(service: FakeService, where: Organization = ORGANIZATION) -> Organizations:
    clock = FakeClock()
    kept = Kept(Elapsed(clock, clock))
    means = Means(ask=service, kept=kept, shared=FakeShared(clock), told=telling(), wall=clock)
    return Organizations(name="crow", where=where, means=means)


def who(kind: str, named: str) -> Identity:
    return Identity(kind=kind, subject="u1", user="u1", organization=named)


def outcome(policy: str, identity: Identity | None, organizations: Organizations | None) -> str | None:
    """The organisation that the upstream would be told of ('nobody' if it is nobody's call), or what was refused."""
    passed: list[Call] = []

    async def forward(call: Call) -> Reply:
        passed.append(call)
        return ok()

    try:
        run(organization(policy, organizations)(a_call(identity=identity), forward))
    except GatewayError as error:
        assert not passed
        return str(error)
    (call,) = passed
    return call.identity.organization if call.identity else "nobody"


UNAVAILABLE = str(AuthUnavailableError())
IN_IT = said({"id": "own-1", "organizations": [{"id": "own-1", "authId": "org-1"}]})


@pytest.mark.parametrize(
    ("kind", "named", "answer", "required", "optional"),
    [
        ("session", "org-1", "yes", "own-1", "own-1"),
        ("session", "org-1", "no", UNCONFIRMED, UNCONFIRMED),
        ("session", "org-1", "down", UNAVAILABLE, UNAVAILABLE),
        ("session", "org-1", "nobody to ask", UNCONFIRMED, UNCONFIRMED),
        ("session", "org-1", "no address", UNCONFIRMED, UNCONFIRMED),
        ("session", "../x", "yes", UNCONFIRMED, UNCONFIRMED),
        ("session", "", "yes", UNNAMED, ""),
        ("session", "", "down", UNNAMED, ""),
        ("api_key", "org-1", "yes", "own-1", "own-1"),
        ("api_key", "org-1", "no", UNCONFIRMED, UNCONFIRMED),
        ("api_key", "org-1", "down", UNAVAILABLE, UNAVAILABLE),
        ("api_key", "org-1", "nobody to ask", UNCONFIRMED, UNCONFIRMED),
        ("api_key", "org-1", "no address", UNCONFIRMED, UNCONFIRMED),
        ("api_key", "org-2", "yes", UNCONFIRMED, UNCONFIRMED),
        ("api_key", "", "yes", UNNAMED, ""),
        ("gateway", "org-1", "yes", UNNAMED, ""),
        ("jwks", "org-1", "yes", UNNAMED, ""),
        ("anonymous", "org-1", "yes", UNNAMED, ""),
        (None, "", "yes", NOBODY, "nobody"),
    ],
)
def test_only_a_confirmed_organization_goes_further(
    kind: str | None, named: str, answer: str, required: str, optional: str
) -> None:
    answers = {"yes": IN_IT, "no": said(status=404), "down": AuthUnavailableError()}
    service = FakeService(answers.get(answer, IN_IT))
    where = Organization() if answer == "no address" else ORGANIZATION
    identity = who(kind, named) if kind else None
    for policy, expected in (("required", required), ("optional", optional), ("none", "" if kind else "nobody")):
        organizations = None if answer == "nobody to ask" else confirming(service, where)
        asked = len(service.asked)
        assert outcome(policy, identity, organizations) == expected
        if policy == "none":
            assert len(service.asked) == asked


def test_everything_else_about_a_caller_stays_as_it_was() -> None:
    caller = Identity(
        kind="session",
        subject="s",
        user="u",
        organization="org-1",
        email="e",
        scopes=frozenset({"a"}),
        claims={"c": 1},
        token="t",
        token_id="i",
    )
    passed: list[Call] = []

    async def forward(call: Call) -> Reply:
        passed.append(call)
        return ok()

    call = a_call(identity=caller)
    run(organization("required", confirming(FakeService(said({"id": "own-1"}))))(call, forward))
    assert passed[0].identity == replace(caller, organization="own-1")
    assert call.identity is caller


@pytest.mark.parametrize(
    ("text", "words"), [(UNNAMED, ("Choose an organization",)), (UNCONFIRMED, ("Choose another", "take you in"))]
)
def test_a_refusal_is_403_and_says_what_to_do(text: str, words: tuple[str, ...]) -> None:
    error = ForbiddenError(text)
    assert (error.status, error.code) == (403, "FORBIDDEN")
    assert all(word in str(error) for word in words)
