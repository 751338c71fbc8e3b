"""The key ring is read whole or not at all, and weak secrets stop it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.errors import AuthUnavailableError
from gatehouse.keyring import EMPTY_QUIET_S, FRESH_S, QUIET_S, LiveKeyRing
from gatehouse.keys import LEAST_SECRET_BYTES, MOST_KID, KeyRingError, parse, weakness
from tests.unit.fakes import OTHER_SECRET, SECRET, FakeClock, run

STRONG = "0123456789abcdefghijklmnopqrstuv"  # 32 bytes


def document(**changes: Any) -> str:
    return json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", "secret": SECRET}}, **changes})


def one_key(**changes: Any) -> str:
    return document(keys={"k1": {"alg": "HS256", "secret": SECRET, **changes}})


def test_a_ring_signs_with_its_current_key_and_checks_with_all() -> None:
    keys = {"k1": {"alg": "HS256", "secret": SECRET, "legacy": True}, "k2": {"alg": "HS256", "secret": OTHER_SECRET}}
    ring = parse(document(current="k2", keys=keys))
    assert (ring.current.kid, ring.current.secret) == ("k2", OTHER_SECRET.encode())
    assert set(ring.keys) == {"k1", "k2"}
    assert ring.legacy is ring.keys["k1"]


def test_a_ring_without_a_legacy_key_has_none() -> None:
    assert parse(document()).legacy is None


def test_a_key_may_take_its_value_from_another_member() -> None:
    ring = parse(document(keys={"k1": {"alg": "HS256", "from": "generated"}}, generated=SECRET))
    assert ring.current.secret == SECRET.encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"), ("{", "not JSON"), ("null", '"keys"'), ("[]", '"keys"'), ("{}", '"keys"'), ('"x"', '"keys"'),
        ("[" * 100_000, "not JSON"),
        (document(keys={}), '"keys"'), (document(keys=[]), '"keys"'), (document(keys={"k1": "secret"}), "JSON object"),
        (document(current="k2"), '"current"'), (document(current=None), '"current"'),
        (document(current=["k1"]), '"current"'),
        (document(current={}), '"current"'),
        (one_key(alg="none"), '"alg"'), (one_key(alg="RS256"), '"alg"'), (one_key(alg=None), '"alg"'),
        (one_key(alg=["HS256"]), '"alg"'),
        (one_key(secret=None), '"secret"'), (one_key(secret=5), '"secret"'), (one_key(**{"from": "nothing"}), '"from"'),
        (one_key(legacy="yes"), '"legacy"'), (one_key(legacy=1), '"legacy"'),
        (document(current="", keys={"": {"alg": "HS256", "secret": SECRET}}), "id"),
        (document(current="é", keys={"é": {"alg": "HS256", "secret": SECRET}}), "id"),
        (document(current="a\n", keys={"a\n": {"alg": "HS256", "secret": SECRET}}), "id"),
        (document(keys={name: {"alg": "HS256", "secret": SECRET, "legacy": True} for name in ("k1", "k2")}), "legacy"),
        (one_key(secret="\ud800" * 40), "k1"),
    ],
)  # fmt: skip
def test_what_is_not_a_key_ring_is_refused_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(KeyRingError, match=said):
        parse(text)


@pytest.mark.parametrize(("length", "good"), [(1, True), (MOST_KID, True), (MOST_KID + 1, False)])
def test_a_keys_id_is_short(length: int, good: bool) -> None:
    text = document(current="k" * length, keys={"k" * length: {"alg": "HS256", "secret": SECRET}})
    if good:
        assert parse(text).current.kid == "k" * length
    else:
        with pytest.raises(KeyRingError):
            parse(text)


@pytest.mark.parametrize(
    "secret",
    ["changeme", "changeme" * 8, "CHANGEME-0123456789-abcdefghijklmnopq", "my-change-me-secret-0123456789-abcdef",
     "change_me_please_0123456789_abcdefgh", "your-secret-key-0123456789-abcdefghij",
     "a-string-secret-at-least-256-bits-long",
     "placeholder-0123456789-abcdefghijklmn", "replace-me-0123456789-abcdefghijklmno",
     "your_secret_0123456789_abcdefghijklmno"],
)  # fmt: skip
def test_a_secret_called_changeme_is_refused(secret: str) -> None:
    """It was accepted, and with it anybody could sign tokens."""
    with pytest.raises(KeyRingError, match="placeholder") as caught:
        parse(one_key(secret=secret))
    assert secret not in str(caught.value)
    assert "openssl rand" in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "good"),
    [
        (STRONG, True), (STRONG[:-1], False), (STRONG + "w", True), ("", False), ("short", False),
        ("éàüöäßñç" * 2, True), ("éàüöäßñç" * 2 + "x", True), ("éàüöäßñ" * 2 + "xyz", False),
    ],
)  # fmt: skip
def test_a_secret_has_at_least_32_bytes(secret: str, good: bool) -> None:
    assert (weakness(secret) == "") == good


def test_the_least_length_is_counted_in_bytes() -> None:
    assert len("éàüöäßñç".encode()) * 2 == LEAST_SECRET_BYTES


def test_no_refusal_and_no_key_ever_shows_a_secret() -> None:
    assert SECRET not in repr(parse(document()))
    for text in (one_key(alg="none"), one_key(legacy="yes"), document(current="k2")):
        with pytest.raises(KeyRingError) as caught:
            parse(text)
        assert SECRET not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.just(SECRET),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["current", "keys", "k1", "alg", "secret", "from", "legacy", "x"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_document_is_a_key_ring_or_is_refused_as_none(value: object) -> None:
    try:
        ring = parse(json.dumps(value))
    except KeyRingError:
        return
    assert ring.current in ring.keys.values()


# --------------------------------------------------------------------------------------------- the ring in force


class Store:
    """Where the ring is fetched from; it counts, and fails when told to."""

    def __init__(self, text: str | Exception = "") -> None:
        self.text: str | Exception = text or document()
        self.fetches = 0
        self.gate: Any = None

    async def __call__(self) -> str:
        self.fetches += 1
        if self.gate:
            await self.gate.wait()
        if isinstance(self.text, Exception):
            raise self.text
        return self.text


def live(text: str | Exception = "") -> tuple[LiveKeyRing, Store, FakeClock]:
    store, clock = Store(text), FakeClock(0.0)
    return LiveKeyRing(store, clock), store, clock


@pytest.mark.parametrize(("after_s", "fetches"), [(0.0, 1), (FRESH_S - 1, 1), (FRESH_S, 2), (FRESH_S + 1, 2)])
def test_a_ring_is_fetched_once_and_again_when_it_is_no_longer_fresh(after_s: float, fetches: int) -> None:
    ring, store, clock = live()
    run(ring.current())
    clock.now = after_s
    run(ring.current())
    assert store.fetches == fetches


def test_nothing_is_fetched_before_it_is_needed() -> None:
    _, store, _ = live()
    assert store.fetches == 0


@pytest.mark.parametrize("trouble", [RuntimeError("down"), TimeoutError()])
@pytest.mark.parametrize("broken", [False, True])
def test_good_keys_survive_trouble_and_the_store_is_left_in_peace_meanwhile(trouble: Exception, broken: bool) -> None:
    ring, store, clock = live()
    good = run(ring.current())
    store.text = "{}" if broken else trouble
    clock.now = FRESH_S
    assert run(ring.current()) is good
    clock.now = FRESH_S + QUIET_S - 1
    assert run(ring.current()) is good
    assert store.fetches == 2
    clock.now = FRESH_S + QUIET_S
    assert run(ring.current()) is good
    assert store.fetches == 3


def test_without_any_keys_nobody_can_be_checked_and_recovery_comes_soon() -> None:
    ring, store, clock = live(RuntimeError("down"))
    for now, fetches in ((0.0, 1), (EMPTY_QUIET_S - 0.5, 1), (EMPTY_QUIET_S, 2)):
        clock.now = now
        with pytest.raises(AuthUnavailableError):
            run(ring.current())
        assert store.fetches == fetches
    store.text = document()
    clock.now = EMPTY_QUIET_S * 2
    assert run(ring.current()).current.kid == "k1"


@pytest.mark.parametrize("text", [one_key(secret="changeme"), "not json", "{}"])
def test_a_ring_that_is_refused_lets_nobody_in(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    ring, _, _ = live(text)
    with pytest.raises(AuthUnavailableError):
        run(ring.current())
    assert "key ring refused" in capsys.readouterr().out


def test_what_a_store_says_when_it_fails_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    ring, _, _ = live(RuntimeError(SECRET))
    with pytest.raises(AuthUnavailableError):
        run(ring.current())
    logged = capsys.readouterr().out
    assert "RuntimeError" in logged
    assert SECRET not in logged


def test_the_same_keys_fetched_again_stay_the_same_ring() -> None:
    ring, _, clock = live()
    first = run(ring.current())
    clock.now = FRESH_S
    assert run(ring.current()) is first


def test_new_keys_are_another_ring() -> None:
    ring, store, clock = live()
    first = run(ring.current())
    store.text = one_key(secret=OTHER_SECRET)
    clock.now = FRESH_S
    assert run(ring.current()) is not first


def test_a_key_id_that_the_ring_lacks_is_looked_for_once_and_then_not_for_a_while() -> None:
    """A rotation is seen at once, and random key ids cannot make the gateway ask the store for each."""
    ring, store, clock = live()
    run(ring.current())
    store.text = document(keys={name: {"alg": "HS256", "secret": SECRET} for name in ("k1", "k2")})
    assert "k2" in run(ring.with_key("k2")).keys
    assert store.fetches == 2
    for number in range(300):
        clock.now = QUIET_S * number / 300
        run(ring.with_key(f"random-{number}"))
    assert store.fetches == 2
    clock.now = QUIET_S
    run(ring.with_key("random"))
    assert store.fetches == 3


def test_a_known_key_id_asks_nobody() -> None:
    ring, store, _ = live()
    for _ in range(5):
        run(ring.with_key("k1"))
    assert store.fetches == 1


def test_looking_for_a_key_while_the_store_is_down_keeps_the_good_ring() -> None:
    ring, store, clock = live()
    good = run(ring.current())
    store.text = RuntimeError("down")
    assert run(ring.with_key("k9")) is good
    clock.now = 1.0
    assert run(ring.current()) is good
    assert store.fetches == 2


def test_many_callers_at_once_share_one_fetch() -> None:
    import asyncio

    ring, store, _ = live()

    async def work() -> set[int]:
        store.gate = asyncio.Event()
        waiting = [asyncio.create_task(ring.current()) for _ in range(50)]
        await asyncio.sleep(0)
        store.gate.set()
        return {id(one) for one in await asyncio.gather(*waiting)}

    assert len(run(work())) == 1
    assert store.fetches == 1


def test_many_callers_at_once_without_a_ring_share_one_failure() -> None:
    import asyncio

    ring, store, _ = live(RuntimeError("down"))

    async def work() -> list[Any]:
        store.gate = asyncio.Event()
        waiting = [asyncio.create_task(ring.current()) for _ in range(50)]
        await asyncio.sleep(0)
        store.gate.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    assert {type(one) for one in run(work())} == {AuthUnavailableError}
    assert store.fetches == 1


def test_everybody_who_shows_a_new_key_gets_in_however_many_come_at_once() -> None:
    ring, store, _ = live()

    async def work() -> list[bool]:
        await ring.current()
        store.text = document(keys={kid: {"alg": "HS256", "secret": SECRET} for kid in ("k1", "k2")})
        store.gate = asyncio.Event()
        asking = [asyncio.create_task(ring.with_key("k2")) for _ in range(20)]
        await asyncio.sleep(0)
        store.gate.set()
        return ["k2" in (await one).keys for one in asking]

    assert run(work()) == [True] * 20
    assert store.fetches == 2


def test_those_with_known_keys_do_not_wait_for_somebodys_unknown_one() -> None:
    ring, store, _ = live()

    async def work() -> None:
        await ring.current()
        store.gate = asyncio.Event()
        asking = asyncio.create_task(ring.with_key("nobody-has-this"))
        await asyncio.sleep(0)
        assert "k1" in (await asyncio.wait_for(ring.current(), 1)).keys
        store.gate.set()
        await asking

    run(work())
