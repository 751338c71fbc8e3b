"""What services say about credentials, read out of their answers: tokens, ids and moments, each in one way only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

from gatehouse import canonical
from gatehouse.asking import Answer
from gatehouse.jose import MOST_BYTES

TOKEN_HEADER = "set-auth-jwt"  # noqa: S105  # its name
TOKEN_MEMBERS = ("jwt", "token", "accessToken")
_VERIFIED = ("emailVerified", "email_verified")
MOST_ID = 256
MOST_EMAIL = 320
LATEST_S = 1e11
"""The year 5138 in seconds; larger numbers are milliseconds."""
MOST_S = 1e15
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class UnclearAnswerError(ValueError):
    """An answer that decides nothing; the text says why, and holds nothing of the answer."""


@dataclass(frozen=True, slots=True)
class Jwt:
    """A token that a service gave for a caller. It is not verified: it is believed because the service gave it."""

    text: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def until(self) -> float:
        """Until when it is good, in seconds since the epoch: its `exp` (RFC 7519 section 4.1.4).

        Raises:
            UnclearAnswerError: `exp` is no moment.
        """
        expires = self.claims.get("exp")
        if expires is None:
            return inf
        if not _is_number(expires):
            raise UnclearAnswerError("a token whose exp is no number")
        return float(expires)


def document_of(answer: Answer) -> dict[str, Any] | None:
    """Return the JSON object that *answer* holds; None if it holds `null`.

    Raises:
        UnclearAnswerError: it holds something else: whatever answered, it is not the service that was asked.
    """
    if answer.body.strip() == b"null":
        return None
    try:
        return canonical.json_object(answer.body)
    except ValueError as error:
        raise UnclearAnswerError("no JSON object") from error


def jwt(text: object) -> Jwt | None:
    """Return *text* as a token if it has the form of one (RFC 7515 section 7.1, canonical), or None."""
    if not isinstance(text, str) or len(text) > MOST_BYTES or not _JWT.fullmatch(text):
        return None
    try:
        header, claims, _ = (canonical.decoded(part) for part in text.split("."))
        algorithm = canonical.json_object(header).get("alg")
        return Jwt(text, canonical.json_object(claims)) if isinstance(algorithm, str) else None
    except ValueError:
        return None


def token_of(answer: Answer, document: Mapping[str, Any], *never: str) -> Jwt | None:
    """Return the token for services that *answer*, whose body is *document*, brings along; None if there is none.

    It is in the header `set-auth-jwt`, or at the top of the body as `jwt`, `token` or `accessToken`. What is called a
    token deeper inside, as in better-auth's `session`, is the credential itself.

    Args:
        answer: the answer.
        document: what its body holds.
        never: the credential, which is no token for others even if it looks like one.
    """
    said = (answer.headers.get(TOKEN_HEADER), *(document.get(name) for name in TOKEN_MEMBERS))
    found = (jwt(one) for one in said if one and one not in never)
    return next((one for one in found if one is not None), None)


def member(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object called *name* in *document*; an empty one if there is none.

    Raises:
        UnclearAnswerError: it is something else.
    """
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnclearAnswerError(f"{name} is no object")
    return value


def id_in(document: Mapping[str, Any], *names: str) -> str:
    """Return the id in *document* under the first of *names* that has one, as text; empty if none has.

    Raises:
        UnclearAnswerError: what is there is no id: a text or a whole number of 1 to MOST_ID printable characters.
    """
    value = next((document[name] for name in names if document.get(name) is not None), None)
    if value is None:
        return ""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text or len(text) > MOST_ID or not text.isprintable() or text != text.strip():
        raise UnclearAnswerError(f"{names[0]} is no id")
    return text


def email_in(document: Mapping[str, Any]) -> str:
    """Return the `email` of the user *document*; empty if there is none, or it was never verified."""
    value = document.get("email") if all(document.get(name, True) is True for name in _VERIFIED) else None
    fits = isinstance(value, str) and len(value) <= MOST_EMAIL and value.isprintable()
    return str(value) if fits else ""


def until_in(document: Mapping[str, Any], *names: str) -> float:
    """Return until when *document* holds by the first of *names* that is there, in seconds since the epoch.

    Raises:
        UnclearAnswerError: what is there is no moment: ISO 8601 (UTC if it does not say), seconds or milliseconds.
    """
    value = next((document[name] for name in names if document.get(name) is not None), None)
    if value is None:
        return inf
    if _is_number(value):
        return float(value) / (1000 if value > LATEST_S else 1)
    try:
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise UnclearAnswerError(f"{names[0]} is no moment") from error


def _is_number(value: Any) -> bool:
    """Say whether *value* is a number that a moment can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MOST_S < value < MOST_S
