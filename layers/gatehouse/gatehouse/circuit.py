"""A circuit per service: one that fails again and again is left alone for a while, instead of waited for each time.

Three failures in a row open it. Nobody asks the service then for OPEN_S; after that one may try at a time, and the
first answer closes it. What was asked before it opened and fails later says nothing new and counts for nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from gatehouse.clock import Elapsed, Instant
from gatehouse.errors import AuthUnavailableError

MOST_FAILURES = 3
OPEN_S = 5.0
TRIAL_S = 10.0
"""A trial that takes longer than any question may has gone with its event loop: the next one may try."""
MOST_SERVICES = 256


class CutShortError(Exception):
    """An attempt that was given no fair time, or no fair chance: how it ended says nothing about the service."""


class Circuit:
    """The circuit of one service."""

    def __init__(self, elapsed: Elapsed) -> None:
        self._elapsed = elapsed
        self._failures = 0
        self._opened: Instant | None = None
        self._trial: Instant | None = None
        self._era = 0
        """Goes on with each change between open and closed, so that late failures are told from present ones."""

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Ask the service inside. An exception is a failure, but for CutShortError and a cancellation.

        Raises:
            AuthUnavailableError: the service is left alone now; what stands inside does not begin.
        """
        trial = self._enter()
        era = self._era
        try:
            yield
        except CutShortError:
            raise
        except Exception:
            if era == self._era:
                self._fail()
            raise
        else:
            self._succeed()
        finally:
            if trial is not None and trial is self._trial:
                self._trial = None

    def _enter(self) -> Instant | None:
        """Return the moment at which a trial begins; None where the circuit is closed and this is not one."""
        if self._opened is None:
            return None
        if self._elapsed.since(self._opened) < OPEN_S:
            raise AuthUnavailableError
        if self._trial is not None and self._elapsed.since(self._trial) < TRIAL_S:
            raise AuthUnavailableError
        self._trial = self._elapsed.now()
        return self._trial

    def _fail(self) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._opened = self._elapsed.now()
            self._era += 1

    def _succeed(self) -> None:
        self._failures = 0
        if self._opened is not None:
            self._opened = None
            self._era += 1


class Circuits:
    """The circuits of a process, one for each service that it asks; several who ask share them.

    Args:
        elapsed: what says how much time has passed.
    """

    def __init__(self, elapsed: Elapsed) -> None:
        self._elapsed = elapsed
        self._circuits: OrderedDict[str, Circuit] = OrderedDict()

    def of(self, service: str) -> Circuit:
        """Return the circuit of *service*, by the name that questions give it; the one used longest ago makes room."""
        circuit = self._circuits.get(service)
        if circuit is None:
            circuit = self._circuits[service] = Circuit(self._elapsed)
            if len(self._circuits) > MOST_SERVICES:
                self._circuits.popitem(last=False)
        self._circuits.move_to_end(service)
        return circuit
