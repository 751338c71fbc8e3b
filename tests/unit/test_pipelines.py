"""From project files to answers: the order of the stages, what upstreams are sent, and what failures look like."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gatehouse import errors
from gatehouse.build import build, gateway
from gatehouse.call import Call, Handler, Identity, Reply, pipeline
from gatehouse.cors import admitted, opened, preflight
from gatehouse.errors import (
    ClientGoneError,
    GatewayError,
    InsufficientTokenError,
    InternalError,
    MethodNotAllowedError,
    MissingTokenError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
    document,
    render,
)
from gatehouse.headers import Headers
from gatehouse.projects import load
from gatehouse.projects.model import Cors
from gatehouse.stages.authenticate import authenticate
from gatehouse.stages.authorize import authorize
from gatehouse.stages.forward import LEAST_TIME_S, MOST_REPEATED_BYTES, Target, forward, location, repeatable
from gatehouse.stages.methods import methods
from gatehouse.stages.recover import recover
from gatehouse.stages.security_headers import SECURITY_HEADERS, security_headers
from gatehouse.tokens import mint
from gatehouse.upstreams import Outbound, UnansweredError
from tests.unit.fakes import (
    METACOGNA,
    NOW,
    FakeBody,
    FakeClock,
    FakeKit,
    FakeUpstream,
    a_call,
    an_identity,
    body_of,
    metacogna,
    ok,
    ring,
    run,
    the_metacogna,
    write,
)

ADA = (
    "authorization",
    "Bearer " + mint(ring(), METACOGNA, {"sub": "ada", "route": "AUTH", "scopes": ["admin"]}, ttl_s=60, now=NOW).token,
)


async def answer(call: Call) -> Reply:
    return ok(call.path.encode())


def raising(error: Exception) -> Handler:
    async def fail(_: Call) -> Reply:
        raise error

    return fail


def sent_to(
    path: str, method: str = "GET", *headers: tuple[str, str], upstream: FakeUpstream | None = None, **changes: Any
) -> Reply:
    kit = FakeKit(upstream)
    return run(gateway(metacogna(), kit)(a_call(path, method, *headers, **changes)))


# --------------------------------------------------------------------------------------------------- the pipeline


def test_the_first_stage_listed_is_the_outermost() -> None:
    passed: list[str] = []

    def stage(name: str) -> Any:
        async def note(call: Call, forward: Handler) -> Reply:
            passed.append(f"in {name}")
            reply = await forward(call)
            passed.append(f"out {name}")
            return reply

        return note

    run(pipeline(stage("a"), stage("b"), end=answer)(a_call()))
    assert passed == ["in a", "in b", "out b", "out a"]


def test_a_pipeline_without_stages_is_its_end() -> None:
    assert run(pipeline(end=answer)(a_call("/x"))).body == b"/x"


def test_calls_identities_and_replies_cannot_be_changed() -> None:
    for value, name in ((a_call(), "path"), (an_identity(), "subject"), (ok(), "status"), (ok().headers, "pairs")):
        with pytest.raises(AttributeError):
            setattr(value, name, "x")


# ---------------------------------------------------------------------------------------------- what is forwarded


@pytest.mark.parametrize(
    ("path", "query", "url"),
    [
        ("/build", "", "http://build.test/"),
        ("/build/", "", "http://build.test/"),
        ("/build/a/b", "x=1&x=2", "http://build.test/a/b?x=1&x=2"),
        ("/build/a%2db/%e2%82%ac/", "q=%2f", "http://build.test/a%2db/%e2%82%ac/?q=%2f"),
        ("/kv/a", "", "http://kv.test/base/a"),
        ("/kv", "a", "http://kv.test/base/?a"),
        ("/build/build/x", "", "http://build.test/build/x"),
    ],
)
def test_the_prefix_stays_behind_and_the_rest_arrives_byte_for_byte(path: str, query: str, url: str) -> None:
    upstream = FakeUpstream()
    assert sent_to(path, "GET", ADA, upstream=upstream, query=query).status == 200
    assert upstream.only.url == url


def test_a_prefix_may_be_kept(tmp_path: Path) -> None:
    text = """\
project: demo
defaults: {auth: none, strip_prefix: false}
routes:
  - {name: A, paths: ["/api/v{version}/a", "/b"], upstream: "http://a.test/base"}
  - {name: C, paths: ["/c/v{version}"], upstream: "http://c.test", strip_prefix: true}
  - {name: ALL, path: /, upstream: "http://all.test", strip_prefix: true}
"""
    handle = gateway(load(write(tmp_path, text), {}), kit := FakeKit())
    for path in ("/api/v3/a/x", "/b/", "/c/v7/x/y", "/c/v7", "/other/x", "/"):
        run(handle(a_call(path)))
    assert [outbound.url for outbound in kit.upstream.sent] == [
        "http://a.test/base/api/v3/a/x",
        "http://a.test/base/b/",
        "http://c.test/x/y",
        "http://c.test/",
        "http://all.test/other/x",
        "http://all.test/",
    ]


def test_an_upstream_is_told_by_the_gateway_who_called_and_how() -> None:
    upstream = FakeUpstream()
    lies = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-gateway-route", "AUTH"),
        ("x_request_id", "theirs"),
        ("x-internal-key", "k"),
    ]
    sent_to(
        "/build/x",
        "POST",
        ADA,
        ("host", "gateway.test"),
        ("accept", "*/*"),
        ("traceparent", "00-a-b-01"),
        *lies,
        upstream=upstream,
        body=b"data",
    )
    assert upstream.only.method == "POST"
    assert upstream.only.body == b"data"
    assert upstream.only.headers == [
        ("accept", "*/*"),
        ("traceparent", "00-a-b-01"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "gateway.test"),
        ("x-request-id", "request-0001"),
        ("x-gateway-route", "BUILD"),
    ]


def test_an_answer_comes_back_with_its_status_body_and_repeated_headers() -> None:
    told = ok(b"moved", ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("location", "http://elsewhere.test/"),
        ("keep-alive", "timeout=5"),
              ("connection", "x-hop"), ("x-hop", "1"), ("x-request-id", "theirs"), status=302)  # fmt: skip
    reply = sent_to("/kv/x", upstream=FakeUpstream(told))
    assert (reply.status, reply.body) == (302, b"moved")
    assert reply.headers.get_all("set-cookie") == ("a=1", "b=2")
    assert reply.headers.get("location") == "http://elsewhere.test/"
    assert not {"keep-alive", "connection", "x-hop"} & {name for name, _ in reply.headers}
    assert reply.headers.get_all("x-request-id") == ("request-0001",)


# -------------------------------------------------------------------------------------------------- time and repeats


def forwarded(upstream: FakeUpstream, call: Call, clock: FakeClock, timeout_s: float = 25.0) -> Reply:
    target = Target(route="R", address="http://a.test", stripped=0, timeout_s=timeout_s)
    return run(forward(upstream, target, clock)(call))


@pytest.mark.parametrize(
    ("deadline", "timeout_s"), [(None, 25.0), (100.0, 25.0), (25.0, 25.0), (10.0, 10.0), (LEAST_TIME_S, LEAST_TIME_S)]
)
def test_an_upstream_has_its_routes_time_or_what_is_left_of_the_invocation(
    deadline: float | None, timeout_s: float
) -> None:
    upstream = FakeUpstream()
    forwarded(upstream, a_call(deadline=deadline), FakeClock(0.0))
    assert upstream.only.timeout_s == timeout_s


@pytest.mark.parametrize("deadline", [LEAST_TIME_S - 0.001, 0.0, -5.0])
def test_where_no_time_is_left_nothing_is_sent(deadline: float) -> None:
    upstream = FakeUpstream()
    with pytest.raises(UpstreamTimeoutError):
        forwarded(upstream, a_call(deadline=deadline), FakeClock(0.0))
    assert upstream.sent == []


class Slow(FakeUpstream):
    """An upstream that takes its time."""

    def __init__(self, clock: FakeClock, takes_s: float, *answers: Any) -> None:
        super().__init__(*answers)
        self.clock, self.takes_s = clock, takes_s

    async def send(self, outbound: Outbound) -> Reply:
        self.clock.now += self.takes_s
        return await super().send(outbound)


def test_a_second_attempt_has_only_what_the_first_left() -> None:
    clock = FakeClock(0.0)
    upstream = Slow(clock, 10.0, UnansweredError())
    forwarded(upstream, a_call(), clock)
    assert [outbound.timeout_s for outbound in upstream.sent] == [25.0, 15.0]


@pytest.mark.parametrize("deadline", [None, 10.0])
def test_a_second_attempt_is_not_made_without_time(deadline: float | None) -> None:
    clock = FakeClock(0.0)
    upstream = Slow(clock, 10.0, UnansweredError())
    with pytest.raises(UpstreamTimeoutError):
        forwarded(upstream, a_call(deadline=deadline), clock, timeout_s=10.0)
    assert len(upstream.sent) == 1


@pytest.mark.parametrize(
    "failure", [UnansweredError(), UpstreamUnreachableError(), UpstreamTimeoutError(), RuntimeError()]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_only_an_idempotent_request_that_nobody_answered_is_sent_once_more(method: str, failure: Exception) -> None:
    upstream = FakeUpstream(failure, failure, ok())
    with pytest.raises(type(failure)):
        forwarded(upstream, a_call("/", method), FakeClock(0.0))
    again = isinstance(failure, UnansweredError) and method not in {"POST", "PATCH"}
    assert len(upstream.sent) == (2 if again else 1)


def test_a_request_that_nobody_answered_succeeds_the_second_time() -> None:
    upstream = FakeUpstream(UnansweredError(), ok(b"second"))
    call = a_call(body=b"x")
    assert forwarded(upstream, call, FakeClock(0.0)).body == b"second"
    assert isinstance(call.body, FakeBody)
    assert call.body.reads == 1


@pytest.mark.parametrize(("size", "again"), [(0, True), (MOST_REPEATED_BYTES, True), (MOST_REPEATED_BYTES + 1, False)])
def test_only_a_small_body_is_kept_for_a_second_attempt(size: int, again: bool) -> None:
    assert repeatable(Outbound(method="PUT", url="", headers=[], body=b"x" * size, timeout_s=1)) == again


def test_how_long_the_upstream_took_is_noted_for_the_log_also_when_it_failed() -> None:
    for upstream_answers in ([ok()], [UpstreamUnreachableError()]):
        clock = FakeClock(0.0)
        call = a_call()
        with suppress(UpstreamUnreachableError):
            forwarded(Slow(clock, 1.5, *upstream_answers), call, clock)
        assert call.notes["upstreamMs"] == 1500.0


@pytest.mark.parametrize(
    ("stripped", "path", "rest"),
    [
        (0, "/a/b", "/a/b"),
        (1, "/a/b", "/b"),
        (1, "/a", "/"),
        (1, "/a/", "/"),
        (2, "/a/b/c/", "/c/"),
        (2, "/a/b", "/"),
        (0, "/", "/"),
    ],
)
def test_as_many_segments_stay_behind_as_the_pattern_has(stripped: int, path: str, rest: str) -> None:
    target = Target(route="R", address="http://a.test/base", stripped=stripped, timeout_s=1)
    assert location(target, a_call(path)) == f"http://a.test/base{rest}"


# -------------------------------------------------------------------------------------------------------- failures


def test_a_route_without_an_upstream_says_so() -> None:
    handle = gateway(metacogna({}), FakeKit())
    reply = run(handle(a_call("/kv/x")))
    assert (reply.status, body_of(reply)["code"], body_of(reply)["route"]) == (502, "MISSING_TARGET", "KV")


def test_a_path_of_no_route_is_not_found_and_its_route_is_core() -> None:
    reply = sent_to("/nowhere")
    body = body_of(reply)
    assert (reply.status, body["code"], body["route"], body["requestId"]) == (404, "NOT_FOUND", "CORE", "request-0001")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (UpstreamTimeoutError(), 504, "UPSTREAM_TIMEOUT"),
        (UnansweredError(), 502, "UPSTREAM_UNREACHABLE"),
        (UpstreamUnreachableError(), 502, "UPSTREAM_UNREACHABLE"),
        (errors.ResponseTooLargeError(), 502, "RESPONSE_TOO_LARGE"),
        (RuntimeError("http://10.0.0.1 password"), 500, "INTERNAL"),
        (RecursionError(), 500, "INTERNAL"),
    ],
)
def test_every_failure_has_our_body_our_headers_and_says_nothing_of_the_inside(
    failure: Exception, status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = sent_to("/kv/x", upstream=FakeUpstream(failure, failure))
    body = body_of(reply)
    assert (reply.status, body["status"], body["code"], body["route"]) == (status, status, code, "KV")
    assert list(body) == ["route", "status", "code", "message", "requestId", "timestamp"]
    assert reply.headers.get("access-control-allow-origin") == "*"
    assert reply.headers.get("cache-control") == "no-store"
    assert reply.headers.get("content-type") == "application/json"
    assert reply.headers.get("x-request-id") == "request-0001"
    for name, value in SECURITY_HEADERS:
        assert reply.headers.get_all(name) == (value,)
    logged = capsys.readouterr().out
    for secret in ("10.0.0.1", "password"):
        assert secret not in logged
    for inside in ("10.0.0.1", "password", "kv.test", "Error", "Traceback", "aiohttp"):
        assert inside not in json.dumps(body)


def test_a_method_that_a_route_does_not_take_is_refused_with_those_it_takes(tmp_path: Path) -> None:
    text = "project: d\nroutes: [{name: A, path: /a, upstream: 'http://a.test', auth: none, methods: [GET, POST]}]\n"
    kit = FakeKit()
    reply = run(gateway(load(write(tmp_path, text), {}), kit)(a_call("/a", "DELETE")))
    assert (reply.status, body_of(reply)["code"], reply.headers.get("allow")) == (
        405,
        "METHOD_NOT_ALLOWED",
        "GET, POST",
    )
    assert kit.upstream.sent == []


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW", "get", ""])
def test_a_method_that_no_route_takes_is_refused(method: str) -> None:
    assert body_of(sent_to("/kv/x", method))["code"] == "METHOD_NOT_ALLOWED"


def test_a_body_is_not_read_before_the_caller_is_known() -> None:
    body = FakeBody(b"x" * 100)
    run(gateway(metacogna(), FakeKit())(replace(a_call("/build/x", "POST"), body=body)))
    assert body.reads == 0


def test_the_route_and_the_code_are_noted_for_the_log() -> None:
    call = a_call("/build/x")
    run(gateway(metacogna(), FakeKit())(call))
    assert call.notes == {"project": "metacogna", "route": "BUILD", "error": "MISSING_TOKEN"}


# ---------------------------------------------------------------------------------------------------- error bodies


def every_error(base: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    return [base, *(deeper for one in base.__subclasses__() for deeper in every_error(one))]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_renders_with_its_status_its_code_and_advice(kind: type[GatewayError]) -> None:
    reply = render(kind(), a_call(), now=datetime(2026, 11, 22, 10, 0, 0, 5000, tzinfo=UTC))
    body = body_of(reply)
    assert reply.status == body["status"] == kind.status
    assert 400 <= kind.status < 600
    assert body["code"] == kind.code == kind.code.upper()
    assert len(body["message"]) > 20
    assert body["timestamp"] == "2026-11-22T10:00:00.005Z"
    assert ("www-authenticate" in reply.headers) == bool(kind.challenge)


@pytest.mark.parametrize("kind", [one for one in every_error() if one.status == 401 or one.code == "INVALID_TOKEN"])
def test_refusals_of_credentials_carry_a_challenge(kind: type[GatewayError]) -> None:
    assert render(kind(), a_call()).headers.get("www-authenticate").startswith("Bearer ")


def test_details_are_there_when_there_are_any() -> None:
    error = errors.InvalidRequestError("No.", details={"username": "too long"})
    assert document(error, route="AUTH", request_id="r")["details"] == {"username": "too long"}
    assert document(error, route="AUTH", request_id="r")["message"] == "No."
    assert "details" not in document(InternalError(), route="AUTH", request_id="r")


@pytest.mark.parametrize("accept", ["application/problem+json", "text/html, Application/Problem+JSON;q=0.9"])
def test_a_client_that_accepts_problem_details_gets_them(accept: str) -> None:
    reply = render(InternalError(), a_call("/", "GET", ("accept", accept)))
    body = body_of(reply)
    assert reply.headers.get("content-type") == "application/problem+json"
    assert (body["type"], body["title"], body["status"]) == ("about:blank", "INTERNAL", 500)
    assert body["detail"] == InternalError.message
    assert "message" not in body
    assert {"route", "code", "requestId", "timestamp"} <= set(body)


# ------------------------------------------------------------------------------------------------------------ cors

LISTED = Cors(
    origins=("https://app.test", "https://admin.test"),
    credentials=True,
    headers=("X-A",),
    methods=("GET",),
    expose=("X-Request-Id",),
    max_age=60.0,
)
OPEN = Cors(origins=("*",))


@pytest.mark.parametrize("path", ["/build/x", "/kv/x", "/nowhere", "/build/../x", "/kv//x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_cors_headers_are_on_every_answer_errors_too(path: str, method: str) -> None:
    """They were only on answers to preflights, so no page could read an error."""
    reply = sent_to(path, method, ("origin", "https://page.test"))
    assert reply.headers.get_all("access-control-allow-origin") == ("*",)


def test_a_preflight_is_answered_as_the_original_system_did() -> None:
    upstream = FakeUpstream()
    reply = sent_to("/build/x", "OPTIONS", ("origin", "https://page.test"), upstream=upstream)
    assert (reply.status, reply.body, upstream.sent) == (204, b"", [])
    said = {name: value for name, value in reply.headers if name.startswith("access-control")}
    assert said == {
        "access-control-allow-origin": "*",
        "access-control-allow-headers": "Authorization, Content-Type",
        "access-control-allow-methods": "GET,POST,PUT,DELETE,OPTIONS",
        "access-control-max-age": "86400",
    }


@pytest.mark.parametrize("origin", ["https://app.test", "https://admin.test"])
def test_a_listed_origin_is_let_in_by_name(origin: str) -> None:
    assert admitted(LISTED, origin) == origin
    headers = opened(Headers(), LISTED, origin)
    assert headers.get("access-control-allow-origin") == origin
    assert headers.get("access-control-allow-credentials") == "true"
    assert headers.get("access-control-expose-headers") == "X-Request-Id"
    assert headers.get("vary") == "Origin"
    assert preflight(LISTED, origin).get("access-control-max-age") == "60"


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.test",
        "http://app.test",
        "https://app.test.evil.test",
        "https://APP.test",
        "https://app.test:444",
        "*",
        "https://app.test/",
    ],
)
def test_any_other_origin_is_told_nothing_but_that_answers_vary(origin: str) -> None:
    for headers in (opened(Headers(), LISTED, origin), preflight(LISTED, origin)):
        assert headers.pairs == (("vary", "Origin"),)


@pytest.mark.parametrize("policy", [LISTED, OPEN])
@pytest.mark.parametrize("origin", ["https://app.test", "https://evil.test"])
def test_what_an_upstream_says_about_origins_does_not_come_through(policy: Cors, origin: str) -> None:
    theirs = Headers(
        (
            ("access-control-allow-origin", "https://evil.test"),
            ("access-control-allow-credentials", "true"),
            ("vary", "Accept"),
        )
    )
    headers = opened(theirs, policy, origin)
    assert headers.get_all("access-control-allow-origin") == (
        (admitted(policy, origin),) if admitted(policy, origin) else ()
    )
    assert "Accept" in headers.get_all("vary")
    if policy is OPEN:
        assert "access-control-allow-credentials" not in headers


def test_what_an_upstream_exposes_stays_exposed_beside_what_the_project_exposes() -> None:
    assert opened(Headers((("access-control-expose-headers", "ETag"),)), OPEN, "x").get_all(
        "access-control-expose-headers"
    ) == ("ETag, Retry-After, X-Request-Id, RateLimit, RateLimit-Policy",)
    assert "access-control-expose-headers" not in opened(Headers(), Cors(origins=("*",), expose=()), "x")


def test_an_answer_of_no_project_lets_in_whom_any_project_lets_in(tmp_path: Path) -> None:
    text = (
        "project: {0}\ncors: {{origins: ['https://{0}.test']}}\n"
        "routes: [{{name: A, path: /{0}, upstream: 'http://a', auth: none}}]\n"
    )
    for name in ("one", "two"):
        write(tmp_path, text.format(name), f"{name}.yaml")
    handle = gateway(load(tmp_path, {}), FakeKit())
    for origin, said in (("https://two.test", "https://two.test"), ("https://three.test", "")):
        assert run(handle(a_call("/x", "GET", ("origin", origin)))).headers.get("access-control-allow-origin") == said
    assert run(handle(a_call("/x", "OPTIONS", ("origin", "https://two.test")))).status == 204
    assert run(handle(a_call("/x", "OPTIONS", ("origin", "https://three.test")))).status == 204


# ---------------------------------------------------------------------------------------------------- single stages


def credential(result: Identity | Exception | None, tried: list[str], name: str) -> Any:
    async def prove(_: Call) -> Identity | None:
        tried.append(name)
        if isinstance(result, Exception):
            raise result
        return result

    return prove


def test_credentials_are_tried_in_order_until_one_is_there() -> None:
    tried: list[str] = []
    chain = (
        credential(None, tried, "a"),
        credential(an_identity(subject="b"), tried, "b"),
        credential(None, tried, "c"),
    )
    seen: list[Identity | None] = []

    async def end(call: Call) -> Reply:
        seen.append(call.identity)
        return ok()

    run(authenticate(chain, required=True)(a_call(), end))
    assert tried == ["a", "b"]
    assert seen[0]
    assert seen[0].subject == "b"


@pytest.mark.parametrize("required", [True, False])
def test_a_bad_credential_ends_the_search(required: bool) -> None:
    tried: list[str] = []
    chain = (credential(errors.InvalidTokenError(), tried, "a"), credential(an_identity(), tried, "b"))
    with pytest.raises(errors.InvalidTokenError):
        run(authenticate(chain, required=required)(a_call(), answer))
    assert tried == ["a"]


def test_nobody_passes_only_where_nobody_may() -> None:
    assert run(authenticate((), required=False)(a_call(), answer)).status == 200
    with pytest.raises(MissingTokenError):
        run(authenticate((), required=True)(a_call(), answer))


def test_the_route_rule_is_about_our_own_tokens() -> None:
    project = the_metacogna()
    stage = authorize(project.routes[0], project)
    foreign = replace(an_identity("KV"), kind="jwks")
    assert run(stage(a_call(identity=foreign), answer)).status == 200
    assert run(stage(a_call(), answer)).status == 200
    with pytest.raises(InsufficientTokenError):
        run(stage(a_call(identity=an_identity("KV")), answer))


@pytest.mark.parametrize(("method", "good"), [("GET", True), ("POST", False), ("get", False), ("", False)])
def test_methods_are_compared_exactly(method: str, good: bool) -> None:
    stage = methods(("GET",))
    if good:
        assert run(stage(a_call(method=method), answer)).status == 200
    else:
        with pytest.raises(MethodNotAllowedError):
            run(stage(a_call(method=method), answer))


def test_what_nobody_expected_is_logged_without_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    call = a_call()
    reply = run(recover(call, raising(ValueError("secret words"))))
    assert body_of(reply)["code"] == call.notes["error"] == "INTERNAL"
    logged = capsys.readouterr().out
    assert "ValueError" in logged
    assert "request-0001" in logged
    assert "secret words" not in logged + str(reply.body)


def test_a_client_that_hung_up_is_nobodys_failure() -> None:
    with pytest.raises(ClientGoneError):
        run(recover(a_call(), raising(ClientGoneError())))


def test_a_route_whose_credentials_nobody_can_check_lets_nobody_in() -> None:
    """The loader refuses such a route; should one come here all the same, it is shut."""
    project = the_metacogna()
    route = replace(project.routes[0], accept=("session",))
    with pytest.raises(KeyError, match="session"):
        build(project, route, "/build", FakeKit())


def test_an_upstreams_own_security_headers_stay() -> None:
    told = ok(b"", ("x-frame-options", "SAMEORIGIN"), ("content-security-policy", "default-src 'self'"))
    reply = run(security_headers(a_call(), FakeHandler(told)))
    assert reply.headers.get_all("x-frame-options") == ("SAMEORIGIN",)
    assert reply.headers.get("x-content-type-options") == "nosniff"


def FakeHandler(reply: Reply) -> Handler:  # noqa: N802  # reads as the other fakes do
    async def handle(_: Call) -> Reply:
        return reply

    return handle


def test_the_demo_targets_name_every_upstream_of_metacogna() -> None:
    assert all(route.upstream for route in the_metacogna().routes)


# ---------------------------------------------------------------------------- what lies within, and what cannot be said

NESTED = """
project: nested
tokens: {issuer: i, audience: a, elevated: [ROOT]}
routes:
  - {name: OPEN, path: /api, upstream: 'http://up', auth: none, strip_prefix: false}
  - {name: ADMIN, path: /api/admin, upstream: 'http://up', auth: required, strip_prefix: false}
  - {name: VERSION, path: "/api/v{version}/x", upstream: 'http://up', auth: required, strip_prefix: false}
"""


@pytest.mark.parametrize(
    "path",
    [
        "/api/%61dmin/x",
        "/api/admin;a=b/x",
        "/api/admin%3bx/x",
        "/api/ADMIN/x",
        "/api/%41dmin",
        "/api/V1/x",
        "/api/%2561dmin/x",
        "/api/%252561dmin",
        "/api/admin%253bx",
    ],
)
def test_a_spelling_does_not_lead_around_a_route_within_another(tmp_path: Path, path: str) -> None:
    write(tmp_path, NESTED)
    kit = FakeKit()
    answer = run(gateway(load(tmp_path, {}), kit)(a_call(path, "GET")))
    assert (answer.status, json.loads(answer.whole)["code"]) == (400, "BAD_PATH")
    assert kit.upstream.sent == []


@pytest.mark.parametrize(
    "path", ["/api/other", "/api/%6fther", "/api/Other;x=1", "/api/administrators", "/api/caf%C3%A9"]
)
def test_a_spelling_that_leads_nowhere_else_passes(tmp_path: Path, path: str) -> None:
    write(tmp_path, NESTED)
    assert run(gateway(load(tmp_path, {}), FakeKit())(a_call(path, "GET"))).status == 200


@pytest.mark.parametrize(
    ("status", "value"), [(199, "x"), (600, "x"), (999, "x"), (200, "a\x01b"), (200, "a\x7f"), (200, "a\nb")]
)
def test_an_answer_that_no_server_can_say_again_is_the_upstreams_failure(
    tmp_path: Path, status: int, value: str
) -> None:
    write(tmp_path, NESTED)
    kit = FakeKit(FakeUpstream(Reply(status=status, headers=Headers((("x-odd", value),)), body=b"")))
    answer = run(gateway(load(tmp_path, {}), kit)(a_call("/api/x", "GET")))
    assert json.loads(answer.whole)["code"] == "UPSTREAM_UNREACHABLE"


def test_a_spelling_does_not_lead_around_a_route_of_the_same_name_in_another_project(tmp_path: Path) -> None:
    """Names are unique within a project only."""
    write(tmp_path, "project: one\nroutes: [{name: API, path: /api, upstream: 'http://u', auth: none}]\n", "one.yaml")
    guarded = "{name: API, path: /api/admin, upstream: 'http://u', auth: required}"
    tokens = "{issuer: i, audience: a, elevated: [ROOT]}"
    write(tmp_path, f"project: two\ntokens: {tokens}\nroutes: [{guarded}]\n", "two.yaml")
    kit = FakeKit()
    handle = gateway(load(tmp_path, {}), kit)
    assert run(handle(a_call("/api/admin/x", "GET"))).status == 401
    for path in ("/api/%61dmin/x", "/api/ADMIN/x", "/api/admin;a=b/x"):
        assert json.loads(run(handle(a_call(path, "GET"))).whole)["code"] == "BAD_PATH"
    assert kit.upstream.sent == []
