"""Shared secrets that nobody should trust: too short, too plain, or printed in somebody's documentation."""

from __future__ import annotations

LEAST_SECRET_BYTES = 32
"""RFC 7518 section 3.2: a key of at least the hash's size."""
LEAST_DISTINCT = 8
"""Different bytes. Of 32 hexadecimal digits by chance, fewer than these are seen once in 28 million times."""
LONGEST_WORD = 12
"""A secret that is a word of at most so many characters over and over is worth no more than the word."""

PLACEHOLDERS = (
    # What documentation tells people to replace, however they write it; compared as letters and digits only.
    "changeme", "change-this", "change-it", "change-in-production", "to-change-in", "bXktc2VjcmV0LXRva2VuLXRvLWNoYW5nZ",
    "replace-me", "replace-this", "replace-it-with-your-own", "placeholder", "insert-your",
    "your-secret", "your-jwt-secret", "your-key-here", "your-very-", "my-secret-key", "my-jwt-secret", "super-secret",
    "256-bit-secret", "384-bit-secret", "512-bit-secret", "nextauth-secret", "django-insecure", "this-is-a-secret",
    # The keys of well-known manuals and tutorials, by how they begin.
    "a-string-secret-at-least-256-bits-long",  # jwt.io
    "a-valid-string-secret-that-is-at-least-512-bits-long",  # jwt.io
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI
    "192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf",  # Flask
    "C50k0bcahDhLNhLKSUBSR1OMiFGzNZ7X", "YJdmaDvVTJxtcWRCvkMikc8oELgAVNcz",  # Kong
    "3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF",  # Hasura
    "really-really-really-really",  # PostgREST
    "255d861b-5ea1-5996-9aa3-922530ec40b1", "6116487b-cda1-52c2-b5b5-c8022c45e263",  # Directus
    "404E635266556A586E3272357538782F", "BezKoder",  # Spring
    "ByYM000OLlMQG6VVVp1OH7Xzyr7gHuw1qvUC5dcGt3SNM",  # ASP.NET
    "this-is-used-to-sign-and-verify", "this-is-my-custom-secret-key",  # ASP.NET
)  # fmt: skip
HOW_TO_MAKE = "make a secret with: openssl rand -base64 48"


def weakness(secret: str) -> str:
    """Return why nobody should trust *secret*, or an empty text."""
    reason = _weakness(secret)
    return f"{reason}; {HOW_TO_MAKE}" if reason else ""


def is_placeholder(secret: str) -> bool:
    """Say whether *secret* is what somebody's documentation says to replace, or nothing at all."""
    plain = _plain(secret)
    return not plain or plain in _BARE or any(word in plain for word in _KNOWN)


def _weakness(secret: str) -> str:
    plain = _plain(secret)
    if any(word in plain for word in _KNOWN):
        return "is a placeholder"
    if any("\ud800" <= char <= "\udfff" for char in secret):
        return "holds half a character"
    if "-----BEGIN" in secret:  # a public key, perhaps: with it as a shared secret everybody could sign
        return "is a PEM, which belongs to a key of another algorithm"
    return _plainness(secret.encode())


def _plainness(data: bytes) -> str:
    if len(data) < LEAST_SECRET_BYTES:
        return f"is shorter than {LEAST_SECRET_BYTES} bytes"
    if len(set(data)) < LEAST_DISTINCT:
        return f"has fewer than {LEAST_DISTINCT} different bytes"
    if any(data[length:] == data[:-length] for length in range(1, LONGEST_WORD + 1)):
        return "is one word over and over"
    return ""


def _plain(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())


_KNOWN = tuple(_plain(word) for word in PLACEHOLDERS)
_BARE = frozenset({
    "apikey", "dummy", "example", "key", "none", "null", "password", "secret", "tbd", "test", "todo", "token", "xxx",
})  # fmt: skip
"""Too common within real secrets to be looked for there, and no secret on their own."""
