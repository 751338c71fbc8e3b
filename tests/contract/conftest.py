"""The whole gateway, with its stores, behind each of its hosts: uvicorn, and Lambda's events through Mangum."""

from __future__ import annotations

import base64
import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpbin
import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from gatehouse import grants, keys, lambda_http
from gatehouse.projects import load
from local.house import NEVER_REAL, House
from local.router import load_function, reaches, router
from local.servers import listen, served
from local.template import ROOT
from tests.contract.rest_event import Context, rest_event
from tests.contract.upstream import Lab

SECRET = "kX9vQ2mW7pL4zR8tY1nB6cD3fG5hJ0sA-contract-tests"
PASSWORD = "correct horse battery staple"

PROJECT = """
project: lab
cors: {origins: [https://app.example.com, http://localhost:3000], credentials: true, methods: [GET, POST]}
routes:
  - {name: ECHO,  path: /lab/echo,  upstream: "${LAB_URL}", auth: none}
  - {name: BASE,  path: /lab/base,  upstream: "${LAB_URL}/base/", auth: none}
  - {name: KEPT,  path: /lab/kept,  upstream: "${LAB_URL}", auth: none, strip_prefix: false}
  - {name: READ,  path: /lab/read,  upstream: "${LAB_URL}", auth: none, methods: [GET, HEAD]}
  - {name: GONE,  path: /lab/gone,  upstream: "http://127.0.0.1:9", auth: none}
  - {name: UNSET, path: /lab/unset, upstream: "${LAB_UNSET_URL}", auth: none}
  - {name: SLOW,  path: /lab/slow,  upstream: "${LAB_STUCK_URL}", auth: none, timeout: 300ms}
  - {name: NOWHERE, path: /lab/nowhere, upstream: "http://upstream.invalid", auth: none}
  - {name: OPENED, path: /lab/opened, upstream: "${LAB_URL}", accept: [gateway], claims: {project: lab}}
  - name: SEALED
    path: /lab/sealed
    upstream: "${LAB_URL}"
    accept: [gateway]
    claims: {project: lab}
    revocation: strict
  - {name: NAMED,  path: /lab/named,  upstream: "${LAB_URL}", accept: [gateway]}
  - {name: VERSION, path: "/lab/api/v{version}/things", upstream: "${LAB_URL}", auth: none}
"""

SHELF = """
project: shelf
providers: {keys: {type: api_key, prefix: shelf_, url: "${LAB_URL}/verify"}}
organization: {api_key: "${LAB_URL}/users/{user}"}
routes:
  - {name: OPEN, path: /shelf/open, upstream: "${LAB_URL}", auth: none, cache: {ttl: 1h, by: public}}
  - name: TEAMS
    path: "/shelf/v{version}/teams"
    upstream: "${LAB_URL}"
    accept: [keys]
    organization: required
    cache: {ttl: 1h, by: organization}
  - {name: BARE, path: /shelf/bare, upstream: "${LAB_URL}", auth: none}
"""


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        pass


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Send = Callable[..., Answer]


@pytest.fixture(scope="package")
def lab() -> Lab:
    return Lab()


@pytest.fixture(scope="package")
def httpbin_url() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, httpbin.app, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join(5)
    server.server_close()


@pytest.fixture(scope="package")
def stuck_url() -> Iterator[str]:
    """An address that takes connections and never answers."""
    listening = listen("127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    listening.close()


@pytest.fixture(scope="package")
def projects_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects")
    for name in ("metacogna.yaml", "captionacc.yaml", "crow.yaml", "ai-proxy.yaml"):  # the last two on demo services
        (folder / name).write_text((ROOT / "layers/config/projects" / name).read_text())
    (folder / "lab.yaml").write_text(PROJECT)
    (folder / "shelf.yaml").write_text(SHELF)
    for name in ("spare-uvicorn", "spare-mangum"):  # projects whose tokens may all be revoked, each by one host's test
        route = f'{{name: ALL, path: /{name}, upstream: "${{LAB_URL}}", accept: [gateway]}}'
        (folder / f"{name}.yaml").write_text(f"project: {name}\nroutes:\n  - {route}\n")
    return folder


@pytest.fixture(scope="package")
def house(lab: Lab, httpbin_url: str, stuck_url: str, projects_dir: Path) -> Iterator[House]:
    listening = listen("127.0.0.1", 0)
    environment = {
        "PROJECTS": str(projects_dir),
        "GATEWAY_JWT_SECRET": SECRET,
        "ADMIN_USERNAME": "ada",
        "ADMIN_PASSWORD": PASSWORD,
        "BUILD_SERVICE_URL": httpbin_url,
        "KV_SERVICE_URL": httpbin_url,
        "CORE_SERVICE_URL": f"http://127.0.0.1:{listening.getsockname()[1]}",
        "LAB_URL": f"http://127.0.0.1:{listening.getsockname()[1]}",
        "LAB_STUCK_URL": stuck_url,
        "PREFECT_SERVICE_URL": f"http://127.0.0.1:{listening.getsockname()[1]}",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        with served(lab, [listening]), House() as house:
            for name, value in (NEVER_REAL | house.environment() | {"UPSTREAM_CLIENT": "streaming"}).items():
                patch.setenv(name, value)
            patch.delenv("LAB_UNSET_URL")
            yield house


def patient(folder: str) -> Any:
    """Load a function; one that looks at stores and upstreams gives them time enough on a busy machine."""
    module = load_function(folder)
    if "inspection" in vars(module):
        module.inspection.budget_s = 20
    return module


@pytest.fixture(scope="package")
def address(house: House) -> Iterator[str]:
    """Where the gateway is, as `make run` serves it."""
    app = router(house.template, patient)
    listening = listen("127.0.0.1", 0)
    with served(app, [listening]):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="package")
def uvicorn_send(address: str) -> Send:
    """Send a request to it."""
    port = int(address.rpartition(":")[2])

    def send(method: str, target: str, headers: Any = (), body: bytes = b"", **_: Any) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            sent = dict(headers) if isinstance(headers, dict) else headers
            pairs = list(sent.items()) if isinstance(sent, dict) else list(sent)
            connection.putrequest(
                method, target, skip_accept_encoding=True, skip_host=any(name.lower() == "host" for name, _ in pairs)
            )
            for name, value in pairs:
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    return send


@pytest.fixture(scope="package")
def functions(house: House) -> Iterator[dict[str, Any]]:
    """The functions as Lambda loads them, with the client that the template gives the proxy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPSTREAM_CLIENT", house.template.environment()["UPSTREAM_CLIENT"])
        folders = {endpoint.function for endpoint in house.template.endpoints()}
        loaded = {folder: patient(folder) for folder in folders}
    yield loaded
    for module in loaded.values():
        lambda_http.event_loop().run_until_complete(module.kit.close())


def invoke(function: Any, event: dict[str, Any], context: Context | None = None) -> Answer:
    result = function.handler(event, context or Context())
    raw = result["body"]
    headers = [(name, value) for name, values in result["multiValueHeaders"].items() for value in values]
    json.dumps(result)  # Lambda would
    return Answer(result["statusCode"], headers, base64.b64decode(raw) if result["isBase64Encoded"] else raw.encode())


@pytest.fixture(scope="package")
def mangum_send(house: House, functions: dict[str, Any]) -> Send:
    """The gateway as API Gateway and Lambda run it."""
    endpoints = sorted(house.template.endpoints(), key=lambda one: one.path.count("+"))

    def send(method: str, target: str, headers: Any = (), body: bytes = b"", **options: Any) -> Answer:
        wire = list(headers.items()) if isinstance(headers, dict) else list(headers)
        pairs = [(name, value.encode("latin-1").decode()) for name, value in wire]  # API Gateway's JSON has text
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.append(("Host", "gateway.example"))
        path = target.partition("?")[0]
        endpoint = next(one for one in endpoints if reaches(one, method, path))
        event = rest_event(method, target, pairs, body)
        return invoke(functions[endpoint.function], event, options.get("context"))

    return send


@pytest.fixture(params=["uvicorn", "mangum"])
def send(request: pytest.FixtureRequest) -> Send:
    """Send a request through one of the hosts; the answer must not depend on which."""
    chosen: Send = request.getfixturevalue(f"{request.param}_send")
    return chosen


@pytest.fixture
def guest_token(uvicorn_send: Send) -> str:
    token: str = uvicorn_send("POST", "/auth/guest").json["token"]
    return token


@pytest.fixture
def admin_token(house: House) -> str:
    """What a login answers with; a test of what is asked of tokens does not have to pay for Argon2id."""
    _, tokens = load(house.projects, os.environ).issuing()
    ring = keys.parse(house._ring)
    return grants.issue(ring, tokens, grants.login_claims(tokens, "ada", "admin"), time.time()).token


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def check_error(answer: Answer, status: int, code: str, route: str | None = None) -> None:
    """Hold an answer to the one error body that the gateway has."""
    assert (answer.status, answer.json["code"], answer.json["status"]) == (status, code, status)
    assert set(answer.json) - {"details"} == {"route", "status", "code", "message", "requestId", "timestamp"}
    assert answer.json["requestId"] == answer.get("x-request-id")
    assert answer.json["timestamp"].endswith("Z")
    assert answer.get("content-type") == "application/json"
    assert answer.get("cache-control") == "no-store"
    assert answer.get("x-content-type-options") == "nosniff"
    if route:
        assert answer.json["route"] == route
