"""Answers as bytes: what was packed for a place comes back as it was, and nothing else ever does."""

from __future__ import annotations

import json
import os
import tracemalloc
import zlib
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.caching import packing
from gatehouse.caching.packing import LAYOUT, MOST_BODY_BYTES, MOST_HEAD_BYTES, MOST_PACKED_BYTES, pack, unpack
from gatehouse.caching.stored import Stored
from gatehouse.headers import Headers
from tests.unit.fakes import NOW

PLACE = sha256(b"a place").hexdigest()
OTHER = sha256(b"another").hexdigest()
ANSWER = Stored(
    status=200,
    headers=Headers((("content-type", "text/plain"), ("x-twice", "1"), ("x-twice", "\xe9\xff"))),
    body=b"\x00hello\n{}\r\n\xff",
    asked_at=NOW + 0.123456,
    answered_at=NOW + 0.2,
    age_s=1.5,
    lifetime_s=60,
    stale_if_error_s=3600,
    stale_while_revalidate_s=30,
    no_cache=True,
    strict=True,
    names=("accept", "x-a"),
    variant=OTHER,
    generation=7,
)
SECONDS = st.floats(-1e12, 1e12, allow_nan=False) | st.integers(-(10**9), 10**9)
TEXT = st.text(st.characters(), max_size=20)  # lone surrogates, too
ANSWERS = st.builds(
    Stored,
    status=st.integers(-(2**70), 2**70),
    headers=st.lists(st.tuples(TEXT, TEXT), max_size=5).map(lambda pairs: Headers(tuple(pairs))),
    body=st.binary(max_size=200),
    asked_at=SECONDS,
    answered_at=SECONDS,
    age_s=SECONDS,
    lifetime_s=SECONDS,
    stale_if_error_s=SECONDS,
    stale_while_revalidate_s=SECONDS,
    no_cache=st.booleans(),
    strict=st.booleans(),
    names=st.lists(TEXT, max_size=3).map(tuple),
    variant=TEXT,
    generation=st.integers(),
)


def packed(answer: Stored = ANSWER, place: str = PLACE) -> bytes:
    data = pack(answer, place)
    assert data is not None
    return data


def sealed(whole: bytes, level: int = 9) -> bytes:
    """Return *whole* as somebody packs it who knows how."""
    compressed = zlib.compress(whole, level)
    return sha256(compressed).digest() + compressed


def head() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(zlib.decompress(packed()[32:]).partition(b"\n")[0])
    return made


def with_head(made: Any) -> bytes:
    return sealed(json.dumps(made).encode() + b"\n" + ANSWER.body)


# ------------------------------------------------------------------------------------------------------ there and back


def test_an_answer_comes_back_as_it_was() -> None:
    found = unpack(packed(), PLACE)
    assert found == ANSWER
    assert found is not None
    assert type(found.headers.pairs[0]) is tuple
    assert hash(found.names) == hash(ANSWER.names)


@given(ANSWERS, TEXT)
def test_any_answer_comes_back_as_it_was(answer: Stored, place: str) -> None:
    assert unpack(packed(answer, place), place) == answer


def test_an_answer_is_compressed() -> None:
    body = json.dumps([{"id": number, "name": f"product {number}"} for number in range(5000)]).encode()
    assert len(packed(replace(ANSWER, body=body))) < len(body) / 4


def test_all_that_an_answer_has_is_packed() -> None:
    """A field that comes is packed, or a test has to say why not: what was left out would come back as its default."""
    assert head().keys() == {*Stored.__dataclass_fields__, "layout", "place"} - {"body"}
    assert {str(one.type) for one in Stored.__dataclass_fields__.values()} == {
        *("Headers", "bool", "bytes", "float", "int", "str", "tuple[str, ...]")
    }


# ------------------------------------------------------------------------------------------------------------ too large


@pytest.mark.parametrize(("body", "there"), [(64_000, True), (65_536, False), (MOST_BODY_BYTES, False)])
def test_what_is_too_large_when_it_is_packed_is_not_packed(body: int, there: bool) -> None:
    data = pack(replace(ANSWER, body=os.urandom(body)), PLACE)
    assert (data is not None) is there
    assert data is None or len(data) <= MOST_PACKED_BYTES


@pytest.mark.parametrize("over", [0, 1])
def test_the_largest_that_is_packed_is_read(over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed()
    monkeypatch.setattr(packing, "MOST_PACKED_BYTES", len(data) - over)
    assert pack(ANSWER, PLACE) == (None if over else data)
    assert unpack(data, PLACE) == (None if over else ANSWER)


@pytest.mark.parametrize("over", [0, 1])
def test_a_body_may_have_so_many_bytes_and_not_one_more(over: int) -> None:
    answer = replace(ANSWER, body=b"x" * (MOST_BODY_BYTES + over))
    data = pack(answer, PLACE)
    assert (data is None) == bool(over)
    if data:
        assert unpack(data, PLACE) == answer
    forged = sealed(json.dumps(head()).encode() + b"\n" + answer.body)
    assert (unpack(forged, PLACE) is None) == bool(over)


def test_a_head_may_have_so_many_bytes_and_the_largest_answer_is_read() -> None:
    def with_field(length: int) -> Stored:
        return replace(ANSWER, headers=Headers((("x", "y" * length),)), body=b"x" * MOST_BODY_BYTES)

    left = MOST_HEAD_BYTES - len(zlib.decompress(packed(with_field(0))[32:]).partition(b"\n")[0])
    assert unpack(packed(with_field(left)), PLACE) == with_field(left)
    assert pack(with_field(left + 1), PLACE) is None


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), float("nan"), pytest.param(10**400, id="more than a float holds")]
)
def test_a_time_that_is_none_is_not_packed(value: float) -> None:
    assert pack(replace(ANSWER, lifetime_s=value), PLACE) is None


@pytest.mark.parametrize("start", [b"", json.dumps(head()).encode() + b"\n"], ids=["no head", "a head"])
def test_a_bomb_is_not_inflated(start: bytes) -> None:
    data = sealed(start + bytes(60_000_000))
    assert len(data) <= MOST_PACKED_BYTES
    tracemalloc.start()
    try:
        assert unpack(data, PLACE) is None
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST_BODY_BYTES
    finally:
        tracemalloc.stop()


# ----------------------------------------------------------------------------------------------------- all other bytes


def test_an_answer_of_another_place_is_none() -> None:
    assert unpack(packed(place=OTHER), PLACE) is None


@given(st.integers(0, len(packed()) - 1), st.integers(1, 255))
def test_a_byte_that_was_flipped_is_noticed(at: int, by: int) -> None:
    data = bytearray(packed())
    data[at] ^= by
    assert unpack(bytes(data), PLACE) is None


def test_every_single_byte_counts() -> None:
    data = packed()
    for at in range(len(data)):
        assert unpack(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], PLACE) is None
        assert unpack(data[:at], PLACE) is None
        assert unpack(data[:at] + data[at + 1 :], PLACE) is None


@given(st.binary(min_size=1, max_size=50))
def test_nothing_may_follow(more: bytes) -> None:
    data = packed()
    assert unpack(data + more, PLACE) is None
    assert unpack(sha256(data[32:] + more).digest() + data[32:] + more, PLACE) is None


@given(st.binary(max_size=300))
def test_bytes_that_nobody_packed_are_none(data: bytes) -> None:
    assert unpack(data, PLACE) is None
    assert unpack(sha256(data).digest() + data, PLACE) is None
    assert unpack(sealed(data), PLACE) is None


def test_a_stream_that_does_not_end_is_none() -> None:
    compressing = zlib.compressobj()
    whole = json.dumps(head()).encode() + b"\n"
    open_ended = compressing.compress(whole) + compressing.flush(zlib.Z_SYNC_FLUSH)
    assert unpack(sha256(open_ended).digest() + open_ended, PLACE) is None


def test_who_knows_how_to_pack_is_believed() -> None:
    """Else the tests below would see refusals that have other reasons."""
    assert unpack(with_head(head()), PLACE) == ANSWER


@pytest.mark.parametrize("layout", [LAYOUT - 1, LAYOUT + 1, str(LAYOUT), None])
def test_another_layout_is_none(layout: object) -> None:
    assert unpack(with_head({**head(), "layout": layout}), PLACE) is None


@pytest.mark.parametrize("name", sorted(head()))
def test_a_field_that_is_missing_or_new_is_another_layout(name: str) -> None:
    made = head()
    value = made.pop(name)
    assert unpack(with_head(made), PLACE) is None
    assert unpack(with_head({**made, f"{name}_": value}), PLACE) is None
    assert unpack(with_head({**made, name: value, "more": 1}), PLACE) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "200"),
        ("status", 200.0),
        ("status", True),
        ("status", None),
        ("headers", None),
        ("headers", {}),
        ("headers", ["ab"]),
        ("headers", [["a"]]),
        ("headers", [["a", "b", "c"]]),
        ("headers", [["a", 1]]),
        ("asked_at", 1),
        ("asked_at", "1"),
        ("lifetime_s", None),
        ("no_cache", 1),
        ("strict", "true"),
        ("names", "accept"),
        ("names", [1]),
        ("names", None),
        ("variant", 1),
        ("generation", 1.5),
        ("generation", False),
    ],
)
def test_a_value_of_another_kind_is_none(name: str, value: object) -> None:
    assert unpack(with_head({**head(), name: value}), PLACE) is None


@pytest.mark.parametrize("made", [None, [], "x", 1, {}])
def test_a_head_of_another_form_is_none(made: object) -> None:
    assert unpack(with_head(made), PLACE) is None


@pytest.mark.parametrize("whole", [b"", b"\n", b"{}", b"{}\n", b"[" * 200_000, b"\xff\n", b'{"a":1e999}\n'])
def test_a_head_that_is_no_json_is_none(whole: bytes) -> None:
    assert unpack(sealed(whole), PLACE) is None
