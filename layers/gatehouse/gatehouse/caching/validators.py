"""Asking whether an answer is still good, and being asked (RFC 9111 section 4.3, RFC 9110 section 13)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gatehouse.caching.http_dates import moment
from gatehouse.caching.stored import Stored
from gatehouse.headers import Headers, Pair
from gatehouse.hygiene import spelling

NOT_OF_A_CACHE = ("if-match", "if-unmodified-since", "if-range", "range")
"""What only the upstream can judge."""
CONDITIONS = ("if-none-match", "if-modified-since")
TOLD_AGAIN = frozenset({
    "access-control-allow-credentials", "access-control-allow-origin", "access-control-expose-headers", "age",
    "cache-control", "cache-status", "content-location", "date", "etag", "expires", "last-modified", "vary",
})  # fmt: skip
"""What a 304 repeats of the answer that it stands for (RFC 9110 section 15.4.5)."""
_OF_THE_BODY = frozenset({"content-encoding", "content-length", "content-range"})
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def plain(headers: Headers) -> Headers:
    """Return *headers* of a request without its conditions, in whatever spelling: what is kept has to be whole."""
    return Headers(tuple(pair for pair in headers.pairs if spelling(pair[0]) not in CONDITIONS))


def asking(headers: Headers, stored: Stored | None) -> Headers:
    """Return *headers* of a request so that they ask whether *stored* is still good (RFC 9111 section 4.3.1)."""
    if stored is None:
        return plain(headers)
    tag, changed = stored.headers.get("etag"), stored.headers.get("last-modified")
    ours: list[Pair] = [("if-none-match", tag)] if _TAG.fullmatch(tag) else []
    ours += [("if-modified-since", changed)] if moment(changed) is not None else []
    return plain(headers).adding(ours)


def has_validator(headers: Headers) -> bool:
    """Say whether one can ask about an answer with *headers*."""
    return bool(_TAG.fullmatch(headers.get("etag"))) or moment(headers.get("last-modified")) is not None


def confirms(answer: Headers, stored: Stored) -> bool:
    """Say whether a 304 with *answer* as its fields is about *stored* (RFC 9111 section 4.3.4)."""
    tag, ours = answer.get("etag"), stored.headers.get("etag")
    if tag:
        return tag == ours if not tag.startswith("W/") else _opaque(tag) == _opaque(ours)
    changed = answer.get("last-modified")
    return not changed or changed == stored.headers.get("last-modified")


def describes(head: Headers, stored: Stored) -> bool | None:
    """Say whether *head*, the fields of an answer to HEAD, is about what *stored* holds (RFC 9111 section 4.3.5).

    None if it does not say: only a validator that is the same proves it.
    """
    said = [name for name in ("etag", "last-modified", "content-encoding", "content-length") if name in head]
    kept = stored.headers.replacing((("content-length", str(len(stored.body))),))
    if any(head.get(name) != kept.get(name) for name in said):
        return False
    return True if "etag" in said or "last-modified" in said else None


def updated(stored: Headers, newer: Headers) -> Headers:
    """Return the fields of a kept answer with those of a *newer* one about it (RFC 9111 section 3.2)."""
    replaced = [pair for pair in newer.pairs if pair[0] not in _OF_THE_BODY]
    return stored.without("age").replacing(replaced)


def is_not_modified(asked: Headers, kept: Headers, answered_at: float) -> bool:
    """Say whether a client that *asked* with conditions has what is kept already (RFC 9110 section 13.2.2).

    Args:
        asked: the request's fields.
        kept: those of the answer that it would get.
        answered_at: when that came, in seconds since the epoch: it stands in for a missing `Last-Modified`
            (RFC 9111 section 4.3.2).
    """
    if "if-none-match" in asked:
        return _listed(kept.get("etag"), asked.get_all("if-none-match"))
    since = moment(asked.get("if-modified-since"))
    if since is None or len(asked.get_all("if-modified-since")) > 1:
        return False
    changed = moment(kept.get("last-modified"))
    if changed is None:
        changed = moment(kept.get("date"))
    return (answered_at if changed is None else changed) <= since


def _listed(tag: str, lines: Iterable[str]) -> bool:
    """Say whether *tag* is among the tags in *lines*, compared weakly (RFC 9110 section 8.8.3.2)."""
    given = ", ".join(lines).strip()
    if given == "*":
        return True
    return bool(tag) and _opaque(tag) in {_opaque(one) for one in _TAG.findall(given)}


def _opaque(tag: str) -> str:
    return tag.removeprefix("W/")
