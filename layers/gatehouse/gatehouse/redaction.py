"""What is taken out of a text that somebody else wrote before the log repeats it: what looks like a token or a hash."""

from __future__ import annotations

import re
from urllib.parse import unquote

REDACTED = "(redacted)"
_COMPACT = r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]*+\.[A-Za-z0-9_.-]*+"
"""In compact form: its header begins with {" (RFC 7515 section 3.1). Possessive, for no client to make it take long."""
_ONE_TOKEN = re.compile(_COMPACT)
_SECRET = re.compile(
    _COMPACT + r"|\$argon2[A-Za-z0-9+/=,$]*"
    r"|(?<![A-Za-z0-9+/])(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=)(?![A-Za-z0-9+/=])"  # SHA-256, in hex and in base64
)
_QUERY = re.compile("%3f", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return *text* with REDACTED in place of tokens in compact form, Argon2 hashes, and SHA-256 in hex and base64."""
    return _SECRET.sub(REDACTED, text)


def redacted_path(path: str) -> str:
    """Return the raw *path* with REDACTED in place of tokens, and of a query that was encoded into it.

    It stays as it is where there is nothing to take out. A token that is percent-encoded is found, too: the path comes
    back decoded then.
    """
    if "eyJ" not in path and "%" not in path:  # nearly every path
        return path
    before, *query = _QUERY.split(path, maxsplit=1)
    plain = unquote(before)
    cleaned = _ONE_TOKEN.sub(REDACTED, plain)
    said = before if cleaned == plain else cleaned
    return f"{said}%3F{REDACTED}" if query else said
