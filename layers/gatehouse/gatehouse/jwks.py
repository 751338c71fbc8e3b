"""The public halves of our keys, as `/.well-known/jwks.json` shows them (RFC 7517; RFC 8037 for EdDSA)."""

from __future__ import annotations

import base64
from typing import Any

from gatehouse import asymmetric
from gatehouse.keys import Key, KeyRing

MAX_AGE_S = 300
"""How long readers may keep the set, as its `Cache-Control` says. A new key signs only after that: see `rotation`."""
_COORDINATE_BYTES = 32
"""RFC 7518 section 6.2.1.2: always the curve's full size, leading zeros included."""


def document(ring: KeyRing) -> dict[str, Any]:
    """Return the JWK set of *ring*: every key that has a public half, also one that does not sign yet or any more.

    Shared secrets have none, so the set of a ring of HS256 keys is empty.
    """
    return {"keys": [_jwk(key) for key in ring.keys.values() if key.algorithm in asymmetric.HOW_TO_MAKE]}


def _jwk(key: Key) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = asymmetric.public_key(key.algorithm, key.secret)
    common = {"kid": key.kid, "alg": key.algorithm, "use": "sig"}
    if isinstance(public, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _encoded(public.public_bytes_raw()), **common}
    point = public.public_numbers()
    x, y = (_encoded(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **common}


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
