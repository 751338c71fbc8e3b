"""What a page of another site has a browser send with our cookies goes nowhere (CSRF)."""

from __future__ import annotations

import pytest

from gatehouse.call import Call, Reply
from gatehouse.errors import ForbiddenError
from gatehouse.headers import Pair
from gatehouse.projects.model import Cors
from gatehouse.stages.own_pages import own_pages
from tests.unit.fakes import a_call, ok, run

NAMES = frozenset({"s", "__Secure-s"})
POLICY = Cors(origins=("https://app.example.com",), local_origins=("http://localhost:3000",), credentials=True)
COOKIE = ("cookie", "theme=dark; s=1")


async def through(_: Call) -> Reply:
    return ok()


def passes(*headers: Pair, method: str = "POST", policy: Cors | None = POLICY) -> bool:
    call = a_call("/a", method, ("host", "gateway.example"), *headers)
    try:
        return run(own_pages(NAMES, policy)(call, through)).status == 200
    except ForbiddenError:
        return False


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ([], True),  # no browser
        ([("origin", "https://app.example.com")], True),
        ([("origin", "http://localhost:3000")], True),
        ([("origin", "https://gateway.example")], True),  # its own
        ([("origin", "http://gateway.example")], False),
        ([("origin", "https://gateway.example:8443")], False),
        ([("origin", "https://evil.example")], False),
        ([("origin", "https://app.example.com.evil.example")], False),
        ([("origin", "null")], False),
        ([("origin", "")], False),
        ([("origin", "*")], False),
        ([("origin", "https://app.example.com"), ("origin", "https://evil.example")], False),
        ([("sec-fetch-site", "cross-site")], False),
        ([("sec-fetch-site", "Cross-Site")], False),
        ([("sec-fetch-site", "same-site")], False),
        ([("sec-fetch-site", "same-origin")], True),
        ([("sec-fetch-site", "none")], True),
        ([("origin", "https://app.example.com"), ("sec-fetch-site", "same-site")], True),
    ],
)
@pytest.mark.parametrize("cookie", [COOKIE, ("cookie", "__Secure-s=2")])
def test_a_cookie_counts_with_an_unsafe_method_from_pages_we_know(
    headers: list[Pair], good: bool, cookie: Pair
) -> None:
    assert passes(cookie, *headers) is good


@pytest.mark.parametrize(
    ("method", "good"),
    [
        ("GET", True),
        ("HEAD", True),
        ("OPTIONS", True),
        ("POST", False),
        ("PUT", False),
        ("PATCH", False),
        ("DELETE", False),
    ],
)
def test_what_changes_nothing_needs_no_guard(method: str, good: bool) -> None:
    assert passes(COOKIE, ("origin", "https://evil.example"), method=method) is good


@pytest.mark.parametrize("cookies", [[], [("cookie", "other=1")], [("cookie", "xs=1; S=1")]])
def test_a_request_without_such_a_cookie_is_not_asked_where_it_is_from(cookies: list[Pair]) -> None:
    assert passes(*cookies, ("origin", "https://evil.example"))


@pytest.mark.parametrize("policy", [None, Cors(origins=("*",))])
def test_where_no_page_is_named_none_but_our_own_counts(policy: Cors | None) -> None:
    assert not passes(COOKIE, ("origin", "https://app.example.com"), policy=policy)
    assert not passes(COOKIE, ("origin", "*"), policy=policy)
    assert passes(COOKIE, ("origin", "https://gateway.example"), policy=policy)
