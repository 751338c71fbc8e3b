"""The form of a token: JWS compact serialization (RFC 7515 section 7.1), canonical and without surprises.

There is one reader: what it saw is what is believed. Libraries take padded signatures, repeated names, byte-order
marks and header parameters they do not know (RFC 8725 section 3.10, RFC 7515 sections 2, 4 and 5.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatehouse import canonical
from gatehouse.errors import InvalidTokenError
from gatehouse.keys import Key
from gatehouse.signatures import sign

MOST_BYTES = 8 * 1024
_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRules:
    """What the header of a token may say; everything else in it is refused (RFC 8725 section 3.10).

    Attributes:
        parameters: the names of the parameters that may be there.
        types: what `typ` may be, in lower case; it may also be missing.
        most_kid: the most characters of a `kid`.
    """

    parameters: frozenset[str]
    types: frozenset[str]
    most_kid: int


OURS = HeaderRules(parameters=frozenset({"alg", "typ", "kid"}), types=frozenset({"jwt"}), most_kid=64)
FOREIGN = HeaderRules(
    parameters=frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"}),
    types=frozenset({"jwt", "at+jwt", "application/at+jwt"}),
    most_kid=256,
)
"""Other issuers may name a certificate's thumbprint, which nobody reads, and say that a token is one for access
(RFC 9068 section 2.1). What would change how a token is read, or where its key is from, is refused: `crit`, `b64`,
`zip`, `cty`, `jku`, `jwk`, `x5u`, `x5c`."""


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
    return f"{signed}.{canonical.encoded(sign(key, signed.encode()))}"


def inspect(token: str, rules: HeaderRules = OURS) -> Form:
    """Return what *token* says, once its form is beyond doubt. Nothing of it is verified yet.

    Args:
        token: the token, as it came.
        rules: what its header may say.

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
    unknown = parameters.keys() - rules.parameters
    if unknown:
        raise InvalidTokenError("The token's header has parameters that are not taken here.")
    kid, typ = parameters.get("kid", ""), parameters.get("typ")
    if not isinstance(kid, str) or len(kid) > rules.most_kid or ("kid" in parameters and not kid):
        raise InvalidTokenError("The token's kid is not a short text.")
    if typ is not None and (not isinstance(typ, str) or typ.lower() not in rules.types):
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
    return canonical.encoded(json.dumps(value, separators=(",", ":")).encode())


def _decoded(part: str) -> bytes:
    try:
        return canonical.decoded(part)
    except ValueError as error:
        raise InvalidTokenError("The token is not canonical base64url.") from error


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        return canonical.json_object(data)
    except ValueError as error:
        raise InvalidTokenError("The token does not hold JSON objects as it should.") from error
