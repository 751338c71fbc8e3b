"""Whatever a client sends, and however it spells it: of who is calling an upstream hears from the gateway alone."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatehouse.build import build, gateway
from gatehouse.call import Call, Handler, Identity
from gatehouse.credentials import Credential
from gatehouse.headers import Pair, from_raw
from gatehouse.hygiene import may_be_set
from gatehouse.organizations import Organizations
from gatehouse.projects import Projects, load
from gatehouse.projects.model import Project, Route
from gatehouse.route_limits import RouteLimits
from gatehouse.stores.route_buckets import RouteBuckets
from local.variables import secret_names, unset
from tests.contract import callers
from tests.contract.callers import ADA, COOKIE, HOSTS, INTERNAL_KEY, OWN_CROW, Gate, Services, upstream_token
from tests.contract.test_who_is_calling import HEAD
from tests.unit.fakes import NOW, ROOT, FakeKit, FakeOrganizations, FakeUpstream, a_call, run, write

SHIPPED = ROOT / "layers/config/projects"
SECRETS = {name: f"the-{name}-of-this-deployment" for name in secret_names(SHIPPED)}
EVIL = "evil"

# ------------------------------------------------------------------------------------------- what no client may say


def read_as(name: str) -> str:
    """Return what a server may take *name* for that knows no `_`, `.` or case."""
    return name.lower().replace("_", "-").replace(".", "-")


def shipped() -> Projects:
    """The project files that ship with the gateway, with every variable set."""
    return load(SHIPPED, dict.fromkeys(unset(SHIPPED, {}), "https://service.test"), SECRETS)


def reserved(project: Project) -> list[str]:
    """Return every header that *project* sets for an upstream or reads a credential from."""
    named = [name for route in project.routes for name in route.set_headers]
    read = [name for provider in project.providers.values() for name in getattr(provider, "headers", ())]
    return sorted({name.lower() for name in (*named, *read)})


PROJECTS = shipped()
RESERVED = {project.project: reserved(project) for project in PROJECTS.all}
ALWAYS = (
    "authorization", "x-organization-id", "x-user-id", "x-internal-key", "x-internal-user", "x-gateway-route",
    "x-gateway-jti", "x-gateway-project", "x-forwarded-for", "x-forwarded-host", "x-forwarded-user",
    "x-forwarded-email", "forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip", "remote-user",
    "cf-access-authenticated-user-email", "cf-access-jwt-assertion", "x-auth-request-email", "x-remote-user",
    "proxy-authorization",
)  # fmt: skip
NAMES = sorted({*ALWAYS, *(name for names in RESERVED.values() for name in names)})


def respelled(name: str, seed: int) -> str:
    """Return *name* in another case, with `-`, `_` or `.` where one of them is."""
    dice = random.Random(seed)
    return "".join(dice.choice("-_.") if char in "-_." else dice.choice((char, char.upper())) for char in name)


names = st.builds(respelled, st.sampled_from(NAMES), st.integers(0, 2**32))
values = st.sampled_from(
    [EVIL, f" {EVIL}", f"{EVIL} ", f"\t{EVIL}\t ", "", " ", "\t", f"{EVIL}, {EVIL}", f'"{EVIL}"', f"ours, {EVIL}"]
)
lies = st.lists(st.tuples(names, values), min_size=1, max_size=8)
options = st.one_of(names, st.sampled_from(["close", "keep-alive", "", " ", "x-other", "host", "*"]))
padding = st.sampled_from(["", " ", "\t", " \t "])
nominations = st.lists(
    st.builds(
        lambda parts, pad: ",".join(f"{pad}{part}{pad}" for part in parts), st.lists(options, max_size=4), padding
    ),
    max_size=2,
)

# ------------------------------------------------------------------------------------------ through the shipped files


@dataclass(frozen=True)
class Case:
    """A caller on a route of a shipped file, and what the upstream must be told of them: no more and no less."""

    path: str
    who: Identity | None = None
    method: str = "GET"
    told: dict[str, str] = field(default_factory=dict)
    project: str = "crow"

    @property
    def unsayable(self) -> set[str]:
        """What no client may say here; what other projects keep to themselves may pass."""
        return {*ALWAYS, *RESERVED[self.project]}


def identity(kind: str, **said: str) -> Identity:
    return Identity(kind=kind, subject=said.pop("subject", "ada"), **cast("dict[str, Any]", said))


INTERNAL = {"x-internal-key": SECRETS["INTERNAL_GATEWAY_KEY"]}
FOR_CROW = {**INTERNAL, "x-organization-id": "own-crow", "x-user-id": "ada"}
CASES = {
    "session": Case(
        "/api/v1/search/7",
        identity("session", user="ada", organization="crow", token="a.b.c"),
        told={**FOR_CROW, "authorization": "Bearer a.b.c"},
    ),
    "key without a token": Case(
        "/api/v2/knowledge", identity("api_key", user="ada", organization="crow"), told=FOR_CROW
    ),
    "no organisation": Case("/api/v1/users/me", identity("session", user="ada"), told={**INTERNAL, "x-user-id": "ada"}),
    "visitor": Case(
        "/api/v1/chat/hello",
        identity("anonymous", subject="anonymous:1", token="v.w.x"),
        told={**INTERNAL, "authorization": "Bearer v.w.x"},
    ),
    "nobody looks": Case("/api/v1/auth/sign-in", method="POST"),
    "public": Case("/api/v1/products/health", told=INTERNAL),
    "public webhook": Case("/api/v1/billing/webhook", told=INTERNAL, method="POST"),
    "Access": Case(
        "/ai",
        identity("jwks", user="ada", email="ada@example.com", token="x.y.z"),
        "POST",
        {
            "authorization": f"Bearer {SECRETS['CF_AI_GATEWAY_TOKEN']}",
            "cf-aig-metadata": '{"user_id":"ada@example.com"}',
        },
        "ai-proxy",
    ),
    "optional": Case("/kv/x", project="metacogna"),
}
GATEWAYS_OWN = {
    "x-forwarded-for": "192.0.2.7",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "gateway.example",
    "x-request-id": "request-0001",
}


@dataclass(frozen=True)
class Door:
    """The whole gateway over the shipped files, where whoever calls is *who*."""

    case: Case
    upstream: FakeUpstream
    handle: Handler

    def sent(self, *fields: Pair) -> tuple[int, list[Pair] | None]:
        """Return the status of a request with *fields*, and what the upstream was sent; None if it was sent nothing."""
        self.upstream.sent.clear()
        raw = [(name.encode(), value.encode()) for name, value in (("Host", "gateway.example"), *fields)]
        call = a_call(self.case.path, self.case.method, headers=from_raw(raw))
        status = run(self.handle(call)).status
        return status, self.upstream.only.headers if self.upstream.sent else None


def proving(who: Identity | None, kind: str) -> Credential:
    async def prove(_: Call) -> Identity | None:
        return who if who is not None and who.kind == kind else None

    return prove


def door(case: Case) -> Door:
    upstream = FakeUpstream()
    kit = FakeKit(upstream)
    kit.limits = RouteLimits(RouteBuckets(""), count(NOW, 60).__next__, time.monotonic, shared=False)  # a minute each
    kit.named_secrets = SECRETS
    kit.confirming = cast("Organizations", FakeOrganizations({"crow": "own-crow"}))
    kinds = {"session": "session", "api_key": "api_key", "anonymous": "anonymous", "access": "jwks"}
    kit.credentials = {name: proving(case.who, kind) for name, kind in kinds.items()}
    return Door(case, upstream, gateway(PROJECTS, kit))


DOORS = {name: door(case) for name, case in CASES.items()}


def told_by(case: Case, arrived: list[Pair]) -> dict[str, str]:
    """Return all that the upstream of *case* must be told."""
    (route,) = [value for name, value in arrived if name == "x-gateway-route"]
    return {**GATEWAYS_OWN, "x-gateway-route": route, **case.told}


@pytest.mark.parametrize("name", CASES)
@given(lies=lies, nominations=nominations)
@example(lies=[("X-Organization-Id", EVIL)], nominations=["X-Organization-Id, x_user_id, X-Internal-Key"])
@example(lies=[("x-organization-id", EVIL), ("X_Organization_Id", EVIL), ("X.Organization.Id", "")], nominations=[])
@example(lies=[("X-Organization-Id", f" \t{EVIL} ")] * 3, nominations=["close"])
@example(lies=[("X-API-Key", EVIL), ("CF_Access.Token", EVIL)], nominations=["x-api-key", "authorization"])
def test_the_upstreams_of_the_shipped_files_hear_of_callers_from_the_gateway_alone(
    name: str, lies: list[Pair], nominations: list[str]
) -> None:
    fields = [*lies, *(("Connection", value) for value in nominations), ("X-Harmless", "fine")]
    status, arrived = DOORS[name].sent(*fields)
    if any(read_as(one) == "authorization" for one, _ in lies) and status in {400, 401, 403}:
        # Twice and different; or nobody's, where nothing else proves who is calling.
        assert arrived is None
        return
    assert (status, arrived is None) == (200, False)
    arrived, case = arrived or [], CASES[name]
    told = told_by(case, arrived)
    about_callers = [(one, value) for one, value in arrived if read_as(one) in case.unsayable | told.keys()]
    assert sorted(about_callers) == sorted(told.items())
    assert ("x-harmless", "fine") in arrived


@pytest.mark.parametrize("name", CASES)
def test_without_lies_the_same_is_told(name: str) -> None:
    status, arrived = DOORS[name].sent(("X-Harmless", "fine"))
    assert status == 200
    told = told_by(CASES[name], arrived or [])
    assert dict(arrived or []) == {**told, "x-harmless": "fine"}
    assert len(arrived or []) == len(told) + 1


# ------------------------------------------------------------------------------------------------ through any file

ALPHABET = "abcxyz-_."
ours = st.lists(
    st.text(ALPHABET, min_size=1, max_size=12).filter(lambda name: may_be_set(name) and read_as(name) != "cookie"),
    min_size=1,
    max_size=4,
    unique_by=read_as,
)
SAYING = {"fixed": "ours", "of nobody": "${identity.email}", "half": "ours ${identity.user}"}


@given(ours, st.sampled_from(sorted(SAYING)), st.integers(0, 2**32), nominations, st.booleans())
@example(["x-a"], "of nobody", 0, [], False)
@example(["x-a"], "fixed", 0, [], True)
def test_what_any_file_sets_is_said_by_nobody_else_also_where_there_is_nothing_to_say(
    named: list[str], saying: str, seed: int, nominated: list[str], all_of_them: bool
) -> None:
    set_headers = dict.fromkeys(named, SAYING[saying])
    route = Route(name="R", path="/r", upstream="http://u.test", auth="none", set_headers=set_headers)
    upstream = FakeUpstream()
    handle = build(Project(project="p", routes=(route,)), route, "/r", FakeKit(upstream))
    sent = [(respelled(name, seed + number).lower(), EVIL) for name in named for number in range(3)]
    connection = [("connection", ",".join([*nominated, *(named if all_of_them else [])]))]
    assert run(handle(a_call("/r/x", "GET", *sent, *connection))).status == 200
    arrived = [(name, value) for name, value in upstream.only.headers if read_as(name) in map(read_as, named)]
    assert arrived == ([(name.lower(), "ours") for name in named] if saying == "fixed" else [])


# ------------------------------------------------------------------------------------------------- over a real wire

ROUTES = """
  - {name: named, path: /named, accept: [session], organization: required}
  - {name: open, path: /open, auth: none}
"""
TOLD = {
    "x-organization-id": [OWN_CROW],
    "x-user-id": [ADA],
    "x-internal-key": [INTERNAL_KEY],
    "authorization": [f"Bearer {upstream_token(ADA)}"],
    "x-api-key": [],
    "cf-access-token": [],
    "cookie": [],
}
OPEN = {name: [INTERNAL_KEY] if name == "x-internal-key" else [] for name in TOLD}
PASSING = {
    "as it is": [b"X-Organization-Id: evil"],
    "all of them": [b"X-Organization-Id: evil", b"X-User-Id: evil", b"X-Internal-Key: evil", b"X-API-Key: evil"],
    "lower-case": [b"x-organization-id: evil"],
    "upper-case": [b"X-ORGANIZATION-ID: evil"],
    "underscores": [b"X_Organization_Id: evil", b"x_user_id: evil", b"X_INTERNAL_KEY: evil", b"x_api_key: evil"],
    "dots": [b"X.Organization.Id: evil", b"x.user.id: evil"],
    "mixed": [b"X_Organization-Id: evil", b"X-Organization.Id: evil", b"x.internal_key: evil"],
    "repeated": [b"X-Organization-Id: evil"] * 5,
    "repeated in every spelling": [b"X-Organization-Id: evil", b"x-organization-id: e", b"X_Organization_Id: vil"],
    "no space": [b"X-Organization-Id:evil"],
    "tabs": [b"X-Organization-Id:\t\tevil\t "],
    "empty": [b"X-Organization-Id:", b"X-User-Id: ", b"X-Internal-Key:\t"],
    "nominated": [b"Connection: X-Organization-Id, X-User-Id, X-Internal-Key, Authorization"],
    "sent and nominated": [b"X-Organization-Id: evil", b"Connection: close, x_organization_id"],
    "nominated twice": [b"Connection: x-organization-id", b"Connection: ,\tX-USER-ID ,, "],
    "as hop-by-hop fields": [b"Keep-Alive: X-Organization-Id", b"TE: trailers", b"Trailer: X-Organization-Id"],
}
AMBIGUOUS = {
    "a space before the colon": [b"X-Organization-Id : evil"],
    "a space before the name": [b"Accept: */*", b" X-Organization-Id: evil"],
    "a tab before the name": [b"Accept: */*", b"\tX-Organization-Id: evil"],
    "NUL in the name": [b"X-Organization-Id\x00: evil"],
    "NUL in the value": [b"X-Note: a\x00\r\nX-Organization-Id: evil"],
    "a name that is none": [b"X-Organization-Id\xc2\xa0: evil"],
    "no name": [b": X-Organization-Id"],
    "no colon": [b"X-Organization-Id"],
    "CR in the value": [b"X-Note: a\rX-Organization-Id: evil"],
    "LF alone": [b"X-Note: a\nX-Organization-Id: evil"],
    "two credentials": [b"Authorization: Bearer a", b"Authorization: Bearer b"],
}


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with callers.services() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("wire"), HEAD + ROUTES)


@pytest.fixture(scope="module", params=HOSTS)
def gate(request: pytest.FixtureRequest, folder: Path, services: Services) -> Iterator[Gate]:
    with HOSTS[request.param](folder, services.environment) as gate:
        yield gate


@pytest.fixture(scope="module")
def port(folder: Path, services: Services) -> Iterator[int]:
    with callers.on_uvicorn(folder, services.environment) as gate:
        yield gate.port


def exchange(port: int, *lines: bytes, path: bytes = b"/named/x", end: bytes = b"") -> int:
    """Send a request, byte for byte, of somebody who has a session; return the status of the answer."""
    head = [b"POST %s HTTP/1.1" % path, b"Host: a", b"Cookie: %s=good-session" % COOKIE.encode(), *lines]
    body = end or b"Content-Length: 0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"\r\n".join(head) + b"\r\n" + body)
        answer = b""
        while b"\r\n" not in answer:
            answer += connection.recv(65536) or b"HTTP/1.1 000 nothing\r\n"
    return int(answer.split(b" ", 2)[1])


def heard(services: Services) -> list[dict[str, list[str]]]:
    """Return what each request said to the upstream, by the names of TOLD as any server may read them."""
    requests = [request["headers"] for request in services.upstream.seen]
    services.upstream.seen.clear()
    return [
        {known: [value for name, value in headers if read_as(name) == known] for known in TOLD} for headers in requests
    ]


@pytest.mark.parametrize("lines", PASSING.values(), ids=PASSING)
def test_on_the_wire_no_spelling_gets_through(port: int, services: Services, lines: list[bytes]) -> None:
    assert exchange(port, *lines) == 200
    assert exchange(port, *lines, path=b"/open/x") == 200
    assert heard(services) == [TOLD, OPEN]


@pytest.mark.parametrize("lines", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_on_the_wire_what_could_be_read_in_two_ways_is_refused(
    port: int, services: Services, lines: list[bytes]
) -> None:
    assert exchange(port, *lines) == 400
    assert heard(services) == []


def test_a_trailer_says_nothing_of_the_caller(port: int, services: Services) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Organization-Id: evil\r\nx_user_id: evil\r\n\r\n"
    assert exchange(port, end=chunks) == 200
    assert exchange(port, path=b"/open/x", end=chunks) == 200
    assert heard(services) == [TOLD, OPEN]


@pytest.mark.parametrize("lines", PASSING.values(), ids=PASSING)
def test_behind_either_host_the_same_is_heard(gate: Gate, services: Services, lines: list[bytes]) -> None:
    fields = [tuple(line.decode().split(":", 1)) for line in lines]
    session = ("Cookie", f"{COOKIE}=good-session")
    assert [gate.send("POST", path, [session, *fields]).status for path in ("/named/x", "/open/x")] == [200, 200]
    assert heard(services) == [TOLD, OPEN]


def test_the_names_that_are_tried_are_those_of_the_files() -> None:
    assert {"x-internal-key", "x-organization-id", "x-user-id", "cf-aig-metadata", "apikey"} <= set(NAMES)
    assert {"x-api-key", "cf-access-token", "x-gateway-service"} <= set(NAMES)
