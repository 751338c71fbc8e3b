"""`check`: project files, and the services behind them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gatehouse.cli import health
from local.servers import listen
from tests.cli.conftest import ROOT, Run, invoke, projects

SHIPPED = str(ROOT / "layers/config/projects")
ROUTE = "  - {{name: {name}, path: /{name}, upstream: '{upstream}', auth: none, health: {health}}}\n"


class Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = {"/well": 200, "/ill": 500, "/moved": 302}[self.path]
        self.send_response(status)
        self.send_header("Location", "/well")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(5)


def routes(*of: tuple[str, str, str]) -> str:
    lines = [ROUTE.format(name=name, upstream=upstream, health=path) for name, upstream, path in of]
    return f"project: one\nroutes:\n{''.join(lines)}"


def test_projects_that_are_right_are_listed() -> None:
    result = invoke("check", SHIPPED)
    assert result.exit_code == 0
    assert "metacogna: /build (required), /kv (optional), /core (optional)" in result.stdout


def test_without_a_folder_it_is_that_of_the_environment_or_of_this_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = projects(tmp_path, routes(("mine", "http://u", "/")))
    assert invoke("check", PROJECTS_DIR=str(folder)).stdout == "one: /mine (none)\n"
    monkeypatch.chdir(ROOT)
    assert "metacogna: " in invoke("check", PROJECTS_DIR=None).stdout
    monkeypatch.chdir(tmp_path)
    assert "there is no project file" in invoke("check", PROJECTS_DIR=None).stderr


def test_everything_that_is_wrong_is_listed_at_once(tmp_path: Path) -> None:
    text = "project: one\nroutes:\n  - {name: a, path: /a, upstream: 'http://u', auth: maybe, limt: x}\n"
    result = invoke("check", str(projects(tmp_path, text)))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("gatehouse: the project files have mistakes:\n")
    assert result.stderr.count("one.yaml:3:") == 2


def test_mistakes_are_a_document_too(tmp_path: Path) -> None:
    text = "project: one\nroutes:\n  - {name: a, path: /a, upstream: 'http://u', auth: maybe}\n"
    result = invoke("check", str(projects(tmp_path, text)), "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["projects"], result.stderr) == (1, [], "")
    assert [set(problem) for problem in document["problems"]] == [{"file", "line", "message"}]
    assert document["problems"][0]["line"] == 3


def test_projects_are_a_document_too() -> None:
    document = json.loads(invoke("check", SHIPPED, "--json").stdout)
    assert set(document) == {"projects", "problems"}
    captionacc = next(one for one in document["projects"] if one["project"] == "captionacc")
    assert (captionacc["issuer"], captionacc["audience"]) == ("gatehouse", "captionacc")
    assert set(captionacc["routes"][0]) == {"name", "paths", "auth", "upstream", "health"}


def test_services_are_asked_whether_they_are_well(tmp_path: Path, service: str) -> None:
    text = routes(("well", service, "/well"), ("ill", service, "/ill"), ("moved", service, "/moved"),
                  ("gone", "http://127.0.0.1:9", "/well"))  # fmt: skip
    result = invoke("check", str(projects(tmp_path, text)), "--health", "--json")
    answers = {one["route"]: one for one in json.loads(result.stdout)["health"]}
    assert result.exit_code == 1
    assert {name: (one["well"], one["status"]) for name, one in answers.items()} == {
        "well": (True, 200), "ill": (False, 500), "moved": (False, 302), "gone": (False, None),
    }  # fmt: skip
    assert answers["gone"]["error"] == "cannot be reached"
    assert set(answers["well"]) == {"project", "route", "url", "well", "status", "error", "ms"}


def test_all_services_well_is_a_success_and_a_table(tmp_path: Path, service: str) -> None:
    text = routes(("well", service, "/well")) + "  - {name: quiet, path: /quiet, upstream: 'http://u', auth: none}\n"
    text += "  - {name: unset, path: /unset, upstream: '${UNSET_URL}', auth: none}\n"
    text += "  - {name: function, path: /function, upstream: 'lambda:worker', auth: none, health: /health}\n"
    result = invoke("check", str(projects(tmp_path, text)), "--health")
    lines = result.stdout.splitlines()[2:]
    assert result.exit_code == 0
    assert [line.split()[1] for line in lines] == ["ROUTE", "well", "quiet", "unset", "function"]
    assert ("no health path" in lines[2], "no address" in lines[3]) == (True, True)
    assert "a function: GET /ready asks it" in lines[4]


def test_a_service_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "BUDGET_S", 0.2)
    with listen("127.0.0.1", 0) as stuck:
        url = f"http://127.0.0.1:{stuck.getsockname()[1]}"
        result = invoke("check", str(projects(tmp_path, routes(("stuck", url, "/")))), "--health")
    assert result.exit_code == 1
    assert "no answer within 0.2 s" in result.stdout


def test_what_make_run_has_running_can_be_asked(cli: Run) -> None:
    document = json.loads(cli("check", "--health", "--json").stdout)
    assert [(one["route"], one["well"]) for one in document["health"]] == [("prefect", True)]
