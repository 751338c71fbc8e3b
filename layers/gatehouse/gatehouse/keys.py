"""The key ring that signs and checks our tokens, as the secret holds it.

    {"current": "k1", "keys": {"k1": {"alg": "HS256", "secret": "…", "legacy": true}}}

A key may take its value from another member of the document (`"from": "generated"`): CloudFormation can
generate a secret's value only at the top level.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEAST_SECRET_BYTES = 32
"""RFC 7518 section 3.2: a key of at least the hash's size."""

PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "your-secret",
    "your_secret",
    "replace-me",
    "a-string-secret-at-least-256-bits-long",
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
)
"""What documentation tells people to replace, and the keys of well-known tutorials, which they did not."""
ALGORITHMS = ("HS256",)
MOST_KID = 64


class KeyRingError(Exception):
    """The key ring cannot be used; the message says which key and what to do. It never holds a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key. `legacy` marks the one that checks tokens without a `kid`, as the metacogna gateway made them."""

    kid: str
    algorithm: str
    secret: bytes = field(repr=False)
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Every key that tokens are checked with; `current` is the one that signs."""

    current: Key
    keys: Mapping[str, Key]

    @property
    def legacy(self) -> Key | None:
        """Return the key for tokens without a `kid`, if there is one."""
        return next((key for key in self.keys.values() if key.legacy), None)


def parse(document: str) -> KeyRing:
    """Read a key ring from *document*, the secret's JSON.

    Raises:
        KeyRingError: it is not a key ring, or a key in it is too weak to be trusted.
    """
    try:
        ring = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise KeyRingError("The key ring secret is not JSON.") from error
    entries = ring.get("keys") if isinstance(ring, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise KeyRingError('The key ring secret needs "keys": a JSON object with at least one key.')
    keys = {kid: _key(kid, entry, ring) for kid, entry in entries.items()}
    current = ring.get("current")
    if not isinstance(current, str) or current not in keys:
        raise KeyRingError('The key ring secret\'s "current" must name one of its "keys".')
    if sum(key.legacy for key in keys.values()) > 1:
        raise KeyRingError("Only one key of the key ring may be marked legacy.")
    return KeyRing(keys[current], keys)


def _key(kid: str, entry: Any, ring: Mapping[str, Any]) -> Key:
    if not kid or len(kid) > MOST_KID or not kid.isascii() or not kid.isprintable():
        raise KeyRingError(f"A key's id must be 1 to {MOST_KID} printable ASCII characters.")
    if not isinstance(entry, dict):
        raise KeyRingError(f"Key '{kid}' must be a JSON object.")
    if entry.get("alg") not in ALGORITHMS:
        raise KeyRingError(f"Key '{kid}' needs \"alg\": one of {', '.join(ALGORITHMS)}.")
    value = ring.get(entry["from"]) if isinstance(entry.get("from"), str) else entry.get("secret")
    if not isinstance(value, str):
        raise KeyRingError(f'Key \'{kid}\' needs a "secret", or a "from" that names a member of the document.')
    reason = weakness(value)
    if reason:
        raise KeyRingError(f"Key '{kid}' {reason}.")
    legacy = entry.get("legacy", False)
    if not isinstance(legacy, bool):
        raise KeyRingError(f"Key '{kid}' has a \"legacy\" that is neither true nor false.")
    return Key(kid=kid, algorithm=entry["alg"], secret=value.encode(), legacy=legacy)


def weakness(secret: str) -> str:
    """Return why nobody should trust *secret*, or an empty text."""
    if any(word in secret.lower() for word in PLACEHOLDERS):
        return "is a placeholder; make a secret with: openssl rand -base64 48"
    if any("\ud800" <= char <= "\udfff" for char in secret):
        return "holds half a character; make a secret with: openssl rand -base64 48"
    if len(secret.encode()) < LEAST_SECRET_BYTES:
        return f"is shorter than {LEAST_SECRET_BYTES} bytes; make a secret with: openssl rand -base64 48"
    return ""
