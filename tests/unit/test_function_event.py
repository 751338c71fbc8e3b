"""What a function is told of a request: an event that every framework's adapter takes for API Gateway's own."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.errors import PayloadTooLargeError
from gatehouse.function_names import is_function, parsed, parted
from gatehouse.headers import Pair
from gatehouse.rest_event import RestEvent, body_of, check
from gatehouse.upstreams import Outbound
from gatehouse.upstreams.function_event import MOST_PAYLOAD_BYTES, event_of, payload_of
from tests.contract.rest_event import Context, rest_event

NOON = 1_795_348_800.25
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:orders"
TOLD = (("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https"), ("x-request-id", "request-0001"))
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs", "Cc"]), max_size=20)


def event(target: str = "/a", method: str = "GET", *headers: Pair, body: bytes = b"", name: str = "orders") -> Any:
    url = f"lambda://{name}{target}"
    made = event_of(Outbound(method=method, url=url, headers=[*headers, *TOLD], body=body, timeout_s=1), NOON)
    assert made == json.loads(payload_of(made))
    return made


def test_the_event_has_every_key_of_the_one_that_api_gateway_sends():
    ours, theirs = event("/a/b?x=1", "POST", body=b"x"), rest_event("POST", "/a/b?x=1", [], b"x")
    assert set(ours) == set(theirs)
    assert set(ours["requestContext"]) >= set(theirs["requestContext"])
    check(ours)


def test_an_event_says_where_the_request_is_from_and_when_it_came():
    context = event("/a/b")["requestContext"]
    assert context["identity"]["sourceIp"] == "203.0.113.7"
    assert context["requestId"] == "request-0001"
    assert (context["requestTime"], context["requestTimeEpoch"]) == ("22/Nov/2026:12:00:00 +0000", 1_795_348_800_250)
    assert (context["stage"], context["protocol"], context["accountId"]) == ("gatehouse", "HTTP/1.1", "")
    assert event("/a", name=ARN)["requestContext"]["accountId"] == "123456789012"


@pytest.mark.parametrize(
    ("path", "resource", "below"),
    [
        ("/", "/", None),
        ("/a", "/{proxy+}", {"proxy": "a"}),
        ("/a/b%20c/", "/{proxy+}", {"proxy": "a/b c/"}),
        ("/%E2%82%AC", "/{proxy+}", {"proxy": "€"}),
    ],
)
def test_the_path_is_as_it_was_sent_and_its_parameter_is_decoded(path: str, resource: str, below: Any):
    made = event(path)
    assert (made["path"], made["resource"], made["pathParameters"]) == (path, resource, below)
    assert (made["requestContext"]["path"], made["requestContext"]["resourcePath"]) == (path, resource)


@pytest.mark.parametrize(
    ("query", "last", "all_of_them"),
    [
        ("", None, None),
        ("a=1&b=2&a=3", {"a": "3", "b": "2"}, {"a": ["1", "3"], "b": ["2"]}),
        ("a&b=", {"a": "", "b": ""}, {"a": [""], "b": [""]}),
        ("a=%20+%2B%26", {"a": "  +&"}, {"a": ["  +&"]}),
        ("q=%E2%82%AC;x=1", {"q": "€;x=1"}, {"q": ["€;x=1"]}),
        ("u=/a?b=c", {"u": "/a?b=c"}, {"u": ["/a?b=c"]}),
    ],
)
def test_a_query_is_decoded_and_null_where_there_is_none(query: str, last: Any, all_of_them: Any):
    made = event(f"/a?{query}" if query else "/a")
    assert made["queryStringParameters"] == last
    assert made["multiValueQueryStringParameters"] == all_of_them
    assert made["path"] == "/a"


def test_a_header_said_twice_is_there_twice_and_the_last_one_is_the_single_one():
    made = event("/a", "GET", ("x-tag", "1"), ("x-tag", "2"), ("x-name", "Zoë".encode().decode("latin-1")))
    assert made["multiValueHeaders"]["x-tag"] == ["1", "2"]
    assert made["headers"]["x-tag"] == "2"
    assert made["headers"]["x-name"] == "Zoë"


@pytest.mark.parametrize("name", ["orders", "orders:live", ARN, f"{ARN}:7"])
def test_the_host_is_the_functions_name(name: str):
    assert event("/a", name=name)["headers"]["host"] == "orders"


@pytest.mark.parametrize(
    ("body", "fields", "sent", "is_base64"),
    [
        (b"", (), None, False),
        (b'{"a":"\xc3\xab"}', (("content-type", "application/json"),), '{"a":"ë"}', False),
        (b"a=1", (("content-type", "application/x-www-form-urlencoded"),), "a=1", False),
        (b"\xff\xfe", (("content-type", "text/plain"),), "//4=", True),
        (b"abc", (), "YWJj", True),
        (b"abc", (("content-type", "image/png"),), "YWJj", True),
        (b"abc", (("content-type", "text/plain"), ("content-encoding", "gzip")), "YWJj", True),
    ],
)
def test_a_body_of_text_is_text_and_any_other_is_base64(body: bytes, fields: Any, sent: Any, is_base64: bool):
    made = event("/a", "POST", *fields, body=body)
    assert (made["body"], made["isBase64Encoded"]) == (sent, is_base64)
    assert made["headers"].get("content-length") == (str(len(body)) if body else None)


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.lists(st.tuples(TEXTS, TEXTS), max_size=6),
    st.binary(max_size=200),
    st.sampled_from(["", "text/plain", "application/json", "application/octet-stream"]),
)
def test_whatever_is_sent_can_be_read_from_the_event_as_the_gateway_reads_its_own(
    headers: list[Pair], query: list[Pair], body: bytes, kind: str
):
    own = {"host", "content-length", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "content-type"}
    fields = [(name, value.encode().decode("latin-1")) for name, value in headers if name not in own]
    made = event(f"/a?{urlencode(query)}", "POST", *fields, *([("content-type", kind)] if kind else []), body=body)
    scope = RestEvent(made, Context(), {}).scope  # type: ignore[arg-type]  # what it reads of them is there
    heard = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
    assert sorted(pair for pair in heard if pair[0] not in own) == sorted(fields)
    assert body_of(made) == body
    assert sorted(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)) == sorted(query)


def test_the_largest_request_passes_and_a_byte_more_is_told_the_limit_in_words():
    def sized(length: int) -> bytes:
        text = ("content-type", "text/plain")
        url = "lambda://orders/a"
        return payload_of(
            event_of(Outbound(method="PUT", url=url, headers=[text], body=b"x" * length, timeout_s=1), NOON)
        )

    room = MOST_PAYLOAD_BYTES - len(sized(1_000_000)) + 1_000_000
    assert len(sized(room)) == MOST_PAYLOAD_BYTES
    with pytest.raises(PayloadTooLargeError, match=r"6 MB .* about 4\.5 MB"):
        sized(room + 1)


def test_four_and_a_half_megabytes_of_anything_fit():
    body = bytes(range(256)) * (4_500_000 // 256)
    assert base64.b64decode(event("/a", "PUT", body=body)["body"]) == body


@pytest.mark.parametrize(
    "text",
    [
        "orders", "Orders_2-x", "a" * 64, "orders:live", "orders:7", "orders:$LATEST", ARN, f"{ARN}:live",
        "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:x",
        "arn:aws-cn:lambda:cn-north-1:123456789012:function:x",
    ],
)  # fmt: skip
def test_a_name_is_read_and_said_again(text: str):
    function = parsed(text)
    assert str(function) == text
    assert parted(f"lambda://{text}/a/b?c=/d?e") == (function, "/a/b", "c=/d?e")
    assert parted(f"lambda://{text}") == (function, "/", "")
    assert is_function(f"lambda://{text}")


def test_an_arn_says_where_the_function_is():
    function = parsed(f"{ARN}:live")
    assert function is not None
    assert (function.region, function.account, function.name) == ("eu-central-1", "123456789012", "orders")
    assert (function.qualifier, function.unqualified) == ("live", ARN)


@pytest.mark.parametrize(
    "text",
    [
        "", "a" * 65, "a b", "a.b", "a:", ":live", "a:b:c", "a:$OTHER", "ä", "orders\n", "//orders", "a?b",
        "arn:aws:lambda:eu-central-1:12345:function:x", "arn:aws:s3:eu-central-1:123456789012:function:x",
        "arn:aws:lambda:evil.example#-1:123456789012:function:x", f"{ARN}:live\n",
    ],
)  # fmt: skip
def test_what_is_no_name_is_none(text: str):
    assert parsed(text) is None
    with pytest.raises(ValueError, match="no function"):
        parted(f"lambda://{text}/a")


def test_an_address_on_the_web_is_no_function():
    assert not is_function("https://example.com")
    assert not is_function(None)
    with pytest.raises(ValueError, match="no function"):
        parted("http://orders/a")
