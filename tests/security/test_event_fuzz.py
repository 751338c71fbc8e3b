"""Whatever event comes, the function answers, and every failure has our error body."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatehouse import edge
from gatehouse.build import gateway
from gatehouse.call import Call, Reply
from gatehouse.errors import UpstreamUnreachableError
from gatehouse.headers import Headers
from gatehouse.invocation import KEPT_FOR_OURSELVES_S
from gatehouse.lambda_answer import CERTAINLY_FITS, MOST_ANSWER_BYTES, as_text, fits
from gatehouse.lambda_http import LambdaFunction, lambda_function
from tests.unit.fakes import ROOT, FakeKit, FakeUpstream, metacogna, ok

ERROR_KEYS = {"route", "status", "code", "message", "requestId", "timestamp"}
EVENTS = sorted((ROOT / "events").glob("*.json"))
EVENT: dict[str, Any] = {
    "resource": "/{proxy+}",
    "path": "/kv/item",
    "httpMethod": "GET",
    "headers": {"Host": "api.test", "Accept": "*/*"},
    "multiValueHeaders": {"Host": ["api.test"], "Accept": ["*/*"]},
    "queryStringParameters": {"a": "1"},
    "multiValueQueryStringParameters": {"a": ["1", "2"]},
    "requestContext": {"identity": {"sourceIp": "192.0.2.7"}, "stage": "v1", "path": "/v1/kv/item", "requestId": "r"},
    "body": None,
    "isBase64Encoded": False,
}


class Context:
    aws_request_id = "c0ffee00-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


def function(upstream: FakeUpstream | None = None) -> LambdaFunction:
    return lambda_function(edge.application(gateway(metacogna(), FakeKit(upstream)), most_bytes=10_000))


HANDLER = function()


def an_event(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(EVENT), **changes}


def checked(answer: Any, *, silent: bool = False) -> Any:
    """Hold *answer* to what API Gateway takes, and failures to our error body; return the body."""
    json.dumps(answer)
    assert set(answer) == {"statusCode", "multiValueHeaders", "body", "isBase64Encoded"}
    assert type(answer["statusCode"]) is int
    assert isinstance(answer["body"], str)
    for name, values in answer["multiValueHeaders"].items():
        assert isinstance(name, str)
        assert values
        for value in values:
            assert not set(value) & set("\r\n\0")
    assert answer["multiValueHeaders"]["x-content-type-options"] == ["nosniff"]
    if answer["statusCode"] < 400 or (silent and not answer["body"]):
        return answer["body"]
    assert answer["multiValueHeaders"]["content-type"] == ["application/json"]
    body = json.loads(answer["body"])
    assert set(body) - {"details"} == ERROR_KEYS
    assert body["status"] == answer["statusCode"]
    for inside in ("Traceback", "Error:", ".py", "mangum", "/opt", "kv.test"):
        assert inside not in answer["body"]
    return body


def answered(event: Any, context: Any = None, handler: LambdaFunction = HANDLER) -> Any:
    silent = isinstance(event, dict) and event.get("httpMethod") == "HEAD"
    return checked(handler(event, context if context is not None else Context()), silent=silent)


# ------------------------------------------------------------------------------------------------------------ fuzz

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(exclude_categories=()), max_size=12),
    st.sampled_from(["", "/", "/kv", "/kv/..", "/build", "GET", "POST", "%", "%2e", "\ud800", "\r\n", "[::1]:80",
        "a:b", "é", "Bearer x"]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6) | st.sampled_from(["Host", "sourceIp"]), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(["Host", "host", "Authorization", "authorization", "Cookie", "Content-Type", "Content-Length",
    "X-Forwarded-Port",
                         "X-Request-Id", "Accept", "Origin", "", "a b", "X\r\nY", "é", "\ud800"])  # fmt: skip
multi = st.dictionaries(names | st.text(max_size=4), st.none() | st.lists(scalars, max_size=3) | scalars, max_size=4)
likely = st.fixed_dictionaries(
    {"requestContext": st.just(EVENT["requestContext"]) | st.dictionaries(st.sampled_from(["identity", "x"]), anything,
        max_size=2),
     "httpMethod": st.sampled_from(["GET", "POST", "OPTIONS", "HEAD", "TRACE", "get", ""]) | anything},
    optional={"path": st.text(st.characters(exclude_categories=()), max_size=12).map("/kv/".__add__) | anything,
        "headers": multi | anything,
              "multiValueHeaders": multi | anything, "queryStringParameters": multi | anything,
              "multiValueQueryStringParameters": multi | anything, "body": anything,
              "isBase64Encoded": st.booleans() | anything},
)  # fmt: skip


@given(likely)
@settings(max_examples=400)
def test_no_event_that_looks_like_a_request_goes_without_our_answer(event: Any) -> None:
    answered(event)


@given(anything, anything)
def test_no_event_and_no_context_at_all_goes_without_our_answer(event: Any, context: Any) -> None:
    checked(HANDLER(event, context))


@given(st.data())
def test_no_event_with_one_thing_wrong_goes_without_our_answer(data: st.DataObject) -> None:
    event = an_event()
    event[data.draw(st.sampled_from(sorted(event)))] = data.draw(anything)
    answered(event)


@pytest.mark.parametrize("event", EVENTS, ids=lambda path: path.stem)
def test_no_recorded_event_loses_a_member_and_goes_without_our_answer(event: Path) -> None:
    whole = json.loads(event.read_text(encoding="utf-8"))
    for name in whole:
        answered({key: value for key, value in whole.items() if key != name})
        answered({**whole, name: None})


# ------------------------------------------------------------------------- what crashed outside the application once


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": ["[::1]:80"]}, {"Host": ["a:80"]}, {"Host": [""]}, {"Host": []}, {}, None,
        {"X-Forwarded-Port": ["x"]}, {"X-Forwarded-Port": ["1", "2"]}, {"X-Forwarded-Port": ["99999999999"]},
        {"X-Note": ["naïve €"]}, {"Cookie": ["a=1", "b=2"]},
    ],
)  # fmt: skip
def test_headers_that_crashed_the_stock_adapter_are_answered(headers: Any) -> None:
    assert answered(an_event(multiValueHeaders=headers)) == "hello"


@pytest.mark.parametrize(
    "headers", [{"X-Note": ["\ud800"]}, {"X-Note": [5, None, "x"]}, {"X-Note": None}, {"x": "text"}]
)
def test_values_that_are_no_text_are_survived(headers: Any) -> None:
    answered(an_event(multiValueHeaders=headers))


@pytest.mark.parametrize(
    ("body", "flag"),
    [("not base64!", True), ("YQ", True), ("YQ==\n", True), ("é", True), (5, True), ({"a": 1}, True), (["a"], True)],
)
def test_a_body_that_is_not_what_it_says_is_a_bad_request(body: Any, flag: bool) -> None:
    assert answered(an_event(httpMethod="POST", body=body, isBase64Encoded=flag))["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize("event",
    [None, [], "x", 5, {}, {"version": "2.0", "rawPath": "/"}, {"requestContext": {}}, {"Records": []},
                                   {"requestContext": {"http": {"method": "GET"}}}, {"httpMethod": "GET"},
                                   {"requestContext": [], "httpMethod": "GET"}])  # fmt: skip
def test_an_event_of_another_kind_is_a_bad_request(event: Any) -> None:
    body = answered(event)
    assert (body["code"], body["requestId"]) == ("INVALID_REQUEST", Context.aws_request_id)


# ------------------------------------------------------------------------------------------ what an event becomes


def forwarded(**changes: Any) -> Any:
    upstream = FakeUpstream()
    answer = function(upstream)(an_event(**changes), Context())
    assert answer["statusCode"] == 200, answer
    return upstream.only


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/kv/a%20b/%e2%82%ac", "/a%20b/%e2%82%ac"),
        ("/kv/a b/€", "/a%20b/%E2%82%AC"),
        ("/kv/a+b", "/a+b"),
        ("/kv", "/"),
        ("/kv/100%25", "/100%25"),
    ],
)
def test_the_path_of_an_event_is_forwarded_as_it_was_sent(path: str, arrives: str) -> None:
    assert (
        forwarded(path=path, multiValueQueryStringParameters=None, queryStringParameters=None).url
        == f"http://kv.test/base{arrives}"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/kv/../core",
        "/kv/%2e%2e/core",
        "/kv/a%2fb",
        "/kv\\..",
        "/kv/a?b",
        "/kv/a#b",
        "/kv//a",
        "/kv/\x00",
        "/kv/\ud800",
        "/kv/%ff",
        "kv",
    ],
)
def test_a_path_that_could_be_misread_is_refused_in_an_event_too(path: str) -> None:
    assert answered(an_event(path=path))["code"] == "BAD_PATH"


@pytest.mark.parametrize(
    ("many", "one", "query"),
    [
        ({"a": ["1", "2"], "b": [""]}, None, "a=1&a=2&b="), (None, {"a": "1"}, "a=1"), (None, None, ""), ({}, {}, ""),
        ({"q": ["a b&c=d#é/?"]}, None, "q=a%20b%26c%3Dd%23%C3%A9%2F%3F"), ({"a[]": ["x+y"]}, None, "a%5B%5D=x%2By"),
        ({"q": ["\ud800"]}, None, "q=%3F"),
    ],
)  # fmt: skip
def test_the_query_of_an_event_is_written_anew_with_nothing_lost(many: Any, one: Any, query: str) -> None:
    outbound = forwarded(multiValueQueryStringParameters=many, queryStringParameters=one)
    assert outbound.url.partition("?")[2] == query


def test_headers_of_an_event_keep_their_repetitions() -> None:
    outbound = forwarded(
        multiValueHeaders={"X-Tag": ["1", "2"], "x-tag": ["3"], "Cookie": ["a=1"]}, headers={"X-Tag": "2"}
    )
    assert [value for name, value in outbound.headers if name == "x-tag"] == ["1", "2", "3"]
    assert ("cookie", "a=1") in outbound.headers


def test_single_headers_are_read_where_there_are_no_repeated_ones() -> None:
    assert ("x-tag", "1") in forwarded(multiValueHeaders=None, headers={"X-Tag": "1"}).headers


def test_two_spellings_of_one_credential_header_are_two_credentials() -> None:
    headers = {"Authorization": ["Bearer a"], "authorization": ["Bearer b"]}
    assert answered(an_event(multiValueHeaders=headers))["code"] == "INVALID_REQUEST"


def test_the_callers_address_is_the_one_that_api_gateway_saw() -> None:
    outbound = forwarded(multiValueHeaders={"X-Forwarded-For": ["6.6.6.6"], "X-Real-Ip": ["6.6.6.6"]})
    assert [value for name, value in outbound.headers if name == "x-forwarded-for"] == ["192.0.2.7"]
    assert "6.6.6.6" not in str(outbound)


@pytest.mark.parametrize(
    ("body", "flag", "data"),
    [
        ("text é", False, "text é".encode()),
        (base64.b64encode(bytes(range(256))).decode(), True, bytes(range(256))),
        (None, False, b""),
        ("", True, b""),
    ],
)
def test_the_body_of_an_event_arrives_as_bytes(body: Any, flag: bool, data: bytes) -> None:
    assert forwarded(httpMethod="POST", body=body, isBase64Encoded=flag).body == data


def test_a_body_that_is_too_large_is_refused() -> None:
    assert answered(an_event(httpMethod="POST", body="x" * 10_001))["code"] == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("remaining_ms", [29_000, 5_000])
def test_an_upstream_gets_no_more_time_than_the_invocation_has_left(remaining_ms: int) -> None:
    class Short(Context):
        def get_remaining_time_in_millis(self) -> int:
            return remaining_ms

    upstream = FakeUpstream()
    function(upstream)(an_event(), Short())
    most = min(25.0, remaining_ms / 1000 - KEPT_FOR_OURSELVES_S)
    assert most - 1 < upstream.only.timeout_s <= most


def test_an_invocation_that_is_nearly_over_answers_that_the_time_is_up() -> None:
    class Nearly(Context):
        def get_remaining_time_in_millis(self) -> int:
            return 400

    assert answered(an_event(), Nearly())["code"] == "UPSTREAM_TIMEOUT"


# ------------------------------------------------------------------------------------------------ what an answer is


def test_repeated_fields_of_an_answer_stay_repeated_and_latin_1_is_survived() -> None:
    told = ok(b"x", ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-note", "caf\xe9"))
    answer = function(FakeUpstream(told))(an_event(), Context())
    checked(answer)
    assert answer["multiValueHeaders"]["set-cookie"] == ["a=1", "b=2"]
    assert answer["multiValueHeaders"]["x-note"] == ["caf\xe9"]


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "text"),
    [
        (b"hello", "text/plain", "", True), (b"{}", "application/json; charset=utf-8", "", True),
        (b"{}", "application/problem+json", "", True),
        (b"<a/>", "image/svg+xml", "", True), (b"hello", "TEXT/HTML", "", True),
        ("é€".encode(), "text/plain", "identity", True),
        (b"\xff", "text/plain", "", False), (b"hello", "text/plain", "gzip", False), (b"hello", "image/png", "", False),
        (b"hello", "application/octet-stream", "", False), (b"hello", "", "", False), (b"", "", "", False),
    ],
)  # fmt: skip
def test_text_travels_as_text_and_everything_else_as_base64(
    body: bytes, content_type: str, encoding: str, text: bool
) -> None:
    assert (as_text(body, content_type, encoding) is not None) == text
    told = Reply(
        status=200, headers=Headers((("content-type", content_type), ("content-encoding", encoding))), body=body
    )
    answer = function(FakeUpstream(told))(an_event(), Context())
    assert answer["isBase64Encoded"] is not text
    assert (answer["body"].encode() if text else base64.b64decode(answer["body"])) == body


@pytest.mark.parametrize(
    ("body", "content_type", "good"),
    [
        (b"x" * CERTAINLY_FITS, "image/png", True), (b"x" * (MOST_ANSWER_BYTES - 2), "text/plain", True),
        (b"x" * (MOST_ANSWER_BYTES - 1), "text/plain", False),
        (b"\x01" * (MOST_ANSWER_BYTES // 6 + 1), "text/plain", False),
        (b"\x01" * (MOST_ANSWER_BYTES // 6), "text/plain", True),
        (b"x" * (MOST_ANSWER_BYTES * 3 // 4), "image/png", True),
        (b"x" * (MOST_ANSWER_BYTES * 3 // 4 + 2), "image/png", False), (b"", "", True),
    ],
)  # fmt: skip
def test_an_answer_fits_while_its_envelope_does(body: bytes, content_type: str, good: bool) -> None:
    assert fits(body, content_type) == good


def test_an_answer_that_does_not_fit_says_so_under_its_request_id() -> None:
    handler = function(FakeUpstream(ok(b"x" * MOST_ANSWER_BYTES)))
    answer = handler(an_event(multiValueHeaders={"X-Request-Id": ["mine-1234"]}), Context())
    body = checked(answer)
    assert (body["status"], body["code"], body["requestId"]) == (502, "RESPONSE_TOO_LARGE", "mine-1234")
    assert "streaming" in body["message"]


def test_a_stream_is_collected_and_one_that_breaks_off_is_a_clean_failure() -> None:
    for broken in (False, True):

        async def stream(fails: bool = broken) -> Any:
            yield b"one "
            if fails:
                raise UpstreamUnreachableError
            yield b"two"

        told = Reply(status=200, headers=Headers((("content-type", "text/plain"),)), body=stream())
        body = checked(function(FakeUpstream(told))(an_event(), Context()))
        assert body == "one two" if not broken else body["code"] == "UPSTREAM_UNREACHABLE"


def test_what_crashes_outside_the_pipeline_is_answered_under_the_invocations_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken(Context):
        def get_remaining_time_in_millis(self) -> int:
            raise RuntimeError("secret words")

    body = answered(an_event(), Broken())
    assert (body["code"], body["requestId"]) == ("INTERNAL", Context.aws_request_id)
    assert "secret words" not in capsys.readouterr().out


def test_an_application_that_crashes_is_answered_with_our_body_too() -> None:
    async def crashing(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("secret words")

    assert checked(lambda_function(crashing)(an_event(), Context()))["code"] == "INTERNAL"


def test_an_answer_that_no_host_could_send_is_answered_with_our_body_too() -> None:
    """A field beyond latin-1 fails only once the answer is written, outside every stage."""

    async def odd(_: Call) -> Reply:
        return Reply(status=200, headers=Headers((("x-note", "€"),)), body=b"")

    assert checked(lambda_function(edge.application(odd, most_bytes=1))(an_event(), Context()))["code"] == "INTERNAL"


def test_one_function_serves_many_events_also_after_somebody_took_the_loop_away() -> None:
    import asyncio

    async def nothing() -> None:
        return None

    handler = function()
    for _ in range(3):
        assert answered(an_event(), handler=handler) == "hello"
        asyncio.run(nothing())
