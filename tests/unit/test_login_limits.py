"""Whose attempts are counted together, what they cost, and who hears what."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.errors import AuthUnavailableError, InvalidCredentialsError, RateLimitedError
from gatehouse.gcra import US, Rate, decide
from gatehouse.login_limits import LoginLimits, LoginRates, site
from gatehouse.settings import SettingsError, read

NOW = 1_800_000_000
HOME, ELSEWHERE = "192.0.2.7", "198.51.100.9"
RATES = LoginRates(user=Rate(3, 30, 3), address=Rate(5, 30, 5))


@dataclass(frozen=True)
class Told:
    allowed: bool
    retry_after_s: float


class FakeBuckets:
    """Buckets in memory; *trouble* is raised by every access."""

    def __init__(self) -> None:
        self.tats: dict[str, int] = {}
        self.taken: list[str] = []
        self.trouble: Exception | None = None

    def take(self, key: str, rate: Rate, now_us: int) -> Told:
        if self.trouble:
            raise self.trouble
        self.taken.append(key)
        decision = decide(self.tats.get(key), now_us, rate)
        self.tats[key] = decision.tat
        return Told(decision.allowed, decision.retry_after_us / US)

    def give_back(self, key: str, rate: Rate, now_us: int) -> None:
        if self.trouble:
            raise self.trouble
        if self.tats[key] > now_us:
            self.tats[key] -= rate.increment_us


class FakePlaces:
    """Places in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, float] = {}
        self.asked = 0
        self.trouble: Exception | None = None

    def knows(self, place: str, now_s: float) -> bool:
        self.asked += 1
        if self.trouble:
            raise self.trouble
        return self.kept.get(place, 0) > now_s

    def remember(self, place: str, now_s: float) -> None:
        if self.trouble:
            raise self.trouble
        self.kept[place] = now_s + 30 * 86_400


class Door:
    """A login with its limits, and a clock."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.buckets = FakeBuckets()
        self.places = FakePlaces()
        self.limits = LoginLimits(self.buckets, self.places, RATES, lambda: self.now)
        self.looked = 0

    def fail(self, username: str = "ada", client_ip: str = HOME) -> None:
        with suppress(InvalidCredentialsError), self.limits.charged(username, client_ip):
            self.looked += 1
            raise InvalidCredentialsError

    def log_in(self, username: str = "ada", client_ip: str = HOME) -> None:
        with self.limits.charged(username, client_ip):
            self.looked += 1

    def refusal(self, attempt: Callable[..., None], username: str = "ada", client_ip: str = HOME) -> RateLimitedError:
        before = self.looked
        with pytest.raises(RateLimitedError) as caught:
            attempt(username, client_ip)
        assert self.looked == before, "a refused attempt's password was looked at"
        return caught.value


@pytest.fixture
def door() -> Door:
    return Door()


def retry_after(error: RateLimitedError) -> str:
    return dict(error.headers)["retry-after"]


def addresses() -> Iterator[str]:
    """Addresses that were never seen before."""
    number = 0
    while True:
        number += 1
        yield f"203.0.{number // 256}.{number % 256}"


# ------------------------------------------------------------------------------------------------- too many failures


def test_a_username_has_so_many_failures_wherever_they_come_from(door: Door) -> None:
    fresh = addresses()
    for _ in range(3):
        door.fail("ada", next(fresh))
    error = door.refusal(door.fail, "ada", next(fresh))
    assert retry_after(error) == "10"
    assert "for this username" in str(error)
    assert "Retry-After" in str(error)
    door.fail("bob", next(fresh))


def test_an_address_has_so_many_failures_whoever_they_are_about(door: Door) -> None:
    for number in range(5):
        door.fail(f"user{number}")
    error = door.refusal(door.fail, "user9")
    assert retry_after(error) == "6"
    assert "from this address" in str(error)
    door.fail("user9", ELSEWHERE)


def test_a_right_password_is_refused_too_once_there_were_too_many(door: Door) -> None:
    for address in ("203.0.113.1", "203.0.113.2", "203.0.113.3"):
        door.fail("ada", address)
    door.refusal(door.log_in)


@pytest.mark.parametrize(("later_s", "passes"), [(9.999, False), (10, True)])
def test_time_gives_one_back_after_another(door: Door, later_s: float, passes: bool) -> None:
    for _ in range(3):
        door.fail()
    door.now += later_s
    if passes:
        door.fail()
    door.refusal(door.fail)


@pytest.mark.parametrize(("left_s", "said"), [(10, "10"), (9.001, "10"), (9, "9"), (0.5, "1"), (0.000_001, "1")])
def test_the_wait_is_whole_seconds_rounded_up_and_never_none(door: Door, left_s: float, said: str) -> None:
    for _ in range(3):
        door.fail()
    door.now = NOW + 10 - left_s
    assert retry_after(door.refusal(door.fail)) == said


def test_the_address_is_asked_before_the_username(door: Door) -> None:
    for number in range(5):
        door.fail(f"user{number}")
    door.buckets.taken.clear()
    door.refusal(door.fail, "ada")
    (only,) = door.buckets.taken
    assert only.startswith("login-address#")


# ------------------------------------------------------------------------------------------- what does not cost


def test_right_passwords_are_free(door: Door) -> None:
    for _ in range(50):
        door.log_in()
    for _ in range(3):
        door.fail()
    assert door.looked == 53


def test_attempts_at_the_same_time_are_counted_before_any_of_them_is_decided(door: Door) -> None:
    with door.limits.charged("ada", HOME), door.limits.charged("ada", HOME), door.limits.charged("ada", HOME):
        door.refusal(door.log_in, "ada", ELSEWHERE)
    door.log_in("ada", ELSEWHERE)


def test_an_attempt_that_nobody_could_decide_is_free(door: Door) -> None:
    """S3 was down for a minute, and then its administrators were locked out for five."""
    for _ in range(20):
        with pytest.raises(AuthUnavailableError), door.limits.charged("ada", HOME):
            raise AuthUnavailableError
    door.fail()
    assert not door.places.kept


@pytest.mark.parametrize("error", [InvalidCredentialsError(), ValueError("a defect"), KeyboardInterrupt()])
def test_any_other_end_costs_one(door: Door, error: BaseException) -> None:
    for _ in range(3):
        with pytest.raises(type(error)), door.limits.charged("ada", HOME):
            raise error
    door.refusal(door.fail)
    assert not door.places.kept


# --------------------------------------------------------------------------------------- the owner is not locked out


def hammered(door: Door) -> None:
    """Use up ada's username from addresses all over the world."""
    for _, address in zip(range(4), addresses(), strict=False):
        with suppress(RateLimitedError):
            door.fail("ada", address)


def test_an_owner_logs_in_from_home_while_somebody_hammers_their_name(door: Door) -> None:
    door.log_in("ada", HOME)
    for _ in range(10):
        hammered(door)
        door.log_in("ada", HOME)
        door.now += 10


def test_home_is_for_its_owner_alone(door: Door) -> None:
    door.log_in("ada", HOME)
    for address in ("203.0.113.1", "203.0.113.2", "203.0.113.3"):
        door.fail("bob", address)
    door.refusal(door.log_in, "bob", HOME)


def test_at_home_too_only_so_many_may_fail(door: Door) -> None:
    door.log_in("ada", HOME)
    hammered(door)
    for _ in range(3):
        door.fail("ada", HOME)
    error = door.refusal(door.fail, "ada", HOME)
    assert retry_after(error) == "10"


def test_an_owner_is_refused_where_they_have_never_been(door: Door) -> None:
    door.log_in("ada", HOME)
    hammered(door)
    door.refusal(door.log_in, "ada", ELSEWHERE)


def test_a_failure_makes_no_place_a_home(door: Door) -> None:
    door.fail("ada", HOME)
    hammered(door)
    door.refusal(door.log_in, "ada", HOME)


@pytest.mark.parametrize(("later_s", "known"), [(30 * 86_400 - 1, True), (30 * 86_400, False)])
def test_a_place_is_a_home_for_thirty_days(door: Door, later_s: int, known: bool) -> None:
    door.log_in("ada", HOME)
    door.now += later_s
    hammered(door)
    if known:
        door.log_in("ada", HOME)
    else:
        door.refusal(door.log_in, "ada", HOME)


def test_a_login_from_home_is_free_while_the_name_is_hammered(door: Door) -> None:
    door.log_in("ada", HOME)
    hammered(door)
    for _ in range(20):
        door.log_in("ada", HOME)


# ----------------------------------------------------------------------------------- what it tells, and what it keeps


def test_whether_somebody_has_the_name_makes_no_difference_to_what_is_asked(door: Door) -> None:
    asked = {}
    for username, address in (("ada", "192.0.2.1"), ("nobody", "192.0.2.2")):
        if username == "ada":
            door.log_in("ada", HOME)
        door.buckets.taken.clear()
        door.places.asked = 0
        for _ in range(5):
            with suppress(RateLimitedError):
                door.fail(username, address)
        asked[username] = ([key.partition("#")[0] for key in door.buckets.taken], door.places.asked)
    assert asked["ada"] == asked["nobody"]


def test_no_name_and_no_address_stands_in_a_key(door: Door) -> None:
    door.log_in("ada", HOME)
    hammered(door)
    door.log_in("ada", HOME)
    keys = [*door.buckets.tats, *door.places.kept]
    assert {key.partition("#")[0] for key in door.buckets.tats} == {"login-address", "login-user", "login-place"}
    assert not [key for key in keys if "ada" in key or HOME in key]
    assert all(len(key.rpartition("#")[2]) == 64 for key in keys)


# ------------------------------------------------------------------------------------------------------ fails closed


def test_nobody_logs_in_when_attempts_cannot_be_counted(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    door.buckets.trouble = TimeoutError("ada 192.0.2.7")
    with pytest.raises(AuthUnavailableError):
        door.log_in()
    assert door.looked == 0
    logged = capsys.readouterr().out
    assert json.loads(logged)["reason"] == "TimeoutError"
    assert "192.0.2.7" not in logged


def test_nobody_logs_in_when_their_home_cannot_be_looked_up(door: Door) -> None:
    hammered(door)
    door.places.trouble = ConnectionError()
    with pytest.raises(AuthUnavailableError):
        door.log_in()


def test_a_login_counts_although_its_charge_could_not_be_given_back(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    with door.limits.charged("ada", HOME):
        door.buckets.trouble = TimeoutError("ada")
        door.places.trouble = TimeoutError("ada")
    assert [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()] == [
        "login attempt not given back",
        "place of a login not kept",
    ]


# ------------------------------------------------------------------------------------------------------ as settings


def test_the_limits_are_settings() -> None:
    settings = read({"LOGIN_LIMIT_USER": "3/1h", "LOGIN_LIMIT_ADDRESS": "7/10s", "CACHE_TABLE": "cache"})
    assert (settings.login_limit_user, settings.login_limit_address) == (Rate(3, 3600, 3), Rate(7, 10, 7))
    assert settings.cache_table == "cache"


@pytest.mark.parametrize("environ", [{}, {"LOGIN_LIMIT_USER": "", "LOGIN_LIMIT_ADDRESS": "", "CACHE_TABLE": ""}])
def test_there_are_limits_where_nobody_says_any(environ: dict[str, str]) -> None:
    settings = read(environ)
    assert (settings.login_limit_user, settings.login_limit_address) == (Rate(10, 300, 10), Rate(50, 300, 50))


def test_a_limit_that_is_none_stops_the_start_and_every_one_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        read({"LOGIN_LIMIT_USER": "0/5m", "LOGIN_LIMIT_ADDRESS": "many"})
    for said in ("LOGIN_LIMIT_USER: '0/5m'", "LOGIN_LIMIT_ADDRESS: 'many'", "10/5m"):
        assert said in str(caught.value)


# --------------------------------------------------------------------------------------------- whose address it is


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:DB8:1:2:0:0:0:1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "unix:", True),
        ("", "192.0.2.7", False),
    ],
)
def test_an_ipv4_address_and_the_first_half_of_an_ipv6_address_are_one_customers(
    one: str, other: str, same: bool
) -> None:
    assert (site(one) == site(other)) is same


@given(st.ip_addresses(v=6), st.integers(0, (1 << 64) - 1))
def test_whatever_the_second_half_of_an_ipv6_address_it_is_counted_with_the_first(
    address: IPv6Address, half: int
) -> None:
    neighbour = IPv6Address(int(address) >> 64 << 64 | half)
    if not (address.ipv4_mapped or neighbour.ipv4_mapped):
        assert site(str(address)) == site(str(neighbour))


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_two_ipv4_addresses_are_counted_apart(one: IPv4Address, other: IPv4Address) -> None:
    assert (site(str(one)) == site(str(other))) is (one == other)


@given(st.text(max_size=40))
def test_whatever_calls_itself_an_address_is_counted_somewhere(text: str) -> None:
    assert site(text)
