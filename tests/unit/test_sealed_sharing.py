"""What processes share under the key ring: who has only the table reads nothing there and says nothing with it."""

from __future__ import annotations

import pytest

from gatehouse.errors import AuthUnavailableError
from gatehouse.keys import KeyRing
from gatehouse.sealed_sharing import SealedSharing
from tests.unit.fakes import NOW, OTHER_SECRET, FakeClock, FakeRing, key, ring, run
from tests.unit.services import FakeShared


class Table:
    """One table, and processes with a key ring each."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.shared = FakeShared(self.clock)

    def process(self, keys: FakeRing | None = None) -> SealedSharing:
        return SealedSharing(self.shared, keys or FakeRing(ring()), self.clock)


def test_another_process_reads_what_was_written_and_until_when_it_holds() -> None:
    table = Table()
    run(table.process().write("a", "täxt", NOW + 60.5))
    assert run(table.process().read("a")) == ("täxt", NOW + 60.5)
    assert run(table.process().read("b")) is None
    assert table.shared.texts["a"][1] == NOW + 60.5


def test_the_table_alone_tells_nothing() -> None:
    table = Table()
    run(table.process().write("a", "belongs", NOW + 60))
    assert "belongs" not in table.shared.texts["a"][0]


@pytest.mark.parametrize("forged", ["", "belongs", '["belongs", 9999999999]', "AAAA", "A" * 80, "ä"])
def test_what_was_not_sealed_is_not_read(forged: str) -> None:
    table = Table()
    table.shared.texts["a"] = (forged, NOW + 60)
    assert run(table.process().read("a")) is None


def test_what_was_sealed_for_one_key_is_nothing_under_another() -> None:
    table = Table()
    run(table.process().write("a", "belongs", NOW + 60))
    table.shared.texts["b"] = table.shared.texts["a"]
    assert run(table.process().read("b")) is None


@pytest.mark.parametrize(("after_s", "holds"), [(59.999, True), (60, False)])
def test_nobody_prolongs_it_from_outside(after_s: float, holds: bool) -> None:
    table = Table()
    run(table.process().write("a", "belongs", NOW + 60))
    table.shared.texts["a"] = (table.shared.texts["a"][0], NOW + 10**6)
    table.clock.now += after_s
    assert (run(table.process().read("a")) is not None) is holds


def test_another_key_opens_nothing() -> None:
    table = Table()
    run(table.process().write("a", "belongs", NOW + 60))
    assert run(table.process(FakeRing(ring(key("k1", OTHER_SECRET)))).read("a")) is None
    assert run(table.process(FakeRing(ring(key("k2", OTHER_SECRET), key()))).read("a")) is None


def test_without_a_key_nothing_is_shared_and_nobody_fails() -> None:
    class Empty(FakeRing):
        async def current(self) -> KeyRing:
            raise AuthUnavailableError

    table = Table()
    process = table.process(Empty(ring()))
    run(process.write("a", "belongs", NOW + 60))
    assert not table.shared.texts
    run(table.process().write("a", "belongs", NOW + 60))
    assert run(process.read("a")) is None
