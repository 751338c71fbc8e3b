"""`explain`: it says what the gateway would do, since it asks the gateway's own code."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import jose
from gatehouse.build import gateway
from gatehouse.cli import dry_run, explanation
from gatehouse.headers import Headers
from gatehouse.projects import load
from tests.cli.conftest import ROOT, Run, invoke
from tests.unit.fakes import SECRET, FakeKit, key, write

SHIPPED = ROOT / "layers/config/projects"
URLS = {
    "BUILD_SERVICE_URL": "http://build.test",
    "KV_SERVICE_URL": "http://kv.test/base",
    "CORE_SERVICE_URL": "http://core.test",
    "PREFECT_SERVICE_URL": "http://prefect.test",
}
DOCUMENT = {"host", "stage", "method", "path", "query", "canonical", "route", "near", "outcome"}
OUTCOME = {"kind", "status", "code", "message", "allow"}
PREFECT = "/captionacc/prefect/api"


def explained(*words: str, stdin: str = "", **environ: str | None) -> dict[str, Any]:
    result = invoke("explain", *words, "--projects", str(SHIPPED), "--json", stdin=stdin, **{**URLS, **environ})
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def said(*words: str, **environ: str | None) -> str:
    return invoke("explain", *words, "--projects", str(SHIPPED), **{**URLS, **environ}).stdout


def a_token(**claims: Any) -> str:
    now = int(time.time())
    service = {
        "iss": "gatehouse",
        "aud": "captionacc",
        "sub": "captionacc/modal",
        "project": "captionacc",
        "service": "modal",
        "jti": "j1",
        "iat": now,
        "exp": now + 600,
    }
    return jose.compact({**service, **claims}, key())


def a_login(**claims: Any) -> str:
    now = int(time.time())
    login = {
        "iss": "gateway.metacogna.ai",
        "aud": "metacogna-clients",
        "sub": "ada",
        "projectId": "ada",
        "route": "AUTH",
        "scopes": ["admin"],
        "jti": "j2",
        "iat": now,
        "exp": now + 600,
    }
    return jose.compact({**login, **claims}, key())


def test_a_request_without_a_token_is_told_what_the_gateway_will_say() -> None:
    document = explained("GET", "/build/x?y=1")
    assert set(document) == DOCUMENT | {"callers", "limits", "upstream"}
    assert set(document["outcome"]) == OUTCOME
    assert (document["route"]["project"], document["route"]["name"], document["route"]["path"]) == (
        "metacogna",
        "BUILD",
        "/build",
    )
    assert (document["outcome"]["status"], document["outcome"]["code"]) == (401, "MISSING_TOKEN")
    assert document["upstream"]["url"] == "http://build.test/x?y=1"
    assert document["callers"]["accept"][0]["sent"] is False


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/build/x", []),
        ("/api/v1/auth/x", ["auth: 10 in 60 s, 10 at once, counted by ip"]),
        ("/api/v1/products/health", ["standard: 100 in 60 s, 100 at once, counted by ip"]),
        ("/ai", ["per-user: 60 in 60 s, 60 at once, counted by subject"]),
    ],
)
def test_the_limits_of_a_request_are_shown(path: str, expected: list[str]) -> None:
    lines = [line.partition("limit")[2].strip() for line in said("POST", path).splitlines() if line.startswith("limit")]
    assert lines == expected
    assert [one["name"] for one in explained("POST", path)["limits"]] == [one.partition(":")[0] for one in expected]


def test_limits_are_shown_in_the_order_they_are_kept_and_public_requests_have_those_by_address(tmp_path: Path) -> None:
    project = """
project: demo
tokens: {issuer: i, audience: a, elevated: [AUTH]}
limits:
  me: {requests: 5, per: 1500ms, by: subject, shadow: true}
  here: {requests: 100, per: 1m, burst: 7}
routes: [{name: A, path: /a, upstream: "http://a.test", limit: [me, here], public: [GET /health]}]
"""
    folder = str(write(tmp_path, project))
    shown = invoke("explain", "GET", "/a", "--projects", folder).stdout
    assert "here: 100 in 60 s, 7 at once, counted by ip\n" in shown
    assert "me: 5 in 1.5 s, 5 at once, counted by subject; in the shadow: it counts, and refuses nothing\n" in shown
    assert shown.index("here: ") < shown.index("me: ")
    assert "me: " not in invoke("explain", "GET", "/a/health", "--projects", folder).stdout


def test_a_request_that_would_get_through_shows_what_the_upstream_gets() -> None:
    document = explained(
        "POST",
        PREFECT,
        "-H",
        f"Authorization: Bearer {a_token()}",
        "-H",
        "X-Gateway-JTI: forged",
        "-H",
        "Accept: */*",
        "-H",
        "Cookie: a=b",
        "-H",
        "Connection: x-mine",
        "-H",
        "X-Mine: 1",
    )
    upstream = document["upstream"]
    added = {one["name"]: one["value"] for one in upstream["added"]}
    assert document["outcome"]["kind"] == "forwarded"
    assert upstream["url"] == "http://prefect.test/api"
    assert [one["name"] for one in upstream["kept"]] == ["accept", "cookie"]
    assert {one["name"]: one["why"] for one in upstream["removed"]} == {
        "authorization": "is for the gateway to say",
        "x-gateway-jti": "is set by the gateway on this route",
        "connection": "is for the next hop alone",
        "x-mine": "is named by Connection",
    }
    assert (added["x-gateway-project"], added["x-gateway-service"], added["x-gateway-jti"]) == (
        "captionacc",
        "modal",
        "j1",
    )
    assert upstream["unfilled"] == []


def test_the_headers_are_those_that_the_pipeline_sends() -> None:
    pairs = (("accept", "*/*"), ("x-user-id", "9"), ("x_gateway_jti", "9"), ("authorization", f"Bearer {a_token()}"))
    call = explanation.request("GET", PREFECT, "", Headers(pairs))
    seen = asyncio.run(dry_run.outcome(load(SHIPPED, URLS), call))
    upstream = explanation.explained(load(SHIPPED, URLS), call)["upstream"]
    assert seen.outbound
    assert [(one["name"], one["value"]) for one in (*upstream["kept"], *upstream["added"])] == seen.outbound.headers
    assert upstream["url"] == seen.outbound.url


def test_nobody_sees_a_token_or_a_cookie_in_what_is_said() -> None:
    token = a_token()
    for words in (["--token", token], ["-H", f"Authorization: Bearer {token}"]):
        result = invoke(
            "explain",
            "GET",
            PREFECT,
            *words,
            "-H",
            "Cookie: session=abcdefgh",
            "-H",
            "X-Api-Key: abcdefgh",
            "--projects",
            str(SHIPPED),
            **URLS,
        )
        assert token not in result.output
        assert "abcdefgh" not in result.output
        assert "kept        cookie: (16 characters)" in result.stdout


def test_a_token_may_come_from_standard_input() -> None:
    document = explained("GET", PREFECT, "--token", "-", stdin=f"{a_token()}\n")
    assert document["callers"]["identity"]["subject"] == "captionacc/modal"
    assert document["callers"]["identity"]["verified"] is False


@pytest.mark.parametrize(
    ("url", "claims", "code"),
    [
        (PREFECT, {}, None),
        (PREFECT, {"service": "other"}, "FORBIDDEN"),
        (PREFECT, {"aud": "others"}, "INVALID_TOKEN"),
        (PREFECT, {"iss": "others"}, "INVALID_TOKEN"),
        (PREFECT, {"exp": 1}, "INVALID_TOKEN"),
        (PREFECT, {"iat": "now"}, "INVALID_TOKEN"),
        ("/build", {}, "INVALID_TOKEN"),
    ],
)
def test_a_token_is_taken_at_its_word_and_no_further(url: str, claims: dict[str, Any], code: str | None) -> None:
    assert explained("GET", url, "--token", a_token(**claims))["outcome"]["code"] == code


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({}, None),
        ({"route": "BUILD"}, None),
        ({"route": "KV"}, "INVALID_TOKEN"),
        ({"scopes": ["guest"]}, "INVALID_TOKEN"),
    ],
)
def test_whether_a_login_opens_the_route_is_said(claims: dict[str, Any], code: str | None) -> None:
    document = explained("GET", "/build", "--token", a_login(**claims))
    assert document["outcome"]["code"] == code
    assert document["callers"]["identity"]["opens"] is (code is None)


def test_a_claim_that_is_not_met_is_named() -> None:
    text = said("GET", PREFECT, "--token", a_token(service="other"))
    assert "project must be captionacc: so it is" in text
    assert "service must be prefect or api or orchestrator or modal or web: it is not" in text
    assert "403 FORBIDDEN" in text


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        "e30.e30.e30",
        "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.eA",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.eA",
    ],
)
def test_what_is_no_token_of_ours_is_refused_here_too(token: str) -> None:
    assert explained("GET", "/build", "--token", token)["outcome"]["code"] == "INVALID_TOKEN"


def test_a_header_that_cannot_be_filled_says_so_and_so_does_one_that_cannot_be_said() -> None:
    unfilled = explained("GET", PREFECT)["upstream"]["unfilled"]
    assert {one["name"] for one in unfilled} == {"x-gateway-project", "x-gateway-service", "x-gateway-jti"}
    document = explained("GET", PREFECT, "--token", a_token(jti="a\nb"))
    assert "cannot be passed on" in document["upstream"]["problem"]
    assert document["outcome"]["code"] == "FORBIDDEN"


def test_a_mapping_that_cannot_be_filled_is_shown_as_it_is_written(tmp_path: Path) -> None:
    route = "{name: a, path: /a, upstream: 'http://u', auth: optional, accept: [gateway], revocation: strict,\n"
    route += "     set_headers: {X-Who: {user: '${identity.user}'}}}"
    folder = write(
        tmp_path, f"project: one\nroutes:\n  - {route}\n  - {{name: all, path: /, upstream: 'http://r', auth: none}}\n"
    )
    text = invoke("explain", "GET", "/a/b", "--projects", str(folder)).stdout
    assert 'not added   x-who: {"user": "${identity.user}"} (there is nothing to fill it with)' in text
    assert "/ (all of one) matches too, and comes after it" in text
    assert "strict: asked for every request" in text
    assert "outcome     forwarded" in text


@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/buildings", 404, "NOT_FOUND"),
        ("GET", "/build/../kv", 400, "BAD_PATH"),
        ("GET", "/build/%2e%2e/kv", 400, "BAD_PATH"),
        ("GET", "//build", 400, "BAD_PATH"),
        ("GET", "/BUILD", 404, "NOT_FOUND"),
        ("GET", "/build?a b", 400, "BAD_PATH"),
        ("TRACE", "/build", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/build", 204, None),
        ("get", "/kv/x", None, None),
    ],
)
def test_the_outcome_is_that_of_the_gateway(method: str, url: str, status: int | None, code: str | None) -> None:
    outcome = explained(method, url)["outcome"]
    assert (outcome["status"], outcome["code"]) == (status, code)


@given(
    st.sampled_from(["GET", "POST", "TRACE", "OPTIONS"]),
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["build", "kv/x", "core", "captionacc/prefect/a", "Build", "build/%2e%2e", "kv;x/..", "%62uild"]
        ),
    ),
)
def test_for_any_path_the_outcome_is_that_of_the_gateway(method: str, path: str) -> None:
    projects = load(SHIPPED, URLS)
    call = explanation.request(method, f"/{path}", "", Headers())
    document = explanation.explained(projects, call)
    reply = asyncio.run(gateway(projects, FakeKit())(call))
    outcome = document["outcome"]
    if outcome["kind"] == "own":
        assert reply.status == 404
    else:
        assert (outcome["status"] or 200) == reply.status


@pytest.mark.parametrize(
    ("url", "path", "why"),
    [
        ("/Build/x", "/build", "upper and lower case"),
        ("/buildings", "/build", "whole segments"),
        ("/captionacc", "/captionacc/prefect", "goes on"),
        ("/captionacc/perfect/x", "/captionacc/prefect", "same first segment"),
        ("/biuld/x", "/build", "almost like it"),
        ("//build//x", "/build", "without what could be misread"),
        ("/build%2fx", "/build", "without what could be misread"),
    ],
)
def test_near_misses_are_named(url: str, path: str, why: str) -> None:
    near = explained("GET", url)["near"]
    assert set(near[0]) == {"project", "route", "path", "why"}
    assert (near[0]["path"], why in near[0]["why"]) == (path, True)


def test_a_path_that_is_like_nothing_has_no_near_misses() -> None:
    assert explained("GET", "/zzzzzzzz")["near"] == []
    assert explained("GET", "/")["near"] == []


@pytest.mark.parametrize("path", ["/auth/login", "/.well-known/jwks.json", "/ping"])
def test_the_gateways_own_addresses_are_told_apart(path: str) -> None:
    assert explained("GET", path)["outcome"]["kind"] == "own"
    assert "the gateway's own functions" in said("GET", path)


def test_of_a_whole_url_the_host_and_the_stage_are_left_out() -> None:
    document = explained("GET", "https://abc123.execute-api.eu-west-1.amazonaws.com/v1/kv/x#part")
    assert (document["host"], document["stage"], document["path"]) == (
        "abc123.execute-api.eu-west-1.amazonaws.com",
        "v1",
        "/kv/x",
    )
    document = explained("GET", "http://user:secret@gateway.example:8080")
    assert (document["host"], document["stage"], document["path"]) == ("gateway.example:8080", None, "/")
    assert "secret" not in json.dumps(document)
    assert "(left out: the host api.example)" in said("GET", "https://api.example/kv")


def test_an_upstream_without_an_address_is_said() -> None:
    text = said("GET", "/kv/x", KV_SERVICE_URL=None)
    assert "/x, of a service whose address (a variable) is not set here" in text
    assert "502 MISSING_TARGET" in text


def test_the_request_id_of_a_client_is_passed_on() -> None:
    added = {
        one["name"]: one["value"] for one in explained("GET", "/kv", "-H", "X-Request-Id: abc")["upstream"]["added"]
    }
    assert added["x-request-id"] == "abc"
    assert "a new one" in said("GET", "/kv")


def test_bytes_beyond_ascii_are_shown_as_they_were_given() -> None:
    assert "kept        x-name: Grüße" in said("GET", "/kv", "-H", "X-Name: Grüße")
    assert explained("GET", "/kv/ü")["canonical"] == "/kv/%C3%BC"
    assert "/kv/%C3%BC is matched and forwarded" in said("GET", "/kv/ü")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["GET", "build"], "begins with /"),
        (["/build", "GET"], "the method comes first"),
        (["GET", "/build", "-H", "nonsense"], "'Name: value'"),
        (["GET", "/build", "-H", "a b: c"], "'Name: value'"),
        (["GET", "/build", "-H", "Authorization: Bearer x", "--token", "y"], "two credentials"),
        (["GET", "/build", "--projects", "/nowhere"], "there is no folder /nowhere"),
        (["GET"], "URL"),
    ],
)
def test_a_request_that_is_none_is_a_misuse(words: list[str], says: str) -> None:
    result = invoke("explain", *words, PROJECTS_DIR=str(SHIPPED))
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_it_can_look_at_what_make_run_has_running(cli: Run) -> None:
    result = cli("explain", "GET", "/kv/x")
    assert result.exit_code == 0
    assert "upstream    http://127.0.0.1:" in result.stdout


def test_project_files_with_mistakes_are_a_failure(tmp_path: Path) -> None:
    result = invoke("explain", "GET", "/x", "--projects", str(write(tmp_path, "project: one\n")))
    assert (result.exit_code, "the project files have mistakes" in result.stderr) == (1, True)


def test_the_secret_of_these_tests_is_not_said() -> None:
    assert SECRET not in said("GET", "/build", "--token", a_login())


CROW = {
    name: f"http://{name.partition('_')[0].lower()}.test"
    for name in ("AUTH_SERVICE_URL", "ORG_SERVICE_URL", "USER_SERVICE_URL", "PRODUCT_SERVICE_URL", "CHAT_SERVICE_URL")
}


def of_crow(*arguments: str) -> str:
    return said(*arguments, **CROW)


def test_a_session_is_explained_as_what_it_would_tell_the_service() -> None:
    text = of_crow("GET", "/api/v1/products/x", "-H", "Cookie: better-auth.session_token=abc")
    for expected in (
        "a session (the cookie 'better-auth.session_token'", "this request has one", "this request has none",
        "x-organization-id: (the organization's own id)", "x-user-id: (the user)",
        "cookie: may be a credential, and stays at the gateway",
        "forwarded, if the credential is good and its organization is confirmed",
    ):  # fmt: skip
        assert expected in text
    assert "abc" not in text


def test_a_visitor_is_explained_as_nobody_in_particular() -> None:
    text = of_crow("GET", "/api/v1/chat/x")
    assert "(the visitor) (anonymous; scopes: anonymous)" in text
    assert "x-user-id: ${identity.user} (there is nothing to fill it with)" in text


@pytest.mark.parametrize("name", ["X-API-Key", "ApiKey", "X_Api_Key"])
def test_a_key_is_seen_in_whatever_spelling_the_gateway_sees_it(name: str) -> None:
    text = of_crow("GET", "/api/v1/products/x", "-H", f"{name}: crow_secret-one")
    assert "forwarded, if the credential is good" in text
    assert f"{name.lower()}: may be a credential, and stays at the gateway" in text
    assert "secret-one" not in text


def test_a_public_request_needs_nothing() -> None:
    text = of_crow("GET", "/api/v1/products/health", "-H", "Cookie: better-auth.session_token=abc")
    assert "public: this method and path need no credential" in text
    assert "forwarded; the upstream answers" in text


def test_without_a_credential_it_says_which_there_are() -> None:
    assert "401 MISSING_TOKEN: This route needs one of these: a session" in of_crow("GET", "/api/v1/products/x")
