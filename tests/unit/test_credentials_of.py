"""Where callers put their credentials: what stays behind at the gateway, and what those hear who sent none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatehouse.build import gateway
from gatehouse.call import Call, Identity
from gatehouse.cookies import MOST_COOKIES
from gatehouse.credentials import Credential
from gatehouse.credentials.api_key import key_in
from gatehouse.credentials.jwks import jwks
from gatehouse.credentials.session import cookie_in
from gatehouse.credentials_of import described, header_names, is_there, passes_cookies, token_cookies, wanted
from gatehouse.errors import GatewayError, InvalidRequestError
from gatehouse.headers import Headers
from gatehouse.projects import load
from gatehouse.projects.model import AnonymousProvider, ApiKeyProvider, JwksProvider, Project, SessionProvider
from tests.unit.fakes import FakeKit, a_call, body_of, run, write
from tests.unit.project_files import TOKENS, a_file, loaded

JWKS = {"type": "jwks", "issuer": "https://iss.test", "audience": "app", "jwks_url": "https://iss.test/certs"}
SESSION = {"type": "session", "cookie": "sid", "url": "http://auth.test/get-session"}
KEY = {"type": "api_key", "prefix": "k_", "url": "http://auth.test/verify", "headers": ["X_Api.Key", "apikey"]}
VISITORS = {"type": "anonymous"}
CARRIED = {**JWKS, "headers": ["cf-access-token", "Authorization"], "cookie": "CF_Authorization"}


def a_project(folder: Path, providers: Mapping[str, Any], **route: Any) -> Project:
    return loaded(folder, a_file(providers=dict(providers), route=route))


# ------------------------------------------------------------------------------------------------- what stays behind


def test_the_headers_of_all_providers_stay_behind_in_one_spelling(tmp_path: Path) -> None:
    project = a_project(tmp_path, {"j": CARRIED, "k": KEY, "s": SESSION, "v": VISITORS})
    assert header_names(project) == {"cf-access-token", "authorization", "x-api-key", "apikey"}
    assert header_names(a_project(tmp_path, {"s": SESSION, "v": VISITORS})) == set()


def test_cookies_that_are_tokens_are_known(tmp_path: Path) -> None:
    assert token_cookies(a_project(tmp_path, {"j": CARRIED, "s": SESSION, "other": JWKS})) == {"CF_Authorization"}


@pytest.mark.parametrize(
    ("providers", "cookies", "pass_"),
    [
        ({}, None, True), ({}, False, False), ({}, True, True),
        ({"k": KEY, "v": VISITORS, "j": JWKS}, None, True), ({"k": KEY}, False, False),
        ({"s": SESSION}, None, False), ({"s": SESSION}, True, True), ({"s": SESSION}, False, False),
        ({"j": CARRIED}, None, False), ({"j": CARRIED}, True, True), ({"j": CARRIED, "s": SESSION}, None, False),
    ],
)  # fmt: skip
def test_cookies_pass_as_the_route_says_or_where_none_is_a_credential(
    tmp_path: Path, providers: dict[str, Any], cookies: bool | None, pass_: bool
) -> None:
    project = a_project(tmp_path, providers, **({} if cookies is None else {"cookies": cookies}))
    assert passes_cookies(project.routes[0], project) is pass_


@pytest.mark.parametrize(
    ("cookies", "sent"),
    [(None, None), (False, None), (True, "a=1; sid=x; b=2"), ("only a token", None)],
)
def test_no_credential_reaches_an_upstream_of_the_project_not_even_where_nobody_looks(
    tmp_path: Path, cookies: Any, sent: str | None
) -> None:
    value = "CF_Authorization=t" if cookies == "only a token" else "a=1; CF_Authorization=t; sid=x;b=2"
    route = {} if cookies is None else {"cookies": bool(cookies)}
    text = a_file(providers={"j": CARRIED, "k": KEY, "s": SESSION}, route=route)
    kit = FakeKit()
    spelled = [
        (name, "secret-value") for name in ("cf-access-token", "cf_access_token", "x-api-key", "x_api_key", "apikey")
    ]
    call = a_call("/a/x", "GET", ("authorization", "Bearer t"), ("cookie", value), *spelled, ("x-mine", "stays"))
    assert run(gateway(load(write(tmp_path, text), {}), kit)(call)).status == 200
    seen = dict(kit.upstream.only.headers)
    assert seen.get("cookie") == sent
    assert seen["x-mine"] == "stays"
    assert not {"authorization", *(name for name, _ in spelled)} & seen.keys()


# --------------------------------------------------------------------------------------- what those hear who sent none


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (SESSION, "a session (the cookie 'sid'; sign in to get one)"),
        (KEY, "an API key (k_…) in X_Api.Key or apikey"),
        ({**KEY, "bearer": True}, "X_Api.Key or apikey or Authorization: Bearer"),
        ({**KEY, "headers": [], "bearer": True}, "an API key (k_…) in Authorization: Bearer"),
        (JWKS, "a token of its issuer in Authorization: Bearer"),
        ({**JWKS, "cookie": "c"}, "a token of its issuer in the cookie 'c'"),
        (CARRIED, "a token of its issuer in cf-access-token or Authorization or the cookie 'CF_Authorization'"),
        (VISITORS, ""),
    ],
)  # fmt: skip
def test_a_provider_is_described_by_what_to_send_and_where(
    tmp_path: Path, provider: dict[str, Any], words: str
) -> None:
    text = described(a_project(tmp_path, {"p": provider}).providers["p"])
    assert text.endswith(words)
    assert bool(text) is bool(words)


@pytest.mark.parametrize(
    ("accept", "says"),
    [
        (["gateway"], "This route needs a token. Send it as 'Authorization: Bearer <token>'; POST /auth/login"),
        (["s"], "This route needs one of these: a session (the cookie 'sid'; sign in to get one)."),
        (["k", "gateway"], "one of these: an API key (k_…) in Authorization: Bearer; a token of the gateway as"),
        (["s", "v"], "This route needs one of these: a session (the cookie 'sid'; sign in to get one)."),
    ],
)  # fmt: skip
def test_who_sent_nothing_hears_what_the_route_takes(tmp_path: Path, accept: list[str], says: str) -> None:
    key = {**KEY, "headers": [], "bearer": True}
    route = {"auth": "required", "accept": accept}
    text = a_file(providers={"s": SESSION, "k": key, "v": VISITORS}, tokens=TOKENS, route=route)
    project = loaded(tmp_path, text)
    assert says in wanted(project.routes[0], project)
    if "v" not in accept:
        kit = FakeKit()
        kit.credentials = dict.fromkeys(project.providers, nobody())
        reply = run(gateway(load(tmp_path, {}), kit)(a_call("/a/x")))
        assert (reply.status, body_of(reply)["code"]) == (401, "MISSING_TOKEN")
        assert says in body_of(reply)["message"]


def nobody() -> Credential:
    async def prove(_: Call) -> Identity | None:
        return None

    return prove


# ------------------------------------------------------------------------- what is there is what credentials would see


class Untouched:
    """Believes nothing, and so tells whether it was asked."""

    async def verify(self, token: str, deadline: float | None = None) -> Identity:
        return Identity(kind="jwks", subject=token)


def found(headers: Headers, provider: Any) -> bool:
    """Whether the credential itself finds something there, good or bad."""
    try:
        if isinstance(provider, ApiKeyProvider):
            return key_in(headers, provider) is not None
        if isinstance(provider, SessionProvider):
            return cookie_in(headers, provider.cookies) is not None
        return run(jwks(provider, Untouched())(a_call("/", "GET", *headers))) is not None  # type: ignore[arg-type]
    except GatewayError:
        return True


OF_KEYS = ApiKeyProvider(type="api_key", prefix="k_", url="http://x/y", headers=("X-Api-Key",), bearer=True)
PROVIDERS = (
    OF_KEYS,
    ApiKeyProvider(type="api_key", prefix="k_", url="http://x/y", headers=("apikey", "x-api-key")),
    SessionProvider(type="session", cookie="sid", url="http://x/y"),
    JwksProvider(type="jwks", issuer="i", audience=("a",), jwks_url="https://x/y"),
    JwksProvider(type="jwks", issuer="i", audience=("a",), jwks_url="https://x/y", headers=("X-Token",)),
    JwksProvider(type="jwks", issuer="i", audience=("a",), jwks_url="https://x/y", cookie="sid"),
    JwksProvider(type="jwks", issuer="i", audience=("a",), jwks_url="https://x/y", headers=("x-token",), cookie="sid"),
)
FIELDS = st.tuples(
    st.sampled_from(["authorization", "x-api-key", "apikey", "x-token", "cookie", "x-other"]),
    st.sampled_from(
        ["", "k_1", "K_1", "x", "Bearer k_1", "bearer  k_1", "BEARER k_", "Bearer K_1", "Bearer x", "Bearer",
         "Basic k_1", "Bearerk_1", "sid=1", "__Secure-sid=1", "SID=1", "a=1; sid=", "sid", "sid=1; sid=2", "asid=1"],
    ),
)  # fmt: skip


@given(st.lists(FIELDS, max_size=4), st.sampled_from(PROVIDERS))
@example([("authorization", "bearer  k_1")], OF_KEYS)
@example([("authorization", "Bearer K_1")], OF_KEYS)
@example([("authorization", "")], PROVIDERS[3])
@example([("authorization", "Bearer x")], PROVIDERS[4])
@example([("cookie", "__Secure-sid=1")], PROVIDERS[5])
def test_a_credential_is_there_exactly_where_its_provider_would_look(
    fields: list[tuple[str, str]], provider: SessionProvider | ApiKeyProvider | JwksProvider
) -> None:
    headers = Headers(tuple(fields))
    assert is_there(headers, provider) is found(headers, provider)


def test_visitors_have_theirs_always() -> None:
    assert is_there(Headers(), AnonymousProvider(type="anonymous"))


def test_too_many_cookies_are_refused_here_as_well() -> None:
    many = Headers((("cookie", "; ".join(f"c{number}=1" for number in range(MOST_COOKIES + 1))),))
    with pytest.raises(InvalidRequestError):
        is_there(many, PROVIDERS[2])
