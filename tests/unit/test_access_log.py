"""The line of a request: what each part of it says, whatever came and however it ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import edge, errors, metrics
from gatehouse.access_log import METHODS, MOST_PATH, MOST_SAID, OTHER, Ended, auth_of, code_of, limit_of, line
from gatehouse.call import Call, Count, Reply
from gatehouse.edge import CutError
from gatehouse.errors import ClientGoneError, GatewayError
from gatehouse.headers import Headers
from gatehouse.metric_names import CATALOGUE, FAILED
from tests.log_lines import problems
from tests.unit.fakes import a_call, ok, run
from tests.unit.serving import Answered, answered, written

ENDED = Ended(status=200, sent_bytes=5, head_s=0.0204, total_s=0.03061)
COUNT = Count(limit="standard", allowed=True, remaining=1, more_after_s=1)
HEAD = {"level": "INFO", "timestamp": "2026-11-22T12:00:00.000+00:00", "message": "request", "service": "gatehouse"}


def whole(said: dict[str, Any]) -> dict[str, Any]:
    """Return *said* as it is read out of the log."""
    record: dict[str, Any] = json.loads(json.dumps({**HEAD, **said}))
    return record


def test_a_request_that_nobody_said_anything_of_has_the_least_that_a_line_has() -> None:
    said = line(a_call("/build/x"), ENDED)
    assert said == {
        "requestId": "request-0001",
        "method": "GET",
        "path": "/build/x",
        "ip": "192.0.2.7",
        "auth": "anonymous",
        "status": 200,
        "bytes": 5,
        "ms": 30.6,
        "gatewayMs": 20.4,
    }
    assert problems(whole(said)) == []


def test_what_the_stages_noted_stands_in_it() -> None:
    notes: dict[str, object] = {
        "project": "demo",
        "route": "BUILD",
        "credential": "gateway",
        "subject": "ada",
        "organization": "o1",
        "revocationLagS": 1.5,
        "cache": "miss",
        "upstreamMs": 12.5,
        "limitedHere": True,
    }
    said = line(a_call(notes=notes, counts=[COUNT]), ENDED)
    assert {name: said[name] for name in notes} == notes
    assert (said["auth"], said["limit"], said["gatewayMs"]) == ("accepted", "local", 7.9)
    assert problems(whole(said)) == []


@pytest.mark.parametrize(("cut", "cold"), [(False, False), (True, False), (False, True), (True, True)])
def test_that_it_broke_off_and_that_its_process_is_new_is_said_only_where_it_is_so(cut: bool, cold: bool) -> None:
    said = line(a_call(), Ended(status=200, sent_bytes=0, head_s=0, total_s=0, cut=cut, cold=cold))
    assert (said.get("cut"), said.get("coldStart")) == (cut or None, cold or None)


# -------------------------------------------------------------------------------------------------- what was decided


@pytest.mark.parametrize(
    ("error", "known", "auth"),
    [
        (None, False, "anonymous"),
        (None, True, "accepted"),
        ("MISSING_TOKEN", False, "missing"),
        ("INVALID_TOKEN", False, "refused"),
        ("INVALID_TOKEN", True, "refused"),  # good, and not for this route
        ("INVALID_CREDENTIALS", False, "refused"),
        ("TOKEN_REVOKED", False, "revoked"),
        ("FORBIDDEN", True, "forbidden"),
        ("FORBIDDEN", False, "forbidden"),
        ("AUTH_UNAVAILABLE", False, "unavailable"),
        ("AUTH_UNAVAILABLE", True, "unavailable"),
        ("UPSTREAM_TIMEOUT", True, "accepted"),
        ("UPSTREAM_TIMEOUT", False, "anonymous"),
        ("RATE_LIMITED", True, "accepted"),
        ("NOT_FOUND", False, "anonymous"),
        ("INTERNAL", True, "accepted"),
        (7, True, "accepted"),
    ],
)
def test_what_came_of_the_question_who_is_calling(error: object, known: bool, auth: str) -> None:
    notes = {**({"error": error} if error else {}), **({"credential": "gateway"} if known else {})}
    assert auth_of(a_call(notes=notes)) == auth


def test_every_refusal_for_who_is_calling_counts_as_one() -> None:
    codes = {kind.code for kind in GatewayError.__subclasses__() if kind.status in {401, 403}}
    others = {one for one in codes if auth_of(a_call(notes={"error": one})) == "anonymous"}
    assert others == set()


@pytest.mark.parametrize(
    ("notes", "limit"),
    [
        ({}, "allowed"),
        ({"limitedBy": "few"}, "limited"),
        ({"limitedBy": "few", "shadowLimits": ["many"], "limitedHere": True}, "limited"),
        ({"shadowLimits": ["many"], "limitedHere": True}, "shadow"),
        ({"limitedHere": True}, "local"),
    ],
)
def test_what_came_of_counting(notes: dict[str, object], limit: str) -> None:
    assert limit_of(a_call(notes=notes)) == limit
    assert line(a_call(notes=notes, counts=[COUNT]), ENDED)["limit"] == limit


def test_where_nothing_is_counted_nothing_is_said_of_limits() -> None:
    assert "limit" not in line(a_call(), ENDED)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (100, "100"), (200, "200"), (204, "204"), (302, "302"), (404, "404"), (429, "429"), (503, "503"), (511, "511"),
        (299, "2xx"), (420, "4xx"), (499, "499"), (498, "4xx"), (520, "5xx"), (599, "5xx"), (600, "6xx"), (0, "0xx"),
    ],
)  # fmt: skip
def test_a_status_of_https_own_counts_by_itself_and_the_rest_by_their_first_digit(status: int, code: str) -> None:
    assert code_of(status) == code


# ------------------------------------------------------------------------------------------------------- how long


@pytest.mark.parametrize(
    ("notes", "head_s", "gateway_ms"),
    [
        ({}, 0.5, 500.0),
        ({"upstreamMs": 480.0}, 0.5, 20.0),
        ({"upstreamMs": 480.04}, 0.5, 20.0),
        ({"upstreamMs": 0.0}, 0.0001, 0.1),
        ({"upstreamMs": 500.1}, 0.5, 0.0),  # clocks that were read a moment apart
        ({"upstreamMs": "long"}, 0.5, 500.0),
    ],
)
def test_the_gateways_own_time_is_what_the_upstream_did_not_take(
    notes: dict[str, object], head_s: float, gateway_ms: float
) -> None:
    said = line(a_call(notes=notes), Ended(status=200, sent_bytes=0, head_s=head_s, total_s=9))
    assert (said["gatewayMs"], said["ms"]) == (gateway_ms, 9000.0)


# -------------------------------------------------------------------------------------------------- what clients write


@pytest.mark.parametrize("method", ["get", "TRACE", "CONNECT", "PROPFIND", "BREW", "", "GET ", "G" * 500])
def test_methods_that_clients_make_up_are_one(method: str) -> None:
    assert line(a_call(method=method), ENDED)["method"] == OTHER


@pytest.mark.parametrize("method", sorted(METHODS))
def test_methods_that_there_are_are_said(method: str) -> None:
    assert line(a_call(method=method), ENDED)["method"] == method


def test_a_path_is_said_as_it_came_without_its_query_and_up_to_a_length() -> None:
    assert line(a_call("/build/%2e%2e/\udcff", query="token=s3cret"), ENDED)["path"] == "/build/%2e%2e/\udcff"
    assert line(a_call("/" + "x" * 9000), ENDED)["path"] == "/" + "x" * (MOST_PATH - 1)


@pytest.mark.parametrize("name", ["subject", "organization"])
def test_what_others_choose_is_said_up_to_a_length(name: str) -> None:
    assert line(a_call(notes={name: "x" * 9000}), ENDED)[name] == "x" * MOST_SAID
    assert line(a_call(notes={name: "x" * MOST_SAID}), ENDED)[name] == "x" * MOST_SAID


ROOT, W3C = "1-67891233-abcdef012345678912345678", "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("field", "trace"),
    [
        (("x-amzn-trace-id", f"Self=1-2;Root={ROOT}"), ROOT),
        (("traceparent", f"00-{W3C}-00f067aa0ba902b7-01"), W3C),
        (("x-amzn-trace-id", "Root=<script>"), None),
        (("x-other", "1"), None),
    ],
)
def test_a_request_says_its_own_trace(field: tuple[str, str], trace: str | None) -> None:
    said = line(a_call("/x", "GET", field), ENDED)
    assert said.get("traceId") == trace
    assert problems(whole(said)) == []


TEXT = st.text(max_size=20)
NAMES = {"project": "demo", "route": "BUILD"}


@given(
    method=TEXT,
    path=TEXT.map("/{}".format),
    query=TEXT,
    ip=TEXT,
    subject=TEXT,
    fields=st.lists(st.tuples(st.sampled_from(["host", "user-agent", "traceparent", "x-amzn-trace-id", "x"]), TEXT)),
    status=st.integers(100, 999),
    sent=st.integers(0, 10**12),
    took=st.floats(0, 900),
)
def test_nothing_that_clients_choose_tells_metrics_apart(
    method: str,
    path: str,
    query: str,
    ip: str,
    subject: str,
    fields: list[tuple[str, str]],
    status: int,
    sent: int,
    took: float,
) -> None:
    notes: dict[str, object] = {**NAMES, "credential": "gateway", "subject": subject, "cache": "hit"}
    call = a_call(path, method, query=query, client_ip=ip, notes=notes, counts=[COUNT])
    call = Call(**{**{name: getattr(call, name) for name in call.__slots__}, "headers": Headers(tuple(fields))})
    with metrics.published("Gatehouse/test", "dev"):
        said = line(call, Ended(status=status, sent_bytes=sent, head_s=took, total_s=took))
    known = {
        "project": {"demo"},
        "route": {"BUILD"},
        "method": METHODS | {OTHER},
        "code": {code_of(one) for one in range(100, 1000)},
        "credential": {"gateway"},
        "auth": {"accepted"},
        "limit": {"allowed"},
        "cache": {"hit"},
        "environment": {"dev"},
    }
    told = {name for directive in said["_aws"]["CloudWatchMetrics"] for name in directive["Dimensions"][0]}
    assert {name: said[name] in known[name] for name in told} == dict.fromkeys(told, True)
    assert len(known["code"]) < 80
    assert problems(whole({**said, "path": said["path"].replace("?", "")})) == []


# ---------------------------------------------------------------------------------------------------------- metrics


def published(ended: Ended = ENDED, counts: tuple[Count, ...] = (), **notes: object) -> dict[str, Any]:
    with metrics.published("Gatehouse/test", "dev"):
        return line(a_call(notes=notes, counts=[*counts]), ended)


def refusal(method: str, kind: type[GatewayError]) -> dict[str, Any]:
    call = a_call(method=method, notes={"project": "demo", "route": "BUILD", "error": kind.code})
    with metrics.published("Gatehouse/test", "dev"):
        return line(call, Ended(status=kind.status, sent_bytes=0, head_s=0, total_s=0))


def names(said: dict[str, Any]) -> set[str]:
    return {one["Name"] for directive in said["_aws"]["CloudWatchMetrics"] for one in directive["Metrics"]}


ALWAYS = {"Duration", "Auth"}


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ({}, {}),
        ({"upstreamMs": 3.5}, {"UpstreamDuration": 3.5}),
        ({"counts": (COUNT,)}, {"Limits": 1}),
        ({"cache": "hit"}, {"Cache": 1}),
        ({"revocationLagS": 0.0}, {"RevocationLag": 0.0}),
        ({"error": "INVALID_TOKEN"}, {"AuthFailures": 1}),
        ({"error": "TOKEN_REVOKED"}, {"AuthFailures": 1}),
        ({"error": "MISSING_TOKEN"}, {}),
        ({"error": "FORBIDDEN"}, {}),
        ({"error": "AUTH_UNAVAILABLE"}, {"GatewayErrors": 1}),
        ({"error": "INTERNAL"}, {"GatewayErrors": 1}),
        ({"error": "UPSTREAM_TIMEOUT"}, {}),
        ({"error": "RATE_LIMITED", "route": "AUTH"}, {"AuthFailures": 1}),
        ({"error": "RATE_LIMITED", "route": "BUILD"}, {}),
        ({"error": "RATE_LIMITED", "route": "AUTH", "credential": "gateway"}, {}),
    ],
)
def test_a_line_publishes_what_there_was(said: dict[str, Any], more: dict[str, float]) -> None:
    record = published(**said)
    counted = "Failures" if "error" in said else "Requests"
    assert names(record) == {counted, *ALWAYS, *more}
    assert {name: record[name] for name in names(record)} == {counted: 1, "Duration": 30.6, "Auth": 1, **more}
    assert problems(whole(record)) == []


def test_metrics_and_the_line_say_the_same_of_a_request() -> None:
    notes = {**NAMES, "credential": "session", "cache": "stale", "upstreamMs": 2.5, "limitedBy": "few"}
    bare, record = line(a_call(notes=dict(notes), counts=[COUNT]), ENDED), published(counts=(COUNT,), **notes)
    assert {name: record[name] for name in bare} == bare
    assert record["code"] == "200"


def test_what_is_refused_is_counted_alike_whatever_its_method() -> None:
    """Anybody can be refused, by any method; each combination of dimensions costs money."""
    refused = [refusal(method, kind) for method in (*METHODS, "BREW") for kind in GatewayError.__subclasses__()]
    told = {tuple(one[name] for name in FAILED.dimensions) for one in refused}
    assert told == {("demo", "BUILD", str(kind.status)) for kind in GatewayError.__subclasses__()}
    assert not any("Requests" in names(one) for one in refused)


def test_a_request_of_no_route_is_the_gateways_own() -> None:
    record = published()
    assert (record["project"], record["route"], record["credential"]) == ("gatehouse", "gatehouse", "none")


def test_without_a_namespace_the_line_is_the_same_and_publishes_nothing() -> None:
    said = line(a_call(notes={"cache": "hit", "upstreamMs": 1.0}, counts=[COUNT]), ENDED)
    assert not {"_aws", "code", "environment", *(metric.name for metric in CATALOGUE)} & said.keys()


# ---------------------------------------------------------------------------------------------------- in the real edge


def test_many_requests_side_by_side_never_mix_up_their_numbers() -> None:
    many = 40
    statuses = [200, 302, 404, 429, 502]
    kinds = ["INVALID_TOKEN", "", "FORBIDDEN", "TOKEN_REVOKED"]

    async def work() -> list[Answered]:
        together = asyncio.Barrier(many)

        async def handle(call: Call) -> Reply:
            number = int(call.path[1:])
            call.notes.update(project=f"p{number}", route=f"r{number}")
            await together.wait()  # every one of them is on its way now
            call.notes["upstreamMs"] = float(number)
            if kinds[number % 4]:
                call.notes["error"] = kinds[number % 4]
            for _ in range(many - number):  # they end in another order than they came
                await asyncio.sleep(0)
            if number % 3:
                call.notes["cache"] = "hit"
                call.counts.append(COUNT)
            return ok(b"x" * number, status=statuses[number % 5])

        app = edge.application(handle, most_bytes=10)
        asked = (answered(app, f"/{number}", "POST" if number % 2 else "GET") for number in range(many))
        return await asyncio.gather(*asked)

    with metrics.published("Gatehouse/test", "dev"), written() as lines:
        run(work())
    assert sorted(line["path"] for line in lines) == sorted(f"/{number}" for number in range(many))
    for said in lines:
        number = int(said["path"][1:])
        refused = kinds[number % 4] in {"INVALID_TOKEN", "TOKEN_REVOKED"}
        assert problems(said) == []
        assert (said["project"], said["route"], said["bytes"]) == (f"p{number}", f"r{number}", number)
        assert said["UpstreamDuration"] == said["upstreamMs"] == number
        assert (said["status"], said["code"]) == (statuses[number % 5], str(statuses[number % 5]))
        assert said["method"] == ("POST" if number % 2 else "GET")
        assert said["Duration"] == said["ms"]
        assert [said.get(name) for name in ("Cache", "Limits")] == ([1, 1] if number % 3 else [None, None])
        assert said.get("AuthFailures") == (1 if refused else None)
        assert names(said) == {metric.name for metric in CATALOGUE if metric.name in said}
    assert len({line["requestId"] for line in lines}) == many


async def _broken() -> AsyncGenerator[bytes, None]:
    yield b"12345"
    raise LookupError


async def _whole() -> AsyncGenerator[bytes, None]:
    yield b"12345"
    yield b"678"


def of(reply: Reply | Exception, *fields: tuple[str, str], **options: Any) -> list[dict[str, Any]]:
    async def handle(_: Call) -> Reply:
        if isinstance(reply, Exception):
            raise reply
        return reply

    with written() as lines, suppress(CutError, ConnectionError):
        run(answered(edge.application(handle, most_bytes=10), "/x", "GET", *fields, **options))
    assert [problem for line in lines for problem in problems(line)] == []
    return lines


def test_a_stream_is_counted_to_its_last_byte() -> None:
    (said,) = of(Reply(status=200, headers=Headers(), body=_whole()))
    assert (said["bytes"], said["status"], "cut" in said) == (8, 200, False)


def test_a_stream_that_breaks_off_is_a_cut_and_its_line_is_there_all_the_same() -> None:
    cut, said = of(Reply(status=200, headers=Headers(), body=_broken()))
    assert (cut["message"], cut["exception"], cut["requestId"]) == ("stream cut", "LookupError", said["requestId"])
    assert (said["message"], said["cut"], said["bytes"], said["status"]) == ("request", True, 5, 200)


def test_an_answer_that_the_server_does_not_take_leaves_its_line_too() -> None:
    async def fail(_: Any) -> None:
        raise ConnectionError

    (said,) = of(ok(), send=fail)
    assert (said["message"], said["bytes"]) == ("request", 0)


def test_a_client_that_left_before_its_answer_has_a_line_like_all_others() -> None:
    async def gone(_: Call) -> Reply:
        raise ClientGoneError

    with written() as lines, metrics.published("Gatehouse/test", "dev"), suppress(IndexError):  # nothing was sent
        run(answered(edge.application(gone, most_bytes=10), "/x"))
    (line,) = lines
    assert (line["message"], line["status"], line["code"], line["bytes"]) == ("request", 499, "499", 0)
    assert (line["clientGone"], line["Requests"]) == (True, 1)


def test_a_token_in_a_path_is_not_repeated() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    said = line(a_call(f"/reset/{token}/now"), Ended(status=200, sent_bytes=0, head_s=0, total_s=0))
    assert said["path"] == "/reset/(redacted)/now"


def test_what_nobody_expected_is_answered_counted_and_said_where() -> None:
    crash, said = of(LookupError("s3cret"))
    assert (crash["message"], crash["exception"]) == ("unexpected failure", "LookupError")
    assert (said["status"], said["error"], said["requestId"]) == (500, "INTERNAL", crash["requestId"])
    assert errors.InternalError.code == "INTERNAL"


def test_a_query_is_in_no_line() -> None:
    (said,) = of(ok(), ("referer", "https://x/?q=referer-s3cret"), query="q=query-s3cret")
    assert "s3cret" not in json.dumps(said)
