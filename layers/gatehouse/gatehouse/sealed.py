"""Text that only whoever holds a secret can read, a credential say: AES-256-GCM under a key derived from it.

What services say of sessions and API keys is shared between processes this way. Who reads the table learns nothing,
and who writes it cannot say who somebody is.
"""

from __future__ import annotations

import hmac
import os

from gatehouse import canonical

_NONCE_BYTES = 12
_HASH = "sha256"
_HASH_BYTES = 32


def seal(text: str, secret: bytes, label: str) -> str:
    """Return *text* sealed, in base64url.

    Args:
        text: what to seal.
        secret: the credential.
        label: what the text is about. Under another label it does not open.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(_key(secret, label)).encrypt(nonce, text.encode(), label.encode())
    return canonical.encoded(nonce + sealed)


def unseal(sealed: str, secret: bytes, label: str) -> str | None:
    """Return the text that was sealed with *secret* under *label*; None if *sealed* is anything else."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = canonical.decoded(sealed)
        nonce, rest = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        return AESGCM(_key(secret, label)).decrypt(nonce, rest, label.encode()).decode()
    except (ValueError, InvalidTag):
        return None


def _key(secret: bytes, label: str) -> bytes:
    """Return 32 bytes by HKDF with SHA-256 and no salt (RFC 5869 sections 2.2 and 2.3, one block)."""
    extracted = hmac.digest(bytes(_HASH_BYTES), secret, _HASH)
    return hmac.digest(extracted, label.encode() + b"\x01", _HASH)
