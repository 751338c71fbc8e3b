"""What a client may ask a model for, and how many tokens that may take at most.

A request is read strictly, as every upstream reads it: a name that stands twice, or in two spellings that some server
takes for one, could be judged here and mean something else there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from gatehouse.canonical import json_object
from gatehouse.errors import ForbiddenError, InvalidRequestError, PayloadTooLargeError
from gatehouse.models.usage import CHARACTERS, estimated, name

DEFAULT_MOST_TOKENS = 4096
"""What an answer is taken to need where neither the client nor the project file says."""
MOST_RESERVED = 10_000_000
LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
CHOICES = ("n", "best_of")
MODELS = ("models", "fallbacks")
"""Where some servers take models that answer if the first does not."""
GIVEN = ("messages", "input", "prompt", "system", "tools", "instructions", "functions", "suffix")
"""Where the text stands that a model is given."""
_JSON = re.compile(r'application/json(?:[ \t]*;[ \t]*charset="?utf-?8"?)?', re.IGNORECASE)
"""One form of it: of two charsets an upstream could take the other one, and read something else."""
JUDGED = frozenset({"model", "stream", "stream_options", "prompt", *LIMITS, *CHOICES, *MODELS})
ANSWERLESS = ("/embeddings", "/moderations")
"""Where no token is made."""
ASKED_FOR_USAGE = ("/chat/completions", "/completions")
"""Where a stream says what it took only if it is asked; all others always say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRules:
    """What a route takes.

    Attributes:
        paths: the paths below it; `/v1/*` is all below `/v1/`. None: every path.
        models: their names; `gpt-*` is all that begin so. None: every model.
        max_tokens: the most that may be asked for; None: as many as one likes.
        max_body: the longest body, in bytes.
        include_usage: whether streams are made to say what they took.
        bounded: whether a call that names no most of tokens is sent with the one that is held for it.
        strictly: whether what cannot be read as a request for a model is refused. Where nothing depends on what it
            says it is let through, whatever it is, and only metered.
    """

    paths: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    max_tokens: int | None = None
    max_body: int = 1024 * 1024
    include_usage: bool = False
    bounded: bool = False
    strictly: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A request that is taken.

    Attributes:
        model: the model's name, as it may be written down.
        given: how many tokens the model is probably given.
        reserved: how many the call may take in all.
        body: what is sent.
        changed: whether that is not what the client sent.
    """

    model: str
    given: int
    reserved: int
    body: bytes = field(repr=False)
    changed: bool = False


def check_path(rules: RequestRules, path: str) -> None:
    """Refuse *path*, the one below the route, if the route does not take it.

    Raises:
        ForbiddenError: it does not; the message lists what it takes.
    """
    if not rules.paths or any(_covers(allowed, path, "/*") for allowed in rules.paths):
        return
    raise ForbiddenError(f"This route does not take that path. It takes: {', '.join(rules.paths)}.")


def judged(rules: RequestRules, path: str, content_type: str, body: bytes) -> ModelRequest:
    """Return what *body* asks for, as it is to be sent; *path* is the one below the route, which `check_path` let pass.

    Raises:
        PayloadTooLargeError: it is too long.
        InvalidRequestError: it is not a request for a model, or not one that can be read in one way only.
        ForbiddenError: its model is not allowed.
    """
    if len(body) > rules.max_body:
        raise PayloadTooLargeError(
            f"The request's body is larger than the {rules.max_body} bytes that this route takes."
        )
    try:
        return _judged(rules, path, _document(content_type, body), body)
    except InvalidRequestError:
        if rules.strictly:
            raise
        given = min(estimated(len(body)), MOST_RESERVED)
        return ModelRequest(model=name(""), given=given, reserved=max(given, 1), body=body)


def _judged(rules: RequestRules, path: str, document: dict[str, Any], body: bytes) -> ModelRequest:
    model = _model(rules, document)
    limit, called = _limit(rules, document), unquote(path).rstrip("/")
    made = 0 if called.endswith(ANSWERLESS) else limit * _answers(document)
    given = estimated(_bytes([document.get(key) for key in GIVEN]))
    changes: dict[str, Any] = {}
    if rules.include_usage and called.endswith(ASKED_FOR_USAGE) and _asks_later(document):
        changes["stream_options"] = {**(document.get("stream_options") or {}), "include_usage": True}
    if rules.bounded and made and all(document.get(key) is None for key in LIMITS):
        changes[_limit_of(called)] = limit
    return ModelRequest(
        model=name(model),
        given=min(given, MOST_RESERVED),
        reserved=min(max(given + made, 1), MOST_RESERVED),
        body=_written({**document, **changes}) if changes else body,
        changed=bool(changes),
    )


def _covers(allowed: str, given: str, ending: str) -> bool:
    """Say whether *allowed* is *given*, or the beginning of it, where it ends with *ending*, whose last is a star."""
    return given == allowed or (allowed.endswith(ending) and given.startswith(allowed[:-1]))


def _document(content_type: str, body: bytes) -> dict[str, Any]:
    if content_type and not _JSON.fullmatch(content_type.strip()):
        raise InvalidRequestError("The body must be JSON in UTF-8, and the Content-Type application/json.")
    try:
        document = json_object(body)
    except ValueError as error:
        ours = not isinstance(error, UnicodeError | json.JSONDecodeError) and "set_int_max" not in str(error)
        why = f" ({error})" if ours else ""
        raise InvalidRequestError(f"The body must be one JSON object in UTF-8{why}.") from error
    if document.get("background") not in {None, False}:
        raise InvalidRequestError("'background' is not taken here: what such an answer takes could not be counted.")
    if not isinstance(document.get("stream", False), bool | None):
        raise InvalidRequestError("'stream' must be true or false.")
    for key in document:
        known = key.casefold()
        if known != key and known in JUDGED:
            raise InvalidRequestError(f"Write '{known}' in small letters.")
    return document


def _model(rules: RequestRules, document: dict[str, Any]) -> str:
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequestError("The body must name a 'model', as text.")
    wanted = [model]
    for key in MODELS if rules.models else ():
        others = document.get(key) or []
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise InvalidRequestError(f"'{key}' must be a list of names of models.")
        wanted += others
    for one in wanted:
        if rules.models and not any(_covers(allowed, one, "*") for allowed in rules.models):
            allowed = ", ".join(rules.models)
            raise ForbiddenError(f"The model '{name(one)}' is not allowed here. Allowed are: {allowed}.")
    return model


def _limit(rules: RequestRules, document: dict[str, Any]) -> int:
    """Return the most tokens that one answer may have."""
    asked = [_whole(document, key) for key in LIMITS if document.get(key) is not None]
    if rules.max_tokens and max(asked, default=0) > rules.max_tokens:
        named = next(key for key in LIMITS if document.get(key) is not None and document[key] > rules.max_tokens)
        raise InvalidRequestError(f"'{named}' may be at most {rules.max_tokens} here.")
    return max(asked, default=rules.max_tokens or DEFAULT_MOST_TOKENS)


def _answers(document: dict[str, Any]) -> int:
    """Return how many answers the model makes: so many to every prompt, of which there may be several."""
    each = max((_whole(document, key) for key in CHOICES if document.get(key) is not None), default=1)
    prompts = document.get("prompt")
    several = isinstance(prompts, list) and any(isinstance(prompt, str | list) for prompt in prompts)
    return each * len(prompts) if isinstance(prompts, list) and several else each


def _whole(document: dict[str, Any], key: str) -> int:
    value = document[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidRequestError(f"'{key}' must be a whole number, at least 1.")
    return value


def _bytes(value: Any) -> int:
    """Return how long all text in *value* is; a number in it is a token that somebody has counted already."""
    size, left = 0, [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            size += len(one) if one.isascii() else len(one.encode("utf-8", "surrogatepass"))
        elif isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one
        elif isinstance(one, int):
            size += CHARACTERS
    return size


def _asks_later(document: dict[str, Any]) -> bool:
    """Say whether *document* wants a stream that would not say what it took; an upstream refuses wrong options."""
    options = document.get("stream_options")
    plain = options is None or (isinstance(options, dict) and options.get("include_usage") is not True)
    return document.get("stream") is True and plain


def _limit_of(path: str) -> str:
    """Return what the most tokens of an answer are called at *path*."""
    if path.endswith("/responses"):
        return "max_output_tokens"
    return "max_completion_tokens" if path.endswith("/chat/completions") else "max_tokens"


def _written(document: dict[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can say it
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise InvalidRequestError("The body has a number that is too large.") from error
