"""Signatures of JWS (RFC 7515): HS256 by the standard library, EdDSA, ES256 and RS256 by `cryptography`.

RS256 is for other issuers' tokens alone: nothing here signs with it.

The key says which algorithm it is for, and it is used for no other (RFC 8725 section 3.1).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, TypeAlias

from gatehouse import asymmetric
from gatehouse.keys import HS256, Key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    Checking: TypeAlias = asymmetric.PublicKey | RSAPublicKey

_NUMBER_BYTES = 32
SIGNATURE_BYTES = 2 * _NUMBER_BYTES
"""Of EdDSA with Ed25519 (RFC 8032 section 5.1.6), and of ES256: r and s, big endian (RFC 7518 section 3.4)."""


def sign(key: Key, data: bytes) -> bytes:
    """Return the signature of *data* by *key*, as a JWS carries it: 32 bytes for HS256, else SIGNATURE_BYTES."""
    if key.algorithm == HS256:
        return hmac.digest(key.secret, data, "sha256")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = asymmetric.private_key(key.algorithm, key.secret)
    return private.sign(data) if isinstance(private, Ed25519PrivateKey) else _sign_es256(private, data)


def is_good(key: Key, data: bytes, signature: bytes) -> bool:
    """Say whether *signature* is one of *data* by *key*. A signature of a wrong length is not, and raises nothing."""
    if key.algorithm == HS256:
        return hmac.compare_digest(hmac.digest(key.secret, data, "sha256"), signature)
    return is_good_by(asymmetric.public_key(key.algorithm, key.secret), data, signature)


def is_good_by(public: Checking, data: bytes, signature: bytes) -> bool:
    """Say whether *signature* is one of *data* by *public*, in the one algorithm that this kind of key is for here."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        if isinstance(public, Ed25519PublicKey):
            public.verify(signature, data)
        elif isinstance(public, EllipticCurvePublicKey):
            _check_es256(public, data, signature)
        else:
            _check_rs256(public, data, signature)
    except InvalidSignature:
        return False
    return True


def _sign_es256(private: EllipticCurvePrivateKey, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    r, s = utils.decode_dss_signature(private.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(_NUMBER_BYTES, "big") + s.to_bytes(_NUMBER_BYTES, "big")


def _check_es256(public: EllipticCurvePublicKey, data: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    if len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature
    r, s = int.from_bytes(signature[:_NUMBER_BYTES], "big"), int.from_bytes(signature[_NUMBER_BYTES:], "big")
    if not (r and s):  # a verifier that takes zeros takes any message (CVE-2022-21449); not left to the library alone
        raise InvalidSignature
    public.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(SHA256()))


def _check_rs256(public: RSAPublicKey, data: bytes, signature: bytes) -> None:
    """RFC 7518 section 3.3; a signature is as long as the modulus (RFC 8017 section 8.2.2), which the library holds."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    public.verify(signature, data, PKCS1v15(), SHA256())
