"""How often a session may be refreshed or ended: each of that writes to the log that every process reads.

Guests come without an account, as many as they like, so all of them share one bucket, and refreshing a guest's token
writes nothing: they could as well ask for a new one. This limit fails open: where nothing can be counted people can
still log out.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Protocol

from gatehouse import grants, logs, metrics
from gatehouse.call import Identity
from gatehouse.clock import Clock
from gatehouse.errors import RateLimitedError
from gatehouse.gcra import US, Rate
from gatehouse.login_limits import Outcome
from gatehouse.token_ids import session_of

OF_A_SESSION = Rate(30, 600, 30)
OF_ALL_GUESTS = Rate(300, 60, 300)


class Buckets(Protocol):
    """Where it is counted; `stores.limits.Limits` is one."""

    def take(self, key: str, rate: Rate, now_us: int) -> Outcome:
        """Take one from the bucket *key*, if there is one left."""
        ...


class SessionLimits:
    """The limits of one deployment. Blocks; use it from a thread."""

    def __init__(self, buckets: Buckets, clock: Clock) -> None:
        self._buckets = buckets
        self._now = clock

    def charge(self, identity: Identity) -> None:
        """Count one line in the log for the session of *identity*.

        Raises:
            RateLimitedError: there were too many.
        """
        guest = grants.is_guest(identity) and not grants.is_service(identity)
        session = sha256(session_of(identity.token_id).encode()).hexdigest()
        key, rate = ("session-guests", OF_ALL_GUESTS) if guest else (f"session-{session}", OF_A_SESSION)
        try:
            outcome = self._buckets.take(key, rate, int(self._now() * US))
        except Exception as error:  # noqa: BLE001  # it is a comfort: the log has its own way to fail
            logs.error("session not counted", reason=type(error).__name__, **metrics.store_failed("sessions"))
            return
        if not outcome.allowed:
            raise RateLimitedError(retry_after_s=outcome.retry_after_s)
