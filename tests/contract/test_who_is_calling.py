"""Every credential at every kind of route: what callers are answered, and what exactly the upstream is told of them.

What to expect is a short model of the rules (docs/projects.md, "Who is calling"), which knows nothing of the code.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import jwt
import pytest

from gatehouse.build import gateway
from gatehouse.call import Identity
from gatehouse.projects import ProjectFileError, load
from tests.contract import callers
from tests.contract.callers import (
    ACCESS_COOKIE,
    ADA,
    COOKIE,
    HOSTS,
    INTERNAL_KEY,
    KIM,
    OWN_CROW,
    SERVICE_KEY,
    Gate,
    Services,
    upstream_token,
)
from tests.contract.conftest import SECRET, Answer, check_error
from tests.unit.fakes import FakeKit, a_call, run, write
from tests.unit.issuers import RSA_1, RSA_2, token

HEAD = """
project: who
cors: {origins: [https://app.example.com], credentials: true, local_origins: ["http://localhost:[3000-3002]"]}
tokens: {issuer: gateway.who.example, audience: who-clients, elevated: [AUTH]}
providers:
  access:
    type: jwks
    issuer: "${ISSUER_URL}"
    audience: who
    jwks_url: "${ISSUER_URL}/certs"
    headers: [cf-access-token]
    cookie: CF_Authorization
    require: [email]
  session: {type: session, cookie: better-auth.session_token, url: "${AUTH_SERVICE_URL}/get-session"}
  api_key:
    type: api_key
    prefix: crow_
    headers: [x-api-key, apikey]
    bearer: true
    url: "${AUTH_SERVICE_URL}/api-key/verify"
  anonymous: {type: anonymous, ttl: 1h}
organization:
  session: "${ORG_SERVICE_URL}/organizations/by-auth-id/{organization}"
  api_key: "${USER_SERVICE_URL}/users/by-auth-id/{user}"
  headers: {X-API-Key: "${secret:SERVICE_API_KEY_ORG_SERVICE}"}
defaults:
  upstream: "${LAB_URL}"
  timeout: 5s
  set_headers:
    X-Internal-Key: "${secret:INTERNAL_GATEWAY_KEY}"
    X-Organization-Id: "${identity.organization}"
    X-User-Id: "${identity.user}"
    Authorization: "Bearer ${identity.token}"
routes:
"""
OTHERS = """
  - {name: turned, path: /turned, accept: [api_key, session]}
  - {name: cookies, path: /cookies, auth: none, cookies: true}
  - {name: signed-cookies, path: /signed-cookies, accept: [access, session], cookies: true}
  - {name: versions, paths: ["/api/v{version}/things", "/api/v{version}/old-things"], strip_prefix: false, auth: none}
  - name: told
    path: /told
    accept: [session]
    set_headers:
      X-Told: {user: "${identity.user}", key: "${secret:INTERNAL_GATEWAY_KEY}", tier: 2, email: "${identity.email}"}
"""

# -------------------------------------------------------------------------------------------------------- the cells

ACCEPTS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "gateway": ("gateway",),
    "access": ("access",),
    "session": ("session",),
    "api_key": ("api_key",),
    "anonymous": ("anonymous",),
    "any": ("access", "session", "api_key", "gateway"),
    "anyone": ("access", "session", "api_key", "gateway", "anonymous"),
}
AUTHS = ("required", "optional", "none", "public")
POLICIES = ("required", "optional", "none")
NAMING = {"session", "api_key"}
"""What can name an organisation."""


@dataclass(frozen=True)
class Cell:
    """One kind of route. `public` is an override on a route that otherwise requires somebody."""

    accept: str
    auth: str
    organization: str

    @property
    def name(self) -> str:
        return f"{self.accept}-{self.auth}-{self.organization}"

    @property
    def path(self) -> str:
        return f"/{self.name}/{'open' if self.auth == 'public' else 'x'}"

    @property
    def yaml(self) -> str:
        auth = "required" if self.auth == "public" else self.auth
        keys = [f"name: {self.name}", f"path: /{self.name}", f"auth: {auth}", f"organization: {self.organization}"]
        keys += [f"accept: [{', '.join(ACCEPTS[self.accept])}]"] if ACCEPTS[self.accept] else []
        keys += ['public: ["GET /open"]'] if self.auth == "public" else []
        return f"  - {{{', '.join(keys)}}}\n"

    @property
    def makes_sense(self) -> bool:
        """Say whether a file may have such a route: nothing is asked for that nobody can have, or nobody looks at."""
        if self.auth == "none":
            return self.accept == "nothing" and self.organization == "none"
        return self.organization == "none" or bool(NAMING & set(ACCEPTS[self.accept]))


CELLS = [Cell(*one) for one in product(ACCEPTS, AUTHS, POLICIES) if one[0] != "nothing" or one[1] == "none"]
SERVED = [cell for cell in CELLS if cell.makes_sense]
REFUSED = [cell for cell in CELLS if not cell.makes_sense]

# -------------------------------------------------------------------------------------------------- the credentials


@dataclass(frozen=True)
class Sent:
    """A credential as it is sent, and what is true of it: `organization` is its own id, or `stranger`'s, or none."""

    name: str
    kind: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    refusal: tuple[int, str] = (0, "")
    user: str = ""
    organization: str = ""
    token: str = ""


def ours(secret: str = SECRET, *, ago_s: int = 0, **claims: Any) -> str:
    now = int(time.time()) - ago_s
    said = {"iss": "gateway.who.example", "aud": "who-clients", "sub": "ada", "projectId": "ada", "route": "AUTH"}
    times = {"iat": now, "exp": now + 3600, "jti": "a-token-of-ours"}
    return jwt.encode({**said, "scopes": ["admin"], **times, **claims}, secret, "HS256", headers={"kid": "k1"})


def theirs(issuer: str, private: Any = RSA_1, *, ago_s: int = 0, **claims: Any) -> str:
    now = int(time.time()) - ago_s
    said = {"iss": issuer, "aud": ["who"], "sub": "ada", "iat": now, "nbf": now, "exp": now + 3600, **claims}
    return token(private, **said)


def bearer(text: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {text}"),)


def cookie(value: str, name: str = COOKIE) -> tuple[tuple[str, str], ...]:
    return (("Cookie", f"theme=dark; {name}={value}"),)


def credentials(issuer: str) -> list[Sent]:
    """Return everything that callers may show."""
    own, access = ours(), theirs(issuer)
    bad_own, bad_access, bad_known = (403, "INVALID_TOKEN"), (401, "INVALID_TOKEN"), (401, "INVALID_CREDENTIALS")

    def access_token(name: str, text: str, refusal: tuple[int, str] = (0, ""), **true: str) -> Sent:
        return Sent(name, "access", (("cf-access-token", text),), refusal, **true)

    def session(name: str, value: str, refusal: tuple[int, str] = (0, ""), **true: str) -> Sent:
        return Sent(name, "session", cookie(value), refusal, **true)

    def api_key(name: str, value: str, refusal: tuple[int, str] = (0, ""), **true: str) -> Sent:
        return Sent(name, "api_key", (("X-API-Key", value),), refusal, **true)

    ada: Any = {"user": ADA, "token": upstream_token(ADA)}
    kim: Any = {"user": KIM, "token": upstream_token(KIM)}
    return [
        Sent("nothing"),
        Sent("a good token", "gateway", bearer(own), user="ada"),
        Sent("a bad token", "gateway", bearer(ours(SECRET[::-1])), bad_own),
        Sent("an expired token", "gateway", bearer(ours(ago_s=7200)), bad_own),
        Sent("a revoked token", "gateway", bearer(ours(jti="revoked")), (403, "TOKEN_REVOKED")),
        access_token("a good Access token", access, user="ada", token=access),
        access_token("a bad Access token", theirs(issuer, RSA_2), bad_access),
        access_token("an expired Access token", theirs(issuer, ago_s=7200), bad_access),
        session("a good session", "good-session", organization=OWN_CROW, **ada),
        Sent("a visitor's session", "visit", cookie("session-of-a-visitor"), token=upstream_token(callers.VISITOR)),
        session("a bad session", "bad-session", bad_known),
        session("an expired session", "expired-session", bad_known),
        session("a session whose token is over", "session-with-an-expired-token", bad_known),
        session("a session of no organisation", "session-of-nobody-else", **ada),
        session("a session that names strangers", "session-of-a-stranger", organization="stranger", **ada),
        api_key("a good key", "crow_good", organization=OWN_CROW, **kim),
        api_key("a bad key", "crow_bad", bad_known),
        api_key("an expired key", "crow_expired", bad_known),
        api_key("what is no key", "good", bad_known),
        api_key("a key of no organisation", "crow_of-nobody-else", **kim),
        api_key("a key that names strangers", "crow_of-a-stranger", organization="stranger", **kim),
    ]


LIES = (("X-User-Id", "evil"), ("x-organization-id", "evil"), ("X_Internal_Key", "evil"), ("Cookie", "consent=yes"))
WATCHED = (
    "authorization", "x-user-id", "x-organization-id", "x-internal-key",
    "cookie", "x-api-key", "apikey", "cf-access-token",
)  # fmt: skip
MADE = "a token that the gateway made for a visitor"
Outcome = tuple[int, str, dict[str, str] | None]
"""The status, the code, and those of WATCHED that the upstream saw; None where it saw nothing at all."""

# -------------------------------------------------------------------------------------------------------- the model


def expected(cell: Cell, sent: Sent) -> Outcome:
    """Return what the rules say of *sent* at *cell*."""
    accepted = ACCEPTS[cell.accept]
    if cell.auth in {"none", "public"}:
        return passed()
    if sent.kind in accepted:
        return (*sent.refusal, None) if sent.refusal[0] else for_an_organization(cell, sent)
    if sent.kind == "gateway":  # in Authorization, where nobody on this route claims it
        return 401, "MISSING_TOKEN", None
    if "anonymous" in accepted:
        known = sent.kind == "visit" and "session" in accepted
        return for_an_organization(cell, Sent("a visitor", token=sent.token if known else MADE))
    return (401, "MISSING_TOKEN", None) if cell.auth == "required" else for_an_organization(cell, Sent("nobody"))


def for_an_organization(cell: Cell, known: Sent) -> Outcome:
    named = known.organization if known.kind in NAMING and cell.organization != "none" else ""
    if named == "stranger" or (cell.organization == "required" and not named):
        return 403, "FORBIDDEN", None
    return passed(authorization=f"Bearer {known.token}" if known.token else "", user=known.user, organization=named)


def passed(authorization: str = "", user: str = "", organization: str = "") -> Outcome:
    told = {"authorization": authorization, "x-user-id": user, "x-organization-id": organization}
    return 200, "", {"x-internal-key": INTERNAL_KEY, **{name: value for name, value in told.items() if value}}


# ----------------------------------------------------------------------------------------------------- the gateways


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with callers.services() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("who"), HEAD + "".join(cell.yaml for cell in SERVED) + OTHERS)


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest, folder: Path, services: Services) -> Iterator[Gate]:
    with HOSTS[request.param](folder, services.environment) as gate:
        yield gate


@pytest.fixture
def gate(host: Gate, services: Services) -> Gate:
    """A gateway that knows nothing yet."""
    host.renew()
    host.revocations.revoked.add("revoked")
    services.rest()
    return host


def told(services: Services) -> dict[str, str] | None:
    """What the upstream saw of WATCHED, each once, in the one request that it has had since it was asked; or None."""
    requests = list(services.upstream.seen)
    services.upstream.seen.clear()
    if not requests:
        return None
    (request,) = requests
    pairs = [pair for pair in request["headers"] if pair[0].replace("_", "-") in WATCHED]
    assert len(dict(pairs)) == len(pairs), pairs
    seen = dict(pairs)
    if "authorization" in seen and is_visitors(seen["authorization"]):
        seen["authorization"] = f"Bearer {MADE}"
    return seen


def is_visitors(authorization: str) -> bool:
    """Say whether *authorization* holds a token of the gateway's own making for a visitor of this project."""
    claims = jwt.decode(authorization.removeprefix("Bearer "), options={"verify_signature": False})
    if claims.get("aud") != "who/anonymous":
        return False
    return bool(claims["sub"].startswith("anonymous:") and claims["scopes"] == ["anonymous"])


def secrets(fields: Iterable[tuple[str, str]]) -> list[str]:
    """Return what nobody may read who did not send it: the values in *fields*, but for those that are words."""
    values = [value.removeprefix("Bearer ").rpartition("=")[2] for _, value in fields]
    return [value for value in values if len(value) >= len("crow_bad")]


def outcome(gate: Gate, services: Services, path: str, *fields: tuple[str, str]) -> Outcome:
    answer = gate.send("GET", path, [*fields, *LIES])
    seen = told(services)
    if answer.status == 200:
        return answer.status, "", seen
    check_error(answer, answer.status, answer.json["code"], path.split("/")[1])
    assert not [secret for secret in secrets(fields) if secret.encode() in answer.body]
    return answer.status, answer.json["code"], seen


# --------------------------------------------------------------------------------------------------------- the table


def test_no_cell_is_lost() -> None:
    sent = credentials("http://issuer.test")
    assert (len(CELLS), len(SERVED), len(REFUSED)) == (7 * 4 * 3 + 3, 9 + 36 + 1, 18 + 21 + 2)
    assert (len(sent), len({one.name for one in sent})) == (21, 21)
    codes = {expected(cell, one)[:2] for cell in SERVED for one in sent}
    assert codes == {
        (200, ""),
        (401, "MISSING_TOKEN"),
        (401, "INVALID_TOKEN"),
        (401, "INVALID_CREDENTIALS"),
        (403, "INVALID_TOKEN"),
        (403, "TOKEN_REVOKED"),
        (403, "FORBIDDEN"),
    }


@pytest.mark.parametrize("cell", SERVED, ids=lambda cell: cell.name)
def test_every_credential_is_answered_by_the_rules_and_so_is_the_upstream_told(
    gate: Gate, services: Services, cell: Cell, capsys: pytest.CaptureFixture[str]
) -> None:
    every = credentials(services.environment["ISSUER_URL"])
    came = {sent.name: outcome(gate, services, cell.path, *sent.fields) for sent in every}
    assert came == {sent.name: expected(cell, sent) for sent in every}
    assert bool(services.asked) == bool({"access", *NAMING} & set(ACCEPTS[cell.accept]) and cell.auth != "public")
    logged = capsys.readouterr().out
    assert cell.name in logged
    assert not [secret for sent in every for secret in secrets(sent.fields) if secret in logged]


@pytest.mark.parametrize("cell", REFUSED, ids=lambda cell: cell.name)
def test_a_route_that_makes_no_sense_is_refused_when_its_file_is_read(
    tmp_path: Path, services: Services, cell: Cell
) -> None:
    folder = write(tmp_path, HEAD + cell.yaml)
    with pytest.raises(ProjectFileError) as refused:
        load(folder, {**services.environment, "ENVIRONMENT": "local"})
    last = (HEAD + cell.yaml).count("\n")
    assert {problem.line for problem in refused.value.problems} == {last}


# ------------------------------------------------------------------------------------------------- two credentials

GOOD, BAD = cookie("good-session"), cookie("bad-session")
GOOD_KEY, BAD_KEY = (("X-API-Key", "crow_good"),), (("X-API-Key", "crow_bad"),)
AS_ADA = passed(f"Bearer {upstream_token(ADA)}", ADA, OWN_CROW)
AS_KIM = passed(f"Bearer {upstream_token(KIM)}", KIM, OWN_CROW)
REJECTED: Outcome = (401, "INVALID_CREDENTIALS", None)
ANYWHERE = ["/any-required-optional/x", "/any-optional-optional/x", "/anyone-required-optional/x"]


@pytest.mark.parametrize("path", ANYWHERE)
def test_the_first_credential_that_is_there_decides_and_nobody_looks_at_the_next(
    gate: Gate, services: Services, path: str
) -> None:
    assert outcome(gate, services, path, *GOOD, *BAD_KEY) == AS_ADA
    assert outcome(gate, services, path, *GOOD, *bearer("whatever")) == AS_ADA
    assert outcome(gate, services, path, *BAD, *GOOD_KEY) == REJECTED
    assert outcome(gate, services, path, *BAD, *bearer(ours())) == REJECTED
    assert set(services.auth.paths) == {"GET /get-session"}


def test_what_comes_first_is_what_the_file_lists_first(gate: Gate, services: Services) -> None:
    assert outcome(gate, services, "/turned/x", *GOOD, *GOOD_KEY) == passed(f"Bearer {upstream_token(KIM)}", KIM)
    assert outcome(gate, services, "/turned/x", *GOOD, *BAD_KEY) == REJECTED
    assert services.auth.paths == ["POST /api-key/verify"] * 2


@pytest.mark.parametrize(
    "value", ["Basic YWRhOng=", "Bearer", "Bearer ", "", "crow_good", "Token x", "ApiKey crow_good", "Basic crow_good"]
)
def test_what_nobody_claims_in_authorization_is_nobody_and_never_a_visitor(
    gate: Gate, services: Services, value: str
) -> None:
    for path in (*ANYWHERE, "/session-optional-none/x", "/anonymous-optional-none/x"):
        assert outcome(gate, services, path, ("Authorization", value)) == (401, "MISSING_TOKEN", None)


def test_a_bearer_without_the_keys_prefix_is_left_to_the_gateways_own_tokens(gate: Gate, services: Services) -> None:
    assert outcome(gate, services, ANYWHERE[0], *bearer("not.a.token")) == (403, "INVALID_TOKEN", None)
    assert outcome(gate, services, "/api_key-optional-none/x", *bearer("x")) == (401, "MISSING_TOKEN", None)
    assert outcome(gate, services, ANYWHERE[0], *bearer("crow_bad")) == REJECTED


def test_a_visitors_token_opens_nothing(gate: Gate, services: Services) -> None:
    gate.send("GET", "/anonymous-required-none/x")
    given = dict(services.upstream.last["headers"])["authorization"]
    services.upstream.seen.clear()
    assert outcome(gate, services, ANYWHERE[0], ("Authorization", given)) == (403, "INVALID_TOKEN", None)
    assert outcome(gate, services, "/anonymous-required-none/x", ("Authorization", given))[1] == "MISSING_TOKEN"
    held = given.removeprefix("Bearer ")
    assert outcome(gate, services, ANYWHERE[0], ("cf-access-token", held)) == (401, "INVALID_TOKEN", None)


# ------------------------------------------------------------------------------------------- where credentials are

SESSIONS_ONLY = "/session-optional-optional/x"
TWIN = f"__Secure-{COOKIE}"


@pytest.mark.parametrize(
    ("lines", "came"),
    [
        ([f"{TWIN}=good-session"], AS_ADA),
        ([f"{COOKIE}=bad-session; {TWIN}=good-session"], AS_ADA),
        ([f"{COOKIE}=good-session; {TWIN}=bad-session"], REJECTED),
        ([f"{COOKIE}=good-session; {COOKIE}=good-session"], AS_ADA),
        ([f"{COOKIE}=good-session; {COOKIE}=bad-session"], REJECTED),
        ([f"{COOKIE}=bad-session; {COOKIE}=good-session"], REJECTED),
        ([f"{COOKIE}=good-session; {COOKIE}=another-session"], REJECTED),
        ([f"{TWIN}=good-session; {TWIN}=another-session"], REJECTED),
        ([f"{COOKIE}=good-session", f"{COOKIE}=another-session"], REJECTED),
        (["a=1", f"{COOKIE}=good-session"], AS_ADA),
        ([f"a=1;{COOKIE}=good-session;b=2"], AS_ADA),
        ([f"{COOKIE}="], REJECTED),
        ([f'{COOKIE}="good-session"'], REJECTED),
        ([f"{COOKIE.upper()}=good-session"], passed()),
        ([f"x{COOKIE}=good-session"], passed()),
        ([COOKIE], passed()),
    ],
)
def test_a_session_is_in_one_cookie_with_one_value(
    gate: Gate, services: Services, lines: list[str], came: Outcome
) -> None:
    assert outcome(gate, services, SESSIONS_ONLY, *(("Cookie", line) for line in lines)) == came


def test_the_auth_service_is_sent_the_session_cookie_and_no_other(gate: Gate, services: Services) -> None:
    outcome(gate, services, SESSIONS_ONLY, ("Cookie", f"a=1; {TWIN}=good-session; {COOKIE}=other; {ACCESS_COOKIE}=x"))
    assert [asked.get("cookie") for asked in services.auth.asked] == [f"{TWIN}=good-session"]
    told_names = {name for asked in services.auth.asked for name, _ in asked.headers}
    assert not told_names & {"authorization", "x-api-key", "x-user-id", "x-internal-key"}


@pytest.mark.parametrize(
    "fields",
    [
        (("X-API-Key", "crow_good"),),
        (("x-api-key", "crow_good"),),
        (("ApiKey", "crow_good"),),
        (("X_API.Key", "crow_good"),),
        bearer("crow_good"),
        (("Authorization", "bearer crow_good"),),
        (("X-API-Key", "crow_good"), ("ApiKey", "crow_good"), *bearer("crow_good")),
    ],
    ids=str,
)
def test_an_api_key_may_be_in_any_of_its_places(gate: Gate, services: Services, fields: Any) -> None:
    assert outcome(gate, services, "/api_key-optional-optional/x", *fields) == AS_KIM
    assert [asked.body for asked in services.auth.asked] == [b'{"key": "crow_good"}']
    assert [asked.get("x-api-key") for asked in services.users.asked] == [SERVICE_KEY]


@pytest.mark.parametrize(
    "fields",
    [
        (("X-API-Key", "crow_good"), ("ApiKey", "crow_another")),
        (("X-API-Key", "crow_good"), *bearer("crow_another")),
        (("X-API-Key", "crow_good"), ("X-API-Key", "crow_another")),
        (("X-API-Key", "crow_good"), ("x_api_key", "crow_another")),
        (("X-API-Key", ""),),
        (("X-API-Key", "CROW_good"),),
        (("X-API-Key", "crow_"),),
        (("X-API-Key", "crow_good, crow_good"),),
        (("X-API-Key", "crow_" + "x" * 600),),
    ],
    ids=lambda fields: str(fields)[:80],
)
def test_two_keys_or_what_cannot_be_one_are_refused_and_nobody_is_asked(
    gate: Gate, services: Services, fields: Any
) -> None:
    assert outcome(gate, services, "/api_key-optional-optional/x", *fields) == REJECTED
    assert not services.asked


@pytest.mark.parametrize("place", ["cf-access-token", "Cookie"])
def test_an_access_token_may_be_in_its_header_or_its_cookie(gate: Gate, services: Services, place: str) -> None:
    good = theirs(services.environment["ISSUER_URL"])
    value = f"{ACCESS_COOKIE}={good}" if place == "Cookie" else good
    assert outcome(gate, services, "/access-required-none/x", (place, value)) == passed(f"Bearer {good}", "ada")


def test_an_access_token_must_have_an_email_for_this_audience_by_this_issuer(gate: Gate, services: Services) -> None:
    issuer = services.environment["ISSUER_URL"]
    for wrong in (theirs(issuer, email=""), theirs("http://other.test"), theirs(issuer, aud="whom")):
        came = outcome(gate, services, "/access-optional-none/x", ("cf-access-token", wrong))
        assert came == (401, "INVALID_TOKEN", None)
    assert not services.asked


# ----------------------------------------------------------------------------------------------------- what passes


def test_cookies_pass_where_the_route_says_so_but_never_a_token(gate: Gate, services: Services) -> None:
    good = theirs(services.environment["ISSUER_URL"])
    sent = [("Cookie", f"a=1; {ACCESS_COOKIE}={good}; {COOKIE}=good-session"), ("Cookie", f"{ACCESS_COOKIE}={good}")]
    for path in ("/cookies/x", "/signed-cookies/x"):
        assert gate.send("GET", path, sent).status == 200
        said = services.upstream.values("cookie")
        assert said == [f"a=1; {COOKIE}=good-session"]


def test_a_route_has_several_paths_with_a_version_and_may_keep_its_prefix(gate: Gate, services: Services) -> None:
    for path in ("/api/v1/things", "/api/v22/old-things/a%20b", "/api/v1/things/open"):
        assert gate.send("GET", f"{path}?q=1").status == 200
        assert (services.upstream.last["path"], services.upstream.last["query"]) == (path, "q=1")
        assert services.upstream.values("x-gateway-route") == ["versions"]
    for path in ("/api/v/things", "/api/v1x/things", "/api/vx/things", "/api/v1/thing", "/api/v1/thingses"):
        check_error(gate.send("GET", path), 404, "NOT_FOUND")


def test_a_mapping_is_sent_as_json_with_what_it_was_filled_with(gate: Gate, services: Services) -> None:
    assert gate.send("GET", "/told/x", [*GOOD, ("X-Told", "evil"), ("x_told", "evil")]).status == 200
    text = f'{{"user":"{ADA}","key":"{INTERNAL_KEY}","tier":2,"email":"{ADA}@example.com"}}'
    assert services.upstream.values("x-told") == [text]
    assert not services.upstream.values("x-internal-key")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/open"),
        ("HEAD", "/open"),
        ("GET", "/open/"),
        ("GET", "/open/x"),
        ("GET", "/x/open"),
        ("GET", "/opens"),
        ("GET", "/Open"),
        ("GET", "/%6fpen"),
        ("GET", "/open;x"),
        ("GET", ""),
    ],
)
def test_what_is_nearly_public_is_not(gate: Gate, services: Services, method: str, path: str) -> None:
    answer = gate.send(method, f"/any-public-required{path}")
    assert answer.status == 401
    assert told(services) is None
    assert gate.send("GET", "/any-public-required/open?a=b").status == 200


# ------------------------------------------------------------------------------------------- pages of other sites


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("place", [*GOOD, ("Cookie", f"{TWIN}=good-session")], ids=["cookie", "twin"])
def test_a_page_of_another_site_changes_nothing_with_the_cookies_of_this_one(
    gate: Gate, services: Services, method: str, place: tuple[str, str]
) -> None:
    for origin in ("https://evil.example", "null", "http://localhost:3003"):
        check_error(gate.send(method, ANYWHERE[0], [place, ("Origin", origin)]), 403, "FORBIDDEN")
    check_error(gate.send(method, ANYWHERE[0], [place, ("Sec-Fetch-Site", "cross-site")]), 403, "FORBIDDEN")
    assert (services.asked, told(services)) == (0, None)


@pytest.mark.parametrize("page", [[], [("Origin", "https://app.example.com")], [("Origin", "http://localhost:3001")]])
def test_our_own_pages_and_programs_may_do_all_that_and_keys_are_of_no_page(
    gate: Gate, services: Services, page: list[tuple[str, str]]
) -> None:
    assert gate.send("POST", ANYWHERE[0], [*GOOD, *page]).status == 200
    for fields in (GOOD_KEY, bearer(ours())):
        assert gate.send("POST", ANYWHERE[0], [*fields, ("Origin", "https://evil.example")]).status == 200
    assert gate.send("GET", ANYWHERE[0], [*GOOD, ("Origin", "https://evil.example")]).status == 200
    assert len(services.upstream.seen) == 4


# ------------------------------------------------------------------------------------------------------------- CORS

APP, LOCAL = "https://app.example.com", [f"http://localhost:{port}" for port in (3000, 3001, 3002)]
STRANGERS = [
    "http://localhost:2999", "http://localhost:3003", "http://localhost:30000", "http://localhost", "null",
    "https://localhost:3000", "http://127.0.0.1:3000", "http://localhost:3000.example.com", "http://localhost:3000/",
    "http://app.example.com", "https://app.example.com.evil.example", "https://APP.example.com", "https://evil.example",
]  # fmt: skip


def every_answer(gate: Gate, services: Services, origin: str) -> Iterator[tuple[int, Answer]]:
    """Yield an answer of each kind to a page of *origin*, with the status that it must have."""
    page = ("Origin", origin)
    yield 204, gate.send("OPTIONS", ANYWHERE[0], [page, ("Access-Control-Request-Method", "GET")])
    yield 200, gate.send("GET", ANYWHERE[0], [page, *GOOD])
    yield 401, gate.send("GET", ANYWHERE[0], [page])
    yield 401, gate.send("GET", ANYWHERE[0], [page, *BAD])
    yield 403, gate.send("GET", ANYWHERE[0], [page, *bearer(ours(SECRET[::-1]))])
    yield 404, gate.send("GET", "/nowhere", [page])
    services.auth.trouble = "500"
    yield 503, gate.send("GET", ANYWHERE[0], [page, *cookie("another-session")])


@pytest.mark.parametrize("origin", [APP, *LOCAL])
def test_a_page_that_is_let_in_reads_every_answer_with_its_cookies(gate: Gate, services: Services, origin: str) -> None:
    for status, answer in every_answer(gate, services, origin):
        assert answer.status == status
        assert answer.all("access-control-allow-origin") == [origin]
        assert answer.all("access-control-allow-credentials") == ["true"]
        assert answer.get("vary") == "Origin"


@pytest.mark.parametrize("origin", STRANGERS)
def test_a_page_that_is_not_let_in_reads_nothing(gate: Gate, services: Services, origin: str) -> None:
    for status, answer in every_answer(gate, services, origin):
        assert answer.status == status
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]
        assert answer.get("vary") == "Origin"


@pytest.mark.parametrize("environment", ["prod", "staging", "dev", "", "LOCAL"])
def test_developers_pages_are_let_in_on_their_own_machines_alone(
    folder: Path, services: Services, environment: str
) -> None:
    variables = {**services.environment, "ISSUER_URL": "https://issuer.example", "ENVIRONMENT": environment}
    kit = FakeKit()
    kit.credentials = dict.fromkeys(("access", "session", "api_key", "anonymous"), nobody)
    handle = gateway(load(folder, variables), kit)
    for origin, allowed in ((APP, APP), *((local, "") for local in LOCAL)):
        reply = run(handle(a_call("/session-required-none/x", "GET", ("origin", origin))))
        assert (reply.status, reply.headers.get("access-control-allow-origin")) == (401, allowed)
        assert reply.headers.get("vary") == "Origin"


async def nobody(_: Any) -> Identity | None:
    return None
