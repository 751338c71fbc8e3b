"""Sessions: which cookie is asked about, how, what the answer makes of the caller, and for how long that is kept."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.asking import Answer
from gatehouse.call import Call, Identity
from gatehouse.credentials import Credential
from gatehouse.credentials.session import session
from gatehouse.errors import AuthUnavailableError, InvalidRequestError, RejectedCredentialError
from gatehouse.projects.model import SessionProvider
from gatehouse.proofs import MOST_KEPT
from tests.unit.asked import FakeService, FakeShared, answer, means, token
from tests.unit.fakes import NOW, FakeClock, a_call, run

URL = "http://auth.test/get-session?disableCookieCache=true"
NAME, TWIN = "better-auth.session_token", "__Secure-better-auth.session_token"
JWT = token({"sub": "u1", "exp": NOW + 900, "role": "member"})
SESSION = {
    "session": {
        "id": "s1",
        "token": token({"sub": "never"}),
        "userId": "u1",
        "expiresAt": "2027-01-22T08:00:00.000Z",
        "activeOrganizationId": "org1",
    },
    "user": {"id": "u1", "email": "ada@example.com", "emailVerified": True, "name": "Ada"},
}
GOOD = answer(SESSION, ("set-auth-jwt", JWT), ("set-cookie", "better-auth.session_token=new"))
NOBODY = answer(None)
MEMBERS = ("session", "user", "id", "token", "expiresAt", "activeOrganizationId")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def made(
    service: FakeService, clock: FakeClock, shared: FakeShared | None = None, name: str = "crow/session", **changes: Any
) -> Credential:
    provider = SessionProvider(**{"type": "session", "cookie": NAME, "url": URL, **changes})
    return session(provider, name, means(service, clock, shared))


def with_cookie(value: str = "abc.def", name: str = NAME, **changes: Any) -> Call:
    return a_call("/x", "GET", ("cookie", f"theme=dark; {name}={value}; other=1"), **changes)


def prove(credential: Credential, call: Call | None = None) -> Identity | None:
    return run(credential(call or with_cookie()))  # type: ignore[arg-type]  # it is a coroutine


def proved(said: Answer, clock: FakeClock | None = None) -> Identity:
    """Return who a caller is of whom the auth service says *said*."""
    identity = prove(made(FakeService(said), clock or FakeClock()))
    assert identity is not None
    return identity


# ------------------------------------------------------------------------------------------------- what is asked


def test_a_session_is_asked_about_with_its_one_cookie_and_what_the_service_is_told(clock: FakeClock) -> None:
    service = FakeService(GOOD)
    prove(made(service, clock), with_cookie(deadline=17.5))
    question = service.only
    assert (question.method, question.url, question.body) == ("GET", URL, b"")
    assert sorted(question.headers) == [
        ("cookie", f"{NAME}=abc.def"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-internal-key", "told-secret"),
        ("x-request-id", "request-0001"),
    ]
    assert service.deadlines == [17.5]


def test_an_address_that_nobody_knows_is_not_made_up(clock: FakeClock) -> None:
    service = FakeService(GOOD)
    prove(made(service, clock), with_cookie(client_ip=""))
    assert "x-forwarded-for" not in dict(service.only.headers)


@pytest.mark.parametrize(
    "value", ["abc", '"abc"', "a%2Bb%3D%3D", "a=b==", "x" * 4096, "a b", "!#$%&'()*+-./:<=>?@[]^_`{|}~"]
)
def test_the_cookie_is_asked_about_byte_for_byte(clock: FakeClock, value: str) -> None:
    service = FakeService(GOOD)
    assert prove(made(service, clock), with_cookie(value))
    assert dict(service.only.headers)["cookie"] == f"{NAME}={value}"


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        (f"{TWIN}=1", f"{TWIN}=1"),
        (f"{NAME}=1; {TWIN}=2", f"{TWIN}=2"),
        (f"{TWIN}=2; {NAME}=1; {NAME}=3", f"{TWIN}=2"),
        (f"{NAME}=1; {NAME}=1", f"{NAME}=1"),
    ],
)
def test_the_secure_twin_counts_as_well_and_first(clock: FakeClock, sent: str, asked: str) -> None:
    service = FakeService(GOOD)
    assert prove(made(service, clock), a_call("/x", "GET", ("cookie", sent)))
    assert dict(service.only.headers)["cookie"] == asked


@pytest.mark.parametrize(
    "headers",
    [(), (("cookie", ""),), (("cookie", "theme=dark"),), (("cookie", f"x{NAME}=1; {NAME}x=1; {NAME.upper()}=1"),),
     (("cookie", NAME),), (("x-cookie", f"{NAME}=1"),), (("authorization", f"Bearer {NAME}=1"),)],
)  # fmt: skip
def test_without_the_cookie_there_is_nothing_to_ask(clock: FakeClock, headers: tuple[tuple[str, str], ...]) -> None:
    service = FakeService(GOOD)
    assert prove(made(service, clock), a_call("/x", "GET", *headers)) is None
    assert service.asked == []


@pytest.mark.parametrize(
    "sent",
    [f"{NAME}=", f"{NAME}=1; {NAME}=2", f"{TWIN}=1; {TWIN}=2", f"{TWIN}=; {NAME}=1", f"{NAME}={'x' * 4097}",
     f"{NAME}=a\x00b", f"{NAME}=na\xefve", f"{NAME}=a\tb", f"{NAME}=a\x7f"],
)  # fmt: skip
def test_a_cookie_that_can_be_no_session_is_refused_without_asking(clock: FakeClock, sent: str) -> None:
    service = FakeService(GOOD)
    with pytest.raises(RejectedCredentialError):
        prove(made(service, clock), a_call("/x", "GET", ("cookie", sent)))
    assert service.asked == []


def test_a_flood_of_cookies_hides_no_session(clock: FakeClock) -> None:
    sent = "; ".join(["a=1"] * 600) + f"; {NAME}=1"
    with pytest.raises(InvalidRequestError):
        prove(made(FakeService(GOOD), clock), a_call("/x", "GET", ("cookie", sent)))


# ------------------------------------------------------------------------------------------- what an answer says


def test_a_session_says_who_is_calling_for_which_organisation_and_what_may_go_upstream() -> None:
    assert proved(GOOD) == Identity(
        kind="session",
        subject="u1",
        user="u1",
        organization="org1",
        email="ada@example.com",
        claims={"sub": "u1", "exp": NOW + 900, "role": "member", "user": SESSION["user"]},
        token=JWT,
    )


@pytest.mark.parametrize(
    ("document", "organization"),
    [
        ({"session": {"activeOrganizationId": "a"}}, "a"),
        ({"session": {"active_organization_id": "a"}}, "a"),
        ({"session": {}, "activeOrganizationId": "b"}, "b"),
        ({"activeOrganizationId": 12}, "12"),
        ({"session": {"activeOrganizationId": None}, "active_organization_id": "c"}, "c"),
        ({"session": {"activeOrganizationId": None}}, ""),
        ({}, ""),
    ],
)
def test_the_active_organisation_is_in_the_session_or_beside_it(document: Any, organization: str) -> None:
    assert proved(answer({"user": {"id": "u1"}, **document})).organization == organization


@pytest.mark.parametrize("member", ["jwt", "token", "accessToken"])
def test_the_token_is_at_the_top_of_the_body_where_no_header_has_it(member: str) -> None:
    assert proved(answer({**SESSION, member: JWT})).token == JWT


def test_the_sessions_own_token_never_goes_upstream(clock: FakeClock) -> None:
    """In better-auth's answers `session.token` is the credential itself."""
    assert proved(answer(SESSION)).token == ""
    own = SESSION["session"]["token"]
    assert proved(answer({**SESSION, "token": own})).token == ""
    credential = made(FakeService(answer({**SESSION, "token": JWT})), clock)
    identity = prove(credential, with_cookie(JWT))
    assert identity is not None
    assert identity.token == ""
    assert "never" not in json.dumps(dict(identity.claims))


def test_a_session_without_a_token_is_one_all_the_same() -> None:
    identity = proved(answer({"session": {"id": "s"}, "user": {"id": 7, "email": None}}))
    assert (identity.user, identity.email, identity.token, identity.claims) == (
        "7", "", "", {"user": {"id": 7, "email": None}},
    )  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [
        NOBODY, answer({}), answer({"session": None}), answer({"session": None, "user": None}), answer({"user": None}),
        answer({"session": None, "user": {"id": "u1"}}), answer(b"null\n"), answer({}, status=401),
        answer(b"no", status=401),
        answer(b"<html>", status=403), answer(SESSION, ("set-auth-jwt", JWT), status=401),
    ],
)  # fmt: skip
def test_no_session_is_refused(clock: FakeClock, said: Answer) -> None:
    with pytest.raises(RejectedCredentialError) as caught:
        prove(made(FakeService(said), clock))
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer({}, status=404), "status 404"),
        (answer({}, status=400), "status 400"),
        (answer({}, status=405), "status 405"),
        (answer(b"<!doctype html>"), "no JSON object"),
        (answer(b""), "no JSON object"),
        (answer([]), "no JSON object"),
        (answer("ada"), "no JSON object"),
        (answer(b'{"user":{"id":"u1"},"user":{"id":"u2"}}'), "no JSON object"),
        (answer({"status": "ok"}), "no user with an id"),
        (answer({"session": {"userId": "u1"}}), "no user with an id"),
        (answer({"user": {"email": "ada@example.com"}}), "no user with an id"),
        (answer({"user": {"id": ""}}), "id is no id"),
        (answer({"user": {"id": "a\r\nx-admin: 1"}}), "id is no id"),
        (answer({"user": {"id": {"$ne": 1}}}), "id is no id"),
        (answer({"user": "u1"}), "user is no object"),
        (answer({"user": {"id": "u1"}, "session": "s1"}), "session is no object"),
        (answer({"user": {"id": "u1"}, "session": {"activeOrganizationId": ["a"]}}), "activeOrganizationId is no id"),
        (answer({"user": {"id": "u1"}, "session": {"expiresAt": "soon"}}), "expiresAt is no moment"),
        (answer({"user": {"id": "u1"}, "token": token({"exp": "soon"})}), "a token whose exp is no number"),
    ],
)
def test_nonsense_is_no_answer_and_the_log_says_why(
    clock: FakeClock, said: Answer, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service = FakeService(said)
    credential = made(service, clock)
    for _ in range(2):
        with pytest.raises(AuthUnavailableError):
            prove(credential)
    assert len(service.asked) == 2
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["message"], line["origin"], line["reason"]) == (
        "auth service not understood",
        "http://auth.test",
        reason,
    )
    assert "ada" not in json.dumps(line)


def test_a_service_that_does_not_answer_is_not_no_session(clock: FakeClock) -> None:
    service = FakeService(AuthUnavailableError(), GOOD)
    credential = made(service, clock)
    with pytest.raises(AuthUnavailableError):
        prove(credential)
    assert prove(credential)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner),
    )
)
def test_whatever_json_comes_is_somebody_nobody_or_no_answer(document: Any) -> None:
    try:
        identity = proved(answer(document))
    except (RejectedCredentialError, AuthUnavailableError):
        return
    assert identity.subject == str(document["user"]["id"])
    assert identity.subject.isprintable()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (True, "anonymous"),
        (1, "anonymous"),
        ("yes", "anonymous"),
        (False, "session"),
        (None, "session"),
        (0, "session"),
    ],
)
def test_a_session_of_somebody_who_has_not_signed_in_is_a_visitors(clock: FakeClock, said: Any, kind: str) -> None:
    """Anybody gets one where the auth service has anonymous sign-in: it must open no route that needs a login."""
    document = {**SESSION, "user": {"id": "u1", "isAnonymous": said, "email": "made-up@example.com"}}
    service, shared = FakeService(answer(document, ("set-auth-jwt", JWT))), FakeShared(clock)
    for _ in range(2):
        identity = prove(made(service, clock, shared))
        assert identity is not None
        assert (identity.kind, identity.subject, identity.token) == (kind, "u1", JWT)
        assert (identity.user, identity.email) == (("u1", "made-up@example.com") if kind == "session" else ("", ""))
    assert len(service.asked) == 1


# ---------------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("document", "ok"),
    [
        ({"session": {"expiresAt": "2027-01-15T08:00:00Z"}}, False),
        ({"session": {"expiresAt": "2027-01-15T08:00:01Z"}}, True),
        ({"session": {"expires_at": NOW}}, False),
        ({"session": {"expires_at": NOW + 1}}, True),
        ({"expiresAt": NOW * 1000}, False),
        ({"expiresAt": NOW * 1000 + 1}, True),
        ({"session": {"expiresAt": NOW + 9}, "expiresAt": NOW}, False),
        ({"jwt": token({"exp": NOW})}, False),
        ({"jwt": token({"exp": NOW + 1})}, True),
        ({"session": {"expiresAt": NOW + 9}, "jwt": token({"exp": NOW})}, False),
        ({"session": {"expiresAt": None}, "jwt": token({})}, True),
    ],
)
def test_a_session_that_is_over_or_whose_token_is_over_is_none(document: Any, ok: bool) -> None:
    said = answer({"user": {"id": "u1"}, **document})
    if ok:
        assert proved(said).user == "u1"
    else:
        with pytest.raises(RejectedCredentialError):
            proved(said)


@pytest.mark.parametrize(
    ("document", "kept_s"),
    [
        ({}, 30.0),
        ({"jwt": token({"exp": NOW + 10})}, 10.0),
        ({"session": {"expiresAt": NOW + 7}}, 7.0),
        ({"session": {"expiresAt": NOW + 7}, "jwt": token({"exp": NOW + 4})}, 4.0),
        ({"session": {"expiresAt": NOW + 4000}, "jwt": token({"exp": NOW + 4000})}, 30.0),
    ],
)
def test_a_session_is_kept_as_long_as_said_and_never_longer_than_it_or_its_token_lives(
    clock: FakeClock, document: Any, kept_s: float
) -> None:
    service, shared = FakeService(answer({"user": {"id": "u1"}, **document})), FakeShared(clock)
    credential = made(service, clock, shared)
    prove(credential)
    ((_, expires_at),) = shared.items.values()
    assert expires_at == NOW + kept_s
    clock.now += kept_s - 0.001
    prove(credential)
    assert len(service.asked) == 1
    clock.now += 0.001
    service.said = [NOBODY]
    with pytest.raises(RejectedCredentialError):
        prove(credential)
    assert len(service.asked) == 2


@pytest.mark.parametrize(("cache", "kept_s"), [(30.0, 5.0), (5.0, 5.0), (2.0, 2.0)])
def test_no_session_is_kept_for_a_moment_in_this_process_alone(clock: FakeClock, cache: float, kept_s: float) -> None:
    service, shared = FakeService(NOBODY), FakeShared(clock)
    credential = made(service, clock, shared, cache=cache)

    def ask() -> None:
        with pytest.raises(RejectedCredentialError):
            prove(credential)

    ask()
    clock.now += kept_s - 0.001
    ask()
    assert len(service.asked) == 1
    clock.now += 0.001
    ask()
    assert len(service.asked) == 2
    assert shared.items == {}


@pytest.mark.parametrize("said", [GOOD, NOBODY])
def test_with_a_cache_of_nothing_every_request_is_asked_about(clock: FakeClock, said: Answer) -> None:
    service, shared = FakeService(said), FakeShared(clock)
    credential = made(service, clock, shared, cache=0.0)
    for _ in range(3):
        try:
            prove(credential)
        except RejectedCredentialError:
            assert said is NOBODY
    assert len(service.asked) == 3
    assert (shared.items, shared.reads) == ({}, 0)


def test_a_very_long_answer_is_asked_for_each_time(clock: FakeClock) -> None:
    service, shared = FakeService(answer({"user": {"id": "u1", "note": "x" * MOST_KEPT}})), FakeShared(clock)
    credential = made(service, clock, shared)
    assert prove(credential) == prove(credential)
    assert len(service.asked) == 2
    assert shared.items == {}


# --------------------------------------------------------------------------------------------- one for all, and all


def test_five_hundred_at_once_with_one_cookie_are_one_question(clock: FakeClock) -> None:
    service = FakeService(GOOD)
    credential = made(service, clock)

    async def work() -> list[Identity | None]:
        service.gate = asyncio.Event()
        asking = [asyncio.ensure_future(credential(with_cookie())) for _ in range(500)]
        await asyncio.sleep(0.01)
        service.gate.set()
        return await asyncio.gather(*asking)

    assert {identity.user for identity in run(work()) if identity} == {"u1"}
    assert len(service.asked) == 1


def test_sessions_are_told_apart_by_cookie_name_provider_and_address(clock: FakeClock) -> None:
    service, shared = FakeService(GOOD), FakeShared(clock)
    same = means(service, clock, shared)
    for name, url in (("crow/session", URL), ("other/session", URL), ("crow/session", URL + "&x")):
        credential = session(SessionProvider(type="session", cookie=NAME, url=url), name, same)
        prove(credential, with_cookie("abc"))
        prove(credential, with_cookie("abd"))
        prove(credential, with_cookie("abc", TWIN))
    assert len(service.asked) == 9
    assert len(shared.items) == 9


def test_another_process_hears_it_from_this_one(clock: FakeClock) -> None:
    shared, service, silent = FakeShared(clock), FakeService(GOOD), FakeService(NOBODY)
    first = prove(made(service, clock, shared))
    clock.now += 29.9
    other = made(silent, clock, shared)
    assert prove(other) == first
    assert silent.asked == []
    clock.now += 0.1
    with pytest.raises(RejectedCredentialError):
        prove(other)


def test_what_is_shared_tells_whoever_reads_it_nothing(clock: FakeClock) -> None:
    shared = FakeShared(clock)
    prove(made(FakeService(GOOD), clock, shared))
    ((key, (text, _)),) = shared.items.items()
    data = base64.urlsafe_b64decode(text + "===")
    for word in ("abc.def", "ada@example.com", JWT, "better-auth", "activeOrganizationId"):
        assert word not in key + text
        assert word.encode() not in data
    assert len(key.removeprefix("session#")) == 64


def test_nobody_can_say_who_somebody_is_by_writing_to_the_table(clock: FakeClock) -> None:
    """Neither with text of their own, nor with what was said of another session of theirs, nor of another provider."""
    shared, mine = FakeShared(clock), FakeShared(clock)
    prove(made(FakeService(GOOD), clock, shared))
    (key,) = shared.items
    prove(made(FakeService(answer({"user": {"id": "eve"}})), clock, mine), with_cookie("eve"))
    prove(made(FakeService(answer({"user": {"id": "eve"}})), clock, mine, name="evil/session"))
    forged = [text for text, _ in mine.items.values()]
    for text in ("", "{}", json.dumps([NOW + 30, {"kind": "session", "subject": "eve"}, [], {}]), *forged):
        shared.items[key] = (text, NOW + 30)
        service = FakeService(GOOD)
        identity = prove(made(service, clock, shared))
        assert identity is not None
        assert identity.user == "u1"
        assert len(service.asked) == 1


def test_what_is_shared_holds_no_longer_because_the_table_says_so(clock: FakeClock) -> None:
    shared = FakeShared(clock)
    prove(made(FakeService(GOOD), clock, shared))
    ((key, (text, _)),) = shared.items.items()
    shared.items[key] = (text, NOW + 10_000)
    clock.now += 30
    with pytest.raises(RejectedCredentialError):
        prove(made(FakeService(NOBODY), clock, shared))


def test_a_clock_that_was_set_back_lengthens_nothing(clock: FakeClock) -> None:
    shared = FakeShared(clock)
    prove(made(FakeService(GOOD), clock, shared))
    clock.now -= 3600
    credential = made(FakeService(NOBODY), clock, shared)
    prove(credential)
    clock.now += 30
    shared.items.clear()
    with pytest.raises(RejectedCredentialError):
        prove(credential)


def test_nothing_of_a_session_is_in_the_log(clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for said in (GOOD, NOBODY, answer(b"<html>"), answer({"user": {"id": "\n"}}), AuthUnavailableError()):
        try:
            shown.append(repr(prove(made(FakeService(said), clock))))
        except (RejectedCredentialError, AuthUnavailableError) as error:
            shown.append(f"{error!r} {error.details} {error.headers}")
    assert len(shown) == 5
    assert "abc.def" not in capsys.readouterr().out + "".join(shown)


@pytest.mark.parametrize(("verified", "email"), [(True, "a@b.example"), (False, ""), (None, ""), ("yes", ""), (1, "")])
@pytest.mark.parametrize("name", ["emailVerified", "email_verified"])
def test_an_address_that_nobody_verified_is_not_the_callers(name: str, verified: Any, email: str) -> None:
    """Anybody signs up with anybody's address; services upstream would take it for who is calling."""
    identity = proved(answer({"user": {"id": "u1", "email": "a@b.example", name: verified}}))
    assert identity.email == email


@pytest.mark.parametrize("name", ["userId", "user_id"])
def test_a_session_of_one_user_with_another_is_no_answer(name: str) -> None:
    assert proved(answer({"session": {name: "u1"}, "user": {"id": "u1"}})).user == "u1"
    with pytest.raises(AuthUnavailableError):
        proved(answer({"session": {name: "u2"}, "user": {"id": "u1"}}))
