"""An answer as bytes that other processes read back, and nothing but what was packed for that place.

    digest, SHA-256 of all that follows; compressed: head, in JSON; a line feed; body

The digest keeps out what broke on the way. It is no seal: who may write the table is trusted.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields
from hashlib import sha256
from typing import Any

from gatehouse.caching.stored import Stored
from gatehouse.headers import Headers

LAYOUT = 1
"""Another one for another meaning of what is packed. That fields come or go is noticed without it."""
MOST_PACKED_BYTES = 64 * 1024
MOST_BODY_BYTES = 1024 * 1024
MOST_HEAD_BYTES = 64 * 1024
# 60 KB of JSON: 27 % of it are left at level 1 after 0.4 ms, 22 % at 5 after 0.9 ms, 20 % at 9 after 4 ms; every level
# takes 0.1 ms to read. A write is paid for by the KB, and that costs more than the time: 5 has nearly all there is.
_LEVEL = 5
_DIGEST_BYTES = 32
_MOST_BYTES = MOST_HEAD_BYTES + 1 + MOST_BODY_BYTES
_PLAIN = {"int": int, "float": float, "bool": bool, "str": str}
_FIELDS = {one.name: str(one.type) for one in fields(Stored) if one.name != "body"}


def pack(stored: Stored, place: str) -> bytes | None:
    """Return *stored* as bytes that `unpack` reads at *place*; None if it is too large, or a number is none."""
    if len(stored.body) > MOST_BODY_BYTES:
        return None
    try:
        head = json.dumps(_head(stored, place), separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, OverflowError):
        return None
    if len(head) > MOST_HEAD_BYTES:
        return None
    packed = zlib.compress(b"%b\n%b" % (head, stored.body), _LEVEL)
    return _digest(packed) + packed if _DIGEST_BYTES + len(packed) <= MOST_PACKED_BYTES else None


def unpack(data: bytes, place: str) -> Stored | None:
    """Return the answer that `pack` made *data* of, for *place*; None if *data* is anything else."""
    digest, packed = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if len(data) > MOST_PACKED_BYTES or digest != _digest(packed):
        return None
    try:
        head, _, body = _inflated(packed).partition(b"\n")
        if len(body) > MOST_BODY_BYTES:
            return None
        return _stored(json.loads(head), body, place)
    except (zlib.error, ValueError, RecursionError):
        return None


def _digest(packed: bytes) -> bytes:
    return sha256(packed).digest()


def _inflated(packed: bytes) -> bytes:
    """Return what *packed* holds.

    Raises:
        zlib.error: it is not compressed.
        ValueError: it holds more than is ever packed, or does not end where it says.
    """
    inflating = zlib.decompressobj()
    whole = inflating.decompress(packed, _MOST_BYTES + 1)
    if not inflating.eof or inflating.unused_data or len(whole) > _MOST_BYTES:
        raise ValueError("this was not packed here")
    return whole


def _head(stored: Stored, place: str) -> dict[str, Any]:
    head = {name: getattr(stored, name) for name in _FIELDS}
    head |= {name: float(head[name]) for name, kind in _FIELDS.items() if kind == "float"}
    return {**head, "headers": stored.headers.pairs, "layout": LAYOUT, "place": place}


def _stored(head: Any, body: bytes, place: str) -> Stored:
    """Return the answer with *head* and *body*.

    Raises:
        ValueError: *head* is of another layout or place.
    """
    if type(head) is not dict or head.keys() != {*_FIELDS, "layout", "place"}:
        raise ValueError("these are not the fields of an answer")
    if head["layout"] != LAYOUT or head["place"] != place or not _is_typed(head):
        raise ValueError("this is not the answer that is looked for")
    values: dict[str, Any] = {name: head[name] for name in _FIELDS}
    values |= {"headers": Headers(tuple(map(tuple, head["headers"]))), "names": tuple(head["names"])}
    return Stored(**values, body=body)


def _is_typed(head: Mapping[str, Any]) -> bool:
    if any(type(head[name]) is not _PLAIN[kind] for name, kind in _FIELDS.items() if kind in _PLAIN):
        return False
    pairs, names = head["headers"], head["names"]
    if type(pairs) is not list or any(type(pair) is not list or len(pair) != 2 for pair in pairs):  # noqa: PLR2004
        return False
    return type(names) is list and all(type(one) is str for one in (*names, *(text for pair in pairs for text in pair)))
