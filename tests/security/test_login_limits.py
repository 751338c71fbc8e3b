"""How many passwords an attacker gets to try, with many addresses, many threads, or an account of their own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import boto3
import pytest

from gatehouse import passwords
from gatehouse.accounts import log_in
from gatehouse.errors import InvalidCredentialsError, RateLimitedError
from gatehouse.gcra import parse
from gatehouse.login_limits import LoginLimits, LoginRates
from gatehouse.stores import aws_json, places
from gatehouse.stores.limits import Limits
from gatehouse.stores.places import LoginPlaces
from local.house import NEVER_REAL
from tests.security.test_logins import RIGHT, Hasher, Records, modern

NOW = 1_800_000_000.0
RATES = LoginRates(user=parse("10/5m"), address=parse("50/5m"))


class House:
    """Logins as the function does them, in as many processes as there are calls of `process`."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.now = NOW
        self.records = Records(modern("ada"), modern("mallory"))

    def process(self) -> LoginLimits:
        return LoginLimits(Limits(self.table), LoginPlaces(self.table), RATES, lambda: self.now)

    def attempt(self, process: LoginLimits, username: str, password: str, client_ip: str) -> str:
        try:
            with process.charged(username, client_ip):
                return log_in(self.records, username, password).username
        except (InvalidCredentialsError, RateLimitedError) as error:
            return error.code


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Hasher:
    counting = Hasher()
    monkeypatch.setattr(passwords, "_HASHER", counting)
    return counting


@pytest.fixture(scope="module")
def dynamodb(ministack: str) -> Iterator[Any]:
    client = boto3.Session("local", "local", region_name="us-east-1").client("dynamodb", endpoint_url=ministack)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (NEVER_REAL | {"AWS_ENDPOINT_URL_DYNAMODB": ministack}).items():
            patch.setenv(name, value)
        patch.setattr(places, "client", lambda _: client)
        yield client
    aws_json.close()
    client.close()


@pytest.fixture
def house(dynamodb: Any) -> House:
    name = f"logins-{uuid4()}"
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return House(name)


def test_guesses_side_by_side_from_everywhere_get_ten_looks_at_the_password(house: House, hasher: Hasher) -> None:
    processes = [house.process() for _ in range(4)]

    def guess(number: int) -> str:
        return house.attempt(processes[number % 4], "ada", f"guess{number}", f"198.51.100.{number}")

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(guess, range(60)))
    assert sorted(said) == ["INVALID_CREDENTIALS"] * 10 + ["RATE_LIMITED"] * 50
    assert hasher.computed == 10


def test_twenty_minutes_of_guessing_gets_one_look_every_thirty_seconds(house: House, hasher: Hasher) -> None:
    process = house.process()
    for number in range(120):
        house.attempt(process, "ada", f"guess{number}", f"203.0.{number // 256}.{number % 256}")
        house.now += 10
    assert hasher.computed == 10 + 1200 // 30 - 1


def test_one_address_gets_fifty_looks_however_many_names_it_knows(house: House, hasher: Hasher) -> None:
    process = house.process()
    for number in range(80):
        house.attempt(process, f"user{number}", "guess", f"2001:db8::{number:x}")
    assert hasher.computed == 50


def test_an_account_of_ones_own_buys_no_guesses_at_anothers(house: House, hasher: Hasher) -> None:
    """A right password must give back what it was charged, and nothing else."""
    process = house.process()
    said = []
    for number in range(70):
        house.attempt(process, "mallory", RIGHT, "192.0.2.66")
        said.append(house.attempt(process, f"user{number}", "guess", "192.0.2.66"))
    assert said.count("INVALID_CREDENTIALS") <= 50


def test_a_wrong_guess_at_the_right_moment_is_not_wiped_out_by_the_owners_login(house: House, hasher: Hasher) -> None:
    process = house.process()
    said = []
    for number in range(30):
        house.attempt(process, "ada", RIGHT, "192.0.2.7")
        said.append(house.attempt(process, "ada", "guess", f"198.51.100.{number}"))
    assert said.count("INVALID_CREDENTIALS") == 10


def test_a_hammered_owner_still_gets_in_from_home_and_costs_no_more_guesses(house: House, hasher: Hasher) -> None:
    process = house.process()
    assert house.attempt(process, "ada", RIGHT, "192.0.2.7") == "ada"
    for round_ in range(5):
        for number in range(12):
            house.attempt(process, "ada", "guess", f"198.51.100.{number}")
        assert house.attempt(process, "ada", RIGHT, "192.0.2.7") == "ada", round_
    assert house.attempt(process, "ada", RIGHT, "192.0.2.8") == "RATE_LIMITED"


def test_a_name_that_nobody_has_runs_out_as_one_that_somebody_has(house: House, hasher: Hasher) -> None:
    process = house.process()
    said = {
        name: [house.attempt(process, name, "guess", f"{net}.{number}") for number in range(15)]
        for name, net in (("ada", "198.51.100"), ("nobody", "203.0.113"))
    }
    assert said["ada"] == said["nobody"]
    assert hasher.computed == 20
