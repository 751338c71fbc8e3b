"""Base64url and JSON that can be read in one way only: what others send and sign is read by nothing else.

Libraries take padding, stray bits, repeated names and byte-order marks (RFC 8725 section 3.10, RFC 7515 sections 2
and 4).
"""

from __future__ import annotations

import base64
import json
from typing import Any


def encoded(data: bytes) -> str:
    """Return *data* in base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Return the bytes that *text* is the one spelling of.

    Raises:
        ValueError: it is not base64url, or has padding or stray bits.
    """
    data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if encoded(data) != text:
        raise ValueError("not canonical base64url")
    return data


def json_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* holds, as UTF-8.

    Raises:
        ValueError: it holds something else, a name twice in one object, or NaN or Infinity.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004  # it is the text that is wrong, not its type in Python
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice")
    return made


def _no_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")
