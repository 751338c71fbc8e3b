"""How many tokens an answer says it took, read while it passes.

The shapes: OpenAI's chat completions, completions and embeddings (`usage.prompt_tokens`…; in a stream the last chunk
before `[DONE]`), its Responses (`response.completed`), and Anthropic's messages (`message_start`, then `message_delta`,
whose numbers are totals so far). An upstream may say anything: what cannot be a number of tokens was not said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from gatehouse.headers import Headers
from gatehouse.models.events import Events
from gatehouse.models.usage import Usage, count, estimated, name

MOST_BYTES = 1024 * 1024
"""Of an answer in one piece; nobody reads a longer one."""
_PROMPT = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
"""Anthropic counts apart what it has cached; all of it was given to the model."""
_COUNTS = (*_PROMPT, "prompt_tokens", "completion_tokens", "output_tokens", "total_tokens")
_TEXTS = ("content", "reasoning_content", "refusal", "text", "thinking", "partial_json")


class UsageReader(Protocol):
    """What reads one answer."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of it. Never raises."""
        ...

    def usage(self) -> Usage | None:
        """Return what it says of its tokens, or what they probably are by its text so far; None if it has neither."""
        ...


def reader_of(headers: Headers) -> UsageReader | None:
    """Return what reads an answer with *headers*; None if nobody can: it is neither JSON nor events, or is coded."""
    coding = headers.get("content-encoding").strip().lower()
    kind = headers.get("content-type").partition(";")[0].strip().lower()
    if coding not in {"", "identity"}:
        return None
    if kind == "application/json":
        return JsonReader()
    return EventReader() if kind == "text/event-stream" else None


class JsonReader:
    """Reads an answer in one piece."""

    def __init__(self) -> None:
        self._data: bytearray | None = bytearray()

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""
        if self._data is None:
            return
        self._data += chunk
        if len(self._data) > MOST_BYTES:
            self._data = None

    def usage(self) -> Usage | None:
        """See `UsageReader.usage`."""
        tally = Tally()
        if self._data is not None:
            tally.take(_json(self._data))
        return tally.usage()


class EventReader:
    """Reads a stream of events."""

    def __init__(self) -> None:
        self._events = Events()
        self._tally = Tally()

    def feed(self, chunk: bytes) -> None:
        """See `UsageReader.feed`."""
        for data in self._events.feed(chunk):
            if data.startswith("{"):
                self._tally.take(_json(data))

    def usage(self) -> Usage | None:
        """See `UsageReader.usage`."""
        return self._tally.usage()


class Tally:
    """What the documents of one answer say together; what is said later counts, as totals do."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._model = ""
        self._characters = 0
        self._is_final = False

    def take(self, document: Any) -> None:
        """Take the next *document*: the whole answer, or one of its events."""
        if not isinstance(document, dict):
            return
        self._said(document, is_final=True)
        self._said(document.get("response"), is_final=True)
        self._said(document.get("message"), is_final=False)  # of a message that only begins
        self._characters += sum(map(len, _texts(document)))

    def _said(self, holder: Any, *, is_final: bool) -> None:
        if not isinstance(holder, dict):
            return
        self._model = name(holder.get("model")) or self._model
        said = holder.get("usage")
        if not isinstance(said, dict):
            return
        found = {key: number for key in _COUNTS if (number := count(said.get(key))) is not None}
        self._counts |= found
        self._is_final = self._is_final or (is_final and bool(found))

    def usage(self) -> Usage | None:
        """Return the tokens, as far as they are known; None if nothing is."""
        if not self._counts and not self._characters:
            return None
        counts = self._counts
        prompt = counts.get("prompt_tokens", sum(counts.get(key, 0) for key in _PROMPT))
        completion = counts.get("completion_tokens", counts.get("output_tokens", 0))
        if not self._is_final:
            completion = max(completion, estimated(self._characters))
        return Usage(
            prompt=prompt,
            completion=completion,
            total=max(prompt + completion, counts.get("total_tokens", 0)),
            model=self._model,
            estimated=not self._is_final,
        )


def _json(data: bytes | bytearray | str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _texts(document: dict[str, Any]) -> Iterator[str]:
    """Yield what *document* has of the model's own words, of whichever shape it is."""
    delta = document.get("delta")
    if isinstance(delta, str):  # Responses
        yield delta
    yield from _words(delta)  # Anthropic
    for choice in _list(document.get("choices")):
        yield from _words(choice)
        for part in ("delta", "message"):
            said = _dict(choice).get(part)
            yield from _words(said)
            for tool in _list(_dict(said).get("tool_calls")):
                arguments = _dict(_dict(tool).get("function")).get("arguments")
                if isinstance(arguments, str):
                    yield arguments


def _words(value: Any) -> Iterator[str]:
    found = (_dict(value).get(key) for key in _TEXTS)
    return (text for text in found if isinstance(text, str))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
