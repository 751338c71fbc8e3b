"""Visitors' tokens that a service gives: asked for once per address, kept while they are good, never made up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.asked_visitors import MOST_COOKIE_BYTES, MOST_COOKIES, AskedVisitors, cookies_set
from gatehouse.asking import Answer, Question
from gatehouse.auth_answers import UnclearAnswerError
from gatehouse.clock import Elapsed
from gatehouse.credentials.anonymous import anonymous
from gatehouse.errors import AuthUnavailableError
from gatehouse.headers import Headers
from gatehouse.kept import Kept
from gatehouse.projects.model import AnonymousProvider
from gatehouse.proofs import Means
from gatehouse.visitors import Visit
from tests.unit.fakes import NOW, OTHER_SECRET, FakeClock, a_call, run
from tests.unit.services import FakeService, FakeShared, said, telling

URL, TOKEN_URL = "http://auth.test/sign-in/anonymous", "http://auth.test/token"
SESSION = "better-auth.session_token=kyu%2FRR.oa7b%3D"
SET = ("set-cookie", f"{SESSION}; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax")
OPAQUE = {"token": "kyuRRLJWHdbftIKFDQBfYL20WSo0SkpH", "user": {"isAnonymous": True}}


def a_token(lasts_s: float | None = 900, **claims: Any) -> str:
    said = {"sub": "visitor-1", "isAnonymous": True, **({} if lasts_s is None else {"exp": NOW + lasts_s}), **claims}
    return jwt.encode(said, OTHER_SECRET, headers={"typ": None, "kid": "x" * 32})


class House:
    """Processes of one deployment, in front of one service."""

    def __init__(self, *answers: Answer | Exception | Callable[[Question], Answer], **provider: Any) -> None:
        self.clock = FakeClock()
        self.service = FakeService(*(answers or (said({"jwt": a_token()}),)))
        self.shared = FakeShared(self.clock)
        self.provider = AnonymousProvider(**{"type": "anonymous", "url": URL, **provider})

    def process(self, name: str = "crow/anonymous") -> AskedVisitors:
        kept = Kept(Elapsed(self.clock, self.clock))
        told = telling(("x-api-key", "ours"))
        means = Means(ask=self.service, kept=kept, shared=self.shared, told=told, wall=self.clock)
        return AskedVisitors(provider=self.provider, name=name, means=means)


def visit(visitors: AskedVisitors, address: str = "192.0.2.7") -> Visit:
    return run(visitors(a_call(client_ip=address, deadline=NOW + 77)))


# -------------------------------------------------------------------------------------------------- asking for a token


def test_a_visitor_is_asked_for_with_the_address_and_what_the_service_is_told() -> None:
    house = House()
    made = visit(house.process())
    assert made == Visit(subject="visitor-1", claims={"sub": "visitor-1", "isAnonymous": True, "exp": NOW + 900},
                         token=a_token())  # fmt: skip
    (question,) = house.service.asked
    assert (question.method, question.url, question.body) == ("POST", URL, b"{}")
    assert set(question.headers) == {
        ("content-type", "application/json"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-request-id", "request-0001"),
        ("x-api-key", "ours"),
    }
    assert house.service.deadlines == [NOW + 77]


@pytest.mark.parametrize(
    "answer",
    [
        said({"jwt": a_token()}),
        said({"token": a_token()}),
        said({"accessToken": a_token()}),
        said(OPAQUE, ("set-auth-jwt", a_token())),
        said(None, ("set-auth-jwt", a_token())),
        said(None, ("set-auth-jwt", a_token()), body=b""),
    ],
)
def test_the_token_is_in_a_header_or_at_the_top_of_the_body(answer: Answer) -> None:
    assert visit(House(answer).process()).token == a_token()


@pytest.mark.parametrize("body", [OPAQUE, {}, None])
def test_where_the_first_answer_has_no_token_it_is_got_with_the_cookies_that_were_set(body: Any) -> None:
    house = House(said(body, SET), said({"token": a_token()}), token_url=TOKEN_URL)
    assert visit(house.process()).token == a_token()
    first, second = house.service.asked
    assert (first.method, first.url) == ("POST", URL)
    assert not [value for name, value in first.headers if name == "cookie"]
    assert (second.method, second.url, second.body) == ("GET", TOKEN_URL, b"")
    assert set(second.headers) == {
        ("cookie", SESSION),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-request-id", "request-0001"),
        ("x-api-key", "ours"),
    }


def test_a_caller_with_nothing_to_show_is_the_visitor_that_the_token_names() -> None:
    identity = run(anonymous(House(said({"jwt": a_token(scopes=["admin"], route="AUTH")})).process())(a_call()))
    assert identity is not None
    assert (identity.kind, identity.subject, identity.user, identity.scopes) == (
        "anonymous", "visitor-1", "", {"anonymous"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "answers",
    [
        (said(status=400),),
        (said({"jwt": a_token()}, status=401),),
        (said(status=404),),
        (said(OPAQUE),),
        (said(None),),
        (said([{"jwt": a_token()}]),),
        (said(body=b"<html>"),),
        (said(None, ("set-auth-jwt", a_token()), body=b"<html>"),),
        (said({"session": {"token": a_token()}}),),
        (said({"jwt": a_token() + "="}),),
        (said({"jwt": a_token(0)}),),
        (said({"jwt": a_token(-1)}),),
        (said({"jwt": a_token(exp="soon")}),),
        (said({"jwt": jwt.encode({"exp": NOW + 900}, OTHER_SECRET)}),),
        (said({"jwt": jwt.encode({"exp": NOW + 900, "sub": ""}, OTHER_SECRET)}),),
        (said({"jwt": a_token(sub="x" * 257)}),),
        (said({"jwt": a_token(sub="a\nb")}),),
        (AuthUnavailableError(),),
        (said(OPAQUE, SET), said({"message": "Unauthorized"}, status=401)),
        (said(OPAQUE, SET), said({"token": "opaque"})),
        (said(OPAQUE, SET), said(body=b"<html>")),
        (said(OPAQUE, SET), AuthUnavailableError()),
        (said(OPAQUE, ("set-cookie", "a=; Max-Age=0")), said({"token": a_token()})),
    ],
)
@pytest.mark.parametrize("token_url", ["", TOKEN_URL])
def test_without_a_token_there_are_no_visitors_and_it_is_tried_again(
    answers: tuple[Answer | Exception, ...], token_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(token_url=token_url)
    process = house.process()
    for _ in range(2):
        house.service.answers = list(answers)
        with pytest.raises(AuthUnavailableError):
            visit(process)
    assert [question.url for question in house.service.asked].count(URL) == 2
    assert not house.shared.texts
    logged = capsys.readouterr().out
    assert "eyJ" not in logged
    assert "kyu" not in logged


# ---------------------------------------------------------------------------------------------------------- one by one


@pytest.mark.parametrize(
    ("one", "other", "questions"),
    [
        ("192.0.2.7", "192.0.2.7", 1),
        ("192.0.2.7", "::ffff:192.0.2.7", 1),
        ("192.0.2.7", "192.0.2.8", 2),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", 1),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", 2),
    ],
)
def test_a_visitor_is_an_ipv4_address_or_an_ipv6_network_of_64_bits(one: str, other: str, questions: int) -> None:
    house = House()
    process = house.process()
    visit(process, one)
    visit(process, other)
    assert len(house.service.asked) == questions


def test_a_caller_without_an_address_is_asked_for_without_one() -> None:
    house = House()
    visit(house.process(), "")
    assert "x-forwarded-for" not in dict(house.service.asked[0].headers)


def test_two_projects_never_share_a_visitor() -> None:
    house = House(said({"jwt": a_token(sub="v1")}), said({"jwt": a_token(sub="v2")}))
    assert [visit(house.process(name)).subject for name in ("a/anonymous", "b/anonymous")] == ["v1", "v2"]


def test_five_hundred_visitors_behind_one_address_are_one_question() -> None:
    house = House()
    process = house.process()

    async def all_at_once() -> list[Visit]:
        house.service.gate = asyncio.Event()
        asking = [asyncio.create_task(process(a_call())) for _ in range(500)]
        await asyncio.sleep(0)
        asking[0].cancel()  # whoever came first hangs up
        house.service.gate.set()
        return await asyncio.gather(*asking[1:])

    assert {one.subject for one in run(all_at_once())} == {"visitor-1"}
    assert len(house.service.asked) == 1


# -------------------------------------------------------------------------------------------------------- how long


@pytest.mark.parametrize(
    ("lasts_s", "ttl_s", "kept_s"),
    [
        (900, 3600.0, 840),
        (7200, 3600.0, 3600),
        (3660, 3600.0, 3600),
        (3659, 3600.0, 3599),
        (None, 3600.0, 3600),
        (900, 60.0, 60),
        (120, 3600.0, 60),
        (60, 3600.0, 30),
        (10, 3600.0, 5),
    ],
)
@pytest.mark.parametrize("other_process", [False, True])
def test_a_token_is_kept_until_shortly_before_its_end_by_all_processes(
    lasts_s: float | None, ttl_s: float, kept_s: float, other_process: bool
) -> None:
    house = House(said({"jwt": a_token(lasts_s)}), said({"jwt": a_token(99_999, sub="visitor-2")}), ttl=ttl_s)
    process = house.process()
    assert visit(process).subject == "visitor-1"
    for after_s, subject in ((kept_s - 0.001, "visitor-1"), (kept_s, "visitor-2")):
        house.clock.now = NOW + after_s
        assert visit(house.process() if other_process else process).subject == subject


def test_what_another_process_got_is_kept_no_longer_than_that_process_would() -> None:
    house = House(said({"jwt": a_token(7200)}), said({"jwt": a_token(99_999, sub="visitor-2")}))
    visit(house.process())
    house.clock.now = NOW + 3000
    process = house.process()
    assert visit(process).subject == "visitor-1"
    house.clock.now = NOW + 3600
    assert visit(process).subject == "visitor-2"


@pytest.mark.parametrize("text", ["", "nonsense", "a.b.c", a_token(-1), a_token(sub=5.5), a_token(sub=None)])
def test_what_is_shared_and_no_good_token_is_asked_for_again(text: str) -> None:
    house = House(said({"jwt": a_token()}))
    visit(house.process())
    house.shared.texts = {key: (text, until) for key, (_, until) in house.shared.texts.items()}
    assert visit(house.process()).token == a_token()
    assert len(house.service.asked) == 2


def test_what_is_shared_names_no_address() -> None:
    house = House()
    visit(house.process())
    ((key, (text, until)),) = house.shared.texts.items()
    assert "192" not in key.replace(key.partition("#")[2], "")
    assert len(key.partition("#")[2]) == 64
    assert (text, until) == (a_token(), NOW + 840)


# ------------------------------------------------------------------------------------------------------------- cookies


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([], ""),
        (["a=1"], "a=1"),
        (["a=1; Path=/", "b=2;Secure"], "a=1; b=2"),
        (["a=1", "a=2"], "a=2"),
        (["a=%2F%3D.x==; Max-Age=60"], "a=%2F%3D.x=="),
        (['a="quoted"'], 'a="quoted"'),
        (["__Secure-a=1; Secure"], "__Secure-a=1"),
        (["a=1; Max-Age=0"], ""),
        (["a=1", "a=gone; max-age = 0 ; Path=/"], ""),
        (["a=1; Max-Age=-5"], ""),
        (["a=1", "a="], ""),
        (["a=1; Max-Age=10"], "a=1"),
        (["a"], ""),
        (["=1"], ""),
        (["a b=1", "a=1 2", "a=1,2", "a=1\\", 'a="', "a=\xe4", "a\x00=1"], ""),
    ],
)
def test_cookies_are_sent_back_as_they_were_set(lines: list[str], value: str) -> None:
    assert cookies_set(Headers(tuple(("set-cookie", line) for line in lines))) == value


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=255), max_size=20), max_size=10))
def test_whatever_is_set_a_cookie_header_holds_nothing_but_cookies(lines: list[str]) -> None:
    value = cookies_set(Headers(tuple(("set-cookie", line) for line in lines)))
    assert value.isascii()
    assert value == "" or value.isprintable()
    for cookie in value.split("; ") if value else ():
        assert "=" in cookie.strip("=")
        assert any(cookie in line for line in lines)


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        ([f"c{number}=1" for number in range(MOST_COOKIES)], True),
        ([f"c{number}=1" for number in range(MOST_COOKIES + 1)], False),
        (["c=" + "x" * (MOST_COOKIE_BYTES - 2)], True),
        (["c=" + "x" * (MOST_COOKIE_BYTES - 1)], False),
    ],
)
def test_more_cookies_than_anybody_needs_are_refused(lines: list[str], fits: bool) -> None:
    headers = Headers(tuple(("set-cookie", line) for line in lines))
    if fits:
        assert cookies_set(headers)
    else:
        with pytest.raises(UnclearAnswerError):
            cookies_set(headers)
