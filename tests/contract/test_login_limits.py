"""Too many failed logins, as clients meet them; and what the log says of logins, failures and guests."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest

from gatehouse.lambda_http import event_loop
from gatehouse.login_limits import LoginLimits, LoginRates
from gatehouse.passwords import hashed
from gatehouse.stores import clients
from gatehouse.stores.admins import PREFIX
from gatehouse.stores.limits import Limits
from gatehouse.stores.places import LoginPlaces
from local.house import House
from local.router import load_function
from local.servers import listen, served
from tests.contract.conftest import PASSWORD, Answer, check_error, invoke
from tests.contract.rest_event import rest_event

NOW = 1_800_000_000.0
DEAD = "http://127.0.0.1:9"
ORIGIN = "https://app.example.com"
WRONG = "hunter2-which-nobody-has"
HOME = "127.0.0.1"


@pytest.fixture(scope="module")
def grace(house: House) -> str:
    """An administrator who is in no other test; returns the hash that is kept of her."""
    stored = hashed(PASSWORD)
    record = {"username": "grace.hopper", "hash": stored, "salt": "", "role": "admin"}
    boto3.client("s3", endpoint_url=house.environment()["AWS_ENDPOINT_URL"]).put_object(
        Bucket=house.template.made["AdminsBucket"]["Ref"],
        Key=f"{PREFIX}grace.hopper.json",
        Body=json.dumps(record).encode(),
    )
    return stored


@pytest.fixture
def table(house: House) -> Iterator[str]:
    """A CacheTable that no other test has counted in."""
    dynamodb = boto3.client("dynamodb", endpoint_url=house.environment()["AWS_ENDPOINT_URL"])
    name = f"counts-{uuid4()}"
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    clients.client.cache_clear()
    yield name
    clients.client.cache_clear()
    dynamodb.delete_table(TableName=name)
    dynamodb.close()


@dataclass
class Door:
    """The login function behind one host, with a clock of its own."""

    module: Any
    send: Callable[[str, dict[str, str], bytes, str], Answer]
    now: float = NOW

    def log_in(
        self, password: str = PASSWORD, username: str = "grace.hopper", client_ip: str = HOME, **headers: str
    ) -> Answer:
        body = json.dumps({"username": username, "password": password}).encode()
        return self.send("/auth/login", {"Origin": ORIGIN, **headers}, body, client_ip)


def over_uvicorn(module: Any, running: Any) -> Callable[[str, dict[str, str], bytes, str], Answer]:
    port = running.getsockname()[1]

    def send(path: str, headers: dict[str, str], body: bytes, _: str) -> Answer:
        connection = http.client.HTTPConnection(HOME, port, timeout=20)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    return send


def over_mangum(module: Any) -> Callable[[str, dict[str, str], bytes, str], Answer]:
    def send(path: str, headers: dict[str, str], body: bytes, client_ip: str) -> Answer:
        return invoke(module, rest_event("POST", path, list(headers.items()), body, source_ip=client_ip))

    return send


@pytest.fixture
def few(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit for addresses that is reached without fifty times Argon2."""
    monkeypatch.setenv("LOGIN_LIMIT_ADDRESS", "5/30s")


@pytest.fixture
def module(house: House, grace: str, table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("CACHE_TABLE", table)
    loaded = load_function("functions/login")
    yield loaded
    event_loop().run_until_complete(loaded.kit.close())


def clocked(module: Any, door: Door) -> Door:
    settings = module.kit.settings
    rates = LoginRates(user=settings.login_limit_user, address=settings.login_limit_address)
    table = settings.cache_table
    vars(module.kit)["login_limits"] = LoginLimits(Limits(table), LoginPlaces(table), rates, lambda: door.now)
    return door


@pytest.fixture
def lambda_door(module: Any) -> Door:
    return clocked(module, Door(module, over_mangum(module)))


@pytest.fixture(params=["uvicorn", "mangum"])
def door(request: pytest.FixtureRequest, module: Any) -> Iterator[Door]:
    if request.param == "mangum":
        yield clocked(module, Door(module, over_mangum(module)))
        return
    listening = listen(HOME, 0)
    with served(module.app, [listening]):
        yield clocked(module, Door(module, over_uvicorn(module, listening)))


def limited(answer: Answer, wait_s: int) -> None:
    check_error(answer, 429, "RATE_LIMITED", "AUTH")
    assert answer.get("retry-after") == str(wait_s)
    assert answer.get("access-control-allow-origin") == ORIGIN
    assert "Retry-After" in answer.json["message"]


# ------------------------------------------------------------------------------------------------ too many failures


def test_the_eleventh_failure_of_a_username_waits_and_time_lets_it_on(door: Door):
    for _ in range(10):
        check_error(door.log_in(WRONG), 401, "INVALID_CREDENTIALS", "AUTH")
    limited(door.log_in(WRONG), 30)
    limited(door.log_in(PASSWORD), 30)
    check_error(door.log_in(WRONG, "somebody.else"), 401, "INVALID_CREDENTIALS", "AUTH")
    door.now += 29.5
    limited(door.log_in(PASSWORD), 1)
    door.now += 0.5
    assert door.log_in(PASSWORD).status == 200
    assert door.log_in(PASSWORD).status == 200


def test_an_unknown_username_waits_like_a_known_one(lambda_door: Door):
    said = []
    for username in ("grace.hopper", "nobody.at.all"):
        for number in range(11):
            answer = lambda_door.log_in(WRONG, username, f"192.0.2.{number}")
        body = {name: value for name, value in answer.json.items() if name not in {"requestId", "timestamp"}}
        said.append((answer.status, answer.get("retry-after"), body))
    assert said[0] == said[1]
    assert said[0][0] == 429


@pytest.mark.usefixtures("few")
def test_an_address_waits_whatever_names_it_tries(lambda_door: Door):
    for number in range(5):
        assert lambda_door.log_in(WRONG, f"user{number}", "2001:db8::1").status == 401
    limited(lambda_door.log_in(PASSWORD, client_ip="2001:db8::ffff:2"), 6)
    assert lambda_door.log_in(PASSWORD, client_ip="2001:db8:0:1::1").status == 200


@pytest.mark.usefixtures("few")
def test_no_header_makes_an_address_another(lambda_door: Door):
    """Whoever believes X-Forwarded-For has no limit at all."""
    names = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP")
    for number in range(5):
        sent = dict.fromkeys(names, f"203.0.113.{number}") | {"Forwarded": f"for=203.0.113.{number}"}
        assert lambda_door.log_in(WRONG, f"user{number}", "192.0.2.9", **sent).status == 401
    limited(lambda_door.log_in(WRONG, "user99", "192.0.2.9", **{"X-Forwarded-For": "203.0.113.99"}), 6)


def test_an_administrator_whose_name_is_hammered_logs_in_from_their_usual_place(lambda_door: Door):
    assert lambda_door.log_in(client_ip="192.0.2.7").status == 200
    for number in range(12):
        lambda_door.log_in(WRONG, client_ip=f"198.51.100.{number}")
    assert lambda_door.log_in(client_ip="192.0.2.7").status == 200
    limited(lambda_door.log_in(client_ip="192.0.2.8"), 30)


def test_right_passwords_are_free(lambda_door: Door):
    assert {lambda_door.log_in().status for _ in range(15)} == {200}


def test_a_refused_attempt_computes_no_argon2(lambda_door: Door, monkeypatch: pytest.MonkeyPatch):
    for _ in range(10):
        lambda_door.log_in(WRONG)

    def looked(*_: object) -> None:
        raise AssertionError("a password was looked at")

    monkeypatch.setattr(lambda_door.module, "log_in", looked)
    limited(lambda_door.log_in(PASSWORD), 30)


def test_a_body_that_is_no_login_is_not_counted(lambda_door: Door):
    for _ in range(60):
        check_error(lambda_door.send("/auth/login", {}, b'{"username":"grace.hopper"}', HOME), 400, "INVALID_REQUEST")
    assert lambda_door.log_in().status == 200


# --------------------------------------------------------------------------------------------------- stores are down


def test_nobody_logs_in_where_failures_cannot_be_counted(lambda_door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", DEAD)
    clients.client.cache_clear()
    started = time.monotonic()
    check_error(lambda_door.log_in(), 503, "AUTH_UNAVAILABLE", "AUTH")
    assert time.monotonic() - started < 10


def test_an_outage_of_s3_uses_up_nobodys_attempts(lambda_door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", DEAD)
    clients.client.cache_clear()
    for _ in range(12):
        check_error(lambda_door.log_in(), 503, "AUTH_UNAVAILABLE", "AUTH")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    clients.client.cache_clear()
    assert lambda_door.log_in().status == 200


def test_a_function_without_a_table_lets_nobody_in(house: House, grace: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CACHE_TABLE", "")
    module = load_function("functions/login")
    check_error(Door(module, over_mangum(module)).log_in(), 503, "AUTH_UNAVAILABLE", "AUTH")


# ----------------------------------------------------------------------------------------------------- the audit trail


def audited(capsys: pytest.CaptureFixture[str], *secrets: str) -> dict[str, Any]:
    """Return the one audit line that was written, after a look at all lines for what may stand in none."""
    output = capsys.readouterr().out
    for secret in (PASSWORD, WRONG, "$argon2", "eyJ", *secrets):
        assert secret not in output
    records = [json.loads(line) for line in output.splitlines()]
    (record,) = [one for one in records if one["message"] == "audit"]
    (request,) = [one for one in records if one["message"] == "request"]
    assert record.pop("requestId") == request["requestId"]
    assert record.pop("timestamp") <= request["timestamp"]
    assert (record.pop("message"), record.pop("service")) == ("audit", "gatehouse")
    assert record.pop("level") == "INFO"
    found: dict[str, Any] = record
    return found


def jti_of(token: str) -> str:
    import jwt

    jti: str = jwt.decode(token, options={"verify_signature": False})["jti"]
    return jti


def test_a_login_is_one_line(lambda_door: Door, grace: str, capsys: pytest.CaptureFixture[str]):
    answer = lambda_door.log_in(client_ip="192.0.2.7")
    assert audited(capsys, answer.json["token"], grace) == {
        "action": "login", "who": "grace.hopper", "from": "192.0.2.7", "result": "ok", "project": "metacogna",
        "route": "AUTH", "role": "admin", "jti": jti_of(answer.json["token"]),
    }  # fmt: skip


@pytest.mark.parametrize("username", ["grace.hopper", "nobody.at.all"])
def test_a_failure_is_one_line_that_does_not_say_which_half_was_wrong(
    lambda_door: Door, grace: str, username: str, capsys: pytest.CaptureFixture[str]
):
    lambda_door.log_in(WRONG, username, "192.0.2.7")
    assert audited(capsys, grace) == {
        "action": "login", "who": username, "from": "192.0.2.7", "result": "refused", "code": "INVALID_CREDENTIALS",
    }  # fmt: skip


def test_one_too_many_is_one_line(lambda_door: Door, capsys: pytest.CaptureFixture[str]):
    for _ in range(10):
        lambda_door.log_in(WRONG)
    capsys.readouterr()
    lambda_door.log_in(WRONG)
    assert audited(capsys) == {
        "action": "login", "who": "grace.hopper", "from": HOME, "result": "limited", "code": "RATE_LIMITED",
    }  # fmt: skip


@pytest.mark.parametrize("service", ["DYNAMODB", "S3", "SECRETS_MANAGER"])
def test_a_login_that_cannot_be_decided_is_one_line(
    service: str,
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", DEAD)
    door: Door = request.getfixturevalue("lambda_door")  # only now: a function may fetch its keys when it is loaded
    capsys.readouterr()
    door.log_in()
    assert audited(capsys) == {
        "action": "login", "who": "grace.hopper", "from": HOME, "result": "unavailable", "code": "AUTH_UNAVAILABLE",
    }  # fmt: skip


def test_a_defect_is_one_line(lambda_door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def crash(*_: object) -> None:
        raise ValueError(PASSWORD)

    monkeypatch.setattr(lambda_door.module, "log_in", crash)
    assert lambda_door.log_in().status == 500
    assert audited(capsys) == {
        "action": "login", "who": "grace.hopper", "from": HOME, "result": "failed", "code": "INTERNAL",
    }  # fmt: skip


def test_a_login_for_a_project_that_there_is_not_is_one_line(lambda_door: Door, capsys: pytest.CaptureFixture[str]):
    body = json.dumps({"username": "ada", "password": PASSWORD, "project": PASSWORD}).encode()
    assert lambda_door.send("/auth/login", {}, body, HOME).status == 400
    assert audited(capsys)["result"] == "refused"


def test_a_body_that_is_no_login_is_no_event(lambda_door: Door, capsys: pytest.CaptureFixture[str]):
    for body in (b'{"username":"' + WRONG.encode() + b'!","password":"x"}', b"{", b'{"password":"' + WRONG.encode()):
        assert lambda_door.send("/auth/login", {}, body, HOME).status == 400
    output = capsys.readouterr().out
    assert '"audit"' not in output
    assert WRONG not in output


@pytest.fixture
def guests(house: House) -> Callable[[bytes], Answer]:
    send = over_mangum(load_function("functions/guest"))
    return lambda body: send("/auth/guest", {}, body, "192.0.2.7")


def test_a_guest_is_one_line(guests: Callable[[bytes], Answer], capsys: pytest.CaptureFixture[str]):
    answer = guests(b'{"route":"KV"}')
    assert audited(capsys, answer.json["token"]) == {
        "action": "guest", "who": "guest", "from": "192.0.2.7", "result": "ok", "project": "metacogna", "route": "KV",
        "jti": jti_of(answer.json["token"]),
    }  # fmt: skip


def test_a_guest_who_asks_for_more_is_one_line(guests: Callable[[bytes], Answer], capsys: pytest.CaptureFixture[str]):
    assert guests(b'{"route":"AUTH"}').status == 400
    assert audited(capsys) == {
        "action": "guest", "who": "guest", "from": "192.0.2.7", "result": "refused", "code": "INVALID_ROUTE",
    }  # fmt: skip
