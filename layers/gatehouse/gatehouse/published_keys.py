"""One look at the keys that another issuer publishes: at the issuer itself, and at the copy that processes share.

When to look, and who waits for it, is decided in `foreign_keys`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit

from gatehouse import jwk_set
from gatehouse.asking import Asking, Question, Shared
from gatehouse.clock import Elapsed, Instant
from gatehouse.errors import AuthUnavailableError
from gatehouse.headers import Headers
from gatehouse.jwk_set import Keys, KeySetError

LEAST_FRESH_S = 300.0
STALE_S = 86_400.0
"""How much longer than they are fresh keys are used while no newer ones can be had."""
SKEW_S = 60.0
"""How far the clocks of processes may differ."""
_OK = 200
_MAX_AGE = re.compile(r'max-age="?([0-9]{1,9})"?', re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The keys that an issuer had at one moment.

    Attributes:
        keys: the usable ones.
        text: the whole set, as it came.
        seen: when it was asked for.
        fresh_s: for how many seconds from then nobody needs to ask again.
    """

    keys: Keys = field(repr=False)
    text: str = field(repr=False)
    seen: Instant
    fresh_s: float


class PublishedKeys:
    """The keys behind one URL.

    Args:
        url: where the issuer publishes them.
        ask: asks it.
        shared: where processes keep a copy for each other.
        elapsed: the clocks.
        fresh_s: how long keys are fresh at most.
    """

    def __init__(self, url: str, ask: Asking, shared: Shared, elapsed: Elapsed, *, fresh_s: float) -> None:
        self.where = url.partition("?")[0]
        self.host = urlsplit(url).netloc.rpartition("@")[2]
        """The URL as it may be logged."""
        self.elapsed = elapsed
        self._url = url
        self._ask = ask
        self._shared = shared
        self._fresh_s = fresh_s
        self._name = f"keys#{sha256(url.encode()).hexdigest()}"

    async def fetched(self, deadline: float | None) -> Published:
        """Return what the issuer publishes now.

        Raises:
            AuthUnavailableError: it did not answer, or not with 200.
            KeySetError: what it answered is no set to believe.
        """
        seen = self.elapsed.now()
        answer = await self._ask(Question(method="GET", url=self._url), deadline)
        if answer.status != _OK:
            raise AuthUnavailableError
        try:
            text = answer.body.decode("utf-8")
        except ValueError as error:
            raise KeySetError("it is not UTF-8") from error
        fresh_s = freshness_s(answer.headers, self._fresh_s)
        return Published(keys=jwk_set.parse(text), text=text, seen=seen, fresh_s=fresh_s)

    async def shared(self) -> Published | None:
        """Return the copy that processes share, if there is one that can be read."""
        found = await self._shared.read(self._name)
        if found is None:
            return None
        try:
            copy = json.loads(found[0])
            at, fresh_s, text = float(copy["at"]), float(copy["fresh_s"]), copy["set"]
            keys = jwk_set.parse(text)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, KeySetError):
            return None
        if not (math.isfinite(fresh_s) and 0 <= at <= self.elapsed.wall() + SKEW_S):
            return None  # from a clock that is far ahead it would be new for ever
        return Published(keys=keys, text=text, seen=self._then(at), fresh_s=min(fresh_s, self._fresh_s))

    async def share(self, published: Published) -> None:
        """Leave a copy of *published* for other processes, for as long as it may be used."""
        copy = {"at": published.seen.wall, "fresh_s": published.fresh_s, "set": published.text}
        await self._shared.write(self._name, json.dumps(copy), published.seen.wall + published.fresh_s + STALE_S)

    def _then(self, wall: float) -> Instant:
        """Return the moment *wall* on both clocks; what another process's clock puts into the future is now."""
        now = self.elapsed.now()
        ago_s = max(0.0, now.wall - wall)
        return Instant(now.wall - ago_s, now.monotonic - ago_s)


def freshness_s(headers: Headers, most_s: float) -> float:
    """Return for how many seconds an answer with *headers* is fresh: what its `max-age` says, within bounds.

    At least LEAST_FRESH_S, so that no issuer is asked at every request; at most *most_s* (RFC 9111 section 5.2.2.1).
    """
    directives = [part.strip(" \t").lower() for value in headers.get_all("cache-control") for part in value.split(",")]
    ages = [int(said[1]) for said in map(_MAX_AGE.fullmatch, directives) if said]
    unwilling = any(directive in {"no-store", "no-cache"} for directive in directives)
    return max(LEAST_FRESH_S, min([most_s, *ages, *([0.0] if unwilling else [])]))
