"""The one reading of a request's path: what is matched is what is forwarded.

Whatever two servers could read in two ways is refused, in every encoding (CVE-2025-66490,
CVE-2026-48020 and their family). All else goes through byte for byte.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_to_bytes

from gatehouse.errors import BadPathError

MOST_LAYERS = 8
"""How many times over a path may be percent-encoded before nobody can mean it."""

_SAFE = "/%:@!$&'()*+,;=-._~"
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f/\\?#]")
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/")
_BAD_QUERY = re.compile(r"[\x00-\x20\x7f#]")


@lru_cache(maxsize=2048)
def canonical(raw: str) -> str:
    """Return *raw*, a request's path as the client sent it, in the form that is matched and forwarded.

    Bytes that a URI cannot hold (RFC 3986 section 3.3) come out percent-encoded; the rest is untouched.

    Raises:
        BadPathError: dot segments, encoded separators or control characters, at any depth of
            encoding; empty segments; broken escapes; bytes that are not UTF-8.
    """
    if _PLAIN.fullmatch(raw):
        return raw
    if not raw.startswith("/"):
        raise BadPathError("The path must start with '/'.")
    # Before decoding: a raw byte and an escape beside it can make one character between them ('%C3' and A9).
    if not _is_text(raw):
        raise BadPathError("The path is not valid UTF-8.")
    if _BROKEN_ESCAPE.search(raw):
        raise BadPathError("The path holds a '%' that is not followed by two hexadecimal digits.")
    segments = raw[1:].split("/")
    if "" in segments[:-1]:
        raise BadPathError("The path holds an empty segment ('//').")
    for segment in segments:
        _check(segment)
    return quote(raw, safe=_SAFE)


def _is_text(raw: str) -> bool:
    try:
        raw.encode()
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=2048)
def loosely(path: str) -> str:
    """Return *path* (canonical) as the loosest upstream might read it: decoded, without parameters, in lower case."""
    return "/".join(_decoded(segment).partition(";")[0] for segment in path.split("/")).lower()


def _decoded(segment: str) -> str:
    """Return *segment* decoded as often as it goes; `canonical` has made sure that this is not often."""
    for _ in range(MOST_LAYERS):
        decoded = unquote(segment, errors="replace")
        if decoded == segment:
            break
        segment = decoded
    return segment


def _check(segment: str) -> None:
    data = segment.encode()
    for _ in range(MOST_LAYERS):
        decoded = unquote_to_bytes(data)
        _check_decoded(decoded)
        if decoded == data or not _ESCAPE.search(decoded):
            return
        data = decoded
    raise BadPathError("The path is percent-encoded too many times over.")


def _check_decoded(segment: bytes) -> None:
    if _FORBIDDEN.search(segment):
        raise BadPathError(
            "The path holds a slash, backslash, '?', '#' or control character where it could be misread."
        )
    # Java servers cut path parameters off first: '..;x' is '..' to them, and ';x' an empty segment.
    if segment and segment.partition(b";")[0] in {b"", b".", b".."}:
        raise BadPathError("The path holds a dot segment ('.' or '..'), or nothing but a parameter.")
    try:
        segment.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadPathError("The path is not valid UTF-8.") from error


def check_query(raw: str) -> str:
    """Return *raw*, a query without its '?', with bytes that a URI cannot hold percent-encoded.

    Raises:
        BadPathError: control characters, spaces or '#'.
    """
    if _BAD_QUERY.search(raw):
        raise BadPathError("The query holds a space, '#' or control character; percent-encode it.")
    if raw.isascii():
        return raw
    return quote(raw.encode("utf-8", "surrogateescape"), safe="%/?:@!$&'()*+,;=-._~[]\"<>^`{|}\\")
