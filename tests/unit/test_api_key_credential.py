"""API keys: where they are looked for, how they are asked about, what the answer makes of the caller."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.asking import Answer
from gatehouse.call import Call, Identity
from gatehouse.credentials import Credential
from gatehouse.credentials.api_key import MOST_KEY, api_key
from gatehouse.errors import AuthUnavailableError, RateLimitedError, RejectedCredentialError
from gatehouse.headers import Pair
from gatehouse.projects.model import ApiKeyProvider
from tests.unit.asked import FakeService, FakeShared, answer, means, token
from tests.unit.fakes import NOW, FakeClock, a_call, run

URL = "http://auth.test/api-key/verify"
KEY = "crow_0123456789abcdef"
JWT = token({"sub": "u1", "exp": NOW + 900})
MEMBERS = ("valid", "key", "id", "error", "code", "metadata", "permissions", "expiresAt")
SAID = {
    "id": "k1",
    "name": "ci",
    "start": "crow_0",
    "prefix": "crow_",
    "userId": "u1",
    "enabled": True,
    "remaining": None,
    "expiresAt": None,
    "permissions": {"files": ["read", "write"], "users": ["read"]},
    "metadata": {"organizationId": "org1", "note": "n"},
}


def valid(said: Any = SAID, *pairs: Pair, **more: Any) -> Answer:
    return answer({"valid": True, "error": None, "key": said, **more}, *pairs)


def invalid(code: str = "KEY_NOT_FOUND", status: int = 200, **error: Any) -> Answer:
    said = {"message": "Invalid API key.", "code": code, **error}
    return answer({"valid": False, "error": said, "key": None}, status=status)


GOOD, BAD = valid(), invalid()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def made(
    service: FakeService, clock: FakeClock, shared: FakeShared | None = None, name: str = "crow/api_key", **changes: Any
) -> Credential:
    fields = {"type": "api_key", "prefix": "crow_", "url": URL, "headers": ("X-API-Key", "ApiKey"), "bearer": True}
    return api_key(ApiKeyProvider(**{**fields, **changes}), name, means(service, clock, shared))


def with_key(key: str = KEY, header: str = "x-api-key", **changes: Any) -> Call:
    return a_call("/x", "GET", (header, key), **changes)


def prove(credential: Credential, call: Call | None = None) -> Identity | None:
    return run(credential(call or with_key()))  # type: ignore[arg-type]  # it is a coroutine


def proved(said: Answer) -> Identity:
    """Return who a caller is of whose key the auth service says *said*."""
    identity = prove(made(FakeService(said), FakeClock()))
    assert identity is not None
    return identity


# -------------------------------------------------------------------------------------------- where keys are found


@pytest.mark.parametrize(
    "headers",
    [
        (("x-api-key", KEY),),
        (("x-api-key", f" {KEY} "),),
        (("apikey", KEY),),
        (("authorization", f"Bearer {KEY}"),),
        (("authorization", f"bearer   {KEY} "),),
        (("x-api-key", KEY), ("x-api-key", KEY)),
        (("x-api-key", KEY), ("apikey", KEY), ("authorization", f"Bearer {KEY}")),
        (("x-api-key", KEY), ("authorization", "Bearer eyJ.other.token")),
        (("x-api-key", KEY), ("authorization", "Basic Y3Jvd186eA==")),
    ],
)
def test_a_key_is_found_in_each_of_its_places(clock: FakeClock, headers: tuple[Pair, ...]) -> None:
    service = FakeService(GOOD)
    assert prove(made(service, clock), a_call("/x", "GET", *headers))
    assert json.loads(service.only.body) == {"key": KEY}


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("authorization", "Bearer eyJ.other.token"),),
        (("authorization", "Bearer crow"),),
        (("authorization", "Bearer"),),
        (("authorization", f"Basic {KEY}"),),
        (("authorization", KEY),),
        (("cookie", f"x-api-key={KEY}"),),
        (("x-api-key-2", KEY),),
    ],
)
def test_without_a_key_there_is_nothing_to_ask(clock: FakeClock, headers: tuple[Pair, ...]) -> None:
    service = FakeService(GOOD)
    assert prove(made(service, clock), a_call("/x", "GET", *headers)) is None
    assert service.asked == []


def test_a_provider_without_bearer_leaves_that_header_to_others(clock: FakeClock) -> None:
    credential = made(FakeService(GOOD), clock, bearer=False)
    assert prove(credential, a_call("/x", "GET", ("authorization", f"Bearer {KEY}"))) is None


def test_a_provider_without_headers_looks_at_bearer_alone(clock: FakeClock) -> None:
    credential = made(FakeService(GOOD), clock, headers=())
    assert prove(credential, with_key()) is None
    assert prove(credential, with_key(f"Bearer {KEY}", "authorization"))


@pytest.mark.parametrize(
    "headers",
    [
        (("x-api-key", ""),),
        (("x-api-key", "other_0123"),),
        (("x-api-key", "CROW_0123"),),
        (("x-api-key", "crow_"),),
        (("x-api-key", "crow_a b"),),
        (("x-api-key", "crow_a\tb"),),
        (("x-api-key", "crow_\x7f"),),
        (("x-api-key", "crow_na\xefve"),),
        (("x-api-key", f"Bearer {KEY}"),),
        (("x-api-key", "crow_" + "x" * (MOST_KEY - 4)),),
        (("x-api-key", KEY), ("x-api-key", KEY + "0")),
        (("x-api-key", KEY), ("apikey", KEY + "0")),
        (("x-api-key", KEY), ("apikey", "")),
        (("x-api-key", KEY), ("authorization", f"Bearer {KEY}0")),
        (("authorization", "Bearer crow_"),),
        (("authorization", "Bearer crow_a b"),),
    ],
)
def test_what_can_be_no_key_or_is_two_is_refused_without_asking(clock: FakeClock, headers: tuple[Pair, ...]) -> None:
    service = FakeService(GOOD)
    with pytest.raises(RejectedCredentialError):
        prove(made(service, clock), a_call("/x", "GET", *headers))
    assert service.asked == []


def test_the_longest_key_is_one(clock: FakeClock) -> None:
    assert prove(made(FakeService(GOOD), clock), with_key("crow_" + "x" * (MOST_KEY - 5)))


@given(st.text(alphabet=[chr(code) for code in range(256)], max_size=20))
def test_no_text_breaks_out_of_the_question(tail: str) -> None:
    service = FakeService(GOOD)
    try:
        prove(made(service, FakeClock()), with_key("crow_" + tail))
    except RejectedCredentialError:
        assert service.asked == []
    else:
        assert json.loads(service.only.body) == {"key": "crow_" + tail.strip(" \t")}


# ------------------------------------------------------------------------------------------------- what is asked


def test_a_key_is_asked_about_in_the_body_and_nowhere_else(clock: FakeClock) -> None:
    service = FakeService(GOOD)
    prove(made(service, clock), with_key(deadline=17.5))
    question = service.only
    assert (question.method, question.url) == ("POST", URL)
    assert sorted(question.headers) == [
        ("content-type", "application/json"),
        ("cookie", "never=this"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-internal-key", "told-secret"),
        ("x-request-id", "request-0001"),
    ]
    assert service.deadlines == [17.5]
    assert KEY not in repr(question)


# ------------------------------------------------------------------------------------------- what an answer says


def test_a_key_says_whose_it_is_what_it_may_and_for_which_organisation() -> None:
    assert proved(valid(SAID, ("set-auth-jwt", JWT))) == Identity(
        kind="api_key",
        subject="u1",
        user="u1",
        organization="org1",
        scopes=frozenset({"files:read", "files:write", "users:read"}),
        claims={
            "sub": "u1",
            "exp": NOW + 900,
            "key": {"id": "k1", "name": "ci", "metadata": SAID["metadata"], "permissions": SAID["permissions"]},
        },
        token=JWT,
    )


@pytest.mark.parametrize(
    ("said", "subject", "user"),
    [
        ({"id": "k", "userId": "u"}, "u", "u"),
        ({"id": "k", "referenceId": "r"}, "r", "r"),
        ({"id": "k", "user_id": 7}, "7", "7"),
        ({"id": "k", "userId": None, "referenceId": "r"}, "r", "r"),
        ({"id": 5}, "5", ""),
    ],
)
def test_a_key_belongs_to_a_user_or_to_itself(said: Any, subject: str, user: str) -> None:
    identity = proved(valid(said))
    assert (identity.subject, identity.user) == (subject, user)


@pytest.mark.parametrize(
    ("metadata", "organization"),
    [
        (None, ""), ("", ""), ("null", ""), ({}, ""), ({"organizationId": "a"}, "a"), ({"organization_id": "b"}, "b"),
        ({"orgId": 3}, "3"), ('{"organizationId":"a"}', "a"), ("{}", ""), ({"organizationId": None, "orgId": "c"}, "c"),
    ],
)  # fmt: skip
def test_the_organisation_is_in_the_metadata_an_object_or_its_text(metadata: Any, organization: str) -> None:
    assert proved(valid({"id": "k", "metadata": metadata})).organization == organization


@pytest.mark.parametrize(
    ("permissions", "scopes"),
    [
        (None, set()),
        ({}, set()),
        ({"a": ["b"]}, {"a:b"}),
        ('{"a":["b","c"]}', {"a:b", "a:c"}),
        ({"a": "b", "c": [1]}, set()),
    ],
)
def test_permissions_are_scopes(permissions: Any, scopes: set[str]) -> None:
    assert proved(valid({"id": "k", "permissions": permissions})).scopes == scopes


@pytest.mark.parametrize("member", ["jwt", "token", "accessToken"])
def test_a_token_may_come_at_the_top_of_the_body(member: str) -> None:
    assert proved(valid(SAID, **{member: JWT})).token == JWT


def test_the_key_itself_is_never_passed_on_even_if_the_answer_has_it(clock: FakeClock) -> None:
    key = "crow_" + JWT
    said = valid({**SAID, "key": key, "hash": key}, ("set-auth-jwt", key), token=key, jwt=key)
    identity = prove(made(FakeService(said), clock), with_key(key))
    assert identity is not None
    assert identity.token == ""
    assert key not in repr(identity)
    identity = prove(made(FakeService(valid(SAID, token=JWT)), clock, prefix="eyJ"), with_key(JWT))
    assert identity is not None
    assert identity.token == ""


@pytest.mark.parametrize(
    "said",
    [
        BAD, invalid("INVALID_API_KEY"), invalid(message={"code": "INVALID_API_KEY"}), invalid("KEY_DISABLED"),
        invalid("KEY_EXPIRED"), invalid("USAGE_EXCEEDED"),
        invalid("INVALID_API_KEY", 401),
        invalid(status=404), invalid(status=400), answer({"valid": False}), answer({"valid": False, "error": "no"}),
        answer(b"no", status=401), answer(b"", status=403), answer(None, status=401), answer({}, status=403),
        answer({"valid": False, "key": SAID}), answer({"valid": True, "key": SAID}, status=401),
    ],
)  # fmt: skip
def test_a_key_that_the_service_does_not_know_is_refused(clock: FakeClock, said: Answer) -> None:
    with pytest.raises(RejectedCredentialError) as caught:
        prove(made(FakeService(said), clock))
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(b"<html>"), "no JSON object"),
        (answer(b"<html>", status=404), "no JSON object"),
        (answer([]), "no JSON object"),
        (answer({}, status=404), "status 404"),
        (answer({"valid": True, "key": SAID}, status=404), "status 404"),
        (answer({}, status=422), "status 422"),
        (answer(None), "neither valid nor not"),
        (answer({}), "neither valid nor not"),
        (answer({"valid": True}), "neither valid nor not"),
        (answer({"valid": True, "key": None}), "neither valid nor not"),
        (answer({"valid": 1, "key": SAID}), "neither valid nor not"),
        (answer({"valid": "true", "key": SAID}), "neither valid nor not"),
        (answer({"key": SAID}), "neither valid nor not"),
        (invalid("INVALID_API_KEY", message={"code": "INVALID_API_KEY"}), "a refusal for a failure of its own"),
        (valid([SAID]), "key is no object"),
        (valid({"userId": "u1"}), "a key without an id"),
        (valid({"id": "a\nb"}), "id is no id"),
        (valid({"id": "k", "userId": ["u1"]}), "userId is no id"),
        (valid({"id": "k", "metadata": "{"}), "metadata or permissions are no JSON object"),
        (valid({"id": "k", "metadata": "[]"}), "metadata or permissions are no JSON object"),
        (valid({"id": "k", "metadata": [1]}), "metadata or permissions are no object"),
        (valid({"id": "k", "permissions": 7}), "metadata or permissions are no object"),
        (valid({"id": "k", "metadata": {"organizationId": {}}}), "organizationId is no id"),
        (valid({"id": "k", "expiresAt": "never"}), "expiresAt is no moment"),
    ],
)
def test_nonsense_is_no_answer_and_the_log_says_why(
    clock: FakeClock, said: Answer, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AuthUnavailableError):
        prove(made(FakeService(said), clock))
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["message"], line["origin"], line["reason"]) == (
        "auth service not understood",
        "http://auth.test",
        reason,
    )


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        (invalid("RATE_LIMITED", details={"tryAgainIn": 86_340_001}), "86341"),
        (invalid("RATE_LIMITED", details={"tryAgainIn": 1500}), "2"),
        (invalid("RATE_LIMITED", details={"tryAgainIn": 0}), "1"),
        (invalid("RATE_LIMITED", details={"tryAgainIn": -7}), "1"),
        (invalid("RATE_LIMITED", details={"tryAgainIn": 10**400}), "86400"),
        (invalid("RATE_LIMITED", details={"tryAgainIn": "soon"}), "1"),
        (invalid("RATE_LIMITED", details="soon"), "1"),
        (invalid("RATE_LIMITED"), "1"),
        (invalid("RATE_LIMITED", status=401), "1"),
        (answer({"code": "RATE_LIMITED"}, ("retry-after", "17"), status=403), "17"),
        (answer({"code": "RATE_LIMITED"}, ("retry-after", "9" * 400), status=403), "86400"),
        (answer({"code": "RATE_LIMITED"}, ("retry-after", "Sat, 16 Jan 2027 08:00:00 GMT"), status=403), "1"),
    ],
)
def test_a_key_used_too_often_hears_when_it_may_again_and_is_asked_about_each_time(
    clock: FakeClock, said: Answer, wait_s: str
) -> None:
    service = FakeService(said, GOOD)
    credential = made(service, clock)
    with pytest.raises(RateLimitedError) as caught:
        prove(credential)
    assert dict(caught.value.headers)["retry-after"] == wait_s
    assert prove(credential)
    assert len(service.asked) == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner),
    ),
    st.sampled_from([200, 400, 401, 403, 404, 422]),
)
def test_whatever_json_comes_only_a_plain_yes_lets_anybody_in(document: Any, status: int) -> None:
    try:
        prove(made(FakeService(answer(document, status=status)), FakeClock()))
    except (RejectedCredentialError, AuthUnavailableError, RateLimitedError):
        return
    assert status == 200
    assert document["valid"] is True
    assert document["key"]["id"] is not None


# ---------------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("said", "kept_s"),
    [
        (GOOD, 30.0),
        (valid({**SAID, "expiresAt": NOW + 12}), 12.0),
        (valid({**SAID, "expiresAt": "2027-01-15T08:00:08.000Z"}), 8.0),
        (valid(SAID, ("set-auth-jwt", token({"exp": NOW + 3}))), 3.0),
        (BAD, 5.0),
        (valid({**SAID, "expiresAt": NOW}), 5.0),
    ],
)
def test_what_is_said_of_a_key_is_kept_for_a_while(clock: FakeClock, said: Answer, kept_s: float) -> None:
    service, shared = FakeService(said), FakeShared(clock)
    credential = made(service, clock, shared)

    def ask() -> int:
        shared.items.clear()
        with suppress(RejectedCredentialError):
            prove(credential)
        return len(service.asked)

    assert ask() == 1
    clock.now += kept_s - 0.001
    assert ask() == 1
    clock.now += 0.001
    assert ask() == 2


def test_a_key_that_is_over_is_refused_and_not_shared(clock: FakeClock) -> None:
    shared = FakeShared(clock)
    with pytest.raises(RejectedCredentialError):
        prove(made(FakeService(valid({**SAID, "expiresAt": NOW})), clock, shared))
    assert shared.items == {}


# ------------------------------------------------------------------------------------------------- one for all


def test_five_hundred_at_once_with_one_key_are_one_question(clock: FakeClock) -> None:
    service = FakeService(GOOD)
    credential = made(service, clock)

    async def work() -> list[Identity | None]:
        service.gate = asyncio.Event()
        asking = [asyncio.ensure_future(credential(with_key())) for _ in range(500)]
        await asyncio.sleep(0.01)
        service.gate.set()
        return await asyncio.gather(*asking)

    assert {identity.user for identity in run(work()) if identity} == {"u1"}
    assert len(service.asked) == 1


def test_another_process_hears_it_from_this_one_and_reads_the_same(clock: FakeClock) -> None:
    shared, silent = FakeShared(clock), FakeService(BAD)
    first = prove(made(FakeService(valid(SAID, ("set-auth-jwt", JWT))), clock, shared))
    assert prove(made(silent, clock, shared)) == first
    assert silent.asked == []


def test_what_is_shared_holds_neither_the_key_nor_its_plain_hash(clock: FakeClock) -> None:
    shared = FakeShared(clock)
    prove(made(FakeService(GOOD), clock, shared))
    written = json.dumps(shared.items)
    assert not [word for word in (KEY, hashlib.sha256(KEY.encode()).hexdigest(), "org1", "u1\\") if word in written]


def test_nothing_of_a_key_is_in_logs_errors_or_what_is_shown(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for said in (GOOD, BAD, answer(b"<html>"), invalid("RATE_LIMITED"), valid([KEY]), AuthUnavailableError()):
        credential = made(FakeService(said), clock)
        try:
            shown.append(repr(prove(credential)))
        except (RejectedCredentialError, AuthUnavailableError, RateLimitedError) as error:
            shown.append(f"{error!r} {error.details} {error.headers}")
    assert KEY not in capsys.readouterr().out + "".join(shown)
