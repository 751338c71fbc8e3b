"""Purges of the cache over HTTP, through both hosts: what they answer, and what every process then finds of them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest

from gatehouse.api import answers
from gatehouse.caching.purges import Purges
from gatehouse.lambda_http import event_loop
from gatehouse.stores.purge_log import PurgeLog, purges_of
from local.house import House
from local.router import load_function
from tests.contract.conftest import Answer, Send, bearer, check_error, invoke
from tests.contract.rest_event import rest_event


def purge(send: Send, token: str, /, **asked: str) -> Answer:
    return send("DELETE", f"/auth/cache?{urlencode(asked)}", bearer(token))


def purged(send: Send, token: str, /, **asked: str) -> answers.Purged:
    answer = purge(send, token, **{"project": "shelf", **asked})
    assert (answer.status, answer.get("content-type")) == (200, "application/json"), answer.body
    assert answer.get("cache-control") == "no-store"
    return answers.Purged.model_validate_json(answer.body)


def kept(house: House, project: str = "shelf") -> Purges:
    """What the table has of the project's purges, as every process reads it."""
    session = boto3.Session("local", "local", region_name="us-east-1")
    dynamodb = session.client("dynamodb", endpoint_url=house.environment()["AWS_ENDPOINT_URL"])
    try:
        key = {"pk": {"S": f"cache-purges#{project}"}}
        table = house.template.made["CacheTable"]["Ref"]
        return purges_of(dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item"))
    finally:
        dynamodb.close()


OPEN = {"route": "OPEN", "path": "/shelf/open/7", "organization": ""}
TEAM = {"route": "TEAMS", "path": "/shelf/v1/teams/7", "organization": "o-1"}
OTHER = {"route": "TEAMS", "path": "/shelf/v1/teams/8", "organization": "o-2"}


@pytest.mark.parametrize(
    ("asked", "gone", "left"),
    [
        ({}, [OPEN, TEAM, OTHER], []),
        ({"route": "OPEN"}, [OPEN], [TEAM, OTHER]),
        ({"path": "/shelf/v1/teams/7"}, [TEAM], [OPEN, OTHER]),
        ({"path": "/shelf/v1/*"}, [TEAM, OTHER], [OPEN]),
        ({"organization": "o-2"}, [OTHER], [OPEN, TEAM]),
        ({"route": "TEAMS", "path": "/shelf/*", "organization": "o-1"}, [TEAM], [OPEN, OTHER]),
        ({"path": "/shelf/v1/teams/7", "organization": "o-2"}, [], [OPEN, TEAM, OTHER]),
    ],
)
def test_what_was_meant_is_gone_and_what_was_not_is_left(
    send: Send, admin_token: str, house: House,
    asked: dict[str, str], gone: list[dict[str, str]], left: list[dict[str, str]],
):  # fmt: skip
    before = kept(house).number
    said = purged(send, admin_token, **asked)
    after = kept(house)
    assert {name: getattr(said, name) for name in ("route", "path", "organization")} == {
        name: asked.get(name) for name in ("route", "path", "organization")
    }
    assert (said.project, said.generation, said.effectiveWithinSeconds) == ("shelf", before + 1, 5)
    assert after.number == said.generation
    assert all(after.gone(before, **one) for one in gone)
    assert not any(after.gone(before, **one) for one in left)
    assert not any(after.gone(said.generation, **one) for one in (OPEN, TEAM, OTHER))


def test_every_purge_has_a_number_of_its_own(send: Send, admin_token: str):
    numbers = [purged(send, admin_token, path=f"/shelf/open/{number}").generation for number in range(3)]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]


def test_a_purge_is_of_its_project_alone(send: Send, admin_token: str, house: House):
    purged(send, admin_token)
    assert kept(house, "lab") == Purges()


def test_a_path_may_be_said_as_a_browser_shows_it(send: Send, admin_token: str, house: House):
    before = kept(house).number
    assert purged(send, admin_token, path="/shelf/open/café au lait").path == "/shelf/open/caf%C3%A9%20au%20lait"
    assert kept(house).gone(before, route="OPEN", path="/shelf/open/caf%C3%A9%20au%20lait", organization="")


def test_a_body_that_says_nothing_is_taken(send: Send, admin_token: str):
    assert send("DELETE", "/auth/cache?project=shelf", bearer(admin_token), b"{}").status == 200


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ("", "INVALID_PROJECT", "Name the project"),
        ("project=", "INVALID_PROJECT", "Name the project"),
        ("project=shelves", "INVALID_PROJECT", ", lab, metacogna, shelf,"),
        ("project=a%20b", "INVALID_PROJECT", ", lab, metacogna, shelf,"),
        ("project=lab", "INVALID_PROJECT", "nothing to purge: no route of the project 'lab' has a 'cache'"),
        ("project=shelf&route=BARE", "INVALID_ROUTE", "OPEN, TEAMS."),
        ("project=shelf&route=", "INVALID_ROUTE", "OPEN, TEAMS."),
        ("project=shelf&path=/shelf/bare", "INVALID_REQUEST", "/shelf/open, /shelf/v{version}/teams ("),
        ("project=shelf&path=/shelf/bare/*", "INVALID_REQUEST", "/shelf/open, /shelf/v{version}/teams ("),
        ("project=shelf&path=/shelf/open?page=1", "INVALID_REQUEST", "Leave the query out"),
        ("project=shelf&path=/shelf/open*", "INVALID_REQUEST", "everything below"),
        ("project=shelf&path=", "BAD_PATH", "must start with '/'"),
        ("project=shelf&path=/shelf/open/../x", "BAD_PATH", "dot segment"),
        ("project=shelf&path=/shelf/open/%252F", "BAD_PATH", "slash"),
        ("project=shelf&organization=", "INVALID_REQUEST", "1 to 256"),
        ("project=shelf&organization=a%0Ab", "INVALID_REQUEST", "control characters"),
        ("project=shelf&route=OPEN&organization=o-1", "INVALID_REQUEST", "leave 'organization' out"),
        ("project=shelf&project=shelf", "INVALID_REQUEST", "more than once"),
        ("project=shelf&path=/shelf/open&path=/shelf/open/7", "INVALID_REQUEST", "more than once"),
        ("project=shelf&paths=/shelf/open", "INVALID_REQUEST", "The query is not one"),
        ("project=shelf&subject=ada", "INVALID_REQUEST", "The query is not one"),
    ],
)
def test_a_purge_that_would_throw_away_nothing_or_too_much_is_refused_with_what_to_change(
    send: Send, admin_token: str, house: House, query: str, code: str, says: str
):
    before = kept(house)
    answer = send("DELETE", f"/auth/cache?{query}", bearer(admin_token))
    check_error(answer, 400, code, "AUTH")
    assert says in answer.json["message"]
    assert kept(house) == before


def test_an_unknown_name_in_the_query_is_named(send: Send, admin_token: str):
    assert "paths" in purge(send, admin_token, project="shelf", paths="/shelf/open").json["details"]


@pytest.mark.parametrize("body", [b'{"project": "shelf", "path": "/shelf/open"}', b"[]", b"{", b"\xff"])
def test_what_stands_in_a_body_is_not_passed_over(send: Send, admin_token: str, house: House, body: bytes):
    before = kept(house)
    check_error(send("DELETE", "/auth/cache?project=shelf", bearer(admin_token), body), 400, "INVALID_REQUEST", "AUTH")
    assert kept(house) == before


def test_only_administrators_purge(send: Send, guest_token: str, admin_token: str, house: House):
    before = kept(house)
    check_error(send("DELETE", "/auth/cache?project=shelf"), 401, "MISSING_TOKEN", "AUTH")
    check_error(purge(send, guest_token, project="shelf"), 403, "FORBIDDEN", "AUTH")
    order = json.dumps({"project": "shelf", "service": "worker"}).encode()
    service = send("POST", "/auth/tokens", bearer(admin_token), order).json["token"]
    check_error(purge(send, service, project="shelf"), 403, "FORBIDDEN", "AUTH")
    assert kept(house) == before


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_there_is_nothing_to_read_or_to_write(send: Send, admin_token: str, method: str):
    answer = send(method, "/auth/cache?project=shelf", bearer(admin_token))
    check_error(answer, 405, "METHOD_NOT_ALLOWED", "AUTH")
    assert answer.get("allow") == "DELETE"


# ----------------------------------------------------------------------------------------------- failures and the trail


def test_without_the_table_nobody_is_told_that_it_is_done(
    house: House, admin_token: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CACHE_TABLE", "a-table-that-is-not-there")
    module = load_function("functions/tokens")
    try:
        event = rest_event("DELETE", "/auth/cache?project=shelf", list(bearer(admin_token).items()), b"")
        answer = invoke(module, event)
    finally:
        event_loop().run_until_complete(module.kit.close())
    check_error(answer, 503, "AUTH_UNAVAILABLE", "AUTH")
    assert "may not have been purged" in answer.json["message"]
    (line,) = audit_lines(capsys)
    assert (line["action"], line["result"], line["project"]) == ("cache purge", "unavailable", "shelf")


@pytest.mark.parametrize(
    ("query", "result", "said"),
    [
        ("project=shelf&path=/shelf/open/7", "ok", {"project": "shelf", "path": "/shelf/open/7"}),
        ("project=shelf&organization=o-1", "ok", {"project": "shelf", "organization": "o-1"}),
        ("project=shelf&route=nope", "refused", {"project": "shelf", "route": "nope", "code": "INVALID_ROUTE"}),
        ("project=shelf&paths=x", "refused", {"code": "INVALID_REQUEST"}),
    ],
)
def test_whatever_is_purged_or_refused_leaves_one_audit_line(
    mangum_send: Send, admin_token: str, house: House, capsys: pytest.CaptureFixture[str],
    query: str, result: str, said: dict[str, Any],
):  # fmt: skip
    mangum_send("DELETE", f"/auth/cache?{query}", bearer(admin_token))
    (line,) = audit_lines(capsys)
    number = {"generation": kept(house).number} if result == "ok" else {}
    about = {name: line[name] for name in {*line} - {"level", "timestamp", "message", "service", "from", "requestId"}}
    assert about == {"action": "cache purge", "who": "ada", "result": result, **said, **number}
    assert line["from"]
    assert line["requestId"]


def test_somebody_who_may_not_is_in_the_trail(mangum_send: Send, guest_token: str, capsys: pytest.CaptureFixture[str]):
    purge(mangum_send, guest_token, project="shelf")
    (line,) = audit_lines(capsys)
    assert (line["action"], line["who"], line["result"]) == ("cache purge", "guest", "refused")


def audit_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return [line for line in lines if line["message"] == "audit"]


def test_both_hosts_number_the_same_purges(uvicorn_send: Send, mangum_send: Send, admin_token: str, house: House):
    first = purged(uvicorn_send, admin_token).generation
    second = purged(mangum_send, admin_token).generation
    log = PurgeLog(house.template.made["CacheTable"]["Ref"])
    assert (second, log.add("shelf")) == (first + 1, first + 2)
