"""The keys of one other issuer that are in force now, asked for as seldom as can be.

Whatever key ids tokens name, an issuer is asked about unknown ones once a minute at most; good keys outlive its
failures; and a request that can be decided with the keys at hand waits for nobody, but for the one that asks for newer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Any

from gatehouse import logs, metrics
from gatehouse.clock import Clock, Instant
from gatehouse.errors import AuthUnavailableError
from gatehouse.jwk_set import ForeignKey, KeySetError
from gatehouse.metric_names import KEY_AGE, KEY_FETCHES, Metric
from gatehouse.published_keys import STALE_S, Published, PublishedKeys

UNKNOWN_S = 60.0
"""How long an issuer is not asked about unknown key ids after it was asked about one. Those that it did not know need
not be listed: for that time no other one is looked for either, so a flood of them has nothing to fill."""
QUIET_S = 30.0
"""How long an issuer is not asked after it failed, with good keys at hand."""
EMPTY_QUIET_S = 2.0
"""The same with no keys at all: callers get 503 at once meanwhile."""
HURRY_S = 0.1
"""An attempt that ended so shortly before whoever began it stops waiting may have ended for that."""
_MOST_SAID = 1024

Sleep = Callable[[float], Awaitable[None]]


class ForeignKeys:
    """The keys behind one URL, in one process.

    Args:
        published: looks at them; the steady one of its clocks is that of deadlines.
        retry: how many seconds to wait before each further attempt, where there are no keys yet.
        sleep: waits for so many seconds.
        jitter: a number from 0 to 1, a new one each time.
    """

    def __init__(
        self,
        published: PublishedKeys,
        retry: tuple[float, ...] = (),
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Clock = random.random,
    ) -> None:
        self._published = published
        self._elapsed = published.elapsed
        self._retry = retry
        self._sleep = sleep
        self._jitter = jitter
        self._held: Published | None = None
        self._failed: Instant | None = None
        """When the issuer was last asked, if nothing good came of it."""
        self._sought: Instant | None = None
        """When it was last asked about a key id that was not known."""
        self._asked = 0
        """How often it has been asked, to an end."""
        self._looking: asyncio.Task[None] | None = None
        self._until = -inf
        """When the last of those who wait for the present look stops waiting."""

    async def key(self, kid: str, deadline: float | None = None) -> ForeignKey | None:
        """Return the key called *kid*; None if the issuer has none.

        Args:
            kid: what a token names.
            deadline: on the steady clock, when the request stops waiting.

        Raises:
            AuthUnavailableError: it cannot be said: there are no keys, or the issuer could not be asked about this one.
        """
        before = self._asked
        while not self._is_settled(kid, before):
            if await self._looked(kid, inf if deadline is None else deadline):
                continue
            if self._has(kid):  # good enough: an issuer that stalls is no reason to fail
                break
            raise AuthUnavailableError
        if self._held is None or not self._is_usable():
            raise AuthUnavailableError
        found = self._held.keys.get(kid)
        if found is None and self._failed is not None:
            raise AuthUnavailableError
        if found is None and self._asked > before:
            self._sought = self._elapsed.now()
        return found

    def _is_settled(self, kid: str, before: int) -> bool:
        """Say whether nothing is worth waiting for; *before* is how often the issuer had been asked when it began."""
        if self._asked > before:
            return True
        if self._has(kid):
            return self._is_fresh() or self._is_looking() or not self._may_ask(kid)
        return not (self._is_looking() or self._may_ask(kid))

    def _has(self, kid: str) -> bool:
        return self._held is not None and self._is_usable() and kid in self._held.keys

    def _is_fresh(self) -> bool:
        return self._held is not None and self._is_within(self._held.fresh_s, self._held.seen)

    def _is_usable(self) -> bool:
        return self._held is not None and self._is_within(self._held.fresh_s + STALE_S, self._held.seen)

    def _is_within(self, seconds: float, moment: Instant | None) -> bool:
        return moment is not None and self._elapsed.since(moment) < seconds

    def _is_looking(self) -> bool:
        """Say whether a look is under way, on this loop: what another loop left behind never comes to its end."""
        task = self._looking
        return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()

    def _may_ask(self, kid: str) -> bool:
        usable = self._is_usable()
        if self._is_within(QUIET_S if usable else EMPTY_QUIET_S, self._failed):
            return False
        return not usable or self._has(kid) or not self._is_within(UNKNOWN_S, self._sought)

    async def _looked(self, kid: str, deadline: float) -> bool:
        """Wait for the look that is under way, or begin one; return whether it came to an end before *deadline*.

        With a good key at hand half of the time is kept for the request itself. The look is a task of its own: that one
        client hangs up is nothing to the others.
        """
        left_s = deadline - self._elapsed.monotonic()
        if left_s <= 0:
            return False
        if self._looking is None or not self._is_looking():
            self._until = deadline
            self._looking = asyncio.get_running_loop().create_task(self._refresh(kid))
        self._until = max(self._until, deadline)
        patience_s = left_s / 2 if self._has(kid) else left_s
        done, _ = await asyncio.wait({self._looking}, timeout=None if patience_s == inf else patience_s)
        return bool(done)

    async def _refresh(self, kid: str) -> None:
        try:
            await self._renew(kid)
        except Exception as error:  # noqa: BLE001  # a defect: whoever waits must not begin the same again at once
            logs.crash("foreign keys not renewed", error, url=self._published.where)
            self._asked += 1
            self._failed = self._elapsed.now()

    async def _renew(self, kid: str) -> None:
        """Take newer keys from the shared copy, or else from the issuer."""
        copy = await self._published.shared()
        if copy and (self._held is None or copy.seen.wall > self._held.seen.wall):
            self._take(copy)
        if self._is_fresh() and self._has(kid):
            return
        if self._is_usable() and not self._has(kid):
            self._sought = self._elapsed.now()
        published = await self._asked_for()
        self._asked += 1
        if published is None:
            self._failed = self._elapsed.now()
            return
        self._take(published)
        logs.info(
            "foreign keys fetched", url=self._published.where, kids=_list(published.keys), **self._counted("fetched")
        )
        await self._published.share(published)

    async def _asked_for(self) -> Published | None:
        """Return what the issuer says, asked more than once where there is nothing else to go by and time is left."""
        waits = iter(() if self._is_usable() else self._retry)
        while True:
            until = self._until
            try:
                return await self._published.fetched(None if until == inf else until)
            except KeySetError as error:
                self._log("foreign keys refused", str(error), **self._counted("refused"))
            except Exception as error:  # noqa: BLE001  # whatever it is: good keys are kept, none means 503
                self._log("foreign keys not fetched", type(error).__name__, **self._counted("failed"))
            if self._elapsed.monotonic() > until - HURRY_S and self._until > until:
                continue  # it was cut short for who asked first; others have more time
            pause_s = next(waits, inf) * (0.75 + self._jitter() / 2)
            if self._elapsed.monotonic() + pause_s >= self._until:
                return None
            await self._sleep(pause_s)

    def _take(self, published: Published) -> None:
        before = self._held
        self._held, self._failed = published, None
        if before and before.keys != published.keys:
            self._log("foreign keys changed", "the issuer has others", level="INFO", kids=_list(published.keys))

    def _counted(self, outcome: str) -> dict[str, Any]:
        """Return the members that count, by the line that says so, that the issuer was asked."""
        numbers: dict[Metric, float] = {KEY_FETCHES: 1}
        if self._held is not None:
            numbers[KEY_AGE] = round(self._elapsed.since(self._held.seen), 1)
        return metrics.embedded(numbers, issuer=self._published.host, outcome=outcome)

    def _log(self, message: str, reason: str, *, level: str = "ERROR", **fields: Any) -> None:
        logs.line(level, message, url=self._published.where, reason=reason, **fields)


def _list(kids: Iterable[str]) -> str:
    return ", ".join(sorted(kids))[:_MOST_SAID]
