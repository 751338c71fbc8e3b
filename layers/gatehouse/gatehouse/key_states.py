"""Which part a key has in its ring, and from when on it may have another. Derived from what the ring notes, never kept.

All that is said of time rests on processes that read the key ring. One that cannot (it logs `key ring not fetched`)
keeps the ring it has: nobody should change keys meanwhile.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from gatehouse import jwks, keyring
from gatehouse.keys import HS256, Key, KeyRing
from gatehouse.tokens import LEEWAY_S, LONGEST_S

State: TypeAlias = Literal["current", "next", "previous"]

MARGIN_S = 60
"""For a fetch that takes its time, and for clocks that differ."""
EVERYWHERE_S = int(keyring.FRESH_S + keyring.GRACE_S) + MARGIN_S
"""So long after a change of the ring every process has it, and none signs any more with the key that went."""
PUBLISHED_S = EVERYWHERE_S + jwks.MAX_AGE_S
"""So long after a key came every reader of the published keys has it, also one that read an old process's answer."""


def state(ring: KeyRing, key: Key) -> State:
    """Return which part *key* has in *ring*: it signs, it has never signed, or it may have.

    A key that nobody noted anything about, and that is not current, may have signed: it is previous.
    """
    if key.kid == ring.current.kid:
        return "current"
    fresh = key.added_at is not None and key.promoted_at is None and key.demoted_at is None
    return "next" if fresh else "previous"


def promotable_at(key: Key) -> int | None:
    """Return when *key* may begin to sign, in seconds since the epoch; None if nobody noted when it came."""
    times = [time for time in (key.added_at, key.promoted_at, key.demoted_at) if time is not None]
    if not times:
        return None
    return min(times) + (EVERYWHERE_S if key.algorithm == HS256 else PUBLISHED_S)


def retirable_at(ring: KeyRing, key: Key, longest_s: float) -> int | None:
    """Return when *key* may go, in seconds since the epoch: 0 for at once, None if that cannot be said.

    It cannot be said of the current key, and of one that nobody noted when it stopped signing. Service tokens that
    are still good keep a key longer: the registry tells of them.

    Args:
        ring: the ring that *key* is in.
        key: the key.
        longest_s: the longest lifetime of tokens that the registry does not have, in seconds.
    """
    part = state(ring, key)
    if part == "next":
        return 0
    if part == "current" or key.demoted_at is None:
        return None
    # No registry tells of the original systems' tokens, so the longest that any of them gave is waited for.
    lifetime = max(longest_s, LONGEST_S) if key.legacy else longest_s
    return key.demoted_at + EVERYWHERE_S + math.ceil(lifetime) + LEEWAY_S
