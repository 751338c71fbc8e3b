"""The form of a token, before anything in it is believed: compact, canonical, and without surprises.

PyJWT takes padded signatures, repeated names, byte-order marks and header parameters it does not know
(RFC 8725 section 3.10, RFC 7515 sections 2, 4 and 5.2): two readers could see two tokens.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatehouse.errors import InvalidTokenError

MOST_BYTES = 8 * 1024
MOST_KID = 64
KNOWN_PARAMETERS = frozenset({"alg", "typ", "kid"})
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Form:
    """What an unverified token says of itself."""

    algorithm: str
    kid: str
    typed: bool


def inspect(token: str) -> Form:
    """Return the JOSE header of *token*, once its form is beyond doubt.

    Raises:
        InvalidTokenError: it is too long, not in canonical form, or says things it may not say.
    """
    if len(token) > MOST_BYTES:
        raise InvalidTokenError(f"The token is longer than {MOST_BYTES} bytes.")
    parts = token.split(".")
    if len(parts) != _PARTS or not all(parts):
        raise InvalidTokenError("The token is not a JWT: it needs three parts with dots between them.")
    header, claims, _ = (_decoded(part) for part in parts)
    _object(claims)
    parameters = _object(header)
    unknown = parameters.keys() - KNOWN_PARAMETERS
    if unknown:
        raise InvalidTokenError("The token's header has parameters that are not taken here.")
    kid, typ = parameters.get("kid", ""), parameters.get("typ")
    if not isinstance(kid, str) or len(kid) > MOST_KID or ("kid" in parameters and not kid):
        raise InvalidTokenError("The token's kid is not a short text.")
    if typ is not None and (not isinstance(typ, str) or typ.upper() != "JWT"):
        raise InvalidTokenError("The token's typ is not JWT.")
    algorithm = parameters.get("alg")
    return Form(algorithm if isinstance(algorithm, str) else "", kid, typ is not None)


def _decoded(part: str) -> bytes:
    try:
        data = base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidTokenError("The token is not base64url.") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise InvalidTokenError("The token is not canonical base64url.")
    return data


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError("The token does not hold JSON as it should.") from error
    if not isinstance(value, dict):
        raise InvalidTokenError("The token does not hold JSON objects.")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice")
    return made


def _no_constant(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")
