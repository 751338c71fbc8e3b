"""What is taken out of a text that somebody else wrote before the log repeats it: what looks like a token or a hash."""

from __future__ import annotations

import re

REDACTED = "(redacted)"
_SECRET = re.compile(
    r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_.-]*"  # a token in compact form: its header begins with {" (RFC 7515 section 3.1)
    r"|\$argon2[A-Za-z0-9+/=,$]*"
    r"|(?<![A-Za-z0-9+/])(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=)(?![A-Za-z0-9+/=])"  # SHA-256, in hex and in base64
)


def redacted(text: str) -> str:
    """Return *text* with REDACTED in place of tokens in compact form, Argon2 hashes, and SHA-256 in hex and base64."""
    return _SECRET.sub(REDACTED, text)
