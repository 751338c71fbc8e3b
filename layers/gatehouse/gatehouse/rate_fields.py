"""What answers say of limits: RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10).

Both are lists of structured fields (RFC 9651). Names of limits are letters, digits, `_` and `-`, so that they need no
escapes, and times are whole seconds, rounded up: a client that keeps to what it reads is never refused for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from gatehouse.call import Count
from gatehouse.counting import RouteLimit
from gatehouse.headers import Pair


def policies(limits: Iterable[RouteLimit]) -> tuple[Pair, ...]:
    """Return the field that says what *limits* allow; none if there is nothing to say (section 3)."""
    said = [f'"{one.name}";q={one.rate.requests};w={math.ceil(one.rate.per_s)}' for one in limits if not one.shadow]
    return (("ratelimit-policy", ", ".join(said)),) if said else ()


def state(counts: Sequence[Count]) -> tuple[Pair, ...]:
    """Return the field that says what is left under the tightest of *counts*; none if nothing was counted (section 4).

    `t` is in how many seconds there is one more than `r`. Of a refusal that is what Retry-After says (section 6).
    """
    told = [count for count in counts if not count.shadow]
    if not told:
        return ()
    least = min(told, key=lambda count: (count.allowed, count.remaining, -count.more_after_s))
    return (("ratelimit", f'"{least.limit}";r={least.remaining};t={max(1, math.ceil(least.more_after_s))}'),)
