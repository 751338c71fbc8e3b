"""Requests that pass by the cache, and those that make it forget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from gatehouse.build import gateway
from gatehouse.caching.http_dates import written
from gatehouse.caching.validators import CONDITIONS
from gatehouse.call import Reply
from gatehouse.errors import (
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    ResponseTooLargeError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gatehouse.headers import Pair
from gatehouse.hygiene import spelling
from gatehouse.projects import Projects
from tests.unit.caching_fakes import PATH, RULES, FakeTable, Origin, Process, Stream, drive, said
from tests.unit.fakes import NOW, FakeBody, FakeKit, FakeUpstream, a_call, ok, run
from tests.unit.project_files import TOKENS, a_file, loaded

HOST: Pair = ("host", "Api.Test")


def is_kept(here: Process, path: str, **query: str) -> bool:
    """Say whether the answer to a request for *path* is kept still, without asking for it."""
    return "hit" in said(here.ask(path, HOST, ("cache-control", "max-stale"), **query))


# ------------------------------------------------------------------------------------------------- passing by the cache


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", ["range", "if-range", "if-match", "if-unmodified-since"])
def test_what_only_the_upstream_can_judge_passes_by(name: str, method: str) -> None:
    here = Process()
    here.ask()
    reply = here.ask(PATH, (name, "x"), method=method)
    assert (reply.body, said(reply)) == (b"2", f"fwd=bypass; fwd-status=200; detail={name}")
    assert here.origin.asked[1].headers.get(name) == "x"
    assert here.notes == {"cache": "bypass"}
    assert here.ask().body == b"1"


@pytest.mark.parametrize(
    "name", ["If_Range", "if.range", "RANGE", "If_Match", "if_unmodified_since", "If.Unmodified-Since"]
)
def test_so_it_does_in_any_spelling(name: str) -> None:
    here = Process(origin=Origin(ok(b"1"), ok(b"part", status=206), ok(b"whole")))
    here.ask()
    for body in (b"part", b"whole"):
        assert here.ask(PATH, (name, "x")).body == body
    assert here.ask().body == b"1"


@pytest.mark.parametrize(
    "name", ["If_None_Match", "if.none.match", "IF-NONE_MATCH", "If_Modified_Since", "if.modified-since"]
)
@pytest.mark.parametrize("kept", [(("etag", '"1"'), ("last-modified", written(NOW - 9))), ()])
def test_a_condition_in_another_spelling_reaches_no_upstream_beside_ours(name: str, kept: tuple[Pair, ...]) -> None:
    here = Process(origin=Origin(always=kept))
    for _ in range(2):
        assert here.ask(PATH, (name, "anything")).status == 200
        here.passes(61.0)
    asked = [[pair for pair in call.headers if spelling(pair[0]) in CONDITIONS] for call in here.origin.asked]
    ours = [("if-none-match", '"1"'), ("if-modified-since", written(NOW - 9))]
    assert asked == [[], ours if kept else []]


def test_a_get_with_a_body_passes_by_and_the_upstream_gets_it() -> None:
    here = Process()
    body = FakeBody(b"search")
    here.ask()
    assert said(here.ask(PATH, body=b"search")).endswith("detail=body")
    assert run(here.origin.asked[1].body.read()) == body.data
    assert here.ask().body == b"1"


def test_what_a_route_has_public_is_not_kept_and_finds_nothing() -> None:
    here, open_to_all = Process(), replace(RULES, keeps=False)
    here.ask()
    for number in (b"2", b"3"):
        reply = here.ask(rules=open_to_all)
        assert (reply.body, said(reply)) == (number, "fwd=bypass; fwd-status=200; detail=public")
    assert here.ask().body == b"1"


def test_but_what_it_changes_is_forgotten() -> None:
    here, open_to_all = Process(), replace(RULES, keeps=False)
    here.ask()
    here.ask(method="POST", rules=open_to_all)
    assert here.ask().body == b"3"


def test_both_are_one_cache_in_a_gateway(tmp_path: Path) -> None:
    route = {
        "auth": "optional",
        "accept": ["gateway"],
        "cache": {"ttl": "60s", "by": "public"},
        "public": ["GET /health", "POST /hook"],
    }
    kit = FakeKit(FakeUpstream(*(ok(str(number).encode()) for number in range(9))))
    handle = gateway(Projects((loaded(tmp_path, a_file(route=route, tokens=TOKENS)),)), kit)

    def ask(method: str, path: str) -> bytes:
        return run(handle(a_call(path, method))).whole

    assert [ask("GET", "/a/health"), ask("GET", "/a/health")] == [b"0", b"1"]
    assert [ask("GET", "/a/hook"), ask("GET", "/a/hook")] == [b"2", b"2"]
    assert [ask("POST", "/a/hook"), ask("GET", "/a/hook")] == [b"3", b"4"]


# -------------------------------------------------------------------------------------------------------------- changes


@pytest.mark.parametrize(
    ("method", "forgets"),
    [
        ("POST", True), ("PUT", True), ("PATCH", True), ("DELETE", True), ("PURGE", True), ("get", True),
        ("OPTIONS", False), ("TRACE", False),
    ],
)  # fmt: skip
def test_methods_that_are_not_known_to_be_safe_make_it_forget(method: str, forgets: bool) -> None:
    here = Process()
    here.ask()
    reply = here.ask(method=method)
    assert (reply.body, said(reply)) == (b"2", "fwd=method; fwd-status=200")
    assert here.notes["cache"] == "method"
    assert here.ask().body == (b"3" if forgets else b"1")


@pytest.mark.parametrize(
    ("status", "forgets"),
    [(200, True), (204, True), (302, True), (399, True), (400, False), (404, False), (500, False)],
)
def test_what_was_refused_has_changed_nothing(status: int, forgets: bool) -> None:
    here = Process(origin=Origin(ok(b"1"), ok(b"", status=status)))
    here.ask()
    here.ask(method="POST")
    assert here.ask().body == (b"3" if forgets else b"1")


@pytest.mark.parametrize(
    ("error", "forgets"),
    [
        (UpstreamTimeoutError(), True), (UpstreamUnreachableError(), True), (ResponseTooLargeError(), True),
        (PayloadTooLargeError(), False),
    ],
)  # fmt: skip
def test_where_nobody_knows_whether_it_was_changed_it_is_forgotten(error: Exception, forgets: bool) -> None:
    here = Process(origin=Origin(ok(b"1"), error))
    here.ask()
    with pytest.raises(type(error)):
        here.ask(method="POST")
    assert here.ask().body == (b"3" if forgets else b"1")


@pytest.mark.parametrize("error", [ForbiddenError(), NotFoundError(), PayloadTooLargeError()])
def test_what_never_left_has_changed_nothing_and_is_noted_nowhere(error: Exception) -> None:
    table = FakeTable()
    here = Process(table=table, origin=Origin(ok(b"1"), error))
    here.ask()
    with pytest.raises(type(error)):
        here.ask(method="POST")
    assert here.ask().body == b"1"
    assert not table.gone


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_a_change_whose_client_hangs_up_is_noted_all_the_same(method: str) -> None:
    table = FakeTable()
    here = Process(table=table)

    async def hang_up() -> bytes | AsyncGenerator[bytes, None]:
        await here.asks()
        here.origin.takes_s = 5.0
        change = asyncio.create_task(here.asks(method=method))
        await asyncio.sleep(1.0)
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
        here.origin.takes_s = 0.0
        return (await here.asks()).body

    assert drive(hang_up(), here.clock) == (b"3" if method == "POST" else b"1")
    assert len(table.gone) == (1 if method == "POST" else 0)


def test_a_change_is_noted_also_if_its_client_hangs_up_twice() -> None:
    table = FakeTable()
    here = Process(table=table, origin=Origin(takes_s=5.0))
    table.slow_s = 0.2

    async def hang_up() -> None:
        change = asyncio.create_task(here.asks(method="POST"))
        await asyncio.sleep(1.0)
        change.cancel()
        await asyncio.sleep(0.1)
        change.cancel()
        await asyncio.gather(change, return_exceptions=True)
        await asyncio.sleep(1.0)

    table.error = OSError()
    drive(hang_up(), here.clock)
    assert here.shared
    assert len(here.shared._owed) == 1  # somebody was there to see that the table did not take it


def test_a_mistake_of_ours_counts_as_a_change() -> None:
    here = Process(origin=Origin(ok(b"1"), KeyError()))
    here.ask()
    with pytest.raises(KeyError):
        here.ask(method="POST")
    assert here.ask().body == b"3"


def test_a_safe_method_that_fails_has_changed_nothing() -> None:
    here = Process(origin=Origin(ok(b"1"), UpstreamTimeoutError()))
    here.ask()
    with pytest.raises(UpstreamTimeoutError):
        here.ask(method="OPTIONS")
    assert here.ask().body == b"1"


def test_all_that_is_kept_of_a_path_is_forgotten_and_nothing_else() -> None:
    here = Process(origin=Origin(always=(("vary", "accept"),)))
    asked = [
        lambda: here.ask(PATH),
        lambda: here.ask(PATH, query="a=1"),
        lambda: here.ask(PATH, ("accept", "b")),
        lambda: here.ask(PATH, HOST),
        lambda: here.ask(PATH, rules=replace(RULES, route="another")),
    ]
    others = [lambda: here.ask("/a/other"), lambda: here.ask("/a"), lambda: here.ask("/a/x/y")]
    assert len({ask().body for ask in (*asked, *others)}) == 8
    here.ask(method="POST", query="b=2")
    assert not any("hit" in said(ask()) for ask in asked)
    assert all("hit" in said(ask()) for ask in others)


LOCATIONS = (
    ("/a/y", True),
    ("y", True),
    ("./y", True),
    ("../a/y", True),
    ("?b=2", False),
    ("/a/y?b=2#c", True),
    ("https://api.test/a/y", True),
    ("https://API.TEST/a/y", True),
    ("//api.test/a/y", True),
    ("/a/%79", True),
    ("http://api.test/a/y", False),
    ("https://api.test:8443/a/y", False),
    ("https://api.test@evil.test/a/y", False),
    ("https://evil.test/a/y", False),
    ("//evil.test/a/y", False),
    ("/b/../a/y", True),
    ("/b/y", False),
    ("/ab/y", False),
    ("/a//y", False),
    ("/a/y%00", False),
    ("/a/%", False),
    ("https://[/a/y", False),
    ("https://[::1]:x/a/y", False),
    ("mailto:a@b", False),
    ("", False),
)


@pytest.mark.parametrize(("value", "forgets"), LOCATIONS)
@pytest.mark.parametrize("name", ["location", "content-location"])
def test_what_the_answer_names_is_forgotten_if_it_is_of_this_origin_and_route(
    name: str, value: str, forgets: bool
) -> None:
    here = Process(origin=Origin(ok(b"y"), ok(b"", (name, value), status=201)))
    here.ask("/a/y", HOST)
    assert here.ask(PATH, HOST, method="POST").status == 201
    assert is_kept(here, "/a/y") is not forgets


def test_no_other_routes_answers_are_forgotten() -> None:
    here = Process(origin=Origin(ok(b"y"), ok(b"", ("location", "/b/y"), status=201)))
    here.ask("/b/y", HOST, rules=replace(RULES, route="b"))
    here.ask(PATH, HOST, method="POST")
    assert "hit" in said(here.ask("/b/y", HOST, rules=replace(RULES, route="b")))


def test_of_several_only_the_first_is_believed() -> None:
    named = (("location", "/a/y"), ("location", "/a/z"), ("content-location", "/a/w"))
    here = Process(origin=Origin(ok(b"y"), ok(b"z"), ok(b"w"), ok(b"", *named, status=201)))
    for path in ("/a/y", "/a/z", "/a/w"):
        here.ask(path, HOST)
    here.ask(PATH, HOST, method="POST")
    assert [is_kept(here, path) for path in ("/a/z", "/a/y", "/a/w")] == [True, False, False]


@pytest.mark.parametrize("host", ["", "[", "[::::]", "[1:.:]:", "a b", "½"])
def test_a_host_that_is_none_breaks_nothing(host: str) -> None:
    here = Process(origin=Origin(ok(b"1", ("host", host)), ok(b"made", ("location", "/a/y"), status=201)))
    here.ask(PATH, ("host", host))
    assert here.ask(PATH, ("host", host), method="POST").body == b"made"
    assert here.ask(PATH, ("host", host)).body == b"3"


def test_a_change_is_told_to_the_table_once_for_each_path() -> None:
    table = FakeTable()
    here = Process(table=table, origin=Origin(ok(b"", ("location", PATH), ("content-location", "/a/y"), status=201)))
    here.ask(method="POST")
    assert table.heard() == ["forget", "forget"]


def test_a_change_is_answered_also_where_the_table_is_away() -> None:
    table = FakeTable()
    table.error = OSError()
    here = Process(table=table)
    assert here.ask(method="POST").body == b"1"


def test_an_answer_to_a_change_that_streams_is_passed_on() -> None:
    here = Process(origin=Origin(Reply(status=200, headers=ok().headers, body=Stream(b"a", b"b").body)))
    assert here.ask(method="POST").body == b"ab"
