"""The key ring that signs and checks our tokens, as the secret holds it.

    {"current": "k2", "keys": {
      "k1": {"alg": "HS256", "secret": "…", "legacy": true, "demoted_at": 1800000000},
      "k2": {"alg": "EdDSA", "private": "-----BEGIN PRIVATE KEY-----…", "added_at": …, "promoted_at": …}}}

A key may take its value from another member of the document (`"from": "generated"`): CloudFormation can
generate a secret's value only at the top level. Beside the ring stand the named secrets of project files:
`"secrets": {"CF_AI_GATEWAY_TOKEN": "…"}`. Other members are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatehouse import asymmetric
from gatehouse.weak_secrets import weakness

__all__ = ["ALGORITHMS", "HS256", "MOST_KID", "Key", "KeyRing", "KeyRingError", "parse", "weakness"]

HS256 = "HS256"
ALGORITHMS = (HS256, asymmetric.EDDSA, asymmetric.ES256)
MOST_KID = 64
TIMES = ("added_at", "promoted_at", "demoted_at")
LATEST = 1 << 53


class KeyRingError(Exception):
    """The key ring cannot be used; the message says which key and what to do. It never holds a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key.

    Attributes:
        kid: its id, which the header of its tokens names.
        algorithm: HS256, EdDSA or ES256.
        secret: for HS256 the shared secret, else the private key as PEM (PKCS #8).
        legacy: whether it checks tokens without a `kid`, as the metacogna gateway made them.
        added_at: when it came into the ring, in seconds since the epoch; None if it was there from the start.
        promoted_at: when it became the one that signs.
        demoted_at: when another one became it.
    """

    kid: str
    algorithm: str
    secret: bytes = field(repr=False)
    legacy: bool = False
    added_at: int | None = None
    promoted_at: int | None = None
    demoted_at: int | None = None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Every key that tokens are checked with; `current` is the one that signs. `secrets` are those of project files."""

    current: Key
    keys: Mapping[str, Key]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

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
    return KeyRing(keys[current], keys, _secrets(ring))


def _secrets(ring: Mapping[str, Any]) -> Mapping[str, str]:
    secrets = ring.get("secrets", {})
    if not isinstance(secrets, dict) or not all(isinstance(value, str) for value in secrets.values()):
        raise KeyRingError('The key ring secret\'s "secrets" must be a JSON object of names and texts.')
    return secrets


def _key(kid: str, entry: Any, ring: Mapping[str, Any]) -> Key:
    if not kid or len(kid) > MOST_KID or not kid.isascii() or not kid.isprintable():
        raise KeyRingError(f"A key's id must be 1 to {MOST_KID} printable ASCII characters.")
    if not isinstance(entry, dict):
        raise KeyRingError(f"Key '{kid}' must be a JSON object.")
    algorithm = entry.get("alg")
    if algorithm not in ALGORITHMS:
        raise KeyRingError(f"Key '{kid}' needs \"alg\": one of {', '.join(ALGORITHMS)}.")
    member = "secret" if algorithm == HS256 else "private"
    value = ring.get(entry["from"]) if isinstance(entry.get("from"), str) else entry.get(member)
    if not isinstance(value, str):
        raise KeyRingError(f'Key \'{kid}\' needs a "{member}", or a "from" that names a member of the document.')
    reason = weakness(value) if algorithm == HS256 else _unfit(algorithm, value)
    if reason:
        raise KeyRingError(f"Key '{kid}' {reason}.")
    legacy = _legacy(kid, entry)
    return Key(kid=kid, algorithm=algorithm, secret=value.encode(), legacy=legacy, **_times(kid, entry))


def _unfit(algorithm: str, pem: str) -> str:
    """Return why *pem* holds no key for *algorithm*, or an empty text."""
    try:
        asymmetric.private_key(algorithm, pem.encode())
    except ValueError as error:  # also what cannot be encoded
        reason = "text that is not Unicode" if isinstance(error, UnicodeError) else str(error)
        return f'has a "private" that is {reason}; make one with: {asymmetric.HOW_TO_MAKE[algorithm]}'
    return ""


def _legacy(kid: str, entry: Mapping[str, Any]) -> bool:
    legacy = entry.get("legacy", False)
    if not isinstance(legacy, bool):
        raise KeyRingError(f"Key '{kid}' has a \"legacy\" that is neither true nor false.")
    if legacy and entry["alg"] != HS256:
        raise KeyRingError(f"Key '{kid}' is marked legacy, but the original systems' tokens are {HS256}.")
    return legacy


def _times(kid: str, entry: Mapping[str, Any]) -> dict[str, int]:
    times = {name: entry[name] for name in TIMES if entry.get(name) is not None}
    for name, value in times.items():
        if type(value) is not int or not 0 <= value < LATEST:
            raise KeyRingError(f"Key '{kid}' has a \"{name}\" that is not a time: it must be whole seconds since 1970.")
    return times
