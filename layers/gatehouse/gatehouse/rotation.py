"""Changing the keys in steps, each only when it cannot break a live token: next, current, previous, gone.

    add      a key comes in as *next*: tokens are checked with it and its public half is published; it does not sign
    promote  once every process and every reader of the published keys has it, it signs; the *current* one is *previous*
    retire   once no token that a *previous* key signed can be alive, it goes

At most one key is next: so nobody has to ask which one comes. Promoting a previous key again is the way back. The
steps take and give the secret's text; what in it is not of the ring stays as it is.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from gatehouse import asymmetric
from gatehouse.clock import iso
from gatehouse.key_states import PUBLISHED_S, promotable_at, retirable_at, state
from gatehouse.keys import ALGORITHMS, HS256, Key, KeyRing, KeyRingError, parse

_SECRET_BYTES = 48
_MINUTE_S = 60


class RotationError(Exception):
    """The step would break live tokens, or makes no sense; the message says when it will be possible and what to do."""


def add(document: str, *, algorithm: str, now: float, kid: str = "") -> tuple[str, str]:
    """Return *document* with a new key that is next, and the key's id.

    Args:
        document: the secret's text.
        algorithm: HS256, EdDSA or ES256.
        now: seconds since the epoch.
        kid: the new key's id; made from the date if empty.

    Raises:
        RotationError: there is a next key already, or a key with this id, or there is no such algorithm.
        KeyRingError: *document* holds no key ring.
    """
    ring, whole = parse(document), loaded(document)
    if algorithm not in ALGORITHMS:
        raise RotationError(f"There is no such algorithm. A key is for one of {', '.join(ALGORITHMS)}.")
    waiting = next((key.kid for key in ring.keys.values() if state(ring, key) == "next"), "")
    if waiting:
        raise RotationError(f"Key '{waiting}' is next already. Promote it or retire it before you add another one.")
    name = kid or _new_kid(ring, now)
    if name in ring.keys:
        raise RotationError(f"There is a key '{name}' already. Choose another id; without one, one is made.")
    whole["keys"][name] = {"alg": algorithm, **_new_value(algorithm), "added_at": int(now)}
    return _written(whole, now), name


def promote(document: str, kid: str, *, now: float, force: bool = False) -> str:
    """Return *document* with key *kid* as the one that signs.

    Args:
        document: the secret's text.
        kid: a key that is next, or a previous one that shall sign again.
        now: seconds since the epoch.
        force: do not wait until every process and every reader of the published keys has the key. Our processes look
            for a key that they lack; readers elsewhere may refuse its tokens until they look again.

    Raises:
        RotationError: it signs already, or it is too early.
        KeyRingError: *document* holds no key ring.
    """
    ring, whole = parse(document), loaded(document)
    key = _named(ring, kid)
    if key is ring.current:
        raise RotationError(f"Key '{kid}' is the one that signs. There is nothing to do.")
    if not force:
        _refuse_unknown(key, now)
    whole["current"] = kid
    whole["keys"][kid]["promoted_at"] = int(now)
    whole["keys"][kid].pop("demoted_at", None)
    whole["keys"][ring.current.kid]["demoted_at"] = int(now)
    return _written(whole, now)


def retire(  # noqa: PLR0913  # all but two have their names at the call
    document: str, kid: str, *, now: float, longest_s: float, live: int = 0, force: bool = False
) -> str:
    """Return *document* without key *kid*.

    Args:
        document: the secret's text.
        kid: a key that is previous, or one that is next and never signed.
        now: seconds since the epoch.
        longest_s: the longest lifetime of tokens that the registry does not have (of logins and guests), in seconds.
        live: how many service tokens that the key signed are neither expired nor revoked.
        force: let it go though its tokens may be alive: they end as soon as processes fetch the ring, within six
            minutes. For a key that has leaked.

    Raises:
        RotationError: it is the one that signs, or tokens that it signed may be alive.
        KeyRingError: *document* holds no key ring.
    """
    ring, whole = parse(document), loaded(document)
    key = _named(ring, kid)
    if key is ring.current:
        raise RotationError(f"Key '{kid}' is the one that signs. Add and promote another one first.")
    if not force:
        _refuse_alive(ring, key, now, longest_s, live)
    del whole["keys"][kid]
    return _written(whole, now)


def _refuse_unknown(key: Key, now: float) -> None:
    """Refuse to let *key* sign before everybody has it."""
    ready = promotable_at(key)
    if ready is None:
        minutes = PUBLISHED_S // _MINUTE_S + 1
        raise RotationError(
            f"Nobody noted when key '{key.kid}' came into the ring. If it has been there for {minutes} minutes, "
            "promote it with force."
        )
    if now < ready:
        raise RotationError(f"Key '{key.kid}' is not known everywhere yet. Promote it at {iso(ready)} or later.")


def _refuse_alive(ring: KeyRing, key: Key, now: float, longest_s: float, live: int) -> None:
    """Refuse to let *key* go while a token that it signed may be alive."""
    ready = retirable_at(ring, key, longest_s)
    leaked = "If it has leaked, retire it with force: its tokens end within six minutes."
    if ready is None:
        raise RotationError(
            f"Nobody noted when key '{key.kid}' stopped signing. It is noted with the next key that is added or "
            f"promoted, and can be retired once its tokens have expired. {leaked}"
        )
    if now < ready:
        whose = "the original systems signed with it" if key.legacy else "it signed"
        raise RotationError(
            f"Tokens that {whose} may still be good. Retire key '{key.kid}' at {iso(ready)} or later. {leaked}"
        )
    if live:
        raise RotationError(
            f"Service tokens that key '{key.kid}' signed are still good: {live}. Replace and revoke them first, "
            f"or wait until they expire. {leaked}"
        )


def _named(ring: KeyRing, kid: str) -> Key:
    if kid not in ring.keys:
        raise RotationError(f"There is no such key. The ring has: {', '.join(ring.keys)}.")
    return ring.keys[kid]


def _new_kid(ring: KeyRing, now: float) -> str:
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    while (kid := f"{day}-{secrets.token_hex(2)}") in ring.keys:
        continue
    return kid


def _new_value(algorithm: str) -> dict[str, str]:
    if algorithm == HS256:
        return {"secret": secrets.token_urlsafe(_SECRET_BYTES)}
    return {"private": asymmetric.generated(algorithm)}


def loaded(document: str) -> dict[str, Any]:
    """Return the whole secret that *document* is, to change a part of it.

    Raises:
        RotationError: a name stands twice in it.
        ValueError: it is no JSON.
    """
    whole: dict[str, Any] = json.loads(document, object_pairs_hook=_once)
    return whole


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: one of its values would be lost, and nobody would have said so."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise RotationError("A name stands twice in one object of the secret. Remove the one that is not meant.")
    return made


def _written(whole: dict[str, Any], now: float) -> str:
    """Return the secret's text, and note in it of every key that stopped signing that it did, by now at the latest."""
    try:
        ring = parse(json.dumps(whole))
    except KeyRingError as error:  # an id that is no id, say
        raise RotationError(str(error)) from error
    for kid, key in ring.keys.items():
        if state(ring, key) == "previous" and key.demoted_at is None:
            whole["keys"][kid]["demoted_at"] = int(now)
    return json.dumps(whole)
