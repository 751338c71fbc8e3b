"""What commands work with: the stores of one gateway, its projects, and who it is that gives the command."""

from __future__ import annotations

import asyncio
import getpass
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property, partial

from gatehouse import keys
from gatehouse.audit import Operator, Result, audit, result_of
from gatehouse.cli.place import OUTPUTS, Place
from gatehouse.cli.problems import MisuseError, RefusedError
from gatehouse.errors import GatewayError
from gatehouse.keys import KeyRing, KeyRingError
from gatehouse.kit import Kit
from gatehouse.projects import Projects, load
from gatehouse.registry import Record
from gatehouse.revocations import RevocationSet
from gatehouse.rotation import RotationError
from gatehouse.stores import secrets
from gatehouse.stores.admins import AdminRecords
from gatehouse.stores.clients import client
from gatehouse.stores.purge_log import PurgeLog
from gatehouse.stores.token_registry import TokenRegistry
from gatehouse.taking_back import TakingBack, is_active

VARIABLES = {
    "tokens_table": "TOKENS_TABLE",
    "cache_table": "CACHE_TABLE",
    "admins_bucket": "ADMINS_BUCKET",
    "secret_arn": "GATEWAY_SECRET_ARN",
}


@dataclass(frozen=True)
class Gate:
    """One gateway, as an operator has it."""

    place: Place

    @cached_property
    def kit(self) -> Kit:
        """The functions' own collaborators."""
        return Kit(self.place.settings)

    @cached_property
    def projects(self) -> Projects:
        """The projects, from their files.

        Raises:
            MisuseError: there is no such folder.
        """
        folder = self.place.settings.projects_dir
        if not folder.is_dir():
            raise MisuseError(f"there is no folder {folder}; say --projects DIR: the folder with the project files")
        return load(folder, os.environ)

    @property
    def registry(self) -> TokenRegistry:
        """The registry of service tokens."""
        self._need("tokens_table")
        return self.kit.registry

    @property
    def purge_log(self) -> PurgeLog:
        """What was thrown away of the cache."""
        self._need("cache_table")
        return self.kit.purge_log

    @property
    def admins(self) -> AdminRecords:
        """The admin records."""
        self._need("admins_bucket")
        return self.kit.admins

    @property
    def taking_back(self) -> TakingBack:
        """What revokes."""
        self._need("tokens_table")
        return TakingBack(self.kit, self.now)

    @property
    def secret_arn(self) -> str:
        """The ARN of the secret."""
        self._need("secret_arn")
        return self.place.settings.secret_arn

    def ring(self) -> KeyRing:
        """Return the key ring as it is now.

        Raises:
            KeyRingError: the secret holds none.
        """
        return keys.parse(secrets.read(self.secret_arn))

    def revoked(self) -> RevocationSet:
        """Return everything that has been revoked."""
        self._need("tokens_table")
        known = RevocationSet()
        known.add(asyncio.run(self.kit.revocation_log.since(0)))
        return known

    def good(self) -> Callable[[Record], bool]:
        """Return what says of a record whether its token is good now."""
        return partial(is_active, known=self.revoked(), now=self.now(), kids=self.ring().keys.keys())

    @cached_property
    def operator(self) -> str:
        """Who gives the command: as AWS knows them, or as this machine does."""
        if not self.place.is_local:
            try:
                arn: str = client("sts").get_caller_identity()["Arn"]
            except Exception:  # noqa: BLE001  # no reason not to do it: what it was is seen when it is done
                return _person()
            return arn
        return _person()

    def end_of_this_second(self) -> float:
        """Return the first moment whose tokens are not of before: see `now`.

        A token's `iat` has no fractions, so all that was issued in this second counts as issued before.
        """
        return math.floor(self.now()) + 1.0

    def now(self) -> float:
        """Return the time, in seconds since the epoch; where this machine's clock is behind AWS's, by that one.

        What is revoked is what was issued before now, by clocks that are AWS's: none of it must slip through.
        """
        return time.time() + self._behind_s

    @cached_property
    def _behind_s(self) -> float:
        """How far this machine's clock is behind AWS's, in seconds; 0 if AWS does not say."""
        try:
            answer = client("s3").head_bucket(Bucket=self.place.settings.admins_bucket)
            date: str = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
        except Exception:  # noqa: BLE001  # this machine's clock has to do
            return 0.0

    @contextmanager
    def audited(self, action: str, **what: object) -> Iterator[dict[str, object]]:
        """Write one audit line about what stands inside, with *what* and with what it puts into the mapping."""
        result: Result = "ok"
        try:
            yield what
        except BaseException as error:
            result = _result(error)
            raise
        finally:
            audit(action, who=Operator(self.operator), source_ip="", result=result, request_id="", **what)

    def _need(self, setting: str) -> None:
        if not getattr(self.place.settings, setting):
            raise MisuseError(
                f"{VARIABLES[setting]} is not set; this command needs it beside {', '.join(OUTPUTS.values())}"
            )


def _person() -> str:
    try:
        return f"{getpass.getuser()}@local"
    except (OSError, KeyError, ImportError):  # a user without a name, in a container
        return "operator@local"


def _result(error: BaseException) -> Result:
    if isinstance(error, RefusedError | RotationError | KeyRingError):
        return "refused"
    return result_of(error) if isinstance(error, GatewayError) else "failed"
