"""`local_origins`: web pages on a developer's own machine, let in by exact origin and only where that machine is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.build import gateway
from gatehouse.cors import admitted
from gatehouse.projects import load
from gatehouse.projects.checks import MOST_LOCAL_PORTS, local_origins
from gatehouse.projects.model import Cors
from tests.unit.fakes import FakeKit, a_call, run, write
from tests.unit.project_files import a_file, loaded, problems, said

HERE = {"ENVIRONMENT": "local"}
PAGES = ["http://localhost:[3000-3002]", "http://localhost:[8000-8012]"]


def the_cors(folder: Path, *origins: str, environ: dict[str, str] | None = None, **changes: Any) -> Cors:
    text = a_file(cors={"origins": ["https://app.test"], "local_origins": list(origins), **changes})
    cors = loaded(folder, text, HERE if environ is None else environ).cors
    assert cors is not None
    return cors


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([], ()),
        (["http://localhost:3000"], ("http://localhost:3000",)),
        (["https://127.0.0.1:443"], ("https://127.0.0.1:443",)),
        (["http://[::1]:[1-2]"], ("http://[::1]:1", "http://[::1]:2")),
        (["http://localhost:[3000-3000]"], ("http://localhost:3000",)),
        (["http://localhost:[65534-65535]"], ("http://localhost:65534", "http://localhost:65535")),
        (["http://localhost:3001", "http://localhost:[3000-3001]"], ("http://localhost:3001", "http://localhost:3000")),
    ],
)
def test_a_range_is_every_port_of_it(tmp_path: Path, given: list[str], taken: tuple[str, ...]) -> None:
    assert the_cors(tmp_path, *given).local_origins == taken


@pytest.mark.parametrize(
    ("origin", "what"),
    [
        ("http://localhost", "is not an origin on this machine"), ("http://localhost:", "is not an origin"),
        ("http://localhost:3000/", "is not an origin"), ("http://localhost:*", "is not an origin"),
        ("*", "is not an origin"),
        ("localhost:3000", "is not an origin"), ("ftp://localhost:3000", "is not an origin"),
        ("HTTP://localhost:3000", "is not an origin"), ("http://Localhost:3000", "is not an origin"),
        ("http://app.localhost:3000", "is not an origin"), ("http://localhost.evil.test:3000", "is not an origin"),
        ("http://u@localhost:3000", "is not an origin"), ("http://localhost:3000@evil.test", "is not an origin"),
        ("http://127.0.0.2:3000", "is not an origin"), ("http://0.0.0.0:3000", "is not an origin"),
        ("http://192.0.2.1:3000", "is not an origin"), ("https://app.test", "is not an origin"),
        ("http://localhost:3000\n", "is not an origin"), ("http://localhost:٣", "is not an origin"),
        ("http://localhost:[3000]", "is not an origin"), ("http://localhost:[3000-]", "is not an origin"),
        ("http://localhost:[3000,3001]", "is not an origin"), ("http://localhost:3000-3002", "is not an origin"),
        ("http://localhost:[1-2-3]", "is not an origin"), ("http://localhost:[a-b]", "is not an origin"),
        ("http://localhost:123456", "is not an origin"),
        ("http://localhost:0", "from the lower to the higher"),
        ("http://localhost:65536", "from the lower to the higher"),
        ("http://localhost:[0-1]", "from the lower to the higher"), ("http://localhost:[2-1]", "from the lower to the"),
        ("http://localhost:[65535-65536]", "from the lower to the higher"),
        ("http://localhost:[1-1001]", "expected at most 1000 ports in all"),
        ("http://localhost:[1-65535]", "at most 1000"),
        (3000, "expected a text"), ("", "expected a text"),
    ],
)  # fmt: skip
def test_what_is_no_origin_of_this_machine_is_refused_in_words(tmp_path: Path, origin: Any, what: str) -> None:
    text = a_file(cors={"origins": ["*"], "local_origins": ["http://localhost:1", origin]})
    assert what in said(tmp_path, text)
    (problem,) = problems(tmp_path, text)
    assert text.splitlines()[problem.line - 1].strip().startswith(("local_origins:", "- "))


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (["http://localhost:[1-1000]"], 1000), (["http://localhost:[1-500]", "http://127.0.0.1:[1-500]"], 1000),
        (["http://localhost:[1-500]", "http://127.0.0.1:[1-501]"], None),
        (["http://localhost:[1-1000]", "http://[::1]:1"], None),
    ],
)  # fmt: skip
def test_there_are_so_many_ports_and_no_more(tmp_path: Path, given: list[str], count: int | None) -> None:
    text = a_file(cors={"origins": ["*"], "local_origins": given})
    if count is None:
        assert f"expected at most {MOST_LOCAL_PORTS} ports in all" in said(tmp_path, text)
    else:
        assert len(the_cors(tmp_path, *given).local_origins) == count


@given(st.integers(1, 65_535), st.integers(0, 20), st.integers(1, 65_535))
def test_a_port_is_let_in_exactly_if_it_is_in_the_range(first: int, more: int, port: int) -> None:
    last = min(first + more, 65_535)
    cors = Cors(origins=("https://app.test",), local_origins=local_origins([f"http://localhost:[{first}-{last}]"]))
    for one in {port, first, last, first - 1, last + 1}:
        origin = f"http://localhost:{one}"
        assert admitted(cors, origin) == (origin if first <= one <= last else "")


@pytest.mark.parametrize(
    ("origin", "good"),
    [
        ("http://localhost:3000", True), ("http://localhost:3002", True), ("http://localhost:8000", True),
        ("http://localhost:8012", True), ("https://app.test", True),
        ("http://localhost:2999", False), ("http://localhost:3003", False), ("http://localhost:7999", False),
        ("http://localhost:8013", False), ("http://localhost:30000", False), ("http://localhost:300", False),
        ("http://localhost:03000", False), ("https://localhost:3000", False), ("http://localhost:3000/", False),
        ("http://localhost", False), ("http://LOCALHOST:3000", False), ("http://127.0.0.1:3000", False),
        ("http://[::1]:3000", False), ("http://user@localhost:3000", False), ("http://localhost:3000@evil.test", False),
        ("http://localhost:3000.evil.test", False), ("http://evil.test?http://localhost:3000", False),
        ("http://localhost:3000 ", False), (" http://localhost:3000", False), ("http://localhost:3000,x", False),
        ("http://localhost:[3000-3002]", False), ("null", False), ("", False), ("*", False),
    ],
)  # fmt: skip
def test_an_origin_is_let_in_letter_by_letter(tmp_path: Path, origin: str, good: bool) -> None:
    assert admitted(the_cors(tmp_path, *PAGES), origin) == (origin if good else "")


@pytest.mark.parametrize(
    ("environment", "good"),
    [("local", True), ("", False), ("dev", False), ("staging", False), ("prod", False), ("Local", False),
    ("local\n", False)],
)  # fmt: skip
def test_a_page_of_this_machine_reads_answers_only_where_the_environment_is_local(
    tmp_path: Path, environment: str, good: bool
) -> None:
    text = a_file(cors={"origins": ["https://app.test"], "local_origins": PAGES, "credentials": True})
    projects = load(write(tmp_path, text), {"ENVIRONMENT": environment} if environment else {})
    for method in ("GET", "OPTIONS"):
        reply = run(gateway(projects, FakeKit())(a_call("/a/x", method, ("origin", "http://localhost:3001"))))
        assert reply.headers.get("access-control-allow-origin") == ("http://localhost:3001" if good else "")
        assert reply.headers.get("access-control-allow-credentials") == ("true" if good else "")
        assert "Origin" in reply.headers.get("vary")
        listed = run(gateway(projects, FakeKit())(a_call("/a/x", method, ("origin", "https://app.test"))))
        assert listed.headers.get("access-control-allow-origin") == "https://app.test"


def test_a_mistake_among_them_is_found_wherever_the_file_is_loaded(tmp_path: Path) -> None:
    text = a_file(cors={"origins": ["*"], "local_origins": ["http://localhost"]})
    assert said(tmp_path, text, HERE) == said(tmp_path, text, {"ENVIRONMENT": "prod"})


def test_every_page_may_read_where_every_page_may(tmp_path: Path) -> None:
    assert admitted(the_cors(tmp_path, *PAGES, origins=["*"]), "http://localhost:3000") == "*"
