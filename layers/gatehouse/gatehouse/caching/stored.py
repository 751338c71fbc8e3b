"""One answer as the cache keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatehouse.headers import Headers

OVERHEAD_BYTES = 1024
"""What an answer takes in memory beside its body, about."""
FIELD_BYTES = 200
"""What a field takes beside its text, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An answer, and all that decides whether it may be given to the next who asks.

    Attributes:
        status: of the answer.
        headers: its fields, less those that are about one connection or one request (RFC 9111 section 3.1).
        body: all of it.
        asked_at: when the request for it left, in seconds since the epoch.
        answered_at: when its head came, in seconds since the epoch.
        age_s: how old it was then (RFC 9111 section 4.2.3, corrected_initial_age).
        lifetime_s: how old it may be and still be fresh (section 4.2.1).
        stale_if_error_s: how long after that it may stand in for a failure (RFC 5861 section 4).
        stale_while_revalidate_s: how long after that it may be given while it is asked for anew (RFC 5861 section 3).
        no_cache: whether it is asked about every time, fresh or not (section 5.2.2.4).
        strict: whether it may never be given stale (sections 5.2.2.2, 5.2.2.8 and 5.2.2.10).
        names: the fields that its `Vary` names, in lower case, sorted.
        variant: the SHA-256, in hex, of what the upstream saw under them; empty without names.
        generation: the number of the project's last purge that was known when it was asked for.
    """

    status: int
    headers: Headers
    body: bytes = field(repr=False)
    asked_at: float
    answered_at: float
    age_s: float = 0.0
    lifetime_s: float = 0.0
    stale_if_error_s: float = 0.0
    stale_while_revalidate_s: float = 0.0
    no_cache: bool = False
    strict: bool = False
    names: tuple[str, ...] = ()
    variant: str = ""
    generation: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether it only says that what was kept here before is not given any more."""
        return not self.headers.pairs

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, about."""
        fields = sum(FIELD_BYTES + len(name) + len(value) for name, value in self.headers.pairs)
        return OVERHEAD_BYTES + len(self.body) + fields
