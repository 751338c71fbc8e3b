"""The ids of our tokens (`jti`, RFC 7519 section 4.1.7).

A service token has a row in the registry, and a random id that says nothing. The tokens of logins and guests have no
row, so their ids say what whoever revokes one must know: which session it belongs to, and when it ends.

    24 hex digits  the session: the same in every token that it was refreshed to
     8 hex digits  this token
     8 hex digits  when it ends, in seconds since the epoch
     8 hex digits  CRC-32 of what stands before, so that a slip of the hand is not taken for an id
"""

from __future__ import annotations

import re
import secrets
import zlib
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

LATEST = (1 << 32) - 1
FORM = r"[A-Za-z0-9._:-]{1,128}"
"""What ids look like that can be revoked, other systems' too: short enough for a key, and nothing to be escaped."""
_FORM = re.compile(r"([0-9a-f]{24})([0-9a-f]{8})([0-9a-f]{8})([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class SessionTokenId:
    """What the id of a login's or guest's token says."""

    session: str
    ends_at: int

    @classmethod
    def read(cls, jti: str) -> Self | None:
        """Return what *jti* says; None if it is not an id of this form."""
        form = _FORM.fullmatch(jti)
        if not form or int(form[4], 16) != zlib.crc32(jti[:40].encode()):
            return None
        return cls(form[1], int(form[3], 16))


def for_session(ends_at: int, session: str = "") -> str:
    """Return a new id for a token of *session* (a new one if empty) that ends at *ends_at*."""
    text = f"{session or secrets.token_hex(12)}{secrets.token_hex(4)}{min(ends_at, LATEST):08x}"
    return f"{text}{zlib.crc32(text.encode()):08x}"


def for_service() -> str:
    """Return a new id for a service token."""
    return secrets.token_hex(16)


def session_of(jti: str) -> str:
    """Return the session that the token with the id *jti* belongs to; for an id of another form, one made from it."""
    read = SessionTokenId.read(jti)
    return read.session if read else sha256(jti.encode()).hexdigest()[:24]


def of_text(token: str) -> str:
    """Return what stands for the id of a *token* that has none, as those of the metacogna gateway.

    The text of a verified token is as good as an id: a signature with a shared secret has one form only.
    """
    return f"sha256:{sha256(token.encode()).hexdigest()}"
