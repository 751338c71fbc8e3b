"""What callers and upstreams may rely on, whichever host carries the gateway."""

import json
import time

import pytest

from tests.contract.conftest import Send, bearer, check_error
from tests.contract.rest_event import Context
from tests.contract.upstream import Lab


@pytest.mark.parametrize(
    "path",
    [
        "/a/b",
        "/a%20b",
        "/caf%c3%a9",
        "/caf%C3%A9",
        "/100%25",
        "/a;v=1/b",
        "/a+b",
        "/~x/-_.!",
        "/a%3ab",
        "/trailing/",
        "",
    ],
)
def test_a_path_arrives_byte_for_byte_without_its_prefix(send: Send, lab: Lab, path: str):
    assert send("GET", "/lab/echo" + path).status == 200
    assert lab.last["path"] == (path or "/")


def test_the_upstreams_own_base_path_stays_in_front(send: Send, lab: Lab):
    send("GET", "/lab/base/x/y")
    assert lab.last["path"] == "/base/x/y"


def test_a_route_may_keep_its_prefix(send: Send, lab: Lab):
    send("GET", "/lab/kept/x")
    assert lab.last["path"] == "/lab/kept/x"


def test_a_version_in_a_path_is_digits_and_nothing_else(send: Send, lab: Lab):
    assert send("GET", "/lab/api/v12/things/7").status == 200
    assert lab.last["path"] == "/7"
    check_error(send("GET", "/lab/api/vx/things/7"), 404, "NOT_FOUND")


@pytest.mark.parametrize("query", ["a=1&a=2&b=%20x", "q=caf%C3%A9", "empty=", "x=%26%3D"])
def test_a_query_arrives_as_it_was_sent(send: Send, lab: Lab, query: str):
    send("GET", f"/lab/echo/q?{query}")
    assert lab.last["query"] == query


def test_a_binary_body_arrives_whole(send: Send, lab: Lab):
    body = bytes(range(256)) * 400
    send("PUT", "/lab/echo/file", {"Content-Type": "application/octet-stream"}, body)
    assert lab.last["body"] == body
    assert lab.values("content-length") == [str(len(body))]


def test_a_request_without_a_body_is_sent_without_one(send: Send, lab: Lab):
    send("GET", "/lab/echo/x")
    assert not lab.values("content-length")
    assert not lab.values("transfer-encoding")
    assert not lab.values("content-type")


def test_a_post_without_a_body_says_that_it_has_none(send: Send, lab: Lab):
    send("POST", "/lab/echo/x")
    assert lab.values("content-length") == ["0"]


def test_repeated_request_headers_stay_repeated(send: Send, lab: Lab):
    send("GET", "/lab/echo/x", [("X-Many", "one"), ("X-Many", "two")])
    assert lab.values("x-many") == ["one", "two"]


def test_repeated_answer_headers_stay_repeated(send: Send):
    assert send("GET", "/lab/echo/cookies").all("set-cookie") == ["a=1; Path=/", "b=2; HttpOnly"]


def test_hop_by_hop_headers_of_an_answer_end_at_the_gateway(send: Send):
    answer = send("GET", "/lab/echo/hop")
    assert answer.get("x-kept") == "1"
    assert not answer.get("x-secret-hop")
    assert "timeout=9" not in answer.get("keep-alive")


def test_an_answer_header_that_is_not_ascii_passes(send: Send):
    assert send("GET", "/lab/echo/latin").get("x-name") == "Zoë"


def test_a_redirect_is_handed_through_and_not_followed(send: Send, lab: Lab):
    before = len(lab.seen)
    answer = send("GET", "/lab/echo/moved")
    assert (answer.status, answer.get("location")) == (302, "http://elsewhere.example/a?b=c")
    assert len(lab.seen) == before + 1


@pytest.mark.parametrize(("path", "status"), [("nothing", 204), ("teapot", 418)])
def test_a_status_is_handed_through(send: Send, path: str, status: int):
    assert send("GET", f"/lab/echo/{path}").status == status


def test_head_has_the_headers_of_get_and_no_body(send: Send):
    answer = send("HEAD", "/lab/read/x")
    assert answer.status == 200
    assert answer.body == b""
    assert int(answer.get("content-length")) > 0


def test_a_binary_answer_of_five_megabytes_is_too_large_for_a_buffered_host_only(uvicorn_send: Send, mangum_send: Send):
    assert len(uvicorn_send("GET", "/lab/echo/wide").body) == 256 * 20_000
    check_error(mangum_send("GET", "/lab/echo/wide"), 502, "RESPONSE_TOO_LARGE", "ECHO")


def test_an_answer_that_lambda_cannot_carry_says_so_and_names_the_way_out(uvicorn_send: Send, mangum_send: Send):
    assert len(uvicorn_send("GET", "/lab/echo/large").body) == 7_000_000
    answer = mangum_send("GET", "/lab/echo/large", {"Origin": "https://app.example.com"})
    check_error(answer, 502, "RESPONSE_TOO_LARGE", "ECHO")
    assert "streaming" in answer.json["message"]
    assert answer.get("access-control-allow-origin") == "https://app.example.com"


IDENTITY = [
    "Authorization", "X-Organization-Id", "x-user-id", "X_User_Id", "X.User.Id", "X-Gateway-Route", "X_GATEWAY_ROUTE",
    "X-Internal-Key", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded",
    "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Original-URL",
    "X-HTTP-Method-Override", "X-Host", "X-Rewrite-URL", "x-amzn-request-context",
]  # fmt: skip


@pytest.mark.parametrize("name", IDENTITY)
def test_what_only_the_gateway_may_say_never_comes_from_a_client(send: Send, lab: Lab, name: str):
    send("GET", "/lab/echo/x", [(name, "Bearer forged"), ("Connection", f"close, {name}")])
    assert not [pair for pair in lab.last["headers"] if "forged" in pair[1]]
    assert lab.values("x-gateway-route") == ["ECHO"]
    assert lab.values("x-forwarded-for") == ["127.0.0.1"]


def test_connection_cannot_take_away_what_the_gateway_says(send: Send, lab: Lab):
    send("GET", "/lab/echo/x", {"Connection": "X-Gateway-Route, X-Forwarded-For, X-Own", "X-Own": "1"})
    assert lab.values("x-gateway-route") == ["ECHO"]
    assert not lab.values("x-own")


def test_the_upstream_is_told_the_host_that_was_asked_for(send: Send, lab: Lab):
    send("GET", "/lab/echo/x", {"Host": "shop.example.com"})
    assert lab.values("x-forwarded-host") == ["shop.example.com"]
    assert lab.values("host") == [lab.values("host")[0]]
    assert lab.values("host")[0].startswith("127.0.0.1:")


def test_a_request_id_is_passed_on_and_a_bad_one_replaced(send: Send, lab: Lab):
    assert send("GET", "/lab/echo/x", {"X-Request-Id": "trace-me-12345"}).get("x-request-id") == "trace-me-12345"
    assert lab.values("x-request-id") == ["trace-me-12345"]
    assert send("GET", "/lab/echo/x", {"X-Request-Id": "r1"}).get("x-request-id") == "r1"
    assert send("GET", "/lab/echo/x", {"X-Request-Id": "r" * 129}).get("x-request-id") != "r" * 129
    made = send("GET", "/lab/echo/x", {"X-Request-Id": 'x"} {"forged'}).get("x-request-id")
    assert lab.values("x-request-id") == [made]
    assert "forged" not in made


def test_a_trace_passes_through(send: Send, lab: Lab):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    send("GET", "/lab/echo/x", {"traceparent": trace})
    assert lab.values("traceparent") == [trace]


@pytest.mark.parametrize(
    "path",
    ["/lab/echo/../base", "/lab/echo/%2e%2e/base", "/lab/echo/%2E./x", "/lab/echo/a%2fb", "/lab/echo/a%5Cb",
     "/lab/echo/a%00", "/lab/echo//x", "/lab/echo/%252e%252e/x", "/lab/echo/%ff", "/lab/echo/%zz", "/lab/echo/..;/x",
     "/lab/echo/%0d%0aX:1", "/lab/echo/a%3Fb", "/lab/echo/a%23b", "//lab/echo", "/lab/echo/;x/y"],
)  # fmt: skip
def test_a_path_that_could_be_read_in_two_ways_is_refused(send: Send, lab: Lab, path: str):
    before = len(lab.seen)
    check_error(send("GET", path), 400, "BAD_PATH", "CORE")
    assert len(lab.seen) == before


@pytest.mark.parametrize(
    "path", ["/lab/echoes", "/Lab/echo", "/lab/ech", "/buildings", "/buil", "/%62uild", "/", "/lab"]
)
def test_a_path_matches_whole_segments_or_not_at_all(send: Send, path: str):
    check_error(send("GET", path), 404, "NOT_FOUND", "CORE")


def test_a_method_that_the_route_does_not_take_is_refused_with_those_it_takes(send: Send):
    answer = send("POST", "/lab/read/x")
    check_error(answer, 405, "METHOD_NOT_ALLOWED", "READ")
    assert answer.get("allow") == "GET, HEAD"


def test_a_route_without_an_upstream_says_so(send: Send):
    check_error(send("GET", "/lab/unset"), 502, "MISSING_TARGET", "UNSET")


@pytest.mark.parametrize("path", ["/lab/gone/x", "/lab/nowhere/x"])
def test_an_upstream_that_is_not_there_is_unreachable(send: Send, path: str):
    check_error(send("GET", path), 502, "UPSTREAM_UNREACHABLE")


def test_an_upstream_that_hangs_is_given_up_in_the_routes_time(send: Send):
    started = time.monotonic()
    check_error(send("GET", "/lab/slow/x"), 504, "UPSTREAM_TIMEOUT", "SLOW")
    assert time.monotonic() - started < 2


def test_the_invocations_end_comes_before_the_routes_time(mangum_send: Send, lab: Lab):
    answer = mangum_send("GET", "/kv/delay/2", context=Context(remaining_ms=800))
    check_error(answer, 504, "UPSTREAM_TIMEOUT", "KV")


def test_a_body_over_the_limit_is_refused_before_it_is_read(send: Send):
    check_error(send("POST", "/lab/echo/x", body=b"x" * (10 * 1024 * 1024 + 1)), 413, "PAYLOAD_TOO_LARGE", "ECHO")


@pytest.mark.parametrize("name", ["Authorization", "Content-Type"])
def test_a_header_that_decides_something_may_not_be_said_twice_differently(send: Send, name: str):
    check_error(send("GET", "/lab/echo/x", [(name, "one"), (name, "two")]), 400, "INVALID_REQUEST")


def test_a_client_that_wants_a_problem_document_gets_one(send: Send):
    answer = send("GET", "/nothing", {"Accept": "application/problem+json"})
    assert answer.get("content-type") == "application/problem+json"
    assert answer.json["status"] == 404
    assert answer.json["code"] == answer.json["title"] == "NOT_FOUND"
    assert answer.json["detail"]
    assert answer.json["requestId"] == answer.get("x-request-id")


def test_a_preflight_is_answered_as_the_original_did(send: Send):
    answer = send("OPTIONS", "/build/x", {"Origin": "https://any.example", "Access-Control-Request-Method": "POST"})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.get("access-control-allow-origin") == "*"
    assert answer.get("access-control-allow-headers") == "Authorization, Content-Type"
    assert answer.get("access-control-allow-methods") == "GET,POST,PUT,DELETE,OPTIONS"
    assert answer.get("access-control-max-age") == "86400"


@pytest.mark.parametrize("path", ["/auth/login", "/auth/guest", "/nothing", "/"])
def test_a_preflight_is_answered_everywhere(send: Send, path: str):
    answer = send("OPTIONS", path, {"Origin": "https://any.example", "Access-Control-Request-Method": "POST"})
    assert (answer.status, answer.get("access-control-allow-origin")) == (204, "*")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/build"), ("GET", "/nothing"), ("POST", "/auth/login"), ("PATCH", "/build"), ("GET", "/kv/%2e%2e/")],
)
def test_errors_are_readable_by_web_pages_too(send: Send, method: str, path: str):
    answer = send(method, path, {"Origin": "https://any.example"})
    assert answer.status >= 400
    assert answer.all("access-control-allow-origin") == ["*"]


def test_an_allow_list_names_the_origin_and_says_that_it_varies(send: Send):
    answer = send("GET", "/lab/echo/x", {"Origin": "https://app.example.com"})
    assert answer.get("access-control-allow-origin") == "https://app.example.com"
    assert answer.get("access-control-allow-credentials") == "true"
    assert "Origin" in answer.get("vary")
    other = send("GET", "/lab/echo/x", {"Origin": "https://app.example.com.evil.example"})
    assert not other.get("access-control-allow-origin")
    assert "Origin" in other.get("vary")


def test_cors_is_the_gateways_to_say_and_framing_the_upstreams(send: Send):
    answer = send("GET", "/lab/echo/own-cors", {"Origin": "https://evil.example"})
    assert not answer.get("access-control-allow-origin")
    assert not answer.get("access-control-allow-credentials")
    assert answer.all("x-frame-options") == ["SAMEORIGIN"]


def test_security_headers_are_on_answers_and_errors(send: Send):
    for answer in (send("GET", "/lab/echo/x"), send("GET", "/nothing"), send("OPTIONS", "/build")):
        assert answer.get("x-content-type-options") == "nosniff"
        assert answer.get("strict-transport-security")
        assert answer.get("referrer-policy")


def test_the_clients_token_never_reaches_an_upstream(send: Send, lab: Lab, admin_token: str):
    assert send("GET", "/core/x", bearer(admin_token)).status == 200
    assert admin_token not in json.dumps(lab.last, default=str)


def test_a_host_header_that_breaks_parsers_breaks_nothing(send: Send):
    assert send("GET", "/lab/echo/x", {"Host": "[::1]:3000"}).status == 200
    check_error(send("GET", "/lab/echo/x", {"Host": "x/core?"}), 400, "INVALID_REQUEST")
