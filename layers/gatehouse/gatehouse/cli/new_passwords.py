"""Passwords that are being made: asked for where nobody sees them, and refused if anybody would guess them."""

from __future__ import annotations

import sys

from gatehouse.cli.hidden import asked_twice
from gatehouse.cli.problems import RefusedError
from gatehouse.logins import LONGEST_PASSWORD

LEAST = 12
LEAST_DISTINCT = 5
COMMON = (
    "password", "passwort", "passw0rd", "p@ssword", "letmein", "welcome", "qwerty", "qwertz", "azerty", "iloveyou",
    "changeme", "gatehouse", "administrator", "admin", "abcdefgh", "12345678", "87654321", "11111111", "00000000",
)  # fmt: skip
LEAST_WORD = 3
LEAST_BESIDE = 8
"""So many characters must be left of a password without what everybody would try first."""


def weakness(password: str, username: str) -> str:
    """Return why *password* is none for *username*, or an empty text. It never repeats the password."""
    if len(password) < LEAST:
        return f"a password needs at least {LEAST} characters; take three or four words"
    if len(password) > LONGEST_PASSWORD:
        return f"a password has at most {LONGEST_PASSWORD} characters"
    if any("\ud800" <= char <= "\udfff" for char in password):
        return "the password is not text in UTF-8"
    if len(set(password)) < LEAST_DISTINCT:
        return f"the password has fewer than {LEAST_DISTINCT} different characters"
    left = password.lower()
    for word in (username, *COMMON):
        left = left.replace(word, "") if len(word) >= LEAST_WORD else left
    if len(left) < LEAST_BESIDE:
        return "the password is what everybody would try first (the username, 'password', a row of keys)"
    return ""


def new(username: str, *, from_stdin: bool) -> str:
    """Return the new password of *username*: the first line of standard input, or asked for twice.

    Raises:
        MisuseError: there is no terminal to ask at.
        RefusedError: it is none.
    """
    password = _read() if from_stdin else asked_twice(f"New password of {username}", otherwise="--password-stdin")
    reason = weakness(password, username)
    if reason:
        raise RefusedError(reason)
    return password


def _read() -> str:
    return sys.stdin.readline().rstrip("\r\n")
