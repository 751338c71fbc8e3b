"""What a function may answer, and what becomes of it: as API Gateway would have had it, or an error that says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.call import Reply
from gatehouse.rest_event import answer
from gatehouse.upstreams.function_answer import TIMED_OUT, BadAnswerError, failure, reply_of

NAMES = st.from_regex(r"x-[a-z0-9-]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs", "Cc"]), max_size=20).map(str.strip)


def said(method: str = "GET", **fields: Any) -> Reply:
    return reply_of(json.dumps({"statusCode": 200, **fields}).encode(), method)


@pytest.mark.parametrize(("status", "expected"), [(200, 200), (599, 599), ("404", 404), (418, 418)])
def test_a_status_is_a_number_however_it_is_written(status: Any, expected: int):
    assert said(statusCode=status).status == expected


@pytest.mark.parametrize(
    "status",
    [None, 199, 600, 0, -200, 100, 101, "", "20", "2000", "ok", "\uff12\uff10\uff10", True, 200.5, [200], {"a": 1}],
)
def test_what_is_no_status_of_an_answer_is_refused(status: Any):
    with pytest.raises(BadAnswerError, match="statusCode"):
        said(statusCode=status)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"null", "no JSON object"),
        (b'"hello"', "no JSON object"),
        (b"[]", "no JSON object"),
        (b"{}", "no statusCode"),
        (b'{"errorMessage":"x","errorType":"y"}', "no statusCode"),
    ],
)
def test_what_is_no_answer_at_all_is_refused(payload: bytes, why: str):
    with pytest.raises(BadAnswerError, match=why):
        reply_of(payload, "GET")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"body": {"a": 1}}, "body is no text"),
        ({"body": 5}, "body is no text"),
        ({"body": "a", "isBase64Encoded": True}, "base64"),
        ({"body": "YQ==\n", "isBase64Encoded": True}, "base64"),
        ({"body": "é", "isBase64Encoded": True}, "base64"),
        ({"body": "YQ==", "isBase64Encoded": "true"}, "isBase64Encoded"),
        ({"body": "\ud800"}, "half a character"),
        ({"headers": []}, "headers is no object"),
        ({"multiValueHeaders": "x"}, "multiValueHeaders is no object"),
        ({"headers": {"x": None}}, "neither"),
        ({"headers": {"x": ["a"]}}, "neither"),
        ({"headers": {"x": {}}}, "neither"),
        ({"headers": {"x": "\ud800"}}, "half a character"),
        ({"multiValueHeaders": {"x": "a"}}, "no list"),
        ({"multiValueHeaders": {"x": [None]}}, "neither"),
        ({"headers": {"x": "a\r\nset-cookie: b=c"}}, "what no header can"),
        ({"headers": {"x": "a\0"}}, "what no header can"),
        ({"headers": {"a b": "c"}}, "what no header can"),
        ({"headers": {"": "c"}}, "what no header can"),
        ({"headers": {"ä€": "c"}}, "what no header can"),
    ],
)
def test_what_cannot_be_said_again_is_refused_and_not_quoted(fields: dict[str, Any], why: str):
    with pytest.raises(BadAnswerError, match=why) as refused:
        said(**fields)
    assert "cookie" not in str(refused.value)


def test_a_header_in_both_maps_is_what_the_one_with_lists_says():
    fields = said(
        headers={"Content-Type": "text/plain", "X-One": "1", "X-Empty": "kept"},
        multiValueHeaders={"content-type": ["text/html"], "Set-Cookie": ["a=1", "b=2"], "x-empty": []},
    ).headers
    assert fields.get_all("content-type") == ("text/html",)
    assert fields.get_all("set-cookie") == ("a=1", "b=2")
    assert fields.get("x-one") == "1"
    assert fields.get("x-empty") == "kept"


def test_one_header_in_several_spellings_stays_several():
    """The way to set two cookies before there were lists."""
    assert said(headers={"Set-Cookie": "a=1", "set-cookie": "b=2"}).headers.get_all("set-cookie") == ("a=1", "b=2")


def test_numbers_and_truths_are_said_as_json_has_them():
    fields = said(headers={"x-int": 5, "x-float": 1.5, "x-yes": True, "x-no": False, "x-blank": " a \t"}).headers
    assert [fields.get(f"x-{name}") for name in ("int", "float", "yes", "no", "blank")] == [
        "5", "1.5", "true", "false", "a",
    ]  # fmt: skip


def test_a_header_is_utf_8_on_the_wire():
    assert said(headers={"x-name": "Zoë €"}).headers.get("x-name").encode("latin-1").decode() == "Zoë €"


def test_cookies_are_for_other_kinds_of_api_and_ignored():
    assert "set-cookie" not in said(cookies=["a=1"]).headers


@pytest.mark.parametrize("nothing", [{}, {"headers": None, "multiValueHeaders": None, "body": None}, {"body": ""}])
def test_an_answer_may_be_a_status_alone(nothing: dict[str, Any]):
    reply = said(statusCode=204, **nothing)
    assert (reply.status, reply.headers.pairs, reply.body) == (204, (), b"")


def test_a_body_that_does_not_say_what_it_is_is_json_as_api_gateway_has_it():
    assert said(body="{}").headers.get("content-type") == "application/json"
    assert said(body="{}", headers={"CONTENT-TYPE": "text/csv"}).headers.get_all("content-type") == ("text/csv",)


@pytest.mark.parametrize("length", ["5", "0", "99999", "-1", "abc"])
def test_the_length_that_a_function_claims_is_not_believed(length: str):
    assert "content-length" not in said(body="hello!", headers={"Content-Length": length}).headers
    assert "content-length" not in said(multiValueHeaders={"Content-Length": [length]}).headers


def test_to_head_the_length_is_that_of_the_answer_to_get():
    assert said("HEAD", headers={"Content-Length": 5}).headers.get("content-length") == "5"
    assert "content-length" not in said("HEAD", headers={"Content-Length": "5, 5"}).headers


@given(
    st.integers(200, 599),
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.binary(max_size=200),
    st.sampled_from(["text/plain", "application/json", "image/png"]),
)
def test_what_our_own_function_would_answer_comes_back_as_it_was(
    status: int, headers: list[tuple[str, str]], body: bytes, kind: str
):
    fields = [("content-type", kind), *((name, value.encode().decode("latin-1")) for name, value in headers)]
    text = [(name, value.encode("latin-1").decode()) for name, value in fields]
    reply = reply_of(json.dumps(answer(status, text, body)).encode(), "GET")
    assert (reply.status, sorted(reply.headers), reply.body) == (status, sorted(fields), body)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["statusCode", "headers", "multiValueHeaders", "body", "x"]), inner)
    ),
)


@given(ANYTHING)
def test_no_document_whatever_raises_anything_else(document: Any):
    try:
        reply = reply_of(json.dumps(document).encode(), "GET")
    except BadAnswerError:
        return
    assert 200 <= reply.status <= 599


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b'{"errorType":"ValueError","errorMessage":"secret"}', "ValueError"),
        (b'{"errorType":"Runtime.ExitError"}', "Runtime.ExitError"),
        (b'{"errorType":"Sandbox.Timedout","errorMessage":"x"}', TIMED_OUT),
        (b'{"errorMessage":"2026-11-22T10:00:00Z 5f0d Task timed out after 3.00 seconds"}', TIMED_OUT),
        (b'{"errorType":"a secret; and\\n more"}', ""),
        (b'{"errorType":["x"]}', ""),
        (b"not json", ""),
        (b"[]", ""),
    ],
)
def test_of_a_failure_only_the_kind_is_told(payload: bytes, kind: str):
    assert failure(payload) == kind
