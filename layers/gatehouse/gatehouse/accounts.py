"""Logging in: a username and a password in, an administrator out, or one and the same refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol

from gatehouse import logs, metrics, passwords
from gatehouse.errors import AuthUnavailableError, InvalidCredentialsError
from gatehouse.logins import USERNAME
from gatehouse.stores.admins import AdminRecord


@dataclass(frozen=True, slots=True)
class Account:
    """An administrator who has proved it."""

    username: str
    role: str


class Records(Protocol):
    """Where admin records are kept; `stores.admins.AdminRecords` is one."""

    def get(self, username: str) -> AdminRecord | None:
        """Return the record of *username*, or None."""
        ...

    def replace(self, record: AdminRecord) -> bool:
        """Write *record* over the version it was read from; False if somebody was faster."""
        ...


def log_in(records: Records, username: str, password: str) -> Account:
    """Return the account of *username*, if *password* is right. Blocks for as long as Argon2id takes.

    An old hash is replaced by a new one on the way; if that fails the login still counts.

    Raises:
        InvalidCredentialsError: wrong password or unknown user; both take the same time and read the same.
        AuthUnavailableError: the record could not be read.
    """
    if not re.fullmatch(USERNAME, username):
        passwords.spend(password)
        raise InvalidCredentialsError
    record = _read(records, username)
    if record is None:
        passwords.spend(password)
        raise InvalidCredentialsError
    if not passwords.verify(password, record.hash, record.salt):
        raise InvalidCredentialsError
    if not passwords.is_current(record.hash):
        _upgrade(records, record, password)
    return Account(record.username, record.role)


def _read(records: Records, username: str) -> AdminRecord | None:
    try:
        return records.get(username)
    except Exception as error:
        logs.error("admin record not read", reason=type(error).__name__, **metrics.store_failed("admins"))
        raise AuthUnavailableError from error


def _upgrade(records: Records, record: AdminRecord, password: str) -> None:
    new = replace(record, hash=passwords.hashed(password), salt="")
    try:
        written = records.replace(new)
    except Exception as error:  # noqa: BLE001  # the old hash stays good; the next login tries again
        logs.error("password hash not replaced", reason=type(error).__name__)
    else:
        logs.info("password hash replaced" if written else "password hash was replaced by somebody else")
