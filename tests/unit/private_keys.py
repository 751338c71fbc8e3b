"""Private keys for tests: those of the RFCs' examples, so that everybody has them, and some that do not fit."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gatehouse.keys import Key
from tests.unit.fakes import SECRET


def decoded(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


ED25519_D, ED25519_X = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
"""RFC 8037 appendix A.1."""
P256_D = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"
P256_X, P256_Y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
"""RFC 7515 appendix A.3."""

_ED = ed25519.Ed25519PrivateKey.from_private_bytes(decoded(ED25519_D))
_EC = ec.derive_private_key(int.from_bytes(decoded(P256_D), "big"), ec.SECP256R1())
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pkcs8(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


ED25519, P256 = pkcs8(_ED), pkcs8(_EC)
PEMS = {"EdDSA": ED25519, "ES256": P256}

UNFIT = {
    "RSA": pkcs8(_RSA),
    "P-384": pkcs8(ec.generate_private_key(ec.SECP384R1())),
    "P-521": pkcs8(ec.generate_private_key(ec.SECP521R1())),
    "secp256k1": pkcs8(ec.generate_private_key(ec.SECP256K1())),
    "Ed448": ed448.Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    "X25519": x25519.X25519PrivateKey.generate()
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode(),
    "public Ed25519": _ED.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "public P-256": _EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    "encrypted Ed25519": _ED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode(),
    "encrypted P-256": _EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode(),
    "SEC1 P-256": _EC.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
    "two": ED25519 + P256,
    "nothing": "",
    "no PEM": "x" * 60,
    "half": ED25519[: len(ED25519) // 2],
    "empty block": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
    "junk": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    "half a character": "\ud800" * 40,
    "JWK": '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}',
}


def private(algorithm: str, kid: str = "") -> Key:
    """A key of the ring for *algorithm*."""
    secret = PEMS.get(algorithm, SECRET)
    return Key(kid=kid or algorithm.lower(), algorithm=algorithm, secret=secret.encode())
