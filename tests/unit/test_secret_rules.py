"""`${secret:NAME}` in project files: which secrets are missed when files are loaded, and what requests see of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gatehouse.build import gateway
from gatehouse.call import Reply
from gatehouse.projects import load
from tests.unit.fakes import FakeKit, FakeUpstream, a_call, body_of, run, write
from tests.unit.project_files import ROUTE, a_file, loaded, problems, said

GOOD = "a-fine-and-unlikely-value"
JWKS = {"type": "jwks", "issuer": "https://iss.test", "audience": "app", "jwks_url": "https://iss.test/certs"}
SESSION = {"type": "session", "cookie": "sid", "url": "http://auth.test/x", "set_headers": {"X-S": "${secret:S}"}}
KEY = {"type": "api_key", "prefix": "k_", "url": "http://auth.test/x", "set_headers": {"X-K": "${secret:K}"}}
VISITORS = {"type": "anonymous", "url": "http://auth.test/x", "set_headers": {"X-V": "${secret:V}"}}
ORGANIZATION = {"session": "http://org.test/{organization}", "headers": {"X-O": "${secret:O}"}}
TOLD = {"X-Key": "Bearer ${secret:KEY}"}


def named(folder: Path, text: str, secrets: Mapping[str, str] | None) -> set[str]:
    """The secrets that something is wrong with."""
    try:
        load(write(folder, text), {}, secrets)
    except Exception as error:  # noqa: BLE001  # a failure of any other kind names none, and so fails the test
        return {str(problem).split("'")[1] for problem in getattr(error, "problems", [])}
    return set()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "is missing"), ("", "is missing"), ("changeme", "is a placeholder"),
        ("CHANGE-ME-please", "is a placeholder"),
        ("secret", "is a placeholder"), ("---", "is a placeholder"), ("your-secret-here", "is a placeholder"),
        ("line\nbreak-value", "holds a line break"), ("nul\0value", "holds a line break"),
        ("esc\x1bvalue", "holds a line"),
        (f" {GOOD}", "spaces around it"), (f"{GOOD} ", "spaces around it"), (f"{GOOD}\n", "holds a line break"),
        (f"{GOOD}\u2028", "holds a line break"), (f"{GOOD}\x85", "holds a line break"),
        (f"{GOOD}\ud800", "holds a line"),
        (GOOD, ""), ("x1", ""), ("with space within", ""), ("é-ü-✓", ""), ("q" * 4000, ""),
    ],
    ids=repr,
)  # fmt: skip
def test_a_secret_must_be_there_be_no_placeholder_and_fit_into_a_header(
    tmp_path: Path, value: str | None, reason: str
) -> None:
    text = a_file(route={"set_headers": {"X-Other": "fine", **TOLD}})
    secrets = {"OTHER": GOOD} if value is None else {"KEY": value}
    if not reason:
        assert loaded(tmp_path, text, secrets=secrets).routes[0].set_headers["X-Key"] == "Bearer ${secret:KEY}"
        return
    (problem,) = problems(tmp_path, text, secrets=secrets)
    assert problem.message.startswith("the secret 'KEY' ")
    assert reason in problem.message
    assert "give it a value: python -m gatehouse secrets set KEY" in problem.message
    assert text.splitlines()[problem.line - 1].strip().startswith("X-Key:")
    if value and value != "secret":  # which is a word of the message, too
        assert value not in problem.message


def test_nothing_is_missed_where_nobody_can_say_what_there_is(tmp_path: Path) -> None:
    text = a_file(route={"set_headers": TOLD})
    assert loaded(tmp_path, text, secrets=None)
    assert "the secret 'KEY' is missing" in said(tmp_path, text, secrets={})


def test_every_secret_of_every_header_is_looked_for_also_within_mappings(tmp_path: Path) -> None:
    headers = {"X-A": "${secret:A}-${secret:B}-${secret:A}", "X-B": {"n": 1, "c": "${secret:C}", "d": "${request.id}"}}
    text = a_file(route={"set_headers": headers})
    found = [problem.message.split("'")[1] for problem in problems(tmp_path, text, secrets={"D": GOOD})]
    assert sorted(found) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("accept", "organization", "needed"),
    [
        (["s"], "none", {"S"}), (["k"], "none", {"K"}), (["s", "k", "v"], "none", {"S", "K", "V"}),
        (["j"], "none", set()),
        (["s"], "optional", {"S", "O"}), (["s", "v"], "required", {"S", "V", "O"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("upstream", ["http://a.test", "${NOPE}"])
def test_what_nothing_with_an_address_needs_is_not_missed(
    tmp_path: Path, accept: list[str], organization: str, needed: set[str], upstream: str
) -> None:
    text = a_file(
        route={"upstream": upstream, "auth": "required", "accept": accept, "organization": organization,
               "set_headers": {"X-R": "${secret:R}"}},
        providers={"s": SESSION, "k": KEY, "v": VISITORS, "j": JWKS}, organization=ORGANIZATION,
    )  # fmt: skip
    needed = {*needed, "R"} if upstream != "${NOPE}" else set()
    assert named(tmp_path, text, {}) == needed
    assert named(tmp_path, text, dict.fromkeys(needed, GOOD)) == set()


def test_the_lines_of_what_services_are_told_are_named(tmp_path: Path) -> None:
    text = a_file(
        route={"auth": "required", "accept": ["s"], "organization": "required"},
        providers={"s": SESSION}, organization=ORGANIZATION,
    )  # fmt: skip
    lines = text.splitlines()
    found = problems(tmp_path, text, secrets={})
    assert sorted(lines[problem.line - 1].strip() for problem in found) == ["X-O: ${secret:O}", "X-S: ${secret:S}"]


def test_a_secret_among_the_defaults_is_one_mistake_in_one_line(tmp_path: Path) -> None:
    routes = [ROUTE, {**ROUTE, "name": "B", "path": "/b"}]
    text = a_file(defaults={"set_headers": TOLD}, routes=routes)
    (problem,) = problems(tmp_path, text, secrets={})
    assert text.splitlines()[problem.line - 1].strip().startswith("X-Key:")


def test_a_secret_belongs_into_headers_alone(tmp_path: Path) -> None:
    text = said(tmp_path, a_file(route={"upstream": "http://${secret:HOST}"}))
    assert "'${secret:HOST}' is not filled here; only headers to set may hold it" in text


# ------------------------------------------------------------------------------------------------- at request time


def answered(kit: FakeKit, folder: Path, headers: Mapping[str, Any] = TOLD) -> Reply:
    projects = load(write(folder, a_file(route={"set_headers": dict(headers)})), {})
    return run(gateway(projects, kit)(a_call("/a/x")))


def test_a_secret_that_is_replaced_is_in_the_next_request(tmp_path: Path) -> None:
    kit = FakeKit()
    handle = gateway(load(write(tmp_path, a_file(route={"set_headers": TOLD})), {}), kit)
    for value in ("first-good-value", "second-good-value"):
        kit.named_secrets = {"KEY": value}
        run(handle(a_call("/a/x")))
        assert dict(kit.upstream.sent[-1].headers)["x-key"] == f"Bearer {value}"


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ({}, "is missing"), ({"KEY": ""}, "is missing"), ({"key": GOOD}, "is missing"),
        ({"KEY": "changeme-now-please"}, "is a placeholder"), ({"KEY": "two\r\nlines-of-it"}, "holds a line break"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("header", ["Bearer ${secret:KEY}", {"key": "${secret:KEY}", "n": 1}], ids=["text", "mapping"])
def test_a_secret_that_has_gone_is_503_and_the_log_has_its_name_and_not_its_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], secrets: dict[str, str], reason: str, header: Any
) -> None:
    kit = FakeKit(FakeUpstream())
    kit.named_secrets = secrets
    reply = answered(kit, tmp_path, {"X-Key": header})
    assert (reply.status, body_of(reply)["code"]) == (503, "AUTH_UNAVAILABLE")
    assert kit.upstream.sent == []
    written = capsys.readouterr().out
    assert '"message":"secret not filled in"' in written
    assert '"name":"KEY"' in written
    assert reason in written
    for value in filter(None, secrets.values()):
        assert value.splitlines()[0] not in written + reply.whole.decode()


def test_who_needs_no_secret_is_not_kept_waiting_for_one(tmp_path: Path) -> None:
    class Stuck(FakeKit):
        async def secrets(self) -> dict[str, str]:
            raise AssertionError("nobody asked for one")

    assert answered(Stuck(), tmp_path, {"X-Id": "${request.id}"}).status == 200
