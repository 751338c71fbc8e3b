"""Keys change in steps, and no step breaks a token that somebody holds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gatehouse import rotation
from gatehouse.key_states import EVERYWHERE_S, PUBLISHED_S, State, promotable_at, retirable_at, state
from gatehouse.keyring import FRESH_S, GRACE_S
from gatehouse.keys import ALGORITHMS, Key, KeyRing, KeyRingError, parse
from gatehouse.rotation import RotationError, add, promote, retire
from tests.unit.fakes import NOW, OTHER_SECRET, SECRET
from tests.unit.private_keys import ED25519

DAY_S = 86_400
YEAR_S = 365 * DAY_S
HOURS_S = 12 * 3600
"""The longest lifetime of a token that no registry has, in these tests."""
LEEWAY_S = 30
FIRST = json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", "from": "generated"}}, "generated": SECRET})


def document(current: str = "k1", **keys: dict[str, Any]) -> str:
    entries = {kid: {"alg": "HS256", "secret": SECRET, **more} for kid, more in keys.items()}
    return json.dumps({"current": current, "keys": entries})


def states(text: str) -> dict[str, State]:
    ring = parse(text)
    return {kid: state(ring, key) for kid, key in ring.keys.items()}


def said_time(refusal: str) -> float | None:
    """When a refusal says that the step will be possible."""
    found = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", refusal)
    return datetime.fromisoformat(found[0]).timestamp() if found else None


# ------------------------------------------------------------------------------------------------- the whole way round


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_comes_signs_and_goes(algorithm: str) -> None:
    added, kid = add(FIRST, algorithm=algorithm, now=NOW)
    assert states(added) == {"k1": "current", kid: "next"}
    assert parse(added).keys[kid].algorithm == algorithm
    signs_at = NOW + (EVERYWHERE_S if algorithm == "HS256" else PUBLISHED_S)
    promoted = promote(added, kid, now=signs_at)
    assert states(promoted) == {"k1": "previous", kid: "current"}
    goes_at = signs_at + EVERYWHERE_S + HOURS_S + LEEWAY_S
    assert states(retire(promoted, "k1", now=goes_at, longest_s=HOURS_S)) == {kid: "current"}


def test_a_step_notes_when_it_was() -> None:
    added, kid = add(FIRST, algorithm="HS256", now=NOW + 0.9)
    promoted = promote(added, kid, now=NOW + 1000.9)
    back = promote(promoted, "k1", now=NOW + 5000)
    key, first = parse(promoted).keys[kid], parse(promoted).keys["k1"]
    assert (key.added_at, key.promoted_at, key.demoted_at) == (NOW, NOW + 1000, None)
    assert (first.added_at, first.promoted_at, first.demoted_at) == (None, None, NOW + 1000)
    first = parse(back).keys["k1"]
    assert (first.added_at, first.promoted_at, first.demoted_at) == (None, NOW + 5000, None)
    assert parse(back).keys[kid].demoted_at == NOW + 5000


# ------------------------------------------------------------------------------------------------------------------ add


def test_an_id_is_made_from_the_day() -> None:
    _, kid = add(FIRST, algorithm="HS256", now=datetime.fromisoformat("2026-11-22T23:59:59Z").timestamp())
    assert re.fullmatch(r"2026-11-22-[0-9a-f]{4}", kid)


def test_an_id_that_is_taken_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr(rotation.secrets, "token_hex", lambda _: next(made))
    first, kid = add(FIRST, algorithm="HS256", now=NOW)
    _, other = add(promote(first, kid, now=NOW, force=True), algorithm="HS256", now=NOW)
    assert (kid[-4:], other[-4:]) == ("aaaa", "bbbb")


def test_an_id_may_be_chosen() -> None:
    assert add(FIRST, algorithm="EdDSA", now=NOW, kid="spring")[1] == "spring"


@pytest.mark.parametrize("kid", ["k1", "x" * 65, "é", "a\nb"])
def test_an_id_that_is_taken_or_is_none_is_refused(kid: str) -> None:
    with pytest.raises(RotationError, match="id"):
        add(FIRST, algorithm="HS256", now=NOW, kid=kid)


@pytest.mark.parametrize("algorithm", ["RS256", "none", "", "hs256"])
def test_a_key_is_for_an_algorithm_that_there_is(algorithm: str) -> None:
    with pytest.raises(RotationError, match="HS256, EdDSA, ES256"):
        add(FIRST, algorithm=algorithm, now=NOW)


def test_only_one_key_is_next() -> None:
    added, kid = add(FIRST, algorithm="HS256", now=NOW)
    with pytest.raises(RotationError, match=f"'{kid}' is next already"):
        add(added, algorithm="HS256", now=NOW + YEAR_S)
    assert add(retire(added, kid, now=NOW, longest_s=HOURS_S), algorithm="HS256", now=NOW)


def test_no_two_keys_are_alike() -> None:
    for algorithm in ALGORITHMS:
        made = [add(FIRST, algorithm=algorithm, now=NOW, kid="x")[0] for _ in range(5)]
        assert len({parse(text).keys["x"].secret for text in made}) == 5


# -------------------------------------------------------------------------------------------------------------- promote


@pytest.mark.parametrize(
    ("algorithm", "wait_s"),
    [
        ("HS256", FRESH_S + GRACE_S + 60),
        ("EdDSA", FRESH_S + GRACE_S + 60 + 300),
        ("ES256", FRESH_S + GRACE_S + 60 + 300),
    ],
)
@pytest.mark.parametrize(("off_s", "good"), [(-1, False), (0, True), (1, True)])
def test_a_key_signs_once_every_process_and_reader_has_it(
    algorithm: str, wait_s: float, off_s: float, good: bool
) -> None:
    added, kid = add(FIRST, algorithm=algorithm, now=NOW)
    if good:
        assert parse(promote(added, kid, now=NOW + wait_s + off_s)).current.kid == kid
    else:
        with pytest.raises(RotationError) as refused:
            promote(added, kid, now=NOW + wait_s + off_s)
        assert said_time(str(refused.value)) == NOW + wait_s


def test_force_does_not_wait() -> None:
    added, kid = add(FIRST, algorithm="EdDSA", now=NOW)
    assert parse(promote(added, kid, now=NOW, force=True)).current.kid == kid


@pytest.mark.parametrize("force", [False, True])
def test_the_key_that_signs_is_not_promoted_again(force: bool) -> None:
    with pytest.raises(RotationError, match="nothing to do"):
        promote(FIRST, "k1", now=NOW, force=force)


def test_a_key_that_nobody_noted_is_promoted_by_force_only() -> None:
    text = document(k1={}, k2={})
    with pytest.raises(RotationError, match="force"):
        promote(text, "k2", now=NOW)
    assert parse(promote(text, "k2", now=NOW, force=True)).current.kid == "k2"


def test_the_key_before_may_sign_again_at_once() -> None:
    added, kid = add(FIRST, algorithm="HS256", now=NOW)
    promoted = promote(added, kid, now=NOW + EVERYWHERE_S)
    later = NOW + EVERYWHERE_S * 2
    assert parse(promote(promoted, "k1", now=later)).current.kid == "k1"


# --------------------------------------------------------------------------------------------------------------- retire


@pytest.mark.parametrize(
    ("entry", "longest_s", "wait_s"),
    [
        ({}, HOURS_S, EVERYWHERE_S + HOURS_S + LEEWAY_S), ({}, 0, EVERYWHERE_S + LEEWAY_S),
        ({}, 0.5, EVERYWHERE_S + 1 + LEEWAY_S),
        ({"legacy": True}, HOURS_S, EVERYWHERE_S + YEAR_S + LEEWAY_S),
        ({"legacy": True}, YEAR_S * 2, EVERYWHERE_S + YEAR_S * 2 + LEEWAY_S),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("off_s", "good"), [(-1, False), (0, True), (1, True)])
def test_a_key_goes_once_no_token_of_it_can_be_alive(
    entry: dict[str, Any], longest_s: float, wait_s: float, off_s: float, good: bool
) -> None:
    text = document("k2", k1={**entry, "demoted_at": NOW}, k2={"promoted_at": NOW})
    if good:
        assert states(retire(text, "k1", now=NOW + wait_s + off_s, longest_s=longest_s)) == {"k2": "current"}
    else:
        with pytest.raises(RotationError, match="leaked") as refused:
            retire(text, "k1", now=NOW + wait_s + off_s, longest_s=longest_s)
        assert said_time(str(refused.value)) == NOW + wait_s


def test_a_key_stays_while_a_service_token_of_it_is_good() -> None:
    text = document("k2", k1={"demoted_at": NOW}, k2={"promoted_at": NOW})
    with pytest.raises(RotationError, match=r"still good: 3\. Replace and revoke"):
        retire(text, "k1", now=NOW + YEAR_S, longest_s=HOURS_S, live=3)
    assert retire(text, "k1", now=NOW + YEAR_S, longest_s=HOURS_S, live=0)


@pytest.mark.parametrize("force", [False, True])
def test_the_key_that_signs_never_goes(force: bool) -> None:
    with pytest.raises(RotationError, match="Add and promote another one"):
        retire(FIRST, "k1", now=NOW + YEAR_S * 3, longest_s=HOURS_S, force=force)


def test_a_key_that_never_signed_goes_at_once() -> None:
    added, kid = add(FIRST, algorithm="EdDSA", now=NOW)
    assert states(retire(added, kid, now=NOW, longest_s=HOURS_S)) == {"k1": "current"}


def test_a_key_that_signed_for_a_moment_stays() -> None:
    added, kid = add(FIRST, algorithm="HS256", now=NOW)
    back = promote(promote(added, kid, now=NOW, force=True), "k1", now=NOW + 1, force=True)
    with pytest.raises(RotationError):
        retire(back, kid, now=NOW + 2, longest_s=HOURS_S)


@pytest.mark.parametrize("entry", [{}, {"legacy": True}, {"promoted_at": NOW - YEAR_S}])
def test_a_key_that_leaked_goes_by_force(entry: dict[str, Any]) -> None:
    text = document("k2", k1=entry, k2={})
    assert states(retire(text, "k1", now=NOW, longest_s=HOURS_S, live=7, force=True)) == {"k2": "current"}


def test_what_nobody_noted_is_noted_with_the_next_step() -> None:
    """Somebody wrote this ring by hand: when k1 stopped signing is not known, so it counts from now."""
    text = document("k2", k1={}, k2={}, k3={"added_at": 1, "promoted_at": 2})
    with pytest.raises(RotationError, match="Nobody noted"):
        retire(text, "k1", now=NOW + YEAR_S, longest_s=HOURS_S)
    added, kid = add(text, algorithm="HS256", now=NOW)
    keys = parse(added).keys
    assert (keys["k1"].demoted_at, keys["k2"].demoted_at, keys["k3"].demoted_at) == (NOW, None, NOW)
    assert keys[kid].demoted_at is None
    ready = retirable_at(parse(added), keys["k1"], HOURS_S)
    assert ready is not None
    assert retire(added, "k1", now=ready, longest_s=HOURS_S)


# --------------------------------------------------------------------------------------------------------- the document


STEPS = {
    "add": lambda text, kid: add(text, algorithm="HS256", now=NOW, kid="x")[0],
    "promote": lambda text, kid: promote(text, kid, now=NOW, force=True),
    "retire": lambda text, kid: retire(text, kid, now=NOW, longest_s=0, force=True),
}


@pytest.mark.parametrize("step", ["promote", "retire"])
def test_a_key_that_is_not_there_is_named_with_those_that_are(step: str) -> None:
    with pytest.raises(RotationError, match=r"no such key\. The ring has: k1, k2"):
        STEPS[step](document(k1={}, k2={}), "k3")


@pytest.mark.parametrize("step", sorted(STEPS))
@pytest.mark.parametrize("text", ["", "{}", "[]", '{"current":"k1","keys":{"k1":{"alg":"HS256","secret":"changeme"}}}'])
def test_what_is_no_key_ring_is_refused_as_none(step: str, text: str) -> None:
    with pytest.raises(KeyRingError):
        STEPS[step](text, "k2")


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_name_that_stands_twice_is_not_quietly_dropped(step: str) -> None:
    text = document(k1={}, k2={}).replace('"current"', '"secrets": {"A": "1", "A": "2"}, "current"')
    with pytest.raises(RotationError, match="stands twice"):
        STEPS[step](text, "k2")


@pytest.mark.parametrize("step", sorted(STEPS))
@given(
    secrets=st.dictionaries(st.text(max_size=8), st.text(max_size=30), max_size=4),
    extra=st.recursive(st.none() | st.integers() | st.booleans() | st.text(max_size=9), st.lists, max_leaves=4),
)
def test_what_is_not_of_the_ring_survives_every_step(step: str, secrets: dict[str, str], extra: Any) -> None:
    before = json.loads(FIRST)
    before["keys"]["k2"] = {"alg": "EdDSA", "private": ED25519, "added_at": 1, "demoted_at": 1, "note": extra}
    before = {"secrets": secrets, "extra": extra, **before}
    text = STEPS[step](json.dumps(before), "k2")
    after = json.loads(text)
    assert {name: after[name] for name in ("secrets", "extra", "generated")} == {
        "secrets": secrets, "extra": extra, "generated": SECRET,
    }  # fmt: skip
    assert after["keys"]["k1"]["from"] == "generated"
    assert "secret" not in after["keys"]["k1"]
    if step != "retire":
        assert after["keys"]["k2"]["note"] == extra
        assert after["keys"]["k2"]["private"] == ED25519


def test_no_refusal_says_a_secret() -> None:
    text = document("k2", k1={"demoted_at": NOW}, k2={})
    for step in (
        lambda: promote(text, "k2", now=NOW), lambda: promote(text, OTHER_SECRET, now=NOW),
        lambda: retire(text, "k1", now=NOW, longest_s=1), lambda: retire(text, "k2", now=NOW, longest_s=1),
        lambda: add(text, algorithm=OTHER_SECRET, now=NOW),
    ):  # fmt: skip
        with pytest.raises(RotationError) as refused:
            step()
        assert SECRET not in str(refused.value)
        assert OTHER_SECRET not in str(refused.value)


def test_a_key_that_came_before_times_were_noted_is_not_called_next() -> None:
    ring = KeyRing(parse(FIRST).current, {"k0": Key(kid="k0", algorithm="HS256", secret=b"")})
    assert state(ring, ring.keys["k0"]) == "previous"
    assert promotable_at(ring.keys["k0"]) is None
    assert retirable_at(ring, ring.keys["k0"], 1) is None
    assert retirable_at(ring, ring.current, 1) is None


# ---------------------------------------------------------------------------------------------- any steps in any order


class Rotations(RuleBasedStateMachine):
    """Operators who take any step at any time, and a gateway whose processes are as late as they may be.

    At every moment some process has the ring that was in force FRESH_S + GRACE_S ago and some has each one since; all
    of them sign all the time, and each token lives as long as it may. Readers elsewhere have keys that one of these
    processes published up to five minutes ago.
    """

    LATE_S = FRESH_S + GRACE_S
    READERS_S = LATE_S + 300

    @initialize(legacy=st.booleans())
    def start(self, legacy: bool) -> None:
        self.now = float(NOW)
        self.text = document(k1={"legacy": legacy})
        self.rings: list[tuple[KeyRing, float]] = [(parse(self.text), float("inf"))]
        """Every ring there was, and when another one came."""
        self.services: list[tuple[str, float]] = []
        """The keys that signed service tokens, and when these expire."""

    def take(self, text: str) -> None:
        ring, _ = self.rings.pop()
        self.rings += [(ring, self.now), (parse(text), float("inf"))]
        self.text = text

    def had_within(self, seconds: float) -> list[KeyRing]:
        return [ring for ring, until in self.rings if until >= self.now - seconds]

    @rule(seconds=st.integers(0, 1000) | st.integers(0, 2 * YEAR_S) | st.sampled_from([330, 630, HOURS_S, YEAR_S]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(algorithm=st.sampled_from(ALGORITHMS))
    def somebody_adds(self, algorithm: str) -> None:
        try:
            self.take(add(self.text, algorithm=algorithm, now=self.now)[0])
        except RotationError:
            assert "next" in states(self.text).values()

    @rule(choice=st.integers(0, 9), waits=st.booleans())
    def somebody_promotes(self, choice: int, waits: bool) -> None:
        self.step(choice, waits, lambda kid: promote(self.text, kid, now=self.now))

    @rule(choice=st.integers(0, 9), waits=st.booleans())
    def somebody_retires(self, choice: int, waits: bool) -> None:
        self.step(choice, waits, self.retired)

    @rule(days=st.integers(1, 365))
    def services_get_tokens(self, days: int) -> None:
        self.services += [(ring.current.kid, self.now + days * DAY_S) for ring in self.had_within(self.LATE_S)]

    def retired(self, kid: str) -> str:
        live = sum(expires > self.now - LEEWAY_S for signer, expires in self.services if signer == kid)
        return retire(self.text, kid, now=self.now, longest_s=HOURS_S, live=live)

    def step(self, choice: int, waits: bool, act: Callable[[str], str]) -> None:
        """Take a step with some key; who waits comes back at the very second that the refusal named."""
        kids = list(parse(self.text).keys)
        kid = kids[choice % len(kids)]
        refusal = self.refusal(act, kid)
        ready = said_time(refusal)
        if waits and ready is not None:
            self.now = ready
            assert "Service tokens" in (self.refusal(act, kid) or "Service tokens")

    def refusal(self, act: Callable[[str], str], kid: str) -> str:
        """Take the step if it is allowed; return why it is not."""
        try:
            self.take(act(kid))
        except RotationError as refused:
            return str(refused)
        return ""

    @invariant()
    def one_key_signs_and_at_most_one_is_next(self) -> None:
        parts = list(states(self.text).values())
        assert parts.count("current") == 1
        assert parts.count("next") <= 1

    @invariant()
    def every_live_token_is_believed_by_every_process_and_reader(self) -> None:
        alive = {kid for kid, expires in self.services if expires > self.now - LEEWAY_S}
        for ring, until in self.rings:
            last_signed = min(self.now, until + self.LATE_S)
            lifetime = YEAR_S if ring.current.legacy else HOURS_S
            if last_signed + lifetime + LEEWAY_S > self.now:
                alive.add(ring.current.kid)
        everybody = {kid: key for ring, _ in self.rings for kid, key in ring.keys.items()}
        assert all(alive <= ring.keys.keys() for ring in self.had_within(self.LATE_S))
        published = {kid for kid in alive if everybody[kid].algorithm != "HS256"}
        assert all(published <= ring.keys.keys() for ring in self.had_within(self.READERS_S))


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
