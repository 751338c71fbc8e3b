"""The printed commands: one for each kind of credential, on a route where it shows most, and only where it works."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gatehouse.projects import Projects, Route, load
from gatehouse.routes import RouteTable, pattern
from local import trying, variables
from local.demo_callers import KEY, SESSION
from tests.unit.fakes import ROOT, write
from tests.unit.project_files import a_file

URL = "http://127.0.0.1:3000"
SHIPPED = ROOT / "layers/config/projects"
DEMO = "http://127.0.0.1:5000"
WHERE = {"session": f"{DEMO}/o/{{organization}}", "api_key": f"{DEMO}/u/{{user}}"}
A_SESSION = {"type": "session", "cookie": "sid", "url": f"{DEMO}/get-session"}
A_KEY = {"type": "api_key", "prefix": "k_", "url": f"{DEMO}/verify"}
A_TOKEN = {"type": "jwks", "issuer": DEMO, "audience": "demo", "jwks_url": f"{DEMO}/certs"}


def shipped() -> tuple[Projects, list[str]]:
    """The files that ship, as `make run` serves them, and the addresses of its demo services."""
    addresses = sorted(variables.addresses(SHIPPED))
    demos = {name: f"http://127.0.0.1:{5000 + number}" for number, name in enumerate(addresses)}
    texts = dict.fromkeys(set(variables.unset(SHIPPED, {})) - demos.keys(), "demo")
    return load(SHIPPED, {**demos, **texts, "ENVIRONMENT": "local"}), list(demos.values())


def printed(text: str) -> list[tuple[str, list[str]]]:
    """The comments and the words of the commands that were printed."""
    lines = [line for line in text.splitlines() if line]
    assert all(line.startswith("  ") for line in lines)
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    assert all(comment.startswith("  # ") and command.startswith("  curl -s ") for comment, command in pairs)
    return [(comment[4:], shlex.split(command)) for comment, command in pairs]


def commands(folder: Path, providers: Mapping[str, Any], demos: tuple[str, ...] = (DEMO,), **changes: Any) -> Any:
    routes = changes.pop("routes", [{"accept": list(providers)}])
    whole = [{"name": f"R{n}", "path": f"/r{n}", "upstream": "http://a.test", **one} for n, one in enumerate(routes)]
    text = a_file(routes=whole, providers=dict(providers), **changes)
    projects = load(write(folder, text), {"ENVIRONMENT": "local"})
    return printed(trying.commands(projects, URL, demos))


def route_of(projects: Projects, words: list[str]) -> Route | None:
    """The route that a command asks, by the last of its words."""
    table = RouteTable(
        (pattern(path), route) for one in projects.all for route in one.routes for path in route.patterns
    )
    assert words[-1].startswith(f"{URL}/")
    return table.find(urlsplit(words[-1]).path)


def test_each_kind_of_credential_of_the_shipped_files_has_a_command_on_a_route_that_there_is() -> None:
    projects, demos = shipped()
    found = printed(trying.commands(projects, URL, demos))
    assert [what.partition(",")[0] for what, _ in found] == [
        "a token of another issuer; its e-mail address is ada@example.com", "a session", "an API key", "a visitor"
    ]  # fmt: skip
    routes = [route_of(projects, words) for _, words in found]
    accepted = [route.accept if route else () for route in routes]
    assert [names[0] for names in accepted] == ["access", "session", "session", "session"]
    assert [route and route.organization for route in routes[:3]] == ["none", "required", "required"]
    assert "anonymous" in accepted[3]


def test_the_commands_send_the_demos_credentials_where_the_files_say() -> None:
    projects, demos = shipped()
    access, session, key, visitor = (words for _, words in printed(trying.commands(projects, URL, demos)))
    assert session[:4] == ["curl", "-s", "-b", f"better-auth.session_token={SESSION}"]
    assert key[:4] == ["curl", "-s", "-H", f"x-api-key: crow_{KEY}"]
    assert len(visitor) == 3
    assert re.fullmatch(r"cf-access-token: \$\(curl -s http://127\.0\.0\.1:\d+/token\)", access[access.index("-H") + 1])
    assert json.loads(access[access.index("-d") + 1])["messages"][0]["role"] == "user"
    assert access[-1] == f"{URL}/ai/v1/chat/completions"


@pytest.mark.parametrize(("provider", "first"), [(A_SESSION, "a session, by its cookie"), (A_KEY, "an API key")])
def test_a_route_that_works_for_an_organization_comes_first_wherever_it_stands(
    tmp_path: Path, provider: dict[str, str], first: str
) -> None:
    routes = [{"accept": ["p"], "organization": one} for one in ("none", "optional", "required", "required")]
    ((what, words),) = commands(tmp_path, {"p": provider}, routes=routes, organization=WHERE)
    assert (what, words[-1]) == (f"{first}, for its organization", f"{URL}/r2/hello")
    ((what, words),) = commands(tmp_path, {"p": provider}, routes=routes[:2], organization=WHERE)
    assert (what, words[-1]) == (first, f"{URL}/r0/hello")


@pytest.mark.parametrize(
    ("provider", "sent"),
    [
        (A_KEY, ["-H", f"x-api-key: k_{KEY}"]), ({**A_KEY, "headers": ["apikey", "x-b"]}, ["-H", f"apikey: k_{KEY}"]),
        ({**A_KEY, "headers": [], "bearer": True}, ["-H", f"Authorization: Bearer k_{KEY}"]),
        ({**A_SESSION, "cookie": "it's|`id`"}, ["-b", f"it's|`id`={SESSION}"]),
        (A_TOKEN, ["-H", f"Authorization: Bearer $(curl -s {DEMO}/token)"]),
        ({**A_TOKEN, "headers": ["Authorization"]}, ["-H", f"Authorization: Bearer $(curl -s {DEMO}/token)"]),
        ({**A_TOKEN, "headers": ["x-t"], "cookie": "c"}, ["-H", f"x-t: $(curl -s {DEMO}/token)"]),
        ({**A_TOKEN, "cookie": "c"}, ["-b", f"c=$(curl -s {DEMO}/token)"]),
        ({"type": "anonymous"}, []),
    ],
)  # fmt: skip
def test_a_credential_goes_where_its_provider_looks(tmp_path: Path, provider: dict[str, Any], sent: list[str]) -> None:
    ((_, words),) = commands(tmp_path, {"p": provider})
    assert words == ["curl", "-s", *sent, f"{URL}/r0/hello"]


@pytest.mark.parametrize(
    ("methods", "path"),
    [(["GET", "POST"], "/hello"), (["POST"], "/v1/chat/completions"), (["POST", "PUT"], "/v1/chat/completions")],
)
def test_a_route_is_asked_with_a_method_that_it_takes(tmp_path: Path, methods: list[str], path: str) -> None:
    ((_, words),) = commands(tmp_path, {"p": A_KEY}, routes=[{"accept": ["p"], "methods": methods}])
    assert words[-1] == f"{URL}/r0{path}"
    assert ("-d" in words) is (path != "/hello")


@pytest.mark.parametrize(
    ("provider", "route", "where"),
    [
        ({**A_SESSION, "url": "https://auth.test/get-session"}, {}, None),
        ({**A_KEY, "url": "http://127.0.0.1:50001/verify"}, {}, None),
        ({**A_TOKEN, "issuer": "https://iss.test"}, {}, None),
        ({**A_TOKEN, "jwks_url": "https://iss.test/certs"}, {}, None),
        ({"type": "anonymous", "url": f"{DEMO}/sign-in"}, {}, None),
        (A_SESSION, {"organization": "required"}, {**WHERE, "session": "http://org.test/{organization}"}),
        (A_SESSION, {"organization": "required"}, {**WHERE, "membership": "http://user.test/{user}"}),
        (A_KEY, {"organization": "optional"}, {**WHERE, "api_key": "http://user.test/{user}"}),
        (A_KEY, {"claims": {"role": "admin"}}, None), (A_KEY, {"methods": ["PUT", "DELETE"]}, None),
        (A_KEY, {"upstream": "${NOPE}"}, None),
    ],
)  # fmt: skip
def test_what_nobody_here_can_make_work_is_not_printed(
    tmp_path: Path, provider: dict[str, Any], route: dict[str, Any], where: dict[str, str] | None
) -> None:
    assert commands(tmp_path, {"p": provider}, routes=[{"accept": ["p"], **route}], organization=where) == []


@pytest.mark.parametrize(
    ("provider", "route", "where"),
    [
        (A_SESSION, {"organization": "none"}, {**WHERE, "session": "http://org.test/{organization}"}),
        (A_SESSION, {"organization": "required"}, {**WHERE, "membership": f"{DEMO}/u/{{user}}"}),
        (A_SESSION, {"organization": "required"}, {"session": WHERE["session"]}),
        (A_KEY, {"organization": "required"}, {**WHERE, "session": "http://org.test/{organization}"}),
        (A_KEY, {"upstream": "https://real.test"}, None),
    ],
)  # fmt: skip
def test_what_is_not_asked_need_not_be_a_demo(
    tmp_path: Path, provider: dict[str, Any], route: dict[str, Any], where: dict[str, str] | None
) -> None:
    assert len(commands(tmp_path, {"p": provider}, routes=[{"accept": ["p"], **route}], organization=where)) == 1


def test_where_there_are_no_demos_only_visitors_can_be_tried(tmp_path: Path) -> None:
    providers = {"s": A_SESSION, "k": A_KEY, "t": A_TOKEN, "v": {"type": "anonymous"}}
    assert [what.partition(",")[0] for what, _ in commands(tmp_path, providers, demos=())] == ["a visitor"]


def test_where_nothing_but_our_own_tokens_is_accepted_nothing_is_printed(tmp_path: Path) -> None:
    assert commands(tmp_path, {}, routes=[{"accept": ["gateway"]}, {"auth": "none"}]) == []


def test_a_route_at_the_top_and_one_with_a_version_are_asked_by_paths_that_there_are(tmp_path: Path) -> None:
    for path, asked in (("/", "/hello"), ("/api/v{version}/x", "/api/v1/x/hello")):
        ((_, words),) = commands(tmp_path, {"p": A_KEY}, routes=[{"accept": ["p"], "path": path}])
        assert words[-1] == f"{URL}{asked}"
