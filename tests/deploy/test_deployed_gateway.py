"""The deployed gateway, from its first administrator on: through API Gateway and functions, as MiniStack plays them."""

from __future__ import annotations

import json
import time

import pytest

from local.metric_lines import MetricLines
from tests.deploy.asking import bearer, refused, until_refused
from tests.deploy.conftest import PASSWORD
from tests.log_watch import hear

pytestmark = pytest.mark.built

FUNCTIONS = ("login", "guest", "tokens", "proxy", "status")
LOOK_S = 2  # what one look at the revocation log, and a request, may take on a busy machine


@pytest.fixture(scope="module")
def login(api, admin):
    return lambda: api.post("/auth/login", json=admin).json()["token"]


@pytest.fixture(scope="module")
def token(login):
    return login()


@pytest.fixture(scope="module")
def issue(api, token):
    def issued():
        asked = {"project": "captionacc", "service": "prefect", "expiresInDays": 30}
        answer = api.post("/auth/tokens", json=asked, headers=bearer(token))
        assert answer.status_code == 201, answer.text
        return answer.json()

    return issued


# ------------------------------------------------------------------------------------------ what goes through


def test_the_administrator_of_the_command_line_logs_in(api, admin):
    answer = api.post("/auth/login", json=admin)
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"] == {"username": "ada", "role": "admin"}


def test_a_wrong_password_does_not(api, admin):
    assert refused(api.post("/auth/login", json=admin | {"password": "not this one"})) == (401, "INVALID_CREDENTIALS")


def test_the_token_opens_the_service_which_does_not_get_it(api, token, lab):
    answer = api.get("/build/hello?x=1", headers=bearer(token))
    assert (answer.status_code, answer.json()) == (200, {"path": "/hello"})
    assert (lab.last["method"], lab.last["path"], lab.last["query"]) == ("GET", "/hello", "x=1")
    assert lab.values("x-gateway-route") == ["BUILD"]
    assert lab.values("authorization") == []


def test_a_body_of_any_bytes_arrives_as_it_was_sent(api, lab):
    sent = bytes(range(256))
    assert api.put("/kv/picture", content=sent, headers={"Content-Type": "image/png"}).status_code == 200
    assert lab.last["body"] == sent


def test_a_guest_gets_a_token_for_one_service_and_not_further(api):
    guest = api.post("/auth/guest").json()
    assert guest["route"] == "BUILD"
    assert api.get("/build", headers=bearer(guest["token"])).status_code == 200
    assert refused(api.get("/core/x", headers=bearer(guest["token"]))) == (403, "INVALID_TOKEN")


def test_a_service_token_opens_its_service_which_learns_its_id(api, issue, lab):
    issued = issue()
    assert api.get("/captionacc/prefect/flows", headers=bearer(issued["token"])).status_code == 200
    assert lab.last["path"] == "/flows"
    assert lab.values("x-gateway-jti") == [issued["jti"]]


# ------------------------------------------------------------------------------------------ what does not


def test_without_a_token_the_service_stays_closed(api, lab):
    before = len(lab.seen)
    assert refused(api.get("/build/hello")) == (401, "MISSING_TOKEN")
    assert len(lab.seen) == before


@pytest.mark.parametrize("path", ["/nope", "/", "/buildings"])
def test_a_path_of_no_route_gets_our_body(api, path):
    assert refused(api.get(path)) == (404, "NOT_FOUND")


def test_a_service_whose_address_is_not_set_is_said_to_be_missing(api):
    assert refused(api.get("/core/x")) == (502, "MISSING_TARGET")


def test_a_preflight_is_answered(api):
    answer = api.options("/build/x", headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "*")


# ------------------------------------------------------------------------------------------ what monitors ask


def test_the_gateway_is_alive(api):
    answer = api.get("/ping")
    assert (answer.status_code, answer.text) == (200, "OK")


def test_it_is_ready_and_tells_an_administrator_what_that_rests_on(api, token):
    assert (api.get("/ready").status_code, api.get("/ready").json()) == (200, {"status": "ready"})
    projects = api.get("/ready", headers=bearer(token)).json()["projects"]
    found = {one["name"]: one["ok"] for project in projects for one in project["checks"]}
    assert found["secret"] is found["revocation log"] is found["upstream prefect"] is True


def test_metrics_are_not_for_everybody(api):
    assert refused(api.get("/metrics")) == (401, "MISSING_TOKEN")


# ------------------------------------------------------------------------------------------ what is taken back


@pytest.fixture(scope="module")
def revoked(api, login, token, issue):
    """Tokens that opened a service, each revoked in its own way: what they were answered then, and after what time."""
    own, session, guest, service = login(), login(), api.post("/auth/guest").json()["token"], issue()
    session_id = api.get("/auth/session", headers=bearer(session)).json()["jti"]
    tokens = {"logout": own, "a guest's logout": guest, "its id": session, "a service's id": service["token"]}
    asked = {
        "logout": ("POST", "/auth/logout", own),
        "a guest's logout": ("POST", "/auth/logout", guest),
        "its id": ("DELETE", f"/auth/tokens/{session_id}?reason=test", token),
        "a service's id": ("DELETE", f"/auth/tokens/{service['jti']}", token),
    }
    paths = {way: "/captionacc/prefect/x" if way == "a service's id" else "/build/x" for way in tokens}
    for way, path in paths.items():
        assert api.get(path, headers=bearer(tokens[way])).status_code == 200, way
    since = {}
    for way, (method, path, by) in asked.items():
        assert api.request(method, path, headers=bearer(by)).is_success, way
        since[way] = time.monotonic()
    return {way: until_refused(api, path, tokens[way], since[way]) for way, path in paths.items()}


@pytest.mark.parametrize("way", ["logout", "a guest's logout", "its id", "a service's id"])
def test_a_revoked_token_is_refused_within_the_published_time(revoked, built, way):
    bound_s = built["Parameters"]["RevocationRefreshSeconds"]["Default"]
    assert refused(revoked[way].answer) == (403, "TOKEN_REVOKED")
    assert revoked[way].after_s < bound_s + LOOK_S


def test_where_each_request_asks_it_is_refused_at_once(api, login):
    own = login()
    assert api.get("/auth/session", headers=bearer(own)).status_code == 200
    api.post("/auth/logout", headers=bearer(own))
    assert refused(api.get("/auth/session", headers=bearer(own))) == (403, "TOKEN_REVOKED")


# ------------------------------------------------------------------------------------------ what is written down


@pytest.fixture(scope="module")
def lines(api, emulator, stack, issue, revoked):
    """What stands in the log groups of the template, after all that came before: by function."""
    api.get("/captionacc/prefect/noted?key=not-for-the-log", headers=bearer(issue()["token"]))
    pages = emulator.client("logs").get_paginator("filter_log_events")
    groups = {name: f"/aws/lambda/{stack.name}-{name}" for name in FUNCTIONS}
    found = {
        name: [event["message"] for page in pages.paginate(logGroupName=group) for event in page["events"]]
        for name, group in groups.items()
    }
    hear("\n".join(line for group in found.values() for line in group))
    return found


@pytest.mark.parametrize(
    ("function", "method", "path", "status"),
    [
        ("login", "POST", "/auth/login", 200),
        ("guest", "POST", "/auth/guest", 200),
        ("tokens", "POST", "/auth/tokens", 201),
        ("proxy", "GET", "/captionacc/prefect/noted", 200),
        ("proxy", "GET", "/build/x", 403),
        ("status", "GET", "/ping", 200),
    ],
)
def test_a_functions_log_group_has_its_requests(lines, function, method, path, status):
    said = [json.loads(line) for line in lines[function] if line.startswith("{")]
    assert (method, path, status) in [tuple(one.get(key) for key in ("method", "path", "status")) for one in said]


def test_requests_meet_the_published_version_and_not_what_is_deployed_next(lines):
    versions = {line.rpartition("Version: ")[2] for group in lines.values() for line in group if "Version: " in line}
    assert versions == {"1"}


def test_the_metrics_in_the_logs_are_what_a_scraper_is_told(api, emulator, lines, token):
    """What CloudWatch Logs does, which MiniStack does not: it is done for it."""
    taken = MetricLines(emulator.put_metrics)
    for line in (line for group in lines.values() for line in group):
        taken.take(line)
    taken.send()
    answer = api.get("/metrics", headers=bearer(token))
    assert answer.status_code == 200
    assert 'gatehouse_requests_total{code="200",method="GET",project="metacogna",route="BUILD"}' in answer.text


def test_no_log_has_anything_secret(lines, secret, token):
    everything = "\n".join(line for group in lines.values() for line in group)
    key = json.dumps(secret["generated"])[1:-1]
    assert "eyJ" not in everything  # which is how every token begins
    assert [one for one in (PASSWORD, token, key, secret["generated"], "not-for-the-log") if one in everything] == []
