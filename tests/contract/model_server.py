"""A model server on loopback: OpenAI's chat completions and responses, Anthropic's messages, whole and as events.

It says what a test lets it say: it pauses between two tokens until it is told to go on, fails in the ways that model
servers do, breaks off, and knows when whoever asked has hung up.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.servers import listen, served

PATIENCE_S = 10.0
"""How long a pause lasts at most, so that a failing test ends."""
TOKENS = ("Hello", " there", ",", " Ada")
TOOL, ARGUMENTS = "get_weather", ('{"city"', ':"Paris"}')
GIVEN, MADE = 11, 4
USAGE = {"prompt_tokens": GIVEN, "completion_tokens": MADE, "total_tokens": GIVEN + MADE}
ANTHROPIC_USAGE = {"input_tokens": GIVEN, "output_tokens": MADE}
CREATED = 1_800_000_000
FAILURES = {
    400: ("invalid_request_error", "the model does not like this"),
    404: ("not_found_error", "there is no such model"),
    429: ("rate_limit_error", "the model is busy"),
    500: ("api_error", "the model is broken"),
    529: ("overloaded_error", "the model has too much to do"),
}


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class ModelServer:
    """An ASGI application; tests set the fields, and read what was asked.

    Attributes:
        asked: what came, in order.
        failing: the status that it answers with in place of all that it can; 0: none.
        breaks_off: whether a stream ends after the pause, with the connection.
        pauses_first: whether the pause is before the head of the answer, and not after the first token.
        spoke: set after a first token has left.
        went_on: set before anything is said after the pause.
        left: set when whoever asked hung up before the end; `left_at` is the moment, on `time.monotonic`.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    failing: int = 0
    breaks_off: bool = False
    pauses_first: bool = False
    spoke: threading.Event = field(default_factory=threading.Event)
    went_on: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    left_at: float = 0.0
    _may_go_on: threading.Event = field(default_factory=threading.Event)

    def rest(self) -> None:
        """Be as at the beginning."""
        self.asked.clear()
        self.failing, self.breaks_off, self.pauses_first, self.left_at = 0, False, False, 0.0
        for event in (self.spoke, self.went_on, self.left):
            event.clear()
        self._may_go_on.set()

    @property
    def only(self) -> Asked:
        (asked,) = self.asked
        return asked

    @contextmanager
    def pausing(self, *, first: bool = False) -> Iterator[None]:
        """Pause after the first token, or before the head (*first*), until `go_on` or until the context ends."""
        self.pauses_first = first
        self._may_go_on.clear()
        try:
            yield
        finally:
            self.go_on()

    def go_on(self) -> None:
        self._may_go_on.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        asked = Asked(scope["method"], scope["raw_path"].decode("latin-1"), headers, bytes(body))
        self.asked.append(asked)
        answering = asyncio.create_task(self._answer(asked, send))
        leaving = asyncio.create_task(receive())
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            self.left_at = time.monotonic()
            self.left.set()
        for task in (answering, leaving):
            task.cancel()
        await asyncio.wait({answering, leaving})
        if not answering.cancelled():
            answering.result()

    async def _answer(self, asked: Asked, send: Any) -> None:
        if self.pauses_first:
            await self._pause()
        if self.failing:
            kind, message = FAILURES[self.failing]
            error = {"message": message, "type": kind, "param": None, "code": None}
            await _whole(send, self.failing, {"type": "error", "error": error})
        elif asked.path == "/v1/models":
            await _whole(send, 200, {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "owned_by": "us"}]})
        else:
            await self._generate(asked, send)

    async def _generate(self, asked: Asked, send: Any) -> None:
        wanted = asked.json
        whole, parts = {
            "/v1/chat/completions": (_completion, _chunks),
            "/v1/responses": (_response, _response_events),
            "/v1/messages": (_message, _message_events),
        }[asked.path]
        if not wanted.get("stream"):
            await _whole(send, 200, whole(wanted))
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for is_token, event in parts(wanted):
            await send({"type": "http.response.body", "body": event, "more_body": True})
            if is_token and not self.spoke.is_set():
                self.spoke.set()
                await self._pause()
                if self.breaks_off:
                    return  # without an end: the server hangs up
        await send({"type": "http.response.body", "body": b""})

    async def _pause(self) -> None:
        await asyncio.to_thread(self._may_go_on.wait, PATIENCE_S)  # the event belongs to another thread
        self.went_on.set()


async def _whole(send: Any, status: int, value: Any) -> None:
    body = json.dumps(value).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


Events = Iterator[tuple[bool, bytes]]
"""What is sent, each with whether it is a token."""


def _data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _named(value: Any) -> bytes:
    return b"event: " + value["type"].encode() + b"\n" + _data(value)


# ------------------------------------------------------------------------------------------------- chat completions


def _completion(wanted: Any) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(TOKENS)}
    if wanted.get("tools"):
        function = {"name": TOOL, "arguments": "".join(ARGUMENTS)}
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function"}]}
        message["tool_calls"][0]["function"] = function
    reason = "tool_calls" if wanted.get("tools") else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
    return {**_chat(wanted, "chat.completion"), "choices": [choice], "usage": USAGE}


def _chat(wanted: Any, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": wanted["model"]}


def _chunks(wanted: Any) -> Events:
    head = _chat(wanted, "chat.completion.chunk")

    def chunk(delta: Any, reason: str | None = None) -> bytes:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

    yield False, chunk({"role": "assistant", "content": ""})
    if wanted.get("tools"):
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": ""}}
        yield True, chunk({"tool_calls": [first]})
        for piece in ARGUMENTS:
            yield True, chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        yield False, chunk({}, "tool_calls")
    else:
        for token in TOKENS:
            yield True, chunk({"content": token})
        yield False, chunk({}, "stop")
    if (wanted.get("stream_options") or {}).get("include_usage"):
        yield False, _data({**head, "choices": [], "usage": USAGE})
    yield False, b"data: [DONE]\n\n"


# -------------------------------------------------------------------------------------------------------- responses


def _response(wanted: Any, *, done: bool = True) -> Any:
    content = [{"type": "output_text", "text": "".join(TOKENS), "annotations": []}]
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    usage = {"input_tokens": GIVEN, "output_tokens": MADE, "total_tokens": GIVEN + MADE}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "model": wanted["model"],
        "status": "completed" if done else "in_progress",
        "output": [message] if done else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {**usage, **details} if done else None,
    }


def _response_events(wanted: Any) -> Events:
    done = _response(wanted)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": _response(wanted, done=False)},
        {"type": "response.output_item.added", "output_index": 0, "item": {**done["output"][0], "content": []}},
        {"type": "response.content_part.added", **place, "part": part},
        *({"type": "response.output_text.delta", **place, "delta": token, "logprobs": []} for token in TOKENS),
        {"type": "response.completed", "response": done},
    ]
    for number, event in enumerate(events):
        yield "delta" in event, _named({**event, "sequence_number": number})


# --------------------------------------------------------------------------------------------------------- messages


def _message(wanted: Any) -> Any:
    if wanted.get("tools"):
        content = [{"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": json.loads("".join(ARGUMENTS))}]
    else:
        content = [{"type": "text", "text": "".join(TOKENS)}]
    reason = "tool_use" if wanted.get("tools") else "end_turn"
    return {**_begun(wanted), "content": content, "stop_reason": reason, "usage": ANTHROPIC_USAGE}


def _begun(wanted: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": wanted["model"]}
    return {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": GIVEN}}


def _message_events(wanted: Any) -> Events:
    begun = _begun(wanted)
    begun["usage"] = {"input_tokens": GIVEN, "output_tokens": 1}
    block: dict[str, Any] = {"type": "text", "text": ""}
    deltas = [{"type": "text_delta", "text": token} for token in TOKENS]
    if wanted.get("tools"):
        block = {"type": "tool_use", "id": "toolu_1", "name": TOOL, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ARGUMENTS]
    yield False, _named({"type": "message_start", "message": begun})
    yield False, _named({"type": "content_block_start", "index": 0, "content_block": block})
    yield False, _named({"type": "ping"})
    for delta in deltas:
        yield True, _named({"type": "content_block_delta", "index": 0, "delta": delta})
    yield False, _named({"type": "content_block_stop", "index": 0})
    reason = {"stop_reason": "tool_use" if wanted.get("tools") else "end_turn", "stop_sequence": None}
    yield False, _named({"type": "message_delta", "delta": reason, "usage": {"output_tokens": MADE}})
    yield False, _named({"type": "message_stop"})


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """Serve one from a thread."""
    server, listening = ModelServer(), listen("127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.rest()
    with served(server, [listening]):
        yield server
