"""The form of a token: JWS compact serialization (RFC 7515 section 7.1), canonical and without surprises.

There is one reader: what it saw is what is believed. Libraries take padded signatures, repeated names, byte-order
marks and header parameters they do not know (RFC 8725 section 3.10, RFC 7515 sections 2, 4 and 5.2).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatehouse.errors import InvalidTokenError
from gatehouse.keys import Key
from gatehouse.signatures import sign

MOST_BYTES = 8 * 1024
MOST_KID = 64
KNOWN_PARAMETERS = frozenset({"alg", "typ", "kid"})
_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What an unverified token says, and what was signed how."""

    algorithm: str
    kid: str
    typed: bool
    claims: Mapping[str, Any]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def compact(claims: Mapping[str, Any], key: Key) -> str:
    """Return a token that says *claims*, signed with *key*."""
    header = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid}
    signed = f"{_json(header)}.{_json(claims)}"
    return f"{signed}.{_encoded(sign(key, signed.encode()))}"


def inspect(token: str) -> Form:
    """Return what *token* says, once its form is beyond doubt. Nothing of it is verified yet.

    Raises:
        InvalidTokenError: it is too long, not in canonical form, or says things it may not say.
    """
    if len(token) > MOST_BYTES:
        raise InvalidTokenError(f"The token is longer than {MOST_BYTES} bytes.")
    parts = token.split(".")
    if len(parts) != _PARTS or not all(parts):
        raise InvalidTokenError("The token is not a JWT: it needs three parts with dots between them.")
    header, claims, signature = (_decoded(part) for part in parts)
    said = _object(claims)
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
    return Form(
        algorithm=algorithm if isinstance(algorithm, str) else "",
        kid=kid,
        typed=typ is not None,
        claims=said,
        signed=f"{parts[0]}.{parts[1]}".encode(),
        signature=signature,
    )


def _json(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    try:
        data = base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidTokenError("The token is not base64url.") from error
    if _encoded(data) != part:
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
