"""The answers in the memory of a process: never more bytes than allowed, and those used last."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gatehouse.caching.memory import Held, Memory
from gatehouse.caching.stored import FIELD_BYTES, OVERHEAD_BYTES, Stored
from gatehouse.clock import Instant
from gatehouse.headers import Headers
from tests.unit.caching_fakes import a_stored
from tests.unit.fakes import NOW

MOST = 8 * 1024
EMPTY_BYTES = a_stored(b"").size_bytes
THEN = Instant(0.0, 0.0)
PLACES = st.sampled_from(["p1", "p2", "p3"])
NAMES = st.sampled_from([(), ("accept",), ("accept", "x-a")])
VALUES = st.sampled_from(["1", "2", "3"])


def held(stored: Stored) -> Held:
    return Held(stored, THEN, THEN)


def an_answer(variant: str = "", names: tuple[str, ...] = (), size: int = 100, asked_s: int = 0) -> Held:
    """Return an answer that takes *size* bytes, if it can, and was asked for *asked_s* after NOW."""
    body = b"x" * max(0, size - EMPTY_BYTES)
    return held(a_stored(body, names=names, variant=variant, asked_at=float(NOW + asked_s)))


def selecting(variant: str) -> Callable[[tuple[str, ...]], str]:
    """Say that a request selects *variant* wherever `Vary` names something."""
    return lambda names: variant if names else ""


class AsModelled(RuleBasedStateMachine):
    """Does to a memory and to a list of what it should hold the same, whatever that is."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(MOST)
        self.model: list[tuple[str, Held]] = []
        """What was used longest ago comes first."""

    @rule(place=PLACES, names=NAMES, value=VALUES, size=st.integers(0, MOST + 1000), asked_s=st.integers(0, 3))
    def keep(self, place: str, names: tuple[str, ...], value: str, size: int, asked_s: int) -> None:
        new = an_answer(value if names else "", names, size, asked_s)
        replaced = [
            (at, old)
            for at, old in self.model
            if at == place and (old.stored.names != names or old.stored.variant == new.stored.variant)
        ]
        if any(old.stored.asked_at > new.stored.asked_at for _, old in replaced):
            assert not self.memory.keep(place, new)
            return
        self.model = [entry for entry in self.model if entry not in replaced]
        small_enough = new.stored.size_bytes <= MOST
        if small_enough:
            self.model.append((place, new))
        while sum(old.stored.size_bytes for _, old in self.model) > MOST:
            self.model.pop(0)
        assert self.memory.keep(place, new) is small_enough

    @rule(place=PLACES, value=VALUES)
    def find(self, place: str, value: str) -> None:
        known = [old for at, old in self.model if at == place]
        names = known[0].stored.names if known else None
        assert self.memory.names(place) == names
        wanted = value if names else ""
        expected = next((old for old in known if old.stored.variant == wanted), None)
        found = self.memory.find(place, selecting(value))
        assert found is expected
        if expected:
            entry = next(entry for entry in self.model if entry[1] is expected)
            self.model.remove(entry)
            self.model.append(entry)

    @rule(place=PLACES)
    def drop(self, place: str) -> None:
        self.model = [entry for entry in self.model if entry[0] != place]
        self.memory.drop(place)

    @invariant()
    def it_counts_right_and_keeps_within_its_bounds(self) -> None:
        assert self.memory._bytes == sum(old.stored.size_bytes for _, old in self.model) <= MOST
        assert list(self.memory._held.values()) == [old for _, old in self.model]
        assert set(self.memory._places) == {place for place, _ in self.model}


AsModelled.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAsModelled = AsModelled.TestCase


def test_what_was_used_longest_ago_makes_room() -> None:
    memory = Memory(3 * 2048)
    for place in ("1", "2", "3"):
        assert memory.keep(place, an_answer(size=2048))
    assert memory.find("1", selecting(""))
    memory.keep("4", an_answer(size=2048))
    assert [place for place in "1234" if memory.find(place, selecting(""))] == ["1", "3", "4"]


def test_one_that_is_too_large_replaces_what_was_there_and_nothing_else() -> None:
    memory = Memory(4096)
    memory.keep("1", an_answer(size=1500))
    memory.keep("2", an_answer(size=1500))
    assert not memory.keep("1", an_answer(size=4097))
    assert (memory.find("1", selecting("")), memory.names("1")) == (None, None)
    assert memory.find("2", selecting(""))
    assert memory.keep("1", an_answer(size=4096))
    assert memory.find("2", selecting("")) is None


def test_fields_count_too() -> None:
    fields = (("name", "value"), ("n", ""))
    assert a_stored(b"12", headers=Headers(fields)).size_bytes == OVERHEAD_BYTES + 2 + 9 + 1 + 2 * FIELD_BYTES


def test_variants_live_beside_each_other_until_the_answers_vary_by_something_else() -> None:
    memory = Memory(MOST)
    for value in ("1", "2"):
        memory.keep("p", an_answer(value, ("accept",)))
    for value in ("1", "2"):
        found = memory.find("p", selecting(value))
        assert found
        assert found.stored.variant == value
    assert memory.find("p", selecting("3")) is None
    assert memory.names("p") == ("accept",)
    memory.keep("p", an_answer("1", ("x-a",)))
    assert memory.names("p") == ("x-a",)
    assert memory.find("p", selecting("2")) is None


@pytest.mark.parametrize("names", [("accept",), ("x-a",), ()])
@pytest.mark.parametrize(("asked_s", "kept"), [(-1, False), (0, True), (1, True)])
def test_what_was_asked_for_earlier_and_comes_later_replaces_nothing(
    names: tuple[str, ...], asked_s: int, kept: bool
) -> None:
    memory, there = Memory(MOST), an_answer("1", ("accept",))
    late = an_answer("1" if names else "", names, asked_s=asked_s)
    memory.keep("p", there)
    assert memory.keep("p", late) is kept
    assert memory.find("p", selecting("1")) is (late if kept else there)


def test_an_earlier_answer_of_another_variant_is_kept_beside_it() -> None:
    memory = Memory(MOST)
    memory.keep("p", an_answer("1", ("accept",)))
    assert memory.keep("p", an_answer("2", ("accept",), asked_s=-1))
    assert memory.find("p", selecting("1"))
    assert memory.find("p", selecting("2"))


def test_only_what_is_still_there_is_confirmed() -> None:
    memory, later = Memory(MOST), Instant(5.0, 5.0)
    old, new = an_answer(size=100), an_answer(size=200)
    memory.keep("p", old)
    memory.confirm("p", old, later)
    assert memory.find("p", selecting("")) == Held(old.stored, THEN, later)
    memory.keep("p", new)
    memory.confirm("p", old, later)
    assert memory.find("p", selecting("")) is new


def test_what_is_not_there_can_be_dropped() -> None:
    memory = Memory(MOST)
    memory.drop("p")
    assert memory.names("p") is None
