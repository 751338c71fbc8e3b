"""Service tokens and sessions over HTTP, through both hosts, on stores that answer like AWS."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
import pytest

from gatehouse import token_ids
from gatehouse.api import answers, openapi
from gatehouse.stores.revocation_log import RevocationLog
from gatehouse.stores.token_registry import TokenRegistry
from gatehouse.tokens import LEEWAY_S
from local.house import House
from tests.contract.conftest import PASSWORD, SECRET, Answer, Send, bearer, check_error

DAY = 86_400


def post(send: Send, path: str, token: str, /, **body: Any) -> Answer:
    return send("POST", path, bearer(token), json.dumps(body).encode() if body else b"")


def issue(send: Send, admin_token: str, /, **changes: Any) -> dict[str, Any]:
    answer = post(send, "/auth/tokens", admin_token, **{"project": "lab", "service": "worker", **changes})
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    return made


def claims_of(token: str) -> dict[str, Any]:
    said: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return said


def shape(model: Any, answer: Answer) -> Any:
    """Hold an answer to the model that the OpenAPI document promises."""
    assert answer.get("content-type") == "application/json"
    return model.model_validate_json(answer.body)


# -------------------------------------------------------------------------------------------------- issue and look up


def test_an_administrator_issues_a_token_that_opens_the_route_of_its_claims(send: Send, admin_token: str):
    answer = post(send, "/auth/tokens", admin_token, project="captionacc", service="prefect", description="nightly")
    assert answer.status == 201
    made = shape(answers.IssuedToken, answer)
    assert (made.project, made.service) == ("captionacc", "prefect")
    assert answer.get("cache-control") == "no-store"
    said = claims_of(made.token)
    assert said["exp"] - said["iat"] == 90 * DAY
    assert said["jti"] == made.jti
    assert (said["iss"], said["aud"], said["sub"]) == ("gatehouse", "captionacc", "captionacc/prefect")
    assert send("GET", "/captionacc/prefect/api/health", bearer(made.token)).status == 200


def test_the_record_says_everything_but_the_token(send: Send, admin_token: str):
    made = issue(
        send,
        admin_token,
        description="the nightly job",
        backend="http://worker.internal",
        createdBy="grace",
        metadata={"team": "data", "tier": 2},
        expiresInDays=7,
    )
    answer = send("GET", f"/auth/tokens/{made['jti']}", bearer(admin_token))
    record = shape(answers.TokenRecord, answer)
    assert made["token"] not in answer.body.decode()
    assert record.sha256 == sha256(made["token"].encode()).hexdigest()
    assert (record.createdBy, record.issuedBy, record.description) == ("grace", "ada", "the nightly job")
    assert record.metadata == {"team": "data", "tier": 2}
    assert (record.active, record.revokedAt, record.lastUsedAt) == (True, None, None)
    ends, began = (datetime.fromisoformat(moment) for moment in (record.expiresAt, record.createdAt))
    assert timedelta(days=7) - timedelta(seconds=1) < ends - began <= timedelta(days=7)
    assert record.expiresAt == made["expiresAt"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"service": "x"}, "INVALID_PROJECT"),
        ({"project": "", "service": "x"}, "INVALID_PROJECT"),
        ({"project": "no such project", "service": "x"}, "INVALID_PROJECT"),
        ({"project": "nosuchproject", "service": "x"}, "INVALID_PROJECT"),
        ({"project": ["lab"], "service": "x"}, "INVALID_PROJECT"),
        ({"project": "lab\n", "service": "x"}, "INVALID_PROJECT"),
        ({"project": "lab"}, "INVALID_SERVICE"),
        ({"project": "lab", "service": "a/b"}, "INVALID_SERVICE"),
        ({"project": "lab", "service": "a" * 65}, "INVALID_SERVICE"),
        ({"project": "lab", "service": "worker\n"}, "INVALID_SERVICE"),
        ({"project": "lab", "service": "x", "expiresInDays": 0}, "INVALID_EXPIRY"),
        ({"project": "lab", "service": "x", "expiresInDays": -1}, "INVALID_EXPIRY"),
        ({"project": "lab", "service": "x", "expiresInDays": 366}, "INVALID_EXPIRY"),
        ({"project": "lab", "service": "x", "expiresInDays": 1.5}, "INVALID_EXPIRY"),
        ({"project": "lab", "service": "x", "expiresInDays": "7"}, "INVALID_EXPIRY"),
        ({"project": "lab", "service": "x", "expiresInDays": True}, "INVALID_EXPIRY"),
        ({"project": "lab", "service": "x", "metadata": {"a": "b" * 3000}}, "INVALID_REQUEST"),
        ({"project": "lab", "service": "x", "metadata": []}, "INVALID_REQUEST"),
        ({"project": "lab", "service": "x", "metadata": {"a": float("nan")}}, "INVALID_REQUEST"),
        ({"project": "lab", "service": "x", "metadata": {"a": float("inf")}}, "INVALID_REQUEST"),
        ({"project": "lab", "service": "x", "scopes": ["admin"]}, "INVALID_REQUEST"),
        ({"project": "lab", "service": "x", "route": "AUTH"}, "INVALID_REQUEST"),
    ],
)
def test_an_order_that_is_not_one_is_refused_with_what_is_wrong(
    send: Send, admin_token: str, body: dict[str, Any], code: str
):
    check_error(post(send, "/auth/tokens", admin_token, **body), 400, code)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'"lab"', b"\xff", b"{}" * 2])
def test_a_body_that_is_no_object_is_refused(send: Send, admin_token: str, body: bytes):
    check_error(send("POST", "/auth/tokens", bearer(admin_token), body), 400, "INVALID_REQUEST")


@pytest.mark.parametrize("days", [1, 7.0, 365])
def test_the_shortest_and_the_longest_life_are_given(send: Send, admin_token: str, days: float):
    said = claims_of(issue(send, admin_token, expiresInDays=days)["token"])
    assert said["exp"] - said["iat"] == days * DAY
    assert send("GET", "/lab/opened/echo", bearer(issue(send, admin_token, expiresInDays=days)["token"])).status == 200


def test_a_token_of_another_service_or_project_does_not_open_what_the_claims_rule_keeps(send: Send, admin_token: str):
    other_service = issue(send, admin_token, project="captionacc", service="billing")["token"]
    other_project = issue(send, admin_token, project="lab", service="prefect")["token"]
    assert send("GET", "/captionacc/prefect/x", bearer(other_service)).status == 403
    assert send("GET", "/captionacc/prefect/x", bearer(other_project)).status == 403
    assert send("GET", "/build/x", bearer(other_project)).status == 403


def test_a_service_called_like_a_route_opens_it_and_no_other(send: Send, admin_token: str):
    named = issue(send, admin_token, service="NAMED")["token"]
    assert send("GET", "/lab/named/echo", bearer(named)).status == 200
    check_error(
        send("GET", "/lab/named/echo", bearer(issue(send, admin_token)["token"])), 403, "INVALID_TOKEN", "NAMED"
    )


@pytest.mark.parametrize("service", ["AUTH", "CORE", "admin", "guest"])
def test_no_service_is_elevated_whatever_it_is_called(send: Send, admin_token: str, service: str):
    token = issue(send, admin_token, project="metacogna", service=service)["token"]
    check_error(send("GET", "/build/get", bearer(token)), 403, "INVALID_TOKEN", "BUILD")
    check_error(send("GET", "/auth/tokens", bearer(token)), 403, "FORBIDDEN")


# ------------------------------------------------------------------------------------------------------------- lists


def jtis(answer: Answer) -> list[str]:
    return [one.jti for one in shape(answers.TokenPage, answer).tokens]


def test_a_list_is_newest_first_and_comes_in_pages(send: Send, admin_token: str):
    made = [issue(send, admin_token, service="paged")["jti"] for _ in range(5)]
    found: list[str] = []
    cursor, pages = "", 0
    while True:
        query = f"?project=lab&service=paged&limit=2{cursor}"
        answer = send("GET", f"/auth/tokens{query}", bearer(admin_token))
        assert len(jtis(answer)) <= 2
        found += jtis(answer)
        pages += 1
        if answer.json["cursor"] is None:
            break
        cursor = f"&cursor={answer.json['cursor']}"
    assert [jti for jti in found if jti in made] == made[::-1]
    assert len(found) == len(set(found))
    assert pages >= 3


def test_a_list_without_a_project_is_of_all_projects(send: Send, admin_token: str):
    first = issue(send, admin_token, project="captionacc", service="api")["jti"]
    second = issue(send, admin_token, project="lab")["jti"]
    assert jtis(send("GET", "/auth/tokens?limit=2", bearer(admin_token))) == [second, first]


def test_a_list_can_be_of_the_live_ones_or_of_the_others(send: Send, admin_token: str):
    live, dead = (issue(send, admin_token, service="mixed")["jti"] for _ in range(2))
    send("DELETE", f"/auth/tokens/{dead}", bearer(admin_token))
    path = "/auth/tokens?project=lab&service=mixed&active="
    alive, gone = (
        jtis(send("GET", f"{path}true", bearer(admin_token))),
        jtis(send("GET", f"{path}false", bearer(admin_token))),
    )
    assert (live in alive, dead in alive) == (True, False)
    assert (live in gone, dead in gone) == (False, True)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=ten", "limit=5.0", "limit=", "active=maybe", "active=", "cursor=nonsense",
     "cursor=W10", "cursor=WzEsMiwzXQ", "cursor=WzFlOTk5LCAiYSIsICJiIl0", "project=a/b", "projct=lab",
     "limit=1&limit=2"],
)  # fmt: skip
def test_a_query_that_is_not_one_is_refused(send: Send, admin_token: str, query: str):
    check_error(send("GET", f"/auth/tokens?{query}", bearer(admin_token)), 400, "INVALID_REQUEST")


def test_a_cursor_is_of_its_list_alone(send: Send, admin_token: str):
    for _ in range(2):
        issue(send, admin_token)
    cursor = send("GET", "/auth/tokens?project=lab&limit=1", bearer(admin_token)).json["cursor"]
    path = f"/auth/tokens?project=captionacc&cursor={cursor}"
    check_error(send("GET", path, bearer(admin_token)), 400, "INVALID_REQUEST")
    assert send("GET", f"/auth/tokens?cursor={cursor}", bearer(admin_token)).status == 200


def test_of_a_thousand_mistakes_ten_are_listed(send: Send, admin_token: str):
    answer = post(send, "/auth/tokens", admin_token, **{f"key{number}": 1 for number in range(900)})
    check_error(answer, 400, "INVALID_PROJECT")
    assert len(answer.json["details"]) == 10


# ------------------------------------------------------------------------------------------------------- who may this


ADMIN_ONLY = [
    ("POST", "/auth/tokens"),
    ("GET", "/auth/tokens"),
    ("DELETE", "/auth/tokens?subject=ada"),
    ("GET", "/auth/tokens/x"),
    ("DELETE", "/auth/tokens/x"),
]


@pytest.mark.parametrize(("method", "path"), ADMIN_ONLY)
def test_only_administrators_manage_tokens(send: Send, admin_token: str, guest_token: str, method: str, path: str):
    check_error(send(method, path), 401, "MISSING_TOKEN", "AUTH")
    check_error(send(method, path, {"Authorization": "Basic eDp5"}), 401, "MISSING_TOKEN")
    check_error(send(method, path, bearer("nonsense")), 403, "INVALID_TOKEN")
    check_error(send(method, path, bearer(guest_token)), 403, "FORBIDDEN")
    check_error(send(method, path, bearer(issue(send, admin_token)["token"])), 403, "FORBIDDEN")


BASE = {"sub": "ada", "projectId": "ada", "iss": "gateway.metacogna.ai", "aud": "metacogna-clients"}


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({"route": "AUTH", "scopes": ["admin"]}, True),
        ({"route": "CORE", "scopes": ["admin"]}, True),
        ({"route": "AUTH", "scopes": ["editor"]}, False),
        ({"route": "AUTH", "scopes": ["Admin"]}, False),
        ({"route": "AUTH", "scopes": []}, False),
        ({"route": "AUTH", "scopes": ["guest"]}, False),
        ({"route": "BUILD", "scopes": ["admin"]}, False),
        ({"route": "AUTH", "scopes": ["admin"], "sub": "guest"}, False),
        ({"scopes": ["admin"]}, False),
        ({"scopes": ["admin"], "project": "metacogna", "service": "AUTH"}, False),
    ],
)
def test_an_administrator_is_elevated_and_has_the_scope_and_is_no_guest(send: Send, changes: dict[str, Any], may: bool):
    now = int(datetime.now(UTC).timestamp())
    token = jwt.encode({**BASE, "iat": now, "exp": now + 600, **changes}, SECRET, "HS256")
    answer = send("GET", "/auth/tokens", bearer(token))
    if may:
        assert answer.status == 200
    else:
        check_error(answer, 403, "FORBIDDEN")


# ----------------------------------------------------------------------------------------------------------- take back


def test_a_revoked_token_is_refused_at_once_on_a_strict_route_that_had_let_it_in(send: Send, admin_token: str):
    made = issue(send, admin_token)
    assert send("GET", "/lab/sealed/echo", bearer(made["token"])).status == 200
    answer = send("DELETE", f"/auth/tokens/{made['jti']}?reason=leaked", bearer(admin_token))
    assert answer.status == 200
    refused = send("GET", "/lab/sealed/echo", bearer(made["token"]))
    check_error(refused, 403, "TOKEN_REVOKED", "SEALED")
    assert 'error="invalid_token"' in refused.get("www-authenticate")


def test_who_revoked_a_token_when_and_why_is_kept_and_the_first_time_counts(send: Send, admin_token: str):
    jti = issue(send, admin_token)["jti"]
    first = send("DELETE", f"/auth/tokens/{jti}", bearer(admin_token), b'{"reason": "leaked in a log"}')
    again = send("DELETE", f"/auth/tokens/{jti}?reason=again", bearer(admin_token))
    record = shape(answers.TokenRecord, first)
    assert (record.active, record.revokedBy, record.revokedReason) == (False, "ada", "leaked in a log")
    assert record.revokedAt is not None
    assert (again.status, again.json) == (200, first.json)
    assert send("GET", f"/auth/tokens/{jti}", bearer(admin_token)).json == first.json


@pytest.mark.parametrize(
    "jti", ["nope", "a" * 32, "a" * 48, "0" * 128, "sha256:" + "a" * 64, "token%23x", "%2e%2e%2e", "a" * 129]
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_that_nobody_knows_is_not_found(send: Send, admin_token: str, method: str, jti: str):
    check_error(send(method, f"/auth/tokens/{jti}", bearer(admin_token)), 404, "TOKEN_NOT_FOUND")


def test_a_token_that_this_gateway_did_not_issue_is_revoked_when_asked_so(send: Send, admin_token: str):
    now = int(datetime.now(UTC).timestamp())
    claims = {"jti": str(uuid4()), "project": "lab", "service": "worker"}
    original = jwt.encode({**claims, "iat": now, "exp": now + 600}, SECRET, "HS256")
    assert send("GET", "/lab/sealed/echo", bearer(original)).status == 200
    path = f"/auth/tokens/{claims['jti']}"
    for bad in ("a" * 129, "%00%ff", "%20%0a"):
        refused = send("DELETE", f"/auth/tokens/{bad}?unregistered=true", bearer(admin_token))
        check_error(refused, 404, "TOKEN_NOT_FOUND")
    check_error(send("DELETE", path, bearer(admin_token)), 404, "TOKEN_NOT_FOUND")
    shape(answers.RevokedSession, send("DELETE", f"{path}?unregistered=true", bearer(admin_token)))
    check_error(send("GET", "/lab/sealed/echo", bearer(original)), 403, "TOKEN_REVOKED")


def test_a_login_is_revoked_by_the_id_of_its_token(send: Send, admin_token: str):
    body = json.dumps({"username": "ada", "password": PASSWORD}).encode()
    other = send("POST", "/auth/login", body=body).json["token"]
    shape(
        answers.RevokedSession,
        send("DELETE", f"/auth/tokens/{claims_of(other)['jti']}?reason=lost", bearer(admin_token)),
    )
    check_error(send("GET", "/auth/session", bearer(other)), 403, "TOKEN_REVOKED", "AUTH")
    assert send("GET", "/auth/session", bearer(admin_token)).status == 200


def test_everything_of_a_subject_is_revoked_in_one_go(send: Send, admin_token: str):
    tokens = [issue(send, admin_token, service="mass") for _ in range(3)]
    spared = issue(send, admin_token, service="spared")
    answer = send("DELETE", "/auth/tokens?subject=lab/mass&reason=breach", bearer(admin_token))
    assert shape(answers.RevokedMany, answer).subject == "lab/mass"
    for one in tokens:
        check_error(send("GET", "/lab/sealed/echo", bearer(one["token"])), 403, "TOKEN_REVOKED")
    assert send("GET", "/lab/sealed/echo", bearer(spared["token"])).status == 200
    assert not send("GET", f"/auth/tokens/{tokens[0]['jti']}", bearer(admin_token)).json["active"]
    listed = send("GET", "/auth/tokens?project=lab&service=mass&active=true", bearer(admin_token))
    assert not {one["jti"] for one in tokens} & set(jtis(listed))


def test_everything_of_a_project_that_was_issued_before_a_moment_is_revoked(
    send: Send, admin_token: str, request: pytest.FixtureRequest
):
    project = f"spare-{request.node.callspec.params['send']}"
    token = issue(send, admin_token, project=project, service="ALL")["token"]
    hour_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    path = f"/auth/tokens?project={project}"
    assert send("DELETE", f"{path}&before={hour_ago}", bearer(admin_token)).status == 200
    assert send("GET", "/auth/session", bearer(token)).status == 200
    assert send("DELETE", path, bearer(admin_token)).status == 200
    check_error(send("GET", "/auth/session", bearer(token)), 403, "TOKEN_REVOKED")
    assert send("GET", "/auth/session", bearer(admin_token)).status == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "INVALID_REQUEST"),
        ("reason=x", "INVALID_REQUEST"),
        ("before=2026-01-01T00:00:00Z", "INVALID_REQUEST"),
        ("subject=", "INVALID_REQUEST"),
        ("subject=ada&before=yesterday", "INVALID_REQUEST"),
        ("subject=ada&before=2026-01-01T00:00:00", "INVALID_REQUEST"),
        ("subject=ada&before=2999-01-01T00:00:00Z", "INVALID_REQUEST"),
        ("subject=ada&before=0001-01-01T00:00:00%2B14:00", "INVALID_REQUEST"),
        ("subject=ada&before=1969-12-31T23:59:59Z", "INVALID_REQUEST"),
        ("subject=ada&subject=bob", "INVALID_REQUEST"),
        ("project=nosuchproject", "INVALID_PROJECT"),
        ("user=ada", "INVALID_REQUEST"),
    ],
)
def test_revoking_many_needs_to_be_told_whose(send: Send, admin_token: str, query: str, code: str):
    check_error(send("DELETE", f"/auth/tokens?{query}", bearer(admin_token)), 400, code)
    assert send("GET", "/auth/session", bearer(admin_token)).status == 200


# ------------------------------------------------------------------------------------------------------------ sessions


def test_a_session_says_who_is_calling_and_until_when(send: Send, admin_token: str, guest_token: str):
    said = claims_of(admin_token)
    mine = shape(answers.Session, send("GET", "/auth/session", bearer(admin_token)))
    assert (mine.kind, mine.subject, mine.route, mine.scopes) == ("login", "ada", "AUTH", ["admin"])
    assert datetime.fromisoformat(mine.expiresAt).timestamp() == said["exp"]
    until = datetime.fromisoformat(mine.refreshableUntil or "").timestamp()
    assert until == said["auth_time"] + 12 * 3600
    guest = shape(answers.Session, send("GET", "/auth/session", bearer(guest_token)))
    assert (guest.kind, guest.route, guest.environment) == ("guest", "BUILD", "staging")
    service = shape(
        answers.Session, send("GET", "/auth/session", bearer(issue(send, admin_token, service="worker")["token"]))
    )
    assert (service.kind, service.subject, service.refreshableUntil) == ("service", "lab/worker", None)
    check_error(send("GET", "/auth/session"), 401, "MISSING_TOKEN", "AUTH")


def test_a_refreshed_token_says_the_same_of_the_same_session_and_opens_the_same(send: Send, admin_token: str):
    answer = shape(answers.Refreshed, post(send, "/auth/refresh", admin_token))
    old, new = claims_of(admin_token), claims_of(answer.token)
    changing = {"iat", "exp", "jti"}
    assert {k: v for k, v in new.items() if k not in changing} == {k: v for k, v in old.items() if k not in changing}
    assert new["jti"] != old["jti"]
    sessions = [token_ids.SessionTokenId.read(said["jti"]) for said in (old, new)]
    assert sessions[0]
    assert sessions[1]
    assert sessions[0].session == sessions[1].session
    assert sessions[1].ends_at == new["exp"]
    assert send("GET", "/build/get", bearer(answer.token)).status == 200
    assert send("GET", "/auth/session", bearer(admin_token)).status == 200  # in its grace


def test_a_logout_ends_the_session_and_all_that_came_of_it(send: Send, admin_token: str):
    refreshed = post(send, "/auth/refresh", admin_token).json["token"]
    assert shape(answers.Done, post(send, "/auth/logout", refreshed)).success
    for token in (admin_token, refreshed):
        check_error(send("GET", "/auth/session", bearer(token)), 403, "TOKEN_REVOKED")
        check_error(post(send, "/auth/refresh", token), 403, "TOKEN_REVOKED")
        check_error(post(send, "/auth/logout", token), 403, "TOKEN_REVOKED")


def log_of(house: House) -> list[str]:
    """The values in the revocation log."""
    log = RevocationLog(house.template.made["TokensTable"]["Ref"])
    return [row.value for row in asyncio.run(log.since(0))]


def test_a_guest_writes_nothing_by_refreshing_and_a_login_once(
    send: Send, house: House, admin_token: str, guest_token: str
):
    """The log is read by every process: who comes without an account must not be able to fill it."""
    before = len(log_of(house))
    for _ in range(3):
        assert post(send, "/auth/refresh", guest_token).status == 200
    assert len(log_of(house)) == before
    for _ in range(3):
        assert post(send, "/auth/refresh", admin_token).status == 200
    assert log_of(house).count(claims_of(admin_token)["jti"]) == 1


def test_a_session_is_not_refreshed_without_end(send: Send, admin_token: str):
    token, codes = admin_token, []
    for _ in range(40):
        answer = post(send, "/auth/refresh", token)
        codes.append(answer.status)
        token = answer.json.get("token", token)
    assert codes == [200] * 30 + [429] * 10
    check_error(answer, 429, "RATE_LIMITED")
    assert int(answer.get("retry-after")) >= 1
    assert send("GET", "/auth/session", bearer(token)).status == 200


def test_a_body_that_is_held_back_does_not_hold_back_who_is_calling(address: str, uvicorn_send: Send, admin_token: str):
    """Checked before its body had come, a revoked administrator could go on for as long as they liked."""
    said = {"sub": "eve", "projectId": "eve", "route": "AUTH", "scopes": ["admin"]}
    eve = original(0, **said)
    body = b'{"project": "lab", "service": "worker"}'
    head = (
        f"POST /auth/tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {eve}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    where = urlsplit(address)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as held:
        held.sendall(head.encode() + body[:1])
        assert uvicorn_send("DELETE", "/auth/tokens?subject=eve", bearer(admin_token)).status == 200
        held.sendall(body[1:])
        assert held.recv(65536).startswith(b"HTTP/1.1 403")


def test_a_guest_may_refresh_and_log_out(send: Send, guest_token: str):
    token = post(send, "/auth/refresh", guest_token).json["token"]
    assert claims_of(token)["scopes"] == ["guest"]
    assert post(send, "/auth/logout", token).status == 200
    check_error(send("GET", "/auth/session", bearer(guest_token)), 403, "TOKEN_REVOKED")


def test_a_service_revokes_its_own_token_and_does_not_refresh_it(send: Send, admin_token: str):
    made = issue(send, admin_token)
    for token in (made["token"], issue(send, admin_token, project="metacogna", service="BUILD")["token"]):
        check_error(post(send, "/auth/refresh", token), 403, "FORBIDDEN")
    assert post(send, "/auth/logout", made["token"]).status == 200
    check_error(send("GET", "/lab/sealed/echo", bearer(made["token"])), 403, "TOKEN_REVOKED")
    record = send("GET", f"/auth/tokens/{made['jti']}", bearer(admin_token)).json
    assert (record["active"], record["revokedBy"], record["revokedReason"]) == (False, "lab/worker", "logout")


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_a_body_that_says_something_is_refused_before_anything_is_done(send: Send, admin_token: str, path: str):
    check_error(post(send, path, admin_token, token="another"), 400, "INVALID_REQUEST")
    assert send("GET", "/auth/session", bearer(admin_token)).status == 200


def original(age_s: int, ttl_s: int = 3600, **claims: Any) -> str:
    """A token as the metacogna gateway made them: without an id."""
    issued = int(datetime.now(UTC).timestamp()) - age_s
    said = {**BASE, "route": "AUTH", "scopes": ["admin"], "iat": issued, "exp": issued + ttl_s, **claims}
    said["projectId"] = f"ada-{uuid4()}"  # so that no two are the same
    return jwt.encode({name: value for name, value in said.items() if value is not None}, SECRET, "HS256")


def test_a_token_without_an_id_is_refreshed_and_revoked_too(send: Send):
    token, other = original(10), original(11)
    fresh = post(send, "/auth/refresh", token).json["token"]
    assert claims_of(fresh)["auth_time"] == claims_of(token)["iat"]
    assert post(send, "/auth/logout", token).status == 200
    for ended in (token, fresh):
        check_error(send("GET", "/auth/session", bearer(ended)), 403, "TOKEN_REVOKED")
    assert send("GET", "/auth/session", bearer(other)).status == 200


def test_a_token_that_names_no_issuer_administers_nothing(send: Send):
    """What the proxy refuses, the gateway's own addresses must not believe."""
    nameless = original(10, project="metacogna", iss=None, aud=None)
    check_error(send("GET", "/build/get", bearer(nameless)), 403, "INVALID_TOKEN")
    check_error(send("GET", "/auth/tokens", bearer(nameless)), 403, "INVALID_TOKEN")
    said = {"project": "lab", "service": "AUTH", "route": "AUTH", "scopes": ["admin"]}
    nameless = original(10, iss=None, aud=None, **said)
    check_error(send("GET", "/auth/tokens", bearer(nameless)), 403, "FORBIDDEN")


@pytest.mark.parametrize(("age_s", "status"), [(12 * 3600 - 30, 200), (12 * 3600 + 1, 403), (20 * 3600, 403)])
def test_nobody_refreshes_for_longer_than_twelve_hours_after_the_login(send: Send, age_s: int, status: int):
    answer = post(send, "/auth/refresh", original(age_s, ttl_s=24 * 3600))
    assert answer.status == status
    if status == 200:
        said = claims_of(answer.json["token"])
        assert said["exp"] - said["iat"] == 3600  # the old one would have lasted longer still
    else:
        check_error(answer, 403, "INVALID_TOKEN")


def test_a_session_that_is_nearly_over_is_refreshed_to_its_end_and_not_beyond(send: Send):
    login = int(datetime.now(UTC).timestamp()) - 12 * 3600 + 600
    token = original(60, ttl_s=120, auth_time=login)
    said = claims_of(post(send, "/auth/refresh", token).json["token"])
    assert said["exp"] == login + 12 * 3600
    assert said["auth_time"] == login
    assert LEEWAY_S == 30


# ------------------------------------------------------------------------------------------------- what is published


def test_the_public_keys_may_be_kept_for_as_long_as_the_ring(send: Send):
    answer = send("GET", "/.well-known/jwks.json")
    assert (answer.status, answer.get("content-type")) == (200, "application/jwk-set+json")
    assert answer.get("cache-control") == "public, max-age=300"
    assert answer.json == {"keys": []}  # a shared secret has no public half
    assert SECRET not in answer.body.decode()


def test_the_description_names_every_address_and_the_projects(send: Send):
    described = send("GET", "/auth/openapi.json")
    assert described.get("content-type") == "application/json"
    paths = described.json["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == {
        (one.method, one.path) for one in openapi.OPERATIONS
    }
    order = described.json["components"]["schemas"]["TokenOrder"]
    assert order["properties"]["project"]["enum"] == [
        "ai-proxy", "captionacc", "crow", "lab", "metacogna", "shelf", "spare-mangum", "spare-uvicorn",
    ]  # fmt: skip
    purged, *others = paths["/auth/cache"]["delete"]["parameters"]
    assert (purged["name"], purged["required"], purged["schema"]["enum"]) == ("project", True, ["crow", "shelf"])
    assert [(one["name"], one["required"]) for one in others] == [
        (name, False) for name in ("route", "path", "organization")
    ]
    login = described.json["components"]["schemas"]["Login"]
    assert login["properties"]["project"]["anyOf"] == [{"type": "string", "enum": ["metacogna"]}, {"type": "null"}]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
@pytest.mark.parametrize("path", ["/auth/session", "/auth/tokens/x", "/.well-known/jwks.json", "/auth/openapi.json"])
def test_a_method_that_an_address_does_not_take_is_said_so(send: Send, method: str, path: str):
    answer = send(method, path)
    check_error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.get("allow")


def test_pages_elsewhere_can_read_what_is_refused(send: Send):
    answer = send("GET", "/auth/session", {"Origin": "https://elsewhere.example"})
    assert answer.get("access-control-allow-origin") in {"*", "https://elsewhere.example"}


# ---------------------------------------------------------------------------------------------------------- audit trail


@pytest.mark.parametrize(
    ("method", "path", "body", "action", "result"),
    [
        ("POST", "/auth/tokens", b'{"project": "lab", "service": "worker"}', "token issue", "ok"),
        ("POST", "/auth/tokens", b'{"project": "nope", "service": "worker"}', "token issue", "refused"),
        ("POST", "/auth/tokens", b"{", "token issue", "refused"),
        ("DELETE", "/auth/tokens/nope", b"", "token revoke", "refused"),
        ("DELETE", "/auth/tokens?subject=nobody", b'{"reason": "a test"}', "tokens revoke", "ok"),
        ("DELETE", "/auth/tokens?subject=nobody&before=2999-01-01T00:00:00Z", b"", "tokens revoke", "refused"),
        ("POST", "/auth/refresh", b"", "refresh", "ok"),
        ("POST", "/auth/logout", b"", "logout", "ok"),
    ],
)
def test_whatever_is_done_or_refused_leaves_one_audit_line(
    mangum_send: Send, admin_token: str, capsys: pytest.CaptureFixture[str],
    method: str, path: str, body: bytes, action: str, result: str,
):  # fmt: skip
    mangum_send(method, path, bearer(admin_token), body)
    logged = capsys.readouterr().out
    (line,) = [said for said in map(json.loads, logged.splitlines()) if said["message"] == "audit"]
    assert (line["action"], line["who"], line["result"]) == (action, "ada", result)
    assert line["from"]
    assert line["requestId"]
    assert not [part for part in admin_token.split(".")[1:] if part in logged]


def test_a_token_whose_key_is_gone_is_not_active(send: Send, admin_token: str, house: House):
    made = issue(send, admin_token, service="keyless")
    registry = TokenRegistry(house.template.made["TokensTable"]["Ref"])
    record = registry.get(made["jti"])
    assert record
    registry.put(replace(record, jti=f"{record.jti[:-1]}x", kid="retired"))
    listed = send("GET", "/auth/tokens?project=lab&service=keyless&limit=2", bearer(admin_token)).json["tokens"]
    assert {one["kid"]: one["active"] for one in listed} == {"local": True, "retired": False}
