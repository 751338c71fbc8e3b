"""`public`: requests that nobody looks at for credentials, exactly these; whatever only looks like one is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatehouse.build import gateway
from gatehouse.call import Call, Identity, Reply
from gatehouse.errors import RejectedCredentialError
from gatehouse.projects import ProjectFileError, Projects, load
from tests.unit.fakes import FakeKit, a_call, body_of, run, write
from tests.unit.project_files import a_file

KEY = {"type": "api_key", "prefix": "k_", "url": "http://auth.test/verify", "bearer": True}
SESSION = {"type": "session", "cookie": "sid", "url": "http://auth.test/get-session"}
TOLD = {
    "X-User-Id": "${identity.user}", "Authorization": "Bearer ${identity.token}",
    "X-Internal-Key": "${secret:INTERNAL}",
    "X-Trace": "${request.id}",
}  # fmt: skip
PUBLIC = ["GET /health", "POST /hooks/paid", "GET /v1.2/~ready"]


class Doors:
    """The gateway with one route, whose credentials remember when somebody looked at them."""

    def __init__(self, folder: Path, **route: Any) -> None:
        changes = {"auth": "required", "accept": ["s", "k"], "public": PUBLIC, "set_headers": TOLD, **route}
        self.projects: Projects = load(write(folder, a_file(route=changes, providers={"s": SESSION, "k": KEY})), {})
        self.kit = FakeKit()
        self.kit.named_secrets = {"INTERNAL": "a-fine-and-unlikely-value"}
        self.looks = 0
        self.kit.credentials = {"s": self._look, "k": self._look}

    async def _look(self, call: Call) -> Identity | None:
        self.looks += 1
        if "x-api-key" in call.headers or "cookie" in call.headers:
            raise RejectedCredentialError
        return None

    def __call__(self, method: str, path: str, *headers: tuple[str, str]) -> Reply:
        return run(gateway(self.projects, self.kit)(a_call(path, method, *headers)))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/a/health"), ("POST", "/a/hooks/paid"), ("GET", "/a/v1.2/~ready")]
)
@pytest.mark.parametrize(
    "headers",
    [
        (), (("x-api-key", "k_bad"),), (("authorization", "Bearer nonsense"),), (("authorization", "Basic YTpi"),),
        (("cookie", "sid=over"),), (("x-api-key", "k_1"), ("x-api-key", "k_2")), (("cookie", "sid=1; sid=2"),),
        (("x-user-id", "ada"), ("x-internal-key", "guessed")),
    ],
    ids=str,
)  # fmt: skip
def test_nobody_looks_at_what_a_public_request_carries(
    tmp_path: Path, method: str, path: str, headers: tuple[tuple[str, str], ...]
) -> None:
    doors = Doors(tmp_path)
    assert doors(method, path, *headers).status == 200
    assert doors.looks == 0
    sent = doors.kit.upstream.only
    assert (sent.method, sent.url) == (method, f"http://a.test{path.removeprefix('/a')}")
    seen = dict(sent.headers)
    assert seen["x-internal-key"] == "a-fine-and-unlikely-value"
    assert seen["x-trace"] == "request-0001"
    assert not seen.keys() & {"x-user-id", "authorization", "x-api-key", "cookie"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/a/health", 401), ("POST", "/a/health", 401), ("PUT", "/a/health", 401),
        ("OPTIONS", "/a/health", 401),
        ("GET", "/a/hooks/paid", 401), ("get", "/a/health", 405), ("PROPFIND", "/a/health", 405),
        ("GET", "/a", 401), ("GET", "/a/", 401), ("GET", "/a/health/", 401), ("GET", "/a/health/x", 401),
        ("GET", "/a/x/health", 401), ("GET", "/a/healthy", 401), ("GET", "/a/healt", 401), ("GET", "/a/Health", 401),
        ("GET", "/a/HEALTH", 401), ("GET", "/a/%68ealth", 401), ("GET", "/a/h%65alth", 401),
        ("GET", "/a/%2568ealth", 401),
        ("GET", "/a/health;x", 401), ("GET", "/a/health;x=1", 401), ("GET", "/a/health%20", 401),
        ("GET", "/a/health.", 401),
        ("GET", "/a/health.json", 401), ("GET", "/a/health,", 401), ("GET", "/a/health&x", 401),
        ("GET", "/a/health:80", 401),
        ("GET", "/a/v1x2/~ready", 401), ("GET", "/a/v1.2/%7Eready", 401), ("GET", "/a/v1.2", 401),
        ("POST", "/a/hooks", 401), ("POST", "/a/hooks/paid/", 401), ("POST", "/a/hooks/paid/x", 401),
        ("POST", "/a/paid", 401), ("POST", "/a/hooks%2Fpaid", 400), ("POST", "/a/hooks//paid", 400),
        ("GET", "/a//health", 400), ("GET", "//a/health", 400), ("GET", "/a/./health", 400),
        ("GET", "/a/x/../health", 400),
        ("GET", "/a/%2e/health", 400), ("GET", "/a/health/..", 400), ("GET", "/a/..;/a/health", 400),
        ("GET", "/a/health%00", 400), ("GET", "/a/health%0d%0a", 400), ("GET", "/a/health\\", 400),
        ("GET", "/a/health%3fx", 400), ("GET", "/a/health%23", 400), ("GET", "/a/health?x", 400),
        ("GET", "/a/health#", 400),
        ("GET", "/A/health", 404), ("GET", "/b/health", 404), ("GET", "/health", 404), ("GET", "/ax/health", 404),
    ],
)  # fmt: skip
def test_what_is_nearly_public_is_not(tmp_path: Path, method: str, path: str, status: int) -> None:
    doors = Doors(tmp_path)
    assert doors(method, path).status == status
    assert doors.kit.upstream.sent == []
    assert (doors.looks > 0) is (status == 401)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet="/aheltHE%65.;~", max_size=12), st.sampled_from(["GET", "HEAD", "POST"]))
def test_no_other_request_than_those_that_are_named_gets_in(tmp_path: Path, below: str, method: str) -> None:
    doors = Doors(tmp_path)
    reply = doors(method, f"/a/{below}")
    assert (reply.status == 200) is (f"{method} /{below}" in PUBLIC)
    assert len(doors.kit.upstream.sent) == (reply.status == 200)


def test_a_query_does_not_make_a_request_another_one(tmp_path: Path) -> None:
    doors = Doors(tmp_path)
    assert run(gateway(doors.projects, doors.kit)(a_call("/a/health", query="deep=1&x=%2F"))).status == 200
    assert doors.kit.upstream.only.url == "http://a.test/health?deep=1&x=%2F"


@pytest.mark.parametrize(
    ("path", "status"), [("/a", 200), ("/a/", 200), ("/a//", 400), ("/a/x", 401), ("/a/.", 400), ("/ab", 404)]
)
def test_the_top_of_a_route_is_public_with_and_without_its_slash(tmp_path: Path, path: str, status: int) -> None:
    assert Doors(tmp_path, public=["GET /"])("GET", path).status == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/a/health", 200), ("/api/v22/a/health", 200), ("/old/health", 200), ("/api/v1/health", 404),
        ("/api/v1/a/a/health", 401), ("/api/vx/a/health", 404), ("/api/v/a/health", 404), ("/old/a/health", 401),
        ("/api/v1/a/v1/a/health", 401),
    ],
)  # fmt: skip
@pytest.mark.parametrize("strip", [True, False])
def test_every_path_of_a_route_has_the_same_public_requests(
    tmp_path: Path, path: str, status: int, strip: bool
) -> None:
    text = a_file(
        routes=[{"name": "A", "paths": ["/api/v{version}/a", "/old"], "upstream": "http://a.test", "accept": ["s"],
                 "public": ["GET /health"], "strip_prefix": strip}],
        providers={"s": SESSION},
    )  # fmt: skip
    doors = Doors(tmp_path / "other")
    doors.projects = load(write(tmp_path, text), {})
    assert doors("GET", path).status == status
    if status == 200:
        assert doors.kit.upstream.only.url == f"http://a.test{'/health' if strip else path}"


def test_a_route_within_another_has_public_requests_of_its_own(tmp_path: Path) -> None:
    route = {"upstream": "http://a.test", "accept": ["s"]}
    routes = [{**route, "name": "A", "path": "/a", "public": ["GET /b/health"]}, {**route, "name": "B", "path": "/a/b"}]
    doors = Doors(tmp_path / "other")
    doors.projects = load(write(tmp_path, a_file(routes=routes, providers={"s": SESSION})), {})
    assert doors("GET", "/a/b/health").status == 401


def test_a_public_request_that_the_route_does_not_answer_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError, match="'GET /health' is public, but 'methods' of the route has no GET"):
        Doors(tmp_path, methods=["POST"])


def test_a_public_request_without_an_upstream_says_so(tmp_path: Path) -> None:
    reply = Doors(tmp_path, upstream="${NOPE}")("GET", "/a/health")
    assert (reply.status, body_of(reply)["code"]) == (502, "MISSING_TARGET")


def test_a_route_without_public_requests_has_none(tmp_path: Path) -> None:
    doors = Doors(tmp_path, public=[])
    asked = [one.split(" ") for one in PUBLIC]
    assert [doors(method, f"/a{below}").status for method, below in asked] == [401, 401, 401]


def test_a_bad_credential_is_refused_on_an_optional_route_and_not_on_its_public_requests(tmp_path: Path) -> None:
    doors = Doors(tmp_path, auth="optional")
    assert doors("GET", "/a/health", ("x-api-key", "k_bad")).status == 200
    assert doors("GET", "/a/healthy", ("x-api-key", "k_bad")).status == 401
    assert doors("GET", "/a/healthy").status == 200
