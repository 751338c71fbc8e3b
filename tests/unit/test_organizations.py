"""Organisations that credentials name are asked about once, confirmed or not, and kept for a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.asking import Answer, Question, Told
from gatehouse.call import Identity
from gatehouse.clock import Elapsed
from gatehouse.errors import AuthUnavailableError
from gatehouse.kept import Kept
from gatehouse.organizations import Organizations, place
from gatehouse.projects.model import Organization
from gatehouse.proofs import Means
from tests.unit.fakes import NOW, FakeClock, a_call, run
from tests.unit.services import FakeService, FakeShared, said, telling

SESSION_URL = "http://orgs.test/organizations/by-auth-id/{organization}"
KEY_URL = "http://users.test/users/by-auth-id/{user}"
OWN = "0b1c7c2e-8f43-4f0e-9d6b-2f6f6f7f8f90"
AN_ORGANIZATION = said({"id": OWN, "authId": "org-1"})
A_USER = said({"id": "user-own", "authId": "u1", "organizations": [{"id": OWN, "authId": "org-1"}]})


def who(kind: str = "session", organization: str = "org-1", user: str = "u1") -> Identity:
    return Identity(kind=kind, subject=user or "key-1", user=user, organization=organization)


class House:
    """Processes of one deployment: services and what is shared are the same for all of them."""

    def __init__(self, *answers: Answer | Exception | Callable[[Question], Answer], **where: Any) -> None:
        self.clock = FakeClock()
        self.service = FakeService(*(answers or (AN_ORGANIZATION,)))
        self.shared = FakeShared(self.clock)
        self.where = Organization(**{"session": SESSION_URL, "api_key": KEY_URL, **where})
        self.told: Told = telling(("x-api-key", "ours"))

    def process(self) -> Organizations:
        kept = Kept(Elapsed(self.clock, self.clock))
        means = Means(ask=self.service, kept=kept, shared=self.shared, told=self.told, wall=self.clock)
        return Organizations(name="crow", where=self.where, means=means)


def confirmed(organizations: Organizations, identity: Identity | None = None) -> str | None:
    return run(organizations.confirmed(a_call(deadline=NOW + 77), identity or who()))


# ---------------------------------------------------------------------------------------------------- what is asked


def test_the_organization_of_a_session_is_asked_for_by_its_id_with_what_the_service_is_told() -> None:
    house = House()
    assert confirmed(house.process()) == OWN
    (question,) = house.service.asked
    assert (question.method, question.url) == ("GET", "http://orgs.test/organizations/by-auth-id/org-1")
    assert question.headers == (("x-request-id", "request-0001"), ("x-api-key", "ours"))
    assert question.body == b""
    assert house.service.deadlines == [NOW + 77]


def test_the_organization_of_a_key_is_looked_for_among_those_of_its_user() -> None:
    house = House(A_USER)
    assert confirmed(house.process(), who("api_key")) == OWN
    assert house.service.urls == ["http://users.test/users/by-auth-id/u1"]


def test_both_ids_can_stand_in_an_address() -> None:
    house = House(A_USER, api_key="http://users.test/in/{organization}/user/{user}?full=1")
    assert confirmed(house.process(), who("api_key", "o{user}", "u1")) is None
    assert house.service.urls == ["http://users.test/in/o%7Buser%7D/user/u1?full=1"]


@pytest.mark.parametrize("kind", ["gateway", "jwks", "anonymous", "", "Session"])
def test_of_other_kinds_of_credentials_nobody_is_asked(kind: str) -> None:
    house = House()
    assert confirmed(house.process(), who(kind)) is None
    assert not house.service.asked


@pytest.mark.parametrize("kind", ["session", "api_key"])
def test_where_there_is_no_address_nothing_is_confirmed(kind: str) -> None:
    house = House(session=None, api_key=None)
    assert confirmed(house.process(), who(kind)) is None
    assert not house.service.asked


def test_a_key_that_belongs_to_no_user_is_in_no_organization() -> None:
    house = House(A_USER)
    assert confirmed(house.process(), who("api_key", user="")) is None
    assert not house.service.asked


def test_without_the_secret_that_services_are_told_nothing_is_decided() -> None:
    async def told() -> tuple[tuple[str, str], ...]:
        raise AuthUnavailableError

    house = House()
    house.told = told
    with pytest.raises(AuthUnavailableError):
        confirmed(house.process())
    assert not house.service.asked


# ------------------------------------------------------------------------------------------------ what answers mean


@pytest.mark.parametrize("kind", ["session", "api_key"])
@pytest.mark.parametrize("status", [403, 404])
def test_a_service_that_does_not_know_it_has_not_confirmed_it(kind: str, status: int) -> None:
    assert confirmed(House(said("<html>", status=status)).process(), who(kind)) is None


def test_who_is_not_in_it_is_not_confirmed() -> None:
    assert confirmed(House(said({"id": OWN, "members": ["u2"]})).process()) is None
    assert confirmed(House(said({"id": "u", "organizations": ["org-2"]})).process(), who("api_key")) is None


@pytest.mark.parametrize("kind", ["session", "api_key"])
@pytest.mark.parametrize(
    "answer",
    [
        said(status=400),
        said(status=401),
        said({"id": OWN}, status=409),
        said(body=b"<html>down for maintenance</html>"),
        said(body=b""),
        said(body=b"\xff"),
        said(body=b"[" * 30_000),
        said([{"id": OWN}]),
        said(body=f'{{"id": "evil", "id": "{OWN}"}}'.encode()),
        said("org-1"),
        said({}),
        said({"id": OWN, "authId": "somebody-else"}),
        AuthUnavailableError(),
    ],
)
def test_a_service_that_says_neither_yes_nor_no_decides_nothing_and_is_asked_again(
    kind: str, answer: Answer | Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(answer)
    process = house.process()
    for _ in range(2):
        with pytest.raises(AuthUnavailableError):
            confirmed(process, who(kind))
    assert len(house.service.asked) == 2
    assert not house.shared.texts
    assert "somebody-else" not in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("answer", "cache_s", "after_s", "asked"),
    [
        (AN_ORGANIZATION, 300.0, 299.999, 1),
        (AN_ORGANIZATION, 300.0, 300.0, 2),
        (AN_ORGANIZATION, 10.0, 9.999, 1),
        (AN_ORGANIZATION, 10.0, 10.0, 2),
        (AN_ORGANIZATION, 0.0, 0.0, 2),
        (said(status=404), 300.0, 29.999, 1),
        (said(status=404), 300.0, 30.0, 2),
        (said(status=404), 10.0, 9.999, 1),
        (said(status=404), 10.0, 10.0, 2),
        (said(None), 300.0, 30.0, 2),
    ],
)
@pytest.mark.parametrize("other_process", [False, True])
def test_an_answer_is_kept_for_a_while_by_all_processes(
    answer: Answer, cache_s: float, after_s: float, asked: int, other_process: bool
) -> None:
    house = House(answer, cache=cache_s)
    process = house.process()
    first = confirmed(process)
    house.clock.now += after_s
    assert confirmed(house.process() if other_process else process) == first
    assert len(house.service.asked) == asked


def test_what_is_not_kept_is_not_shared() -> None:
    house = House(cache=0.0)
    confirmed(house.process())
    assert not house.shared.texts


def test_what_another_process_found_is_kept_no_longer_than_it_would_have_been() -> None:
    house = House(AN_ORGANIZATION)
    confirmed(house.process())
    house.clock.now += 200
    process = house.process()
    confirmed(process)
    house.clock.now += 100
    confirmed(process)
    assert len(house.service.asked) == 2


def test_what_was_found_out_for_one_is_not_said_of_another() -> None:
    house = House(lambda question: said({"id": f"of {question.url}"}))
    process = house.process()
    answers = {
        confirmed(process, who("session", organization, user)) for organization in ("o1", "o2") for user in ("u1", "u2")
    }
    assert len(house.service.asked) == 4
    assert answers == {f"of {SESSION_URL.replace('{organization}', one)}" for one in ("o1", "o2")}
    assert len(house.shared.texts) == 4


def test_what_was_confirmed_for_one_project_says_nothing_to_another() -> None:
    """Their auth services may both know a user 1; and the service may tell them apart by the header they send."""
    house = House(AN_ORGANIZATION, said(None, status=404))
    kept = Kept(Elapsed(house.clock, house.clock))
    means = Means(ask=house.service, kept=kept, shared=house.shared, told=house.told, wall=house.clock)
    one, other = (Organizations(name=name, where=house.where, means=means) for name in ("one", "other"))
    assert confirmed(one)
    assert confirmed(other) is None
    assert len(house.service.asked) == 2


@pytest.mark.parametrize(
    ("user", "own"),
    [
        ({"organizations": ["org-1"]}, "own-1"),
        ({"organizations": [{"id": "own-1"}]}, "own-1"),
        ({"organizations": [{"id": "own-2", "authId": "org-2"}]}, None),
        ({"organizations": []}, None),
    ],
)
def test_who_was_removed_loses_the_organization_that_is_still_active_in_a_session(user: Any, own: str | None) -> None:
    house = House(said({"id": "own-1"}), said({"id": "u", **user}), membership="http://users.test/users/{user}")
    assert confirmed(house.process()) == own
    assert [question.url for question in house.service.asked] == [
        SESSION_URL.replace("{organization}", "org-1"),
        "http://users.test/users/u1",
    ]


def test_a_key_is_asked_about_once_although_sessions_are_asked_about_twice() -> None:
    house = House(said({"id": "u", "organizations": ["org-1"]}), membership="http://users.test/users/{user}")
    assert confirmed(house.process(), who("api_key")) == "org-1"
    assert len(house.service.asked) == 1


def test_a_session_and_a_key_of_one_user_are_two_questions() -> None:
    url = "http://crow.test/{organization}/of/{user}"
    house = House(AN_ORGANIZATION, said({"id": "u", "organizations": []}), session=url, api_key=url)
    process = house.process()
    assert confirmed(process, who("session")) == OWN
    assert confirmed(process, who("api_key")) is None


def test_an_answer_of_a_service_that_moved_is_not_used() -> None:
    house = House()
    confirmed(house.process())
    house.where = Organization(session="http://new.test/{organization}")
    confirmed(house.process())
    assert len(house.service.asked) == 2


def test_what_is_shared_names_nobody() -> None:
    house = House()
    confirmed(house.process())
    ((key, (text, _)),) = house.shared.texts.items()
    assert key.startswith("organization#")
    assert len(key.partition("#")[2]) == 64
    assert json.loads(text) == {"id": OWN}


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "{}", '"x"', '{"id": ""}', '{"id": "a\\nb"}', '{"id": ["x"]}', "[" * 30_000]
)
def test_what_nobody_wrote_down_like_that_is_asked_for_again(text: str) -> None:
    house = House()
    confirmed(house.process())
    house.shared.texts = {key: (text, until) for key, (_, until) in house.shared.texts.items()}
    assert confirmed(house.process()) == OWN
    assert len(house.service.asked) == 2


def test_five_hundred_requests_at_one_moment_are_one_question() -> None:
    house = House()
    process = house.process()

    async def all_at_once() -> list[str | None]:
        house.service.gate = asyncio.Event()
        asking = [asyncio.create_task(process.confirmed(a_call(), who())) for _ in range(500)]
        await asyncio.sleep(0)
        asking[0].cancel()  # whoever asked first hangs up
        house.service.gate.set()
        return await asyncio.gather(*asking[1:])

    assert set(run(all_at_once())) == {OWN}
    assert len(house.service.asked) == 1


def test_nobody_waits_longer_than_their_request_may_take() -> None:
    house = House()
    process = house.process()

    async def impatient() -> str | None:
        house.service.gate = asyncio.Event()
        first = asyncio.create_task(process.confirmed(a_call(deadline=NOW + 60), who()))
        await asyncio.sleep(0)
        with pytest.raises(AuthUnavailableError):
            await process.confirmed(a_call(deadline=NOW), who())
        house.service.gate.set()
        return await first

    assert run(impatient()) == OWN


# ------------------------------------------------------------------------------------------------ ids in addresses


@given(st.text(max_size=300))
def test_an_id_is_one_segment_of_the_path_or_nobody_is_asked(name: str) -> None:
    house = House(said(status=404))
    assert confirmed(house.process(), who("session", name)) is None
    if not house.service.asked:
        return
    (url,) = house.service.urls
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("http", "orgs.test", "", "")
    assert "?" not in url
    assert "#" not in url
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    head, _, last = parts.path.rpartition("/")
    assert head == "/organizations/by-auth-id"
    assert unquote(last, errors="strict") == name
    assert last not in {"", ".", ".."}


@given(st.text(alphabet="./%2eEfF5cC\\;?#{}a", min_size=1, max_size=12))
def test_no_id_leads_out_of_its_segment_however_often_it_is_decoded(name: str) -> None:
    url = place(SESSION_URL, organization=name, user="u1")
    if not url:
        return
    path = url.removeprefix("http://orgs.test")
    for _ in range(12):
        path = unquote(path)
        segments = path.split("/")
        assert len(segments) == 4
        assert "\\" not in path
        assert segments[3].partition(";")[0] not in {"", ".", ".."}


@pytest.mark.parametrize(
    "name", ["a", "org-1", "7", "0b1c7c2e", "a b", "ä", "a@b", "a+b", "a:b", "~a", "a..b", "o" * 256]
)
def test_ordinary_ids_are_asked_for(name: str) -> None:
    assert unquote(place(SESSION_URL, organization=name)).endswith(f"/{name}")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../users", "a\\b", "%2e%2e", "%2f", "a?b", "a#b", "a\r\nb", "a\0", "\x7f", "\ud800",
     "\u2028", ";x", "..;x", "o" * 257],
)  # fmt: skip
def test_ids_that_could_be_read_in_two_ways_are_not_asked_for(name: str) -> None:
    assert place(SESSION_URL, organization=name) == ""


def test_an_id_never_chooses_the_host() -> None:
    assert place("http://{organization}.test/x", organization="evil") == "http://{organization}.test/x"


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("http://x.test/a/{organization}/b", "http://x.test/a/a%26b%3D1/b"),
        ("http://x.test/a?in={organization}&x=1", "http://x.test/a?in=a%26b%3D1&x=1"),
    ],
)
def test_an_id_adds_nothing_to_a_query(template: str, url: str) -> None:
    assert place(template, organization="a&b=1") == url
