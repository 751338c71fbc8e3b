"""How many passwords may be tried: so many per username and so many per address, whichever is used up first.

Every attempt is charged before its password is looked at, so that guesses side by side cannot slip through, and a
right password gets its charge back. Nobody can lock an administrator out by failing in their name: a place from which
they have logged in within the last 30 days has a bucket of its own for them.

This one fails closed: where nothing can be counted, nobody logs in. Buckets are kept under SHA-256 of what they are
about, and there is one for a username whether somebody has it or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from gatehouse import logs, metrics
from gatehouse.addresses import site
from gatehouse.clock import Clock
from gatehouse.errors import AuthUnavailableError, RateLimitedError
from gatehouse.gcra import US, Rate


class Outcome(Protocol):
    """What a bucket said."""

    @property
    def allowed(self) -> bool:
        """Whether there was one left."""
        ...

    @property
    def retry_after_s(self) -> float:
        """In how many seconds there will be, if there was not."""
        ...


class Buckets(Protocol):
    """Where attempts are counted; `stores.limits.Limits` is one."""

    def take(self, key: str, rate: Rate, now_us: int) -> Outcome:
        """Take one from the bucket *key*, if there is one left."""
        ...

    def give_back(self, key: str, rate: Rate, now_us: int) -> None:
        """Put one back."""
        ...


class Places(Protocol):
    """Where it is kept from where somebody has logged in; `stores.places.LoginPlaces` is one."""

    def knows(self, place: str, now_s: float) -> bool:
        """Say whether there was a login from *place* lately."""
        ...

    def remember(self, place: str, now_s: float) -> None:
        """Keep that there was one now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRates:
    """How many attempts may fail."""

    user: Rate
    address: Rate


class LoginLimits:
    """The limits of one deployment. Blocks; use it from a thread.

    Args:
        buckets: where attempts are counted.
        places: where it is kept from where somebody has logged in.
        rates: how many may fail.
        clock: seconds since the epoch.
    """

    def __init__(self, buckets: Buckets, places: Places, rates: LoginRates, clock: Clock) -> None:
        self._buckets = buckets
        self._places = places
        self._rates = rates
        self._now = clock

    @contextmanager
    def charged(self, username: str, client_ip: str) -> Iterator[None]:
        """Charge an attempt to log in as *username* from *client_ip*; what stands inside looks at the password.

        Leaving it without an exception is a login: the charge is given back. An AuthUnavailableError from inside says
        that nobody looked at the password, and gives it back as well.

        Raises:
            RateLimitedError: there were too many; the password must not be looked at.
            AuthUnavailableError: they cannot be counted.
        """
        place = _digest(f"{username}\n{site(client_ip)}")
        try:
            charges = self._charge(username, client_ip, place)
        except RateLimitedError:
            raise
        except Exception as error:
            logs.error("login attempt not counted", reason=type(error).__name__, **metrics.store_failed("logins"))
            raise AuthUnavailableError from error
        try:
            yield
        except AuthUnavailableError:
            self._give_back(charges)
            raise
        self._give_back(charges)
        self._remember(place)

    def _charge(self, username: str, client_ip: str, place: str) -> list[tuple[str, Rate]]:
        """Return which buckets the attempt was taken from."""
        address = (f"login-address#{_digest(site(client_ip))}", self._rates.address)
        user = (f"login-user#{_digest(username)}", self._rates.user)
        at_home = (f"login-place#{place}", self._rates.user)
        refused = self._take(address)
        if refused:
            raise _too_many("from this address", refused)
        refused = self._take(user)
        if not refused:
            return [address, user]
        # Asked for whoever is not a user too: the answer must not take longer for those who are.
        if not self._places.knows(place, self._now()):
            raise _too_many("for this username", refused)
        refused = self._take(at_home)
        if refused:
            raise _too_many("for this username", refused)
        return [address, at_home]

    def _take(self, bucket: tuple[str, Rate]) -> Outcome | None:
        """Take one from *bucket*; return what it said if it refused."""
        outcome = self._buckets.take(*bucket, int(self._now() * US))
        return None if outcome.allowed else outcome

    def _give_back(self, charges: list[tuple[str, Rate]]) -> None:
        try:
            for key, rate in charges:
                self._buckets.give_back(key, rate, int(self._now() * US))
        except Exception as error:  # noqa: BLE001  # who has logged in has; their next attempts have fewer left
            logs.error("login attempt not given back", reason=type(error).__name__)

    def _remember(self, place: str) -> None:
        try:
            self._places.remember(place, self._now())
        except Exception as error:  # noqa: BLE001  # the same; the next login tries again
            logs.error("place of a login not kept", reason=type(error).__name__)


def _too_many(where: str, refused: Outcome) -> RateLimitedError:
    message = (
        f"Too many failed logins {where}. Wait for as many seconds as the Retry-After header says, then try again."
    )
    return RateLimitedError(message, retry_after_s=refused.retry_after_s)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
