"""Passwords: Argon2id for new hashes, the metacogna gateway's SHA-256 for old ones, and one price for all."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

PASSES, MEMORY_KIB = 2, 19 * 1024
_HASHER = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
"""OWASP's least for Argon2id (19 MiB, two passes), which fits a small function."""

_NOBODY = _HASHER.hash("nobody has this password")


def hashed(password: str) -> str:
    """Return an Argon2id hash of *password*, in the form that carries its own salt and cost (RFC 9106)."""
    return _HASHER.hash(password)


def is_current(stored: str) -> bool:
    """Say whether *stored* is a hash as good as those that `hashed` makes today, or better."""
    return stored.startswith("$argon2id$") and (not _HASHER.check_needs_rehash(stored) or _stronger(stored))


def _stronger(stored: str) -> bool:
    try:
        made = extract_parameters(stored)
    except InvalidHashError:
        return False
    return made.memory_cost >= MEMORY_KIB and made.time_cost >= PASSES


def verify(password: str, stored: str, salt: str) -> bool:
    """Say whether *password* is the one that *stored* and *salt* were made from.

    Costs at least one Argon2id computation, whatever the outcome and whatever kind of hash it is.
    """
    if stored.startswith("$argon2"):
        try:
            return _argon2(password, stored)
        except InvalidHashError:
            spend(password)
            return False
    expected = base64.b64encode(sha256((salt + password).encode()).digest())
    right = hmac.compare_digest(expected, stored.encode())
    if not right:
        spend(password)  # a right one is hashed anew, which costs the same
    return right


def spend(password: str) -> None:
    """Take as long as checking a password takes: for users who do not exist."""
    _argon2(password, _NOBODY)


def _argon2(password: str, stored: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except VerificationError:
        return False
