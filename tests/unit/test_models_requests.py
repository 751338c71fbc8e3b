"""What clients may ask models for: what is refused and with which words, what it may cost, and what is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.errors import ForbiddenError, GatewayError, InvalidRequestError, PayloadTooLargeError
from gatehouse.models.requests import MOST_RESERVED, ModelRequest, RequestRules, check_path, judged

CHAT = "/v1/chat/completions"
RULES = RequestRules(models=("gpt-4o", "claude-*"), max_tokens=100, max_body=2000)
OPEN = RequestRules()


def ask(rules: RequestRules = OPEN, path: str = CHAT, kind: str = "application/json", **body: Any) -> ModelRequest:
    return judged(rules, path, kind, json.dumps({"model": "gpt-4o", **body}).encode())


def refused(error: type[GatewayError], *words: str, rules: RequestRules = RULES, **body: Any) -> None:
    with pytest.raises(error) as caught:
        ask(rules, **body)
    assert [word for word in words if word not in str(caught.value)] == []


# ------------------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/chat/completions", True), ("/v1/chat/completions/", False), ("/v1/chat/completions/x", False),
        ("/v1/chat", False), ("/V1/chat/completions", False), ("/", False), ("/files/a", True), ("/files/a/b", True),
        ("/files", False), ("/files/", True), ("/filesystem", False),
    ],
)  # fmt: skip
def test_a_route_takes_the_paths_it_lists(path: str, allowed: bool) -> None:
    rules = RequestRules(paths=("/v1/chat/completions", "/files/*"))
    if allowed:
        check_path(rules, path)
        return
    with pytest.raises(ForbiddenError) as caught:
        check_path(rules, path)
    assert "/v1/chat/completions, /files/*" in str(caught.value)


@pytest.mark.parametrize("path", ["/", "/v1/anything"])
def test_a_route_that_lists_none_takes_every_path(path: str) -> None:
    check_path(OPEN, path)
    check_path(RequestRules(paths=("/*",)), path)


# ------------------------------------------------------------------------------------------------------------ bodies


@pytest.mark.parametrize("size", [1999, 2000, 2001])
def test_a_body_may_be_so_long_and_no_longer(size: int) -> None:
    body = b'{"model":"gpt-4o"}'.ljust(size)
    if size <= RULES.max_body:
        assert judged(RULES, CHAT, "", body).body == body
        return
    with pytest.raises(PayloadTooLargeError, match="2000 bytes"):
        judged(RULES, CHAT, "", body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"[{}]", b'"x"', b"null", b"{", b'{"model":"gpt-4o","model":"o1"}', b'{"model":"gpt-4o","x":NaN}',
        b'{"model":"gpt-4o","x":{"a":1,"a":2}}', b'{"model":"gpt-4o","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b"\xef\xbb\xbf" + b'{"model":"gpt-4o"}', '{"model":"gpt-4o"}'.encode("utf-16"), b'{"model":"\xff"}',
        b'{"model":"gpt-4o","x":' + b"9" * 5000 + b"}", b"model=gpt-4o",
    ],
)  # fmt: skip
def test_what_is_not_one_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="JSON object"):
        judged(RequestRules(max_body=10**6), CHAT, "application/json", body)


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("", True), ("application/json", True), ("Application/JSON; charset=UTF-8", True),
        ('application/json;charset="utf-8"', True), ("application/json; charset=utf-16", False),
        ("application/x-www-form-urlencoded", False), ("multipart/form-data; boundary=x", False), ("text/plain", False),
    ],
)  # fmt: skip
def test_what_a_server_could_read_as_something_else_is_refused(kind: str, taken: bool) -> None:
    if taken:
        assert ask(kind=kind).model == "gpt-4o"
    else:
        with pytest.raises(InvalidRequestError, match="Content-Type application/json"):
            ask(kind=kind)


@pytest.mark.parametrize("key", ["Model", "MAX_TOKENS", "max_to\u212aens", "\u017ftream", "Models", "N"])
def test_a_name_in_another_spelling_is_refused(key: str) -> None:
    """Servers in Go would take it for the same."""
    refused(InvalidRequestError, "small letters", **{key: 1})


def test_other_names_may_be_spelled_as_one_likes() -> None:
    assert ask(RULES, Metadata={"Model": "o1"}).model == "gpt-4o"


# ------------------------------------------------------------------------------------------------------------ models


@pytest.mark.parametrize("model", [None, 7, "", ["gpt-4o"], {"name": "gpt-4o"}])
def test_a_request_names_its_model(model: Any) -> None:
    refused(InvalidRequestError, "'model'", model=model)
    refused(InvalidRequestError, "'model'", rules=OPEN, model=model)


@pytest.mark.parametrize("model", ["gpt-4o", "claude-", "claude-3-5-sonnet"])
def test_models_are_allowed_by_name_or_by_how_their_names_begin(model: str) -> None:
    assert ask(RULES, model=model).model == model


@pytest.mark.parametrize("model", ["o1", "gpt-4o-mini", "GPT-4o", "claude", " gpt-4o", "gpt-4o\n", "*", "x/claude-3"])
def test_other_models_are_refused_and_the_allowed_ones_named(model: str) -> None:
    refused(ForbiddenError, "gpt-4o, claude-*", model=model)
    assert ask(OPEN, model=model)


@pytest.mark.parametrize("key", ["models", "fallbacks"])
def test_models_for_the_case_that_the_first_does_not_answer_are_judged_too(key: str) -> None:
    assert ask(RULES, **{key: ["gpt-4o", "claude-3"]})
    assert ask(RULES, **{key: None})
    refused(ForbiddenError, "'o1'", **{key: ["gpt-4o", "o1"]})
    refused(InvalidRequestError, key, **{key: [{"model": "o1"}]})
    refused(InvalidRequestError, key, **{key: "o1"})
    assert ask(OPEN, **{key: [{"model": "o1"}]})


def test_a_name_that_a_refusal_repeats_is_short_and_printable() -> None:
    with pytest.raises(ForbiddenError) as caught:
        ask(RULES, model="o1\r\n" + "x" * 1000)
    assert len(str(caught.value)) < 220
    assert str(caught.value).isprintable()


# ------------------------------------------------------------------------------------------------------------ tokens


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_so_many_tokens_may_be_asked_for_and_no_more(key: str) -> None:
    assert ask(RULES, **{key: 100}).reserved == 100
    refused(InvalidRequestError, f"'{key}'", "100", **{key: 101})
    refused(InvalidRequestError, f"'{key}'", "100", **{"max_tokens": 1, key: 101})


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"])
@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, "5", True, [], {}])
def test_numbers_are_whole_and_at_least_one(key: str, value: Any) -> None:
    refused(InvalidRequestError, f"'{key}' must be a whole number", **{key: value})


@pytest.mark.parametrize(
    ("rules", "body", "reserved"),
    [
        (OPEN, {}, 4096), (RULES, {}, 100), (RULES, {"max_tokens": 7}, 7), (OPEN, {"max_tokens": None}, 4096),
        (OPEN, {"max_tokens": 7, "max_completion_tokens": 9}, 9), (OPEN, {"max_tokens": 7, "n": 3}, 21),
        (OPEN, {"max_tokens": 7, "n": 3, "best_of": 5}, 35), (OPEN, {"max_tokens": 10**12}, MOST_RESERVED),
        (OPEN, {"max_tokens": 1, "n": 10**30}, MOST_RESERVED), (OPEN, {"max_tokens": 7, "n": None}, 7),
        (OPEN, {"max_tokens": 7, "prompt": ["abcd", "efgh"]}, 14 + 2), (OPEN, {"max_tokens": 7, "prompt": "abcde"}, 9),
        (OPEN, {"max_tokens": 7, "prompt": [1, 2, 3]}, 7 + 3), (OPEN, {"max_tokens": 7, "prompt": [[1], [2]]}, 14 + 2),
        (OPEN, {"max_tokens": 7, "prompt": []}, 7),
    ],
)  # fmt: skip
def test_what_is_reserved_is_what_is_given_and_what_may_be_made(rules: RequestRules, body: Any, reserved: int) -> None:
    assert ask(rules, **body).reserved == reserved


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ({"messages": [{"role": "user", "content": "abcd"}]}, (4 + 4 + 7 + 4 + 3) // 4),
        ({"input": "é" * 6}, 3), ({"input": ["ab", "cd"]}, 1), ({"input": [[1, 2], [3]]}, 3), ({"system": "x" * 9}, 3),
        ({"instructions": "\ud800"}, 1), ({"tools": [{"name": "look", "strict": None, "weight": 0.5}]}, 5),
        ({"metadata": {"note": "x" * 400}}, 0),
    ],
)  # fmt: skip
def test_what_a_model_is_given_is_estimated_by_the_bytes_of_its_text(body: Any, given: int) -> None:
    assert ask(OPEN, **body).given == given


def test_embeddings_make_no_tokens_and_reserve_one_at_least() -> None:
    assert ask(OPEN, "/v1/embeddings", input="x" * 40).reserved == 10
    assert ask(OPEN, "/v1/embeddings").reserved == 1


# ------------------------------------------------------------------------------------------------------ include_usage

ASKING = RequestRules(include_usage=True)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/openai/deployments/x/chat/completions"])
def test_a_stream_is_made_to_say_what_it_took(path: str) -> None:
    asked = ask(ASKING, path, stream=True, temperature=0.5, user="ü")
    assert asked.changed
    assert json.loads(asked.body) == {
        "model": "gpt-4o", "stream": True, "temperature": 0.5, "user": "ü", "stream_options": {"include_usage": True}
    }  # fmt: skip


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None}, {"x": [1]}])
def test_the_clients_own_options_stay(options: Any) -> None:
    asked = ask(ASKING, stream=True, stream_options=options)
    assert json.loads(asked.body)["stream_options"] == {**(options or {}), "include_usage": True}


@pytest.mark.parametrize(
    ("rules", "path", "body"),
    [
        (OPEN, CHAT, {"stream": True}), (ASKING, CHAT, {}), (ASKING, CHAT, {"stream": False}),
        (ASKING, "/v1/messages", {"stream": True}),
        (ASKING, "/v1/responses", {"stream": True}), (ASKING, "/", {"stream": True}),
        (ASKING, CHAT, {"stream": True, "stream_options": {"include_usage": True}}),
        (ASKING, CHAT, {"stream": True, "stream_options": "wrong"}),
    ],
)  # fmt: skip
def test_all_else_is_sent_byte_by_byte(rules: RequestRules, path: str, body: Any) -> None:
    sent = json.dumps({"model": "gpt-4o", **body}, indent=3).encode()
    asked = judged(rules, path, "", sent)
    assert (asked.body, asked.changed) == (sent, False)


def test_a_number_that_no_json_can_say_again_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="too large"):
        judged(ASKING, CHAT, "", b'{"model":"m","stream":true,"x":1e999}')


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=6).filter(lambda key: key.casefold() not in {"model", "n", "stream"}), VALUES),
       st.booleans())  # fmt: skip
def test_a_body_that_is_changed_means_the_same(extra: dict[str, Any], ascii_only: bool) -> None:
    document = {**extra, "model": "m", "stream": True}
    asked = judged(ASKING, CHAT, "", json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    assert json.loads(asked.body) == {**document, "stream_options": {"include_usage": True}}


def test_half_a_character_is_sent_as_it_came() -> None:
    asked = judged(ASKING, CHAT, "", b'{"model":"m","stream":true,"user":"\\ud83d"}')
    assert json.loads(asked.body)["user"] == "\ud83d"


@given(st.binary(max_size=200))
def test_no_body_breaks_it(body: bytes) -> None:
    with pytest.raises(GatewayError):
        judged(RULES, CHAT, "", body)


@given(VALUES, VALUES, VALUES, VALUES)
def test_no_values_break_it(tokens: Any, choices: Any, prompt: Any, model: Any) -> None:
    try:
        asked = ask(RULES, max_tokens=tokens, n=choices, prompt=prompt, model=model)
    except (InvalidRequestError, ForbiddenError, PayloadTooLargeError):
        return
    assert 1 <= asked.reserved <= MOST_RESERVED
    assert 0 <= asked.given <= asked.reserved


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "max_completion_tokens"), ("/v1/chat/completions/", "max_completion_tokens"),
        ("/v1/responses", "max_output_tokens"), ("/v1/messages", "max_tokens"), ("/", "max_tokens"),
    ],
)  # fmt: skip
def test_a_call_that_names_no_most_of_tokens_is_sent_with_the_one_that_is_held(path: str, name: str) -> None:
    asked = judged(RequestRules(max_tokens=7, bounded=True), path, "", b'{"model":"m"}')
    assert json.loads(asked.body) == {"model": "m", name: 7}
    assert not judged(RequestRules(bounded=True), "/v1/embeddings", "", b'{"model":"m","input":"x"}').changed
    assert not judged(RequestRules(max_tokens=7, bounded=True), path, "", b'{"model":"m","max_tokens":3}').changed


@pytest.mark.parametrize(
    "body", [b'{"model":"m","background":true}', b'{"model":"m","stream":1}', b'{"model":"m","stream":"true"}']
)
def test_what_could_not_be_counted_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        judged(RequestRules(), "/v1/responses", "application/json", body)


def test_a_number_that_python_does_not_read_is_refused_in_our_words() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        judged(RequestRules(), "/", "", b'{"model":"m","max_tokens":' + b"9" * 5000 + b"}")
    assert "sys." not in str(caught.value)


def test_streams_are_made_to_say_what_they_took_also_where_the_path_is_written_otherwise() -> None:
    for path in ("/v1/chat/completions/", "/v1/chat/completion%73"):
        assert judged(ASKING, path, "", b'{"model":"gpt-4o","stream":true}').changed
