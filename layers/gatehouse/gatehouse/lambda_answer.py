"""How an answer fits into what a Lambda function may return: text as it is, bytes as base64, 6 MB in all."""

from __future__ import annotations

import json

MOST_ANSWER_BYTES = 6 * 1024 * 1024 - 64 * 1024
"""Lambda's 6 MB for a synchronous answer, less room for the headers and the envelope."""

CERTAINLY_FITS = 900 * 1024
"""A text this short fits however much of it has to be escaped (a byte becomes six at the most)."""

TEXT_TYPES = (
    "text/",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/x-ndjson",
    "application/x-www-form-urlencoded",
    "+json",
    "+xml",
    "+yaml",
)


def as_text(body: bytes, content_type: str, encoding: str) -> str | None:
    """Return *body* as the text it is; None if it has to travel as base64."""
    kind = content_type.lower()
    if encoding not in {"", "identity"} or not any(mark in kind for mark in TEXT_TYPES):
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def fits(body: bytes, content_type: str, encoding: str = "") -> bool:
    """Say whether *body* fits into a function's answer."""
    if len(body) <= CERTAINLY_FITS:
        return True
    text = as_text(body, content_type, encoding)
    size = len(body) * 4 // 3 if text is None else len(json.dumps(text))
    return size <= MOST_ANSWER_BYTES
