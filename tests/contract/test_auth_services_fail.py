"""Services that know who is calling and are slow, down, broken or mad: nobody gets through, and nobody waits long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.servers import served
from tests.contract import callers
from tests.contract.callers import COOKIE, HOSTS, SLOW, TROUBLES, Double, Gate, Services, address, closed_port
from tests.contract.conftest import Answer, check_error
from tests.contract.test_who_is_calling import HEAD, theirs
from tests.unit.fakes import write
from tests.unit.scripted import Connection, serving

HURRIED_S, ASKING_S = 0.5, 3.0
"""How long finding out who is calling may take on hurried routes, and how long a question may where there is time."""
CACHE_S = 30
FAILURES, LEFT_ALONE_S = 3, 5.0
"""So often may a service fail in a row, and so long is nobody sent to it then."""
ROUTES = """
  - {name: lenient, path: /lenient, accept: [access, session, api_key, anonymous], auth: optional, organization: none}
  - name: hurried
    path: /hurried
    accept: [access, session, api_key, anonymous]
    auth: optional
    organization: optional
    timeout: 500ms
  - {name: required, path: /required, accept: [access, session, api_key], organization: none}
  - {name: named, path: /named, accept: [session, api_key, anonymous], auth: optional, organization: optional}
  - {name: free, path: /free, accept: [session], organization: none, public: ["GET /health"]}
"""
PROJECT = HEAD.replace("require:", "retry: []\n    require:") + ROUTES
Fields = list[tuple[str, str]]


def session(value: str = "good-session") -> Fields:
    return [("Cookie", f"{COOKIE}={value}")]


def api_key(value: str = "crow_good") -> Fields:
    return [("X-API-Key", value)]


def access(services: Services) -> Fields:
    return [("cf-access-token", theirs(services.environment["ISSUER_URL"]))]


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with callers.services() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("fail"), PROJECT)


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest, folder: Path, services: Services) -> Iterator[Gate]:
    with HOSTS[request.param](folder, services.environment) as gate:
        yield gate


@pytest.fixture
def gate(host: Gate, services: Services) -> Iterator[Gate]:
    """A gateway that knows nothing yet, in front of services that are all well."""
    services.rest()
    host.renew()
    yield host
    services.rest()


def check_closed(answer: Answer, services: Services) -> None:
    """Hold *answer* to: who is calling cannot be said now, so the upstream saw nothing and nobody learns anything."""
    check_error(answer, 503, "AUTH_UNAVAILABLE")
    assert services.upstream.seen == []
    told = answer.body.decode() + str(answer.headers)
    assert not [
        name for name in ("127.0.0.1", "http:", "Error", "aiohttp", "doctype", "Traceback", "good") if name in told
    ]


def check_passes(gate: Gate, path: str, fields: Fields) -> None:
    answer = gate.send("GET", path, fields)
    assert answer.status == 200, answer.body


# ------------------------------------------------------------------------------------------------ nobody gets through


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize(
    ("who", "path"),
    [
        ("auth asked for a session", "/lenient/x"),
        ("auth asked for a key", "/lenient/x"),
        ("issuer", "/lenient/x"),
        ("organizations", "/named/x"),
        ("users", "/named/x"),
    ],
)
def test_a_service_in_trouble_lets_nobody_through_and_makes_nobody_a_visitor(
    gate: Gate, services: Services, trouble: str, who: str, path: str
) -> None:
    of_key = who in {"auth asked for a key", "users"}
    fields = access(services) if who == "issuer" else api_key() if of_key else session()
    double: Double = getattr(services, who.partition(" ")[0])
    double.trouble = trouble
    began = time.monotonic()
    answer = gate.send("GET", "/hurried/x" if trouble in SLOW else path, fields)
    took_s = time.monotonic() - began
    check_closed(answer, services)
    assert HURRIED_S - 0.1 < took_s < ASKING_S if trouble in SLOW else took_s < ASKING_S
    assert double.asked
    assert "GET /elsewhere" not in double.paths
    assert not [asked for asked in double.asked if asked.method == "POST"][1:]


@pytest.mark.parametrize(
    "says", [b"", b"\x16\x03\x01\x02", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["nothing", "TLS", "half"]
)
def test_a_service_that_hangs_up_lets_nobody_through_and_is_asked_of_a_key_once(
    gate: Gate, services: Services, says: bytes
) -> None:
    def hang_up(connection: Connection) -> None:
        connection.read()
        connection.say(says)

    with serving(hang_up) as server:
        gate.renew(AUTH_SERVICE_URL=server.address)
        check_closed(gate.send("GET", "/lenient/x", api_key()), services)
        check_closed(gate.send("GET", "/lenient/x", session()), services)
    asked = [received.line.split(" ")[0] for received in server.received]
    assert asked == ["POST", "GET", *(["GET"] if not says else [])]


@pytest.mark.parametrize("path", ["/lenient/x", "/required/x"])
@pytest.mark.parametrize("who", ["AUTH_SERVICE_URL", "ISSUER_URL"])
def test_a_service_that_is_not_there_lets_nobody_through(gate: Gate, services: Services, path: str, who: str) -> None:
    with closed_port() as nobody:
        gate.renew(**{who: address(nobody.getsockname()[1])})
        if who == "ISSUER_URL":
            token = theirs(address(nobody.getsockname()[1]))
            answers = [gate.send("GET", path, [("cf-access-token", token)])]
        else:
            answers = [gate.send("GET", path, fields) for fields in (session(), api_key())]
    for answer in answers:
        check_closed(answer, services)


def test_organisations_that_cannot_be_asked_about_let_nobody_through(gate: Gate, services: Services) -> None:
    with closed_port() as nobody:
        url = address(nobody.getsockname()[1])
        gate.renew(ORG_SERVICE_URL=url, USER_SERVICE_URL=url)
        for fields in (session(), api_key()):
            check_closed(gate.send("GET", "/named/x", fields), services)
        check_passes(gate, "/lenient/x", session())


def test_who_has_no_credential_of_a_service_in_trouble_notices_nothing(gate: Gate, services: Services) -> None:
    services.auth.trouble = services.organizations.trouble = services.users.trouble = "500"
    check_passes(gate, "/lenient/x", [])
    check_passes(gate, "/lenient/x", access(services))
    check_passes(gate, "/named/x", [])
    check_passes(gate, "/free/health", session())
    check_error(gate.send("GET", "/required/x"), 401, "MISSING_TOKEN")
    check_error(gate.send("GET", "/required/x", [("X-API-Key", "no-key")]), 401, "INVALID_CREDENTIALS")
    assert not services.auth.asked


def test_a_service_that_does_not_know_the_gateways_own_key_is_no_refusal_of_the_caller(
    gate: Gate, services: Services
) -> None:
    """It answers 401 to us, and not of the caller."""
    knows = services.organizations.knows
    services.organizations.knows = lambda _: (401, {"error": "who are you?"})
    try:
        check_closed(gate.send("GET", "/named/x", session()), services)
    finally:
        services.organizations.knows = knows


# --------------------------------------------------------------------------------------------- what is known already


def test_what_is_known_already_holds_through_an_outage_and_no_longer_than_it_is_kept(
    gate: Gate, services: Services
) -> None:
    check_passes(gate, "/named/x", session())
    check_passes(gate, "/named/x", api_key())
    services.auth.trouble = services.organizations.trouble = services.users.trouble = "500"
    services.upstream.seen.clear()
    gate.wall.pass_by(CACHE_S - 1)
    check_passes(gate, "/named/x", session())
    check_passes(gate, "/named/x", api_key())
    services.upstream.seen.clear()
    check_closed(gate.send("GET", "/named/x", session("another-session")), services)
    gate.wall.pass_by(2)
    check_closed(gate.send("GET", "/named/x", session()), services)
    check_closed(gate.send("GET", "/named/x", api_key()), services)


def test_no_failure_is_kept(gate: Gate, services: Services) -> None:
    for double in (services.auth, services.organizations):
        double.trouble = "500"
        check_closed(gate.send("GET", "/named/x", session()), services)
        double.trouble = ""
    check_passes(gate, "/named/x", session())


# -------------------------------------------------------------------------------------------------------- the circuit


def break_down(gate: Gate, services: Services) -> None:
    """Have the auth service fail as often as it takes, each time asked by somebody else."""
    services.auth.trouble = "500"
    for number in range(FAILURES):
        check_closed(gate.send("GET", "/lenient/x", session(f"somebody-{number}")), services)
    assert len(services.auth.asked) == FAILURES


def test_a_dead_service_is_left_alone_for_a_few_seconds_then_tried_once_and_believed_when_it_is_back(
    gate: Gate, services: Services
) -> None:
    break_down(gate, services)
    for elapsed_s in (0, LEFT_ALONE_S - 2):  # what a busy machine takes comes on top
        gate.wall.ahead_s = elapsed_s
        for fields in (session(), session("somebody")):
            check_closed(gate.send("GET", "/lenient/x", fields), services)
    assert len(services.auth.asked) == FAILURES
    gate.wall.ahead_s = LEFT_ALONE_S
    for _ in range(3):
        check_closed(gate.send("GET", "/lenient/x", session()), services)
    assert len(services.auth.asked) == FAILURES + 1
    services.auth.trouble = ""
    check_closed(gate.send("GET", "/lenient/x", session()), services)
    gate.wall.ahead_s = 2 * LEFT_ALONE_S + 1
    for fields in (session(), api_key(), session("another-session")):
        check_passes(gate, "/lenient/x", fields)
    assert len(services.auth.asked) == FAILURES + 4


def test_other_services_and_addresses_are_asked_while_one_is_left_alone(gate: Gate, services: Services) -> None:
    check_passes(gate, "/lenient/x", session())
    services.rest()
    break_down(gate, services)
    check_passes(gate, "/lenient/x", access(services))
    check_passes(gate, "/named/x", session())
    check_passes(gate, "/lenient/x", [])
    assert (len(services.issuer.asked), len(services.organizations.asked)) == (1, 1)
    assert len(services.auth.asked) == FAILURES
    services.upstream.seen.clear()
    check_closed(gate.send("GET", "/lenient/x", api_key()), services)
    services.auth.trouble = ""
    check_passes(gate, "/lenient/x", api_key())
    assert services.auth.paths[FAILURES:] == ["POST /api-key/verify"] * 2


def test_one_who_asks_too_often_shuts_out_nobody_else(gate: Gate, services: Services) -> None:
    services.auth.trouble = "429"
    for number in range(2 * FAILURES):
        check_closed(gate.send("GET", "/lenient/x", session(f"somebody-{number}")), services)
    services.auth.trouble = ""
    check_passes(gate, "/lenient/x", session())


def test_an_answer_in_between_and_a_refusal_too_starts_the_count_anew(gate: Gate, services: Services) -> None:
    for number in range(3):
        services.auth.trouble = "500"
        for _ in range(FAILURES - 1):
            check_closed(gate.send("GET", "/lenient/x", session()), services)
        services.auth.trouble = ""
        check_error(gate.send("GET", "/lenient/x", session(f"nobodys-{number}")), 401, "INVALID_CREDENTIALS")
    assert len(services.auth.asked) == 3 * FAILURES


def test_a_service_that_comes_back_to_its_port_is_found_there(gate: Gate, services: Services) -> None:
    with closed_port() as port, ExitStack() as running:
        gate.renew(AUTH_SERVICE_URL=address(port.getsockname()[1]))
        for _ in range(FAILURES):
            check_closed(gate.send("GET", "/lenient/x", session()), services)
        port.listen()
        running.enter_context(served(services.auth, [port]))
        check_closed(gate.send("GET", "/lenient/x", session()), services)
        gate.wall.pass_by(LEFT_ALONE_S)
        check_passes(gate, "/lenient/x", session())
