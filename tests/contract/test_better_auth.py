"""The real thing: crow's routes in front of better-auth, from signing up to an auth server that is gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from gatehouse import edge, keys, lambda_http
from gatehouse.build import gateway
from gatehouse.keyring import LiveKeyRing
from gatehouse.kit import Kit
from gatehouse.settings import read
from local.servers import listen, served
from tests.better_auth import (
    APP,
    AUDIENCE,
    AUTH,
    ISSUER,
    SERVICE_KEY,
    AuthServer,
    Person,
    needs_better_auth,
    sender,
)
from tests.contract.conftest import SECRET, Answer, Send, bearer, check_error, invoke
from tests.contract.rest_event import rest_event
from tests.contract.upstream import Lab

INTERNAL_KEY = "what-services-know-the-gateway-of-crow-by"
CACHE_S = 5
PRODUCTS, CHAT, SIGNED = "/api/v1/products/7", "/api/v1/chat/hello", "/api/v1/signed/hello"

PROJECT = """
project: crow
cors: {origins: [https://app.crowai.dev], headers: [Authorization, Content-Type, X-API-Key, ApiKey], credentials: true}
providers:
  session:
    type: session
    cookie: better-auth.session_token
    url: "${AUTH_SERVICE_URL}/get-session?disableRefresh=true"
    cache: 5s
  api_key:
    type: api_key
    prefix: crow_
    headers: [x-api-key, apikey]
    bearer: true
    url: "${AUTH_SERVICE_URL}/api-key/verify"
    cache: 5s
  anonymous:
    type: anonymous
    ttl: 1h
    url: "${AUTH_SERVICE_URL}/sign-in/anonymous"
    token_url: "${AUTH_SERVICE_URL}/token"
  tokens:
    type: jwks
    issuer: https://auth.crow.example
    audience: crow
    jwks_url: "${AUTH_SERVICE_URL}/jwks"
organization:
  session: "${AUTH_SERVICE_URL}/organizations/by-auth-id/{organization}"
  api_key: "${AUTH_SERVICE_URL}/users/by-auth-id/{user}"
  membership: "${AUTH_SERVICE_URL}/users/by-auth-id/{user}"
  headers: {X-API-Key: "${secret:SERVICE_API_KEY_ORG_SERVICE}"}
  cache: 5s
defaults:
  strip_prefix: false
  accept: [session, api_key]
  organization: required
  set_headers:
    X-Internal-Key: "${secret:INTERNAL_GATEWAY_KEY}"
    X-Organization-Id: "${identity.organization}"
    X-User-Id: "${identity.user}"
    Authorization: "Bearer ${identity.token}"
routes:
  - name: auth
    paths: ["/api/v{version}/auth", "/api/v{version}/better-auth"]
    upstream: "${AUTH_SERVICE_URL}"
    auth: none
    cookies: true
  - {name: products, path: "/api/v{version}/products", upstream: "${LAB_URL}"}
  - {name: mine, path: "/api/v{version}/mine", upstream: "${LAB_URL}", organization: none}
  - name: chat
    path: "/api/v{version}/chat"
    upstream: "${LAB_URL}"
    accept: [session, api_key, anonymous]
    organization: optional
  - {name: signed, path: "/api/v{version}/signed", upstream: "${LAB_URL}", accept: [tokens], organization: none}
"""

pytestmark = needs_better_auth


class Wall:
    """The wall clock of the gateways, which tests may put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s

    def pass_by(self, seconds: float = CACHE_S + 1) -> None:
        self.ahead_s += seconds


@dataclass(frozen=True)
class Crow:
    """The gateway, its auth server, and the service behind it."""

    send: Send
    auth: AuthServer
    lab: Lab

    def person(self) -> Person:
        return Person(self.send).signs_up()

    def own_id(self, organization: str) -> str:
        return self.auth.own_id(organization)

    def passed(self, answer: Answer) -> dict[str, str]:
        """What the service was told in the request that *answer* is of, which passed."""
        assert answer.status == 200, answer.body
        names = [name for name, _ in self.lab.last["headers"]]
        assert len(names) == len(set(names))
        told = dict(self.lab.last["headers"])
        assert told["x-internal-key"] == INTERNAL_KEY
        return told


@pytest.fixture(scope="module")
def wall() -> Iterator[Wall]:
    wall = Wall()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gatehouse.kit.time", SimpleNamespace(time=wall.time, monotonic=time.monotonic))
        yield wall


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[AuthServer, AuthServer]]:
    """Two auth servers, as under http and under https; the second one may be ended."""
    with AuthServer() as plain, AuthServer(secure=True) as secure:
        plain.wait()
        secure.wait()
        yield plain, secure


@pytest.fixture(scope="module")
def kits(
    servers: tuple[AuthServer, AuthServer], lab: Lab, wall: Wall, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[AuthServer, str], Kit]]:
    """What makes everything behind a gateway that asks an auth server and sends by some client."""
    folder = tmp_path_factory.mktemp("crow")
    (folder / "crow.yaml").write_text(PROJECT)
    with ExitStack() as running:
        listening = listen("127.0.0.1", 0)
        running.enter_context(served(lab, [listening]))
        lab_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield partial(made_kit, folder, lab_url)


def made_kit(folder: Path, lab_url: str, auth: AuthServer, client: str) -> Kit:
    secrets = {"INTERNAL_GATEWAY_KEY": INTERNAL_KEY, "SERVICE_API_KEY_ORG_SERVICE": SERVICE_KEY}
    key = {"alg": "HS256", "secret": SECRET}
    ring = json.dumps({"current": "k1", "keys": {"k1": key}, "secrets": secrets})

    async def fetch() -> str:
        return ring

    kit = Kit(read({"ENVIRONMENT": "local", "PROJECTS_DIR": str(folder), "UPSTREAM_CLIENT": client}))
    kit.__dict__["keys"] = LiveKeyRing(fetch, time.monotonic, ring=keys.parse(ring))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_URL", lab_url)
        patch.setenv("ENVIRONMENT", "local")
        patch.setenv("AUTH_SERVICE_URL", auth.url)
        assert kit.served.all
    return kit


def application(kit: Kit) -> edge.App:
    return edge.application(gateway(kit.served, kit), most_bytes=kit.settings.max_request_bytes, close=kit.close)


@pytest.fixture(scope="module")
def uvicorn_crow(kits: Any, servers: tuple[AuthServer, AuthServer], lab: Lab) -> Iterator[Crow]:
    listening = listen("127.0.0.1", 0)
    with served(application(kits(servers[0], "streaming")), [listening]):
        yield Crow(sender(listening.getsockname()[1]), servers[0], lab)


@pytest.fixture(scope="module")
def mangum_crow(kits: Any, servers: tuple[AuthServer, AuthServer], lab: Lab) -> Iterator[Crow]:
    kit = kits(servers[0], "buffered")
    function = SimpleNamespace(handler=lambda_http.lambda_function(application(kit)))

    def send(method: str, target: str, headers: Any = None, body: bytes = b"") -> Answer:
        pairs = [("Host", "gateway.example"), *(headers or {}).items()]
        return invoke(function, rest_event(method, target, pairs, body))

    yield Crow(send, servers[0], lab)
    lambda_http.event_loop().run_until_complete(kit.close())


@pytest.fixture(params=["uvicorn", "mangum"])
def crow(request: pytest.FixtureRequest) -> Crow:
    """crow behind one of its hosts; the answers must not depend on which."""
    chosen: Crow = request.getfixturevalue(f"{request.param}_crow")
    return chosen


@pytest.fixture(scope="module")
def secure_crow(kits: Any, servers: tuple[AuthServer, AuthServer], lab: Lab) -> Iterator[Crow]:
    listening = listen("127.0.0.1", 0)
    with served(application(kits(servers[1], "streaming")), [listening]):
        yield Crow(sender(listening.getsockname()[1]), servers[1], lab)


def claims_of(authorization: str, auth: AuthServer) -> dict[str, Any]:
    """What a service reads in what it was sent, which knows better-auth's published keys and nothing of ours."""
    scheme, token = authorization.split(" ")
    assert scheme == "Bearer"
    published = jwt.PyJWKSet.from_dict(auth.ask("GET", "/jwks"))
    key = published[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["EdDSA"], issuer=ISSUER, audience=AUDIENCE)
    return claims


def test_signing_up_through_the_gateway_gives_a_session_cookie_that_is_the_auth_servers(crow: Crow):
    person = Person(crow.send)
    body = {"email": person.email, "password": "correct horse", "name": "Ada"}
    answer = person.ask("POST", "/api/v2/better-auth/sign-up/email", body)
    assert answer.json["user"]["email"] == person.email
    (cookie,) = answer.all("set-cookie")
    assert cookie.startswith("better-auth.session_token=")
    assert cookie.endswith("; Max-Age=604800; Path=/; HttpOnly; SameSite=Lax")
    assert answer.get("access-control-allow-origin") == APP
    assert answer.get("access-control-allow-credentials") == "true"
    assert person.ask("GET", "/api/v2/auth/get-session").json["user"]["email"] == person.email


def test_a_service_gets_a_token_of_the_session_and_never_the_cookie(crow: Crow):
    person = crow.person()
    told = crow.passed(person.ask("GET", CHAT))
    claims = claims_of(told["authorization"], crow.auth)
    assert (claims["sub"], claims["email"]) == (person.user, person.email)
    assert told["x-user-id"] == person.user
    assert "x-organization-id" not in told
    (value,) = person.cookies.values()
    secret = value.partition(".")[0]
    assert not any(secret in value for value in told.values())


def test_a_session_without_an_organization_does_not_pass_where_one_is_needed(crow: Crow, wall: Wall):
    person = crow.person()
    check_error(person.ask("GET", PRODUCTS), 403, "FORBIDDEN", "products")
    organization = person.founds()
    wall.pass_by()
    told = crow.passed(person.ask("GET", PRODUCTS, **{"X-Organization-Id": "theirs", "X_User_Id": "root"}))
    assert told["x-organization-id"] == crow.own_id(organization)
    assert told["x-user-id"] == person.user
    assert not {"x_user_id", "x-user_id", "x_organization_id"} & told.keys()


def test_who_chooses_another_organization_works_for_that_one(crow: Crow, wall: Wall):
    person = crow.person()
    first = person.founds()
    second = person.does("/organization/create", name="Raven", slug=f"raven-{person.user}".lower())["id"]
    assert crow.passed(person.ask("GET", PRODUCTS))["x-organization-id"] == crow.own_id(second)
    person.does("/organization/set-active", organizationId=first)
    wall.pass_by()
    assert crow.passed(person.ask("GET", PRODUCTS))["x-organization-id"] == crow.own_id(first)
    person.does("/organization/set-active", organizationId=None)
    wall.pass_by()
    check_error(person.ask("GET", PRODUCTS), 403, "FORBIDDEN")


@pytest.mark.parametrize("away_s", [0, CACHE_S + 1])
def test_who_signed_out_is_refused_as_soon_as_the_session_is_asked_for_again(crow: Crow, wall: Wall, away_s: int):
    person = crow.person()
    assert person.ask("GET", CHAT).status == 200
    before = dict(person.cookies)
    person.does("/sign-out")
    assert person.cookies == {}
    person.cookies = before
    wall.pass_by(away_s)
    answer = person.ask("GET", CHAT)
    if away_s:
        check_error(answer, 401, "INVALID_CREDENTIALS", "chat")
    else:
        assert answer.status == 200


@pytest.mark.parametrize("value", ["nonsense", "abcdefghijabcdefghijabcdefghijab.c2lnbmF0dXJl", "a%2Eb"])
def test_a_cookie_that_better_auth_did_not_sign_never_becomes_a_visitor(crow: Crow, value: str):
    person = Person(crow.send, cookies={"better-auth.session_token": value})
    check_error(person.ask("GET", CHAT), 401, "INVALID_CREDENTIALS", "chat")


def test_a_session_cookie_is_believed_only_whole(crow: Crow):
    person = crow.person()
    (name,) = person.cookies
    person.cookies[name] = person.cookies[name].partition(".")[0]
    check_error(person.ask("GET", CHAT), 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("header", ["X-API-Key", "ApiKey", "Authorization"])
def test_an_api_key_opens_a_route_wherever_it_is_sent_and_is_never_passed_on(crow: Crow, header: str):
    person = crow.person()
    organization = person.founds()
    key = person.makes_key(organization)["key"]
    assert key.startswith("crow_")
    value = f"Bearer {key}" if header == "Authorization" else key
    told = crow.passed(crow.send("GET", PRODUCTS, {header: value}))
    assert told["x-user-id"] == person.user
    assert told["x-organization-id"] == crow.own_id(organization)
    assert not any(key.removeprefix("crow_") in value for value in told.values())
    assert not {"x-api-key", "apikey", "authorization"} & told.keys()


def test_an_api_key_that_names_no_organization_does_not_pass_where_one_is_needed(crow: Crow):
    key = crow.person().does("/api-key/create", name="bare")["key"]
    check_error(crow.send("GET", PRODUCTS, {"X-API-Key": key}), 403, "FORBIDDEN")
    assert "x-organization-id" not in crow.passed(crow.send("GET", CHAT, {"X-API-Key": key}))


def test_an_api_key_that_names_the_organization_of_others_does_not_pass(crow: Crow):
    theirs = crow.person().founds()
    key = crow.person().makes_key(theirs)["key"]
    for path in (PRODUCTS, CHAT):
        check_error(crow.send("GET", path, {"X-API-Key": key}), 403, "FORBIDDEN")


@pytest.mark.parametrize(("path", "change"), [("/api-key/delete", {}), ("/api-key/update", {"enabled": False})])
def test_an_api_key_that_was_taken_back_is_refused(crow: Crow, wall: Wall, path: str, change: dict[str, Any]):
    person = crow.person()
    made = person.makes_key(person.founds())
    sent = {"X-API-Key": made["key"]}
    assert crow.send("GET", PRODUCTS, sent).status == 200
    person.does(path, keyId=made["id"], **change)
    wall.pass_by()
    for refusing in (PRODUCTS, CHAT):
        check_error(crow.send("GET", refusing, sent), 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("special", [{"expired": True}, {"remaining": 1}])
def test_an_api_key_that_is_past_its_end_is_refused(crow: Crow, wall: Wall, special: dict[str, object]):
    person = crow.person()
    key = crow.auth.ask("POST", "/api-key/special", {"userId": person.user, **special})["key"]
    if "remaining" in special:
        assert crow.send("GET", CHAT, {"ApiKey": key}).status == 200
        wall.pass_by()
    check_error(crow.send("GET", CHAT, {"ApiKey": key}), 401, "INVALID_CREDENTIALS")


def test_an_api_key_that_was_used_too_often_is_told_to_wait(crow: Crow, wall: Wall):
    limits = {"rateLimitMax": 1, "rateLimitTimeWindow": 3_600_000}
    key = crow.auth.ask("POST", "/api-key/special", {"userId": crow.person().user, **limits})["key"]
    assert [crow.send("GET", CHAT, {"ApiKey": key}).status for _ in range(3)] == [200, 200, 200]  # asked for once
    wall.pass_by()
    answer = crow.send("GET", CHAT, {"ApiKey": key})
    check_error(answer, 429, "RATE_LIMITED")
    assert 3590 < int(answer.get("retry-after")) <= 3600


def test_the_api_key_of_somebody_who_was_put_out_of_the_organization_is_refused(crow: Crow, wall: Wall):
    owner, member = crow.person(), crow.person()
    organization = owner.founds()
    owner.takes_in(member)
    sent = {"X-API-Key": member.makes_key(organization)["key"]}
    assert crow.passed(crow.send("GET", PRODUCTS, sent))["x-user-id"] == member.user
    owner.does("/organization/remove-member", memberIdOrEmail=member.email, organizationId=organization)
    wall.pass_by()
    check_error(crow.send("GET", PRODUCTS, sent), 403, "FORBIDDEN")


def test_a_visitor_gets_a_token_of_better_auths_own_and_keeps_it(crow: Crow):
    tokens = [crow.passed(crow.send("GET", CHAT))["authorization"] for _ in range(2)]
    first, second = (claims_of(token, crow.auth) for token in tokens)
    assert first["isAnonymous"] is True
    assert second["sub"] == first["sub"]
    assert "x-user-id" not in dict(crow.lab.last["headers"])
    check_error(crow.send("GET", PRODUCTS), 401, "MISSING_TOKEN")


def test_a_token_of_better_auth_opens_a_route_that_takes_its_tokens(crow: Crow):
    person = crow.person()
    token = person.ask("GET", f"{AUTH}/token").json["token"]
    told = crow.passed(crow.send("GET", SIGNED, bearer(token)))
    assert told["x-user-id"] == person.user
    assert "x-organization-id" not in told
    head, claims, signature = token.split(".")
    swapped = signature[:9] + ("A" if signature[9] != "A" else "B") + signature[10:]
    for bad in (f"{head}.{claims}.{swapped}", f"{head}.{claims}.", f"{head}.{claims}", "nonsense"):
        check_error(crow.send("GET", SIGNED, bearer(bad)), 401, "INVALID_TOKEN", "signed")
    check_error(crow.send("GET", SIGNED), 401, "MISSING_TOKEN", "signed")


def test_a_token_of_another_auth_server_under_the_same_name_opens_nothing(crow: Crow, secure_crow: Crow):
    token = secure_crow.person().ask("GET", f"{AUTH}/token").json["token"]
    assert secure_crow.send("GET", SIGNED, bearer(token)).status == 200
    check_error(crow.send("GET", SIGNED, bearer(token)), 401, "INVALID_TOKEN")


def test_under_https_the_cookie_has_another_name_and_does_the_same(secure_crow: Crow):
    person = secure_crow.person()
    assert list(person.cookies) == ["__Secure-better-auth.session_token"]
    organization = person.founds()
    told = secure_crow.passed(person.ask("GET", PRODUCTS))
    assert told["x-organization-id"] == secure_crow.own_id(organization)
    assert claims_of(told["authorization"], secure_crow.auth)["sub"] == person.user


def test_without_its_auth_server_nobody_passes_and_with_it_everybody_does_again(secure_crow: Crow, wall: Wall):
    person = secure_crow.person()
    assert person.ask("GET", CHAT).status == 200
    secure_crow.auth.stop()
    assert person.ask("GET", CHAT).status == 200  # it was asked a moment ago
    wall.pass_by()
    check_error(person.ask("GET", CHAT), 503, "AUTH_UNAVAILABLE", "chat")
    secure_crow.auth.start()
    secure_crow.auth.wait()
    check_error(person.ask("GET", CHAT), 401, "INVALID_CREDENTIALS", "chat")  # it has forgotten everybody
    assert secure_crow.person().ask("GET", CHAT).status == 200


def test_the_session_of_somebody_who_was_put_out_of_the_organization_is_refused(crow: Crow, wall: Wall):
    owner, member = crow.person(), crow.person()
    organization = owner.founds()
    owner.takes_in(member)
    member.does("/organization/set-active", organizationId=organization)
    assert crow.passed(member.ask("GET", PRODUCTS))["x-user-id"] == member.user
    owner.does("/organization/remove-member", memberIdOrEmail=member.email, organizationId=organization)
    wall.pass_by()
    # better-auth leaves the organisation active in that session, and looks at memberships only when one is chosen.
    check_error(member.ask("GET", PRODUCTS), 403, "FORBIDDEN", "products")


def test_a_session_that_better_auth_gave_a_visitor_is_not_one_of_a_user(crow: Crow):
    visitor = Person(crow.send)
    visitor.does("/sign-in/anonymous")
    assert visitor.cookies
    check_error(visitor.ask("GET", "/api/v1/mine/1"), 401, "MISSING_TOKEN", "mine")
