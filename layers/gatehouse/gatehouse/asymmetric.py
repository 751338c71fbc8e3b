"""The private keys of EdDSA (Ed25519, RFC 8037) and ES256 (P-256, RFC 7518 section 3.4), read from PEM.

This is where `cryptography` is loaded, and only once somebody asks for such a key: it costs 30 ms, which a ring of
shared secrets never pays.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    PrivateKey: TypeAlias = Ed25519PrivateKey | EllipticCurvePrivateKey
    PublicKey: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey

EDDSA, ES256 = "EdDSA", "ES256"
HOW_TO_MAKE = {
    EDDSA: "openssl genpkey -algorithm ed25519",
    ES256: "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
}
_BEGINS, _ENDS = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"
_REMEMBERED = 32


@lru_cache(_REMEMBERED)
def private_key(algorithm: str, pem: bytes) -> PrivateKey:
    """Return the key for *algorithm* that *pem* holds, as one unencrypted PKCS #8 block (RFC 5958, RFC 7468).

    Raises:
        ValueError: it holds none, another kind of key, or a key on another curve. The text never quotes *pem*.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    block = pem.strip()
    if not (block.startswith(_BEGINS) and block.endswith(_ENDS)) or block.count(b"-----BEGIN") > 1:
        raise ValueError("not one unencrypted PKCS #8 block")
    try:
        key = load_pem_private_key(block, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a key that can be read") from None
    return _fitting(algorithm, key)


@lru_cache(_REMEMBERED)
def public_key(algorithm: str, pem: bytes) -> PublicKey:
    """Return the public half of the private key that *pem* holds; see `private_key`."""
    return private_key(algorithm, pem).public_key()


def generated(algorithm: str) -> str:
    """Return a new private key for *algorithm*, EdDSA or ES256, as PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key: PrivateKey = (
        ed25519.Ed25519PrivateKey.generate() if algorithm == EDDSA else ec.generate_private_key(ec.SECP256R1())
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _fitting(algorithm: str, key: object) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if algorithm == EDDSA and isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    if algorithm == ES256 and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("a key of another kind or on another curve")
