"""What answers of models say of their tokens: in every shape, cut anywhere, and whatever nonsense an upstream says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.headers import Headers
from gatehouse.models import events
from gatehouse.models.events import Events
from gatehouse.models.reading import MOST_BYTES, EventReader, JsonReader, UsageReader, reader_of
from gatehouse.models.usage import MOST_TOKENS, Usage, count, estimated, name

CHAT = (
    'data: {"id":"c","model":"gpt-4o-2024","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],'
    '"usage":null}\n\n'
    'data: {"model":"gpt-4o-2024","choices":[{"index":0,"delta":{"content":"Grüße, 世界 👋"}}],"usage":null}\n\n'
    ": keep-alive\n\n"
    'data: {"model":"gpt-4o-2024","choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
    'data: {"model":"gpt-4o-2024","choices":[],'
    '"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}\n\n'
    "data: [DONE]\n\n"
).encode()
ANTHROPIC = (
    'event: message_start\r\ndata: {"type":"message_start","message":{"id":"m","model":"claude-x","content":[],'
    '"usage":{"input_tokens":25,"cache_creation_input_tokens":5,"cache_read_input_tokens":10,"output_tokens":1}}}\r\n\r\n'
    'event: ping\r\ndata: {"type": "ping"}\r\n\r\n'
    'event: content_block_delta\r\ndata: {"type":"content_block_delta","index":0,'
    '"delta":{"type":"text_delta","text":"Hällo"}}\r\n\r\n'
    'event: message_delta\r\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    '"usage":{"output_tokens":15}}\r\n\r\n'
    'event: message_stop\r\ndata: {"type":"message_stop"}\r\n\r\n'
).encode()
RESPONSES = (
    b'event: response.created\rdata: {"type":"response.created","response":{"model":"gpt-5","usage":null}}\r\r'
    b'event: response.output_text.delta\rdata: {"type":"response.output_text.delta","delta":"Hi"}\r\r'
    b'event: response.completed\rdata: {"type":"response.completed","response":{"model":"gpt-5",\r'
    b'data: "usage":{"input_tokens":7,"output_tokens":3,"total_tokens":10}}}\r\r'
)
RECORDED = {
    "chat": (CHAT, Usage(prompt=19, completion=10, total=29, model="gpt-4o-2024")),
    "anthropic": (ANTHROPIC, Usage(prompt=40, completion=15, total=55, model="claude-x")),
    "responses": (RESPONSES, Usage(prompt=7, completion=3, total=10, model="gpt-5")),
}


def read(reader: UsageReader, *chunks: bytes) -> Usage | None:
    for chunk in chunks:
        reader.feed(chunk)
    return reader.usage()


def whole(document: Any) -> Usage | None:
    return read(JsonReader(), json.dumps(document).encode())


def streamed(*documents: Any) -> Usage | None:
    return read(EventReader(), *(f"data: {json.dumps(one)}\n\n".encode() for one in documents))


# ---------------------------------------------------------------------------------------------------------- recorded


@pytest.mark.parametrize("shape", RECORDED)
def test_a_stream_cut_anywhere_says_the_same(shape: str) -> None:
    stream, usage = RECORDED[shape]
    for at in range(len(stream) + 1):
        assert read(EventReader(), stream[:at], stream[at:]) == usage
    assert read(EventReader(), *(bytes([byte]) for byte in stream)) == usage


@given(st.sampled_from(list(RECORDED)), st.data())
def test_a_stream_in_any_pieces_says_the_same(shape: str, data: st.DataObject) -> None:
    stream, usage = RECORDED[shape]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    edges = zip([0, *cuts], [*cuts, len(stream)], strict=True)
    assert read(EventReader(), *(stream[start:end] for start, end in edges)) == usage


@pytest.mark.parametrize("shape", RECORDED)
def test_a_stream_that_breaks_off_anywhere_is_estimated_until_it_has_said_it(shape: str) -> None:
    stream, usage = RECORDED[shape]
    said = [read(EventReader(), stream[:at]) for at in range(len(stream) + 1)]
    assert said[0] is None
    finals = [one is not None and not one.estimated for one in said]
    assert finals == sorted(finals)  # once it is known it stays so
    assert said[-1] == usage
    assert any(one is not None and one.estimated for one in said)


def test_what_is_missing_is_estimated_by_the_text_that_came() -> None:
    text = {"choices": [{"delta": {"content": "x" * 9}}], "model": "m"}
    assert streamed(text) == Usage(prompt=0, completion=3, total=3, model="m", estimated=True)
    assert streamed(text, text) == Usage(prompt=0, completion=5, total=5, model="m", estimated=True)
    begun = {"type": "message_start", "message": {"model": "c", "usage": {"input_tokens": 8, "output_tokens": 1}}}
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 8}}
    assert streamed(begun) == Usage(prompt=8, completion=1, total=9, model="c", estimated=True)
    assert streamed(begun, delta) == Usage(prompt=8, completion=2, total=10, model="c", estimated=True)


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [{"delta": {"reasoning_content": "x" * 8}}]},
        {"choices": [{"delta": {"refusal": "x" * 8}}]},
        {"choices": [{"text": "x" * 8}]},
        {"choices": [{"message": {"content": "x" * 8}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "x" * 8}}]}}]},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "x" * 8}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "x" * 8}},
        {"type": "response.function_call_arguments.delta", "delta": "x" * 8},
    ],
)
def test_whatever_the_model_makes_counts_as_text(document: Any) -> None:
    assert streamed(document) == Usage(prompt=0, completion=2, total=2, estimated=True)


# ------------------------------------------------------------------------------------------------------------- whole


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, (9, 12, 21)),
        ({"prompt_tokens": 8, "total_tokens": 8}, (8, 0, 8)),
        ({"input_tokens": 36, "output_tokens": 87, "total_tokens": 123}, (36, 87, 123)),
        ({"input_tokens": 36, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 1}, (36, 1, 37)),
        ({"input_tokens": 1, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 4, "output_tokens": 8},
         (7, 8, 15)),
        ({"input_tokens": 1, "cache_creation_input_tokens": None, "output_tokens": 8}, (1, 8, 9)),
        ({"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 30}, (5, 5, 30)),
        ({"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 3}, (5, 5, 10)),
        ({"total_tokens": 7}, (0, 0, 7)), ({"prompt_tokens": 0}, (0, 0, 0)),
    ],
)  # fmt: skip
def test_an_answer_in_one_piece_says_it_in_every_shape(document: Any, expected: tuple[int, int, int]) -> None:
    prompt, completion, total = expected
    expected_usage = Usage(prompt=prompt, completion=completion, total=total, model="m")
    assert whole({"model": "m", "usage": document}) == expected_usage


@pytest.mark.parametrize("number", [-1, MOST_TOKENS + 1, 10**400, 1.5, True, "9", None, [9], {"a": 9}])
def test_what_cannot_be_a_number_of_tokens_was_not_said(number: Any) -> None:
    assert count(number) is None
    data = json.dumps({"usage": {"prompt_tokens": number}}).encode()
    assert read(JsonReader(), data) is None
    good = {"prompt_tokens": number, "completion_tokens": 4}
    assert streamed({"usage": good}) == Usage(prompt=0, completion=4, total=4)


@pytest.mark.parametrize("number", [0, 1, MOST_TOKENS])
def test_what_can_be_is_taken(number: int) -> None:
    assert count(number) == number


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe{", b'{"usage":[]}', b'{"usage":{}}', b'{"usage":' + b"9" * 5000 + b"}",
        b"[" * 100_000, b'{"usage":' * 100_000, b'{"choices":[null,{"delta":[]},{"delta":{"tool_calls":[0,{}]}}]}',
        b'{"response":7,"message":"x","delta":9,"model":["m"]}',
    ],
)  # fmt: skip
def test_nonsense_says_nothing_and_breaks_nothing(data: bytes) -> None:
    assert read(JsonReader(), data) is None
    assert read(EventReader(), b"data: ", data, b"\n\n") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["usage", "message", "response", "delta", "choices", "model", "content", "tool_calls",
                         "function", "arguments", "prompt_tokens", "output_tokens", "total_tokens", "text"]),
        inner, max_size=5,
    ),
)  # fmt: skip


@given(JSON)
def test_no_document_breaks_it(document: Any) -> None:
    for usage in (whole(document), streamed(document)):
        assert usage is None or 0 <= usage.prompt + usage.completion <= usage.total


@given(st.lists(st.binary(max_size=60)))
def test_no_bytes_break_it(chunks: list[bytes]) -> None:
    for reader in (EventReader(), JsonReader()):
        usage = read(reader, *chunks)
        assert usage is None or usage.total >= 0


def test_an_answer_in_one_piece_is_kept_up_to_a_megabyte() -> None:
    head = b'{"usage":{"prompt_tokens":1},"x":"'
    fits = head + b"x" * (MOST_BYTES - len(head) - 2) + b'"}'
    assert read(JsonReader(), fits[:9], fits[9:]) == Usage(prompt=1, completion=0, total=1)
    reader = JsonReader()
    assert read(reader, fits, b" ", b" ") is None
    assert reader._data is None


# ------------------------------------------------------------------------------------------------------------ events


def data_of(*chunks: bytes) -> list[str]:
    reading = Events()
    return [data for chunk in chunks for data in reading.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", ["a"]), (b"data:a\n\n", ["a"]), (b"data:  a\n\n", [" a"]), (b"data\n\n", [""]),
        (b"data: a\ndata: b\n\n", ["a\nb"]), (b"data: a\r\rdata: b\r\n\r\n", ["a", "b"]), (b"data: a\n\r\n", ["a"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]), (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", ["a"]),
        (b": c\n\ndata: a\n: c\n\n", ["a"]), (b"event: x\n\n", []), (b"id: 1\nretry: 5\ndata: a\nother\n\n", ["a"]),
        (b"data: a\n", []), (b"data: a", []), (b"\n\n\n", []), (b"Data: a\n\n", []), (b"data: \xff\n\n", ["\ufffd"]),
        (b"data: a:b\n\n", ["a:b"]), (b"data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
    ],
)  # fmt: skip
def test_events_are_read_as_the_standard_says_in_one_piece_and_byte_by_byte(stream: bytes, expected: list[str]) -> None:
    assert data_of(stream) == expected
    assert data_of(*(bytes([byte]) for byte in stream)) == expected
    for at in range(len(stream)):
        assert data_of(stream[:at], b"", stream[at:]) == expected


@pytest.mark.parametrize("piece", [7, 4096, 10**9])
def test_an_event_that_is_too_large_is_passed_over_and_not_kept(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_BYTES", 10_000)
    many = b"data: x\n" * 2000
    stream = b"data: " + b"x" * 30_000 + b"\ndata: y\n\ndata: a\n\n" + many + b"\ndata: b\n\n"
    reading, found = Events(), []
    for at in range(0, len(stream), piece):
        found += reading.feed(stream[at : at + piece])
        assert len(reading._line) <= 10_000
        assert sum(map(len, reading._data)) <= 10_000
    assert found == ["a", "b"]


# ----------------------------------------------------------------------------------------------------- small values


@pytest.mark.parametrize(
    ("kind", "coding", "expected"),
    [
        ("application/json", "", JsonReader), ("Application/JSON; charset=utf-8", "", JsonReader),
        ("text/event-stream", "", EventReader), ("text/event-stream;charset=utf-8", "identity", EventReader),
        ("text/event-stream", "gzip", None), ("application/json", "br", None), ("text/plain", "", None), ("", "", None),
    ],
)  # fmt: skip
def test_who_reads_an_answer_depends_on_what_it_is(kind: str, coding: str, expected: type | None) -> None:
    pairs = (("content-type", kind), *((("content-encoding", coding),) if coding else ()))
    reader = reader_of(Headers(pairs))
    assert (type(reader) if reader else None) is expected


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_a_token_is_four_characters_rounded_up(characters: int, tokens: int) -> None:
    assert estimated(characters) == tokens


@pytest.mark.parametrize(
    ("given", "expected"),
    [("gpt", "gpt"), ("a\nb\x00c", "abc"), ("x" * 500, "x" * 128), (None, ""), (7, ""), ("\ud800m", "m")],
)
def test_names_of_models_are_short_and_printable(given: Any, expected: str) -> None:
    assert name(given) == expected
