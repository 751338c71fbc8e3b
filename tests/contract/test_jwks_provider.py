"""Keys from a real server on loopback, whatever it does, through the clients that the gateway has."""

from __future__ import annotations

import asyncio
import gzip
import hmac
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatehouse.auth_service import AuthService
from gatehouse.call import Identity
from gatehouse.clock import Elapsed
from gatehouse.credentials import Credential
from gatehouse.credentials.jwks import jwks
from gatehouse.errors import AuthUnavailableError, ForeignTokenError
from gatehouse.foreign_keys import UNKNOWN_S, ForeignKeys
from gatehouse.foreign_tokens import ForeignTokens
from gatehouse.published_keys import PublishedKeys
from gatehouse.upstreams import Upstream
from gatehouse.upstreams.buffered import BufferedUpstream
from gatehouse.upstreams.streaming import StreamingUpstream
from tests.unit.fakes import FakeClock, a_call, run
from tests.unit.issuers import CLAIMS, EC_1, GONE, RSA_1, RSA_2, FakeShared, jwk, key_set, provider, token
from tests.unit.private_keys import encoded
from tests.unit.scripted import Connection, Scripted, serving

HOUR_S = 3600.0
MOST_BYTES = 256 * 1024
QUICK_S = 0.5
Answering = Callable[[Connection], None]


def says(text: str, *headers: str, status: str = "200 OK") -> Answering:
    return lambda connection: connection.answer(text.encode(), *headers, status=status)


def stalls(connection: Connection) -> None:
    connection.wait_for_end()


def stalls_half_way(connection: Connection) -> None:
    connection.say(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"keys": [')
    connection.wait_for_end()


def drips(connection: Connection) -> None:
    """One byte at a time, for longer than anybody waits: each of them is in time."""
    connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    ended = threading.Event()
    for _ in range(40):
        connection.say(b"1\r\n \r\n")
        ended.wait(0.02)


def hangs_up(connection: Connection) -> None:
    connection.reset()


def breaks_off(connection: Connection) -> None:
    connection.say(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"keys": [')
    connection.close()


def says_5_mb(connection: Connection) -> None:
    text = json.dumps({"keys": [jwk(RSA_1)], "padding": "x" * 5_000_000})
    connection.answer(text.encode())


def says_5_mb_in_chunks(connection: Connection) -> None:
    connection.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(80):
        connection.say(b"10000\r\n" + b" " * 65_536 + b"\r\n")
    connection.say(b"0\r\n\r\n")


def says_compressed(connection: Connection) -> None:
    connection.answer(gzip.compress(key_set().encode()), "Content-Encoding: gzip")


NONSENSE = {
    "500": says(key_set(), status="500 Oops"),
    "503": says(key_set(), status="503 Busy"),
    "404": says(key_set(), status="404 Not Found"),
    "429": says(key_set(), status="429 Slow Down"),
    "redirect": says("", "Location: http://127.0.0.1:9/", status="302 Found"),
    "html": says("<!doctype html><p>Sign in"),
    "empty": says(""),
    "no keys": says('{"keys": []}'),
    "shared secret": says(json.dumps({"keys": [{"kty": "oct", "kid": "k1", "k": "AQAB"}]})),
    "two with one kid": says(key_set(jwk(RSA_1), jwk(RSA_2))),
    "compressed": says_compressed,
    "5 MB": says_5_mb,
    "5 MB in chunks": says_5_mb_in_chunks,
    "stalls": stalls,
    "stalls half way": stalls_half_way,
    "drips": drips,
    "hangs up": hangs_up,
    "breaks off": breaks_off,
}


@dataclass
class Door:
    """One route's credential, in front of an issuer whose keys a scripted server has."""

    server: Scripted
    upstream: Upstream
    now: list[Answering]
    clock: FakeClock = field(default_factory=FakeClock)
    monotonic: FakeClock = field(default_factory=lambda: FakeClock(1000))
    prove: Credential = field(init=False)

    def __post_init__(self) -> None:
        elapsed = Elapsed(self.clock, self.monotonic)
        asking = AuthService(self.upstream, time.monotonic, timeout_s=QUICK_S, most_bytes=MOST_BYTES)
        published = PublishedKeys(f"{self.server.address}/certs", asking, FakeShared(), elapsed, fresh_s=HOUR_S)
        tokens = ForeignTokens(provider(), ForeignKeys(published), self.clock)
        self.prove = jwks(provider(headers=("cf-access-token",), cookie="CF_Authorization"), tokens)

    async def take(self, text: str) -> Identity:
        identity = await self.prove(a_call("/ai", "POST", ("cf-access-token", text)))
        assert identity is not None
        return identity

    async def opens(self, text: str) -> bool:
        try:
            return (await self.take(text)).kind == "jwks"
        except ForeignTokenError:
            return False

    async def is_unavailable(self, text: str) -> bool:
        try:
            await self.take(text)
        except AuthUnavailableError:
            return True
        return False

    def pass_(self, seconds: float) -> None:
        self.clock.now += seconds
        self.monotonic.now += seconds

    @property
    def fetches(self) -> int:
        return len(self.server.received)


@pytest.fixture(params=[StreamingUpstream, BufferedUpstream], ids=["streaming", "buffered"])
def client(request: pytest.FixtureRequest) -> type[Upstream]:
    return request.param  # type: ignore[no-any-return]


@contextmanager
def an_issuer(*first: Answering) -> Iterator[tuple[Scripted, list[Answering]]]:
    """A server that answers with whatever stands last in the list."""
    now = [*first]

    def play(connection: Connection) -> None:
        while connection.read():
            now[-1](connection)

    with serving(play) as server:
        yield server, now


def at(client: type[Upstream], play: Callable[[Door], Awaitable[None]], answering: Answering | None = None) -> None:
    """Play a scenario at a door."""

    async def whole(server: Scripted, now: list[Answering]) -> None:
        upstream = client()
        try:
            await play(Door(server, upstream, now))
        finally:
            await upstream.close()

    with an_issuer(answering or says(key_set(jwk(RSA_1, "k1"), jwk(RSA_2, "k2")))) as (server, now):
        run(whole(server, now))


def lasting(private: Any = RSA_1, kid: str = "k1", **claims: Any) -> str:
    return token(private, kid, exp=CLAIMS["exp"] + 2 * 86_400, **claims)


# ----------------------------------------------------------------------------------------------------------- all well


def test_tokens_signed_like_cloudflares_open_the_door(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        for private, kid in ((RSA_1, "k1"), (RSA_2, "k2")):
            text = token(
                private, kid, aud=["other", *CLAIMS["aud"]], type="app", identity_nonce="6ei69kawdKzMIAPF", country="US"
            )
            assert (await door.take(text)).email == "ada@example.com"
        assert not await door.opens(token(RSA_2, "k1"))
        assert not await door.opens(token(aud=["other"]))
        assert door.fetches == 1

    at(client, play)


def test_rotation_is_noticed_by_the_first_token_of_the_new_key(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        assert await door.opens(token(RSA_1, "k1"))
        door.now.append(says(key_set(jwk(RSA_1, "k1"), jwk(EC_1, "k3"))))
        assert await door.opens(token(EC_1, "k3"))
        assert await door.opens(token(RSA_1, "k1"))
        assert not await door.opens(token(RSA_2, "k2"))
        assert door.fetches == 2

    at(client, play)


def test_500_first_requests_fetch_once(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        texts = [token(RSA_1, "k1", sub=f"s{number}") for number in range(500)]
        assert all(await asyncio.gather(*map(door.opens, texts)))
        assert door.fetches == 1

    at(client, play)


def test_a_flood_of_random_ids_fetches_once_a_minute_at_most(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        good = lasting()
        assert await door.opens(good)
        for second in range(180):
            flood = [token(kid=f"x{second}-{number}", exp=CLAIMS["exp"] + 86_400) for number in range(3)]
            assert not any(await asyncio.gather(*map(door.opens, flood)))
            assert await door.opens(good)
            door.pass_(1)
        assert door.fetches == 1 + 180 / UNKNOWN_S

    at(client, play)


# ---------------------------------------------------------------------------------------------------------- all wrong


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_without_keys_nobody_passes_and_nobody_waits_long(client: type[Upstream], nonsense: str) -> None:
    async def play(door: Door) -> None:
        began = time.monotonic()
        assert await door.is_unavailable(token())
        assert time.monotonic() - began < QUICK_S + 5

    at(client, play, NONSENSE[nonsense])


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_good_keys_outlast_whatever_the_server_does(client: type[Upstream], nonsense: str) -> None:
    async def play(door: Door) -> None:
        assert await door.opens(lasting())
        door.now.append(NONSENSE[nonsense])
        door.pass_(HOUR_S)
        assert await door.opens(lasting())
        assert await door.opens(lasting(RSA_2, "k2"))
        fetches = door.fetches
        assert await door.opens(lasting(sub="another"))
        assert door.fetches == fetches
        door.now.append(says(key_set(jwk(RSA_1, "k1"))))
        door.pass_(HOUR_S)
        assert await door.opens(lasting())
        assert not await door.opens(lasting(RSA_2, "k2"))

    at(client, play)


def test_an_outage_of_more_than_a_day_closes_the_door(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        text = token(exp=CLAIMS["exp"] + 10 * 86_400)
        assert await door.opens(text)
        door.now.append(hangs_up)
        door.pass_(HOUR_S + 86_400 - 1)
        assert await door.opens(text)
        door.pass_(1)
        assert await door.is_unavailable(text)

    at(client, play)


def test_a_key_set_of_256_kb_is_read_and_no_larger_one(client: type[Upstream]) -> None:
    def padded(size: int) -> Answering:
        text = key_set(jwk(RSA_1))[:-1] + ', "padding": "'
        return says(text + "x" * (size - len(text) - 2) + '"}')

    async def good(door: Door) -> None:
        assert await door.opens(token())

    async def bad(door: Door) -> None:
        assert await door.is_unavailable(token())

    at(client, good, padded(MOST_BYTES))
    at(client, bad, padded(MOST_BYTES + 1))


# ------------------------------------------------------------------------------------------------- algorithms that flip


def test_a_published_key_is_no_shared_secret(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        pem = RSA_1.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        header = {"alg": "HS256", "kid": "k1", "typ": "JWT"}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, CLAIMS))
        assert not await door.opens(f"{signed}.{encoded(hmac.digest(pem, signed.encode(), 'sha256'))}")
        assert await door.opens(token())

    at(client, play)


def test_an_id_that_is_now_another_kind_of_key_forgets_what_it_proved(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        before, after = lasting(RSA_1, "k1"), lasting(EC_1, "k1")
        assert await door.opens(before)
        door.now.append(says(key_set(jwk(EC_1, "k1"))))
        door.pass_(HOUR_S)
        assert not await door.opens(before)
        assert await door.opens(after)
        assert not await door.opens(lasting(RSA_1, "k1", sub="another"))

    at(client, play)


def test_a_set_that_offers_the_public_key_as_a_secret_changes_nothing(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        assert await door.opens(lasting())
        door.now.append(says(key_set({"kty": "oct", "kid": "k1", "alg": "HS256", "k": jwk(RSA_1)["n"]})))
        door.pass_(HOUR_S)
        assert await door.opens(lasting())

    at(client, play)


def test_a_token_without_an_id_fetches_nothing(client: type[Upstream]) -> None:
    async def play(door: Door) -> None:
        assert not await door.opens(token(kid=GONE))
        assert not await door.opens("not-a-token")
        assert door.fetches == 0

    at(client, play)
