"""What a Lambda function answers a REST API with, and what its failures say.

Source: Amazon API Gateway Developer Guide, "Output format of a Lambda function for proxy integration"; where that
leaves it open (a header in both maps, no content type) as API Gateway is seen to do.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from gatehouse.call import Reply
from gatehouse.headers import Headers, Pair
from gatehouse.hygiene import LEAST_STATUS, MOST_STATUS, sayable

TOO_LARGE = "Function.ResponseSizeTooLarge"
TIMED_OUT = "Sandbox.Timedout"
_STATUS = re.compile(r"[0-9]{3}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_KIND = re.compile(r"[A-Za-z0-9_.]{1,128}")
_TIMED_OUT = re.compile(r"Task timed out after [0-9.]+ seconds")


class BadAnswerError(Exception):
    """What a function returned is no answer; the message says why, and quotes nothing of it."""


def reply_of(payload: bytes, method: str) -> Reply:
    """Return the answer that *payload*, what a function returned, is to a request with *method*.

    Raises:
        BadAnswerError: it is none.
    """
    answer = _document(payload)
    body = _body(answer.get("body"), answer.get("isBase64Encoded"))
    reply = Reply(status=_status(answer.get("statusCode")), headers=_headers(answer, method, body), body=body)
    if not sayable(reply.status, reply.headers):
        raise BadAnswerError("a header holds what no header can")
    return reply


def failure(payload: bytes) -> str:
    """Return what kind of failure *payload* tells of, the error document of a function that failed.

    It is a name like `Runtime.ExitError` or that of an exception; empty if there is none, and TIMED_OUT also where
    only the message says so.
    """
    try:
        answer = _document(payload)
    except BadAnswerError:
        return ""
    if _TIMED_OUT.search(str(answer.get("errorMessage", ""))[-256:]):
        return TIMED_OUT
    kind = str(answer.get("errorType", ""))
    return kind if _KIND.fullmatch(kind) else ""


def _document(payload: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadAnswerError("not JSON") from error
    if not isinstance(answer, dict):
        raise BadAnswerError("no JSON object")
    return answer


def _status(said: object) -> int:
    if said is None:
        raise BadAnswerError("no statusCode")
    status = int(said) if isinstance(said, str) and _STATUS.fullmatch(said) else said
    if not isinstance(status, int) or not LEAST_STATUS <= status <= MOST_STATUS:
        raise BadAnswerError(f"statusCode is no number from {LEAST_STATUS} to {MOST_STATUS}")
    return status


def _body(said: object, is_base64: object) -> bytes:
    if is_base64 not in (None, False, True):
        raise BadAnswerError("isBase64Encoded is neither true nor false")
    if said is None:
        return b""
    if not isinstance(said, str):
        raise BadAnswerError("body is no text")
    try:
        return b64decode(said, validate=True) if is_base64 else said.encode()
    except UnicodeEncodeError as error:
        raise BadAnswerError("body holds half a character") from error
    except (binascii.Error, ValueError) as error:
        raise BadAnswerError("body is not base64") from error


def _headers(answer: Mapping[str, Any], method: str, body: bytes) -> Headers:
    """Return the fields of *answer*; what is in `multiValueHeaders` counts, whatever `headers` says under that name."""
    many = [(name, one) for name, values in _map(answer, "multiValueHeaders") for one in _list(values)]
    named = {name for name, _ in many}
    single = [(name, _value(value)) for name, value in _map(answer, "headers") if name not in named]
    pairs = [pair for pair in (*single, *many) if pair[0] != "content-length" or _is_of_head(pair, method)]
    if body and not any(name == "content-type" for name, _ in pairs):
        pairs.append(("content-type", "application/json"))  # as API Gateway does
    return Headers(tuple(pairs))


def _is_of_head(pair: Pair, method: str) -> bool:
    """Say whether *pair* is the length of what GET would get; that of any other body is counted, not believed."""
    return method == "HEAD" and _LENGTH.fullmatch(pair[1]) is not None


def _map(answer: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    fields = answer.get(key)
    if fields is None:
        return []
    if not isinstance(fields, dict):
        raise BadAnswerError(f"{key} is no object")
    return [(name.lower(), value) for name, value in fields.items()]


def _list(values: object) -> list[str]:
    if not isinstance(values, list):
        raise BadAnswerError("multiValueHeaders has a value that is no list")
    return [_value(value) for value in values]


def _value(value: object) -> str:
    """Return *value* as a header has it: one character per byte, with no blanks around (RFC 9110 section 5.5)."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise BadAnswerError("a header is neither a text nor a number")
    try:
        return value.strip(" \t").encode().decode("latin-1")
    except UnicodeEncodeError as error:
        raise BadAnswerError("a header holds half a character") from error
