"""The keys of another issuer, as it publishes them: a JWK set (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

A key that is not for checking signatures, or not of a kind that is used here, is passed over. A set that could be read
in two ways is refused as a whole, so that whoever has an older one keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from gatehouse import canonical
from gatehouse.asymmetric import EDDSA, ES256

if TYPE_CHECKING:
    from gatehouse.signatures import Checking

RS256 = "RS256"
MOST_KEYS = 64
MOST_KID = 256
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 8192
MOST_EXPONENT_BITS = 32
"""65537 is what everybody uses; a large exponent only makes every check slow."""
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_NUMBER_BYTES = 32


class KeySetError(Exception):
    """The text is no set of keys to believe; the message says why and quotes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """One public key. Two are equal if their ids, their algorithms and their numbers are.

    Attributes:
        kid: its id, which the header of its tokens names.
        algorithm: RS256, ES256 or EdDSA: the one that it is used for, whatever a token says.
        numbers: what makes it this key: n and e, x and y, or x.
        public: the same, as what checks signatures wants it.
    """

    kid: str
    algorithm: str
    numbers: tuple[int, ...] = field(repr=False)
    public: Checking = field(compare=False, repr=False)


Keys: TypeAlias = Mapping[str, ForeignKey]
"""Keys by their ids."""


def parse(text: str) -> Keys:
    """Return the usable keys of the set that *text* is; at least one.

    Raises:
        KeySetError: it is no JWK set, has none, more than MOST_KEYS in all, or two with one id.
    """
    entries = _entries(text)
    kids = [entry["kid"] for entry in entries if isinstance(entry.get("kid"), str)]
    if len(set(kids)) < len(kids):
        raise KeySetError("two keys have one kid")
    keys = [key for key in map(_key, entries) if key]
    if not keys:
        raise KeySetError("no key in it is for checking signatures of a kind that is taken here")
    return {key.kid: key for key in keys}


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        entries = canonical.json_object(text.encode("utf-8")).get("keys")
    except ValueError as error:  # also what cannot be encoded
        raise KeySetError("it is not a JSON object that can be read in one way") from error
    if not isinstance(entries, list):
        raise KeySetError('it has no list of "keys"')
    if len(entries) > MOST_KEYS:
        raise KeySetError(f"it has more than {MOST_KEYS} keys")
    return [entry for entry in entries if isinstance(entry, dict)]


def _key(entry: Mapping[str, Any]) -> ForeignKey | None:
    """Return the key that *entry* describes; None if it is none to check signatures with here."""
    kid, kind = entry.get("kid"), (entry.get("kty"), entry.get("crv"))
    if not (isinstance(kid, str) and 0 < len(kid) <= MOST_KID) or not _is_for_checking(entry):
        return None
    read = next((read for known, read in _READERS.items() if known == kind), None)
    try:
        key = read(kid, entry) if read else None
    except ValueError:  # also what the library says of a point that is not on its curve
        return None
    return key if key and entry.get("alg", key.algorithm) == key.algorithm else None


def _is_for_checking(entry: Mapping[str, Any]) -> bool:
    """RFC 7517 sections 4.2 and 4.3; a private key that somebody published is no longer anybody's proof."""
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and not entry.keys() & PRIVATE
    )


def _rsa(kid: str, entry: Mapping[str, Any]) -> ForeignKey | None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    n, e = (int.from_bytes(_bytes(entry, name), "big") for name in ("n", "e"))
    fits = LEAST_RSA_BITS <= n.bit_length() <= MOST_RSA_BITS and 1 < e.bit_length() <= MOST_EXPONENT_BITS
    if not (fits and n % 2 and e % 2):
        return None
    return ForeignKey(kid=kid, algorithm=RS256, numbers=(n, e), public=RSAPublicNumbers(e, n).public_key())


def _p256(kid: str, entry: Mapping[str, Any]) -> ForeignKey:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers

    x, y = (int.from_bytes(_bytes(entry, name, _NUMBER_BYTES), "big") for name in ("x", "y"))
    public = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    return ForeignKey(kid=kid, algorithm=ES256, numbers=(x, y), public=public)


def _ed25519(kid: str, entry: Mapping[str, Any]) -> ForeignKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    point = _bytes(entry, "x", _NUMBER_BYTES)
    public = Ed25519PublicKey.from_public_bytes(point)
    return ForeignKey(kid=kid, algorithm=EDDSA, numbers=(int.from_bytes(point, "big"),), public=public)


_READERS = {("RSA", None): _rsa, ("EC", "P-256"): _p256, ("OKP", "Ed25519"): _ed25519}


def _bytes(entry: Mapping[str, Any], name: str, length: int | None = None) -> bytes:
    """Return the member *name* of *entry*, which is base64url, of *length* bytes if that is said.

    Raises:
        ValueError: it is not there or is not that.
    """
    value = entry.get(name)
    data = canonical.decoded(value) if isinstance(value, str) else b""
    if not data or (length is not None and len(data) != length):
        raise ValueError(f"{name} is not what it should be")
    return data
