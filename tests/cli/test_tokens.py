"""Service tokens, as operators issue, look up and revoke them."""

from __future__ import annotations

import asyncio
import json
import time
from hashlib import sha256
from typing import Any

import pytest

from gatehouse import jose, keys, token_ids
from gatehouse.cli import tokens
from gatehouse.tokens import Issuer, TokenVerifier
from local.house import House
from tests.cli.conftest import Run, audit_lines
from tests.unit.fakes import FakeRing

ISSUE = ("token", "issue", "--project", "captionacc", "--service", "modal")
CAPTIONACC = Issuer(issuer="gatehouse", audience="captionacc")
OPTIONS = ["--description", "videos", "--backend", "gpu", "--created-by", "ops", "--days", "7"]


def issued(cli: Run, *more: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(cli(*ISSUE, "--json", *more).stdout)
    return document


def test_the_token_stands_alone_on_standard_output_and_is_believed_by_the_gateway(cli: Run, house: House) -> None:
    result = cli(*ISSUE)
    token = result.stdout.removesuffix("\n")
    assert token.count(".") == 2
    assert token not in result.stderr
    ring = keys.parse(house._ring)
    identity = asyncio.run(TokenVerifier(FakeRing(ring), CAPTIONACC, time.time).verify(token))
    assert (identity.claims["project"], identity.claims["service"]) == ("captionacc", "modal")
    assert identity.token_id in result.stderr


def test_what_is_kept_is_what_was_said_and_never_the_token(cli: Run) -> None:
    made = issued(cli, *OPTIONS, "--metadata", '{"team": "video"}')
    assert set(made) == {"token", "jti", "expiresAt", "project", "service", "kid"}
    shown = cli("token", "show", made["jti"], "--json")
    kept = json.loads(shown.stdout)
    assert made["token"] not in shown.output
    assert kept["sha256"] == sha256(made["token"].encode()).hexdigest()
    expected = {
        "description": "videos",
        "backend": "gpu",
        "createdBy": "ops",
        "metadata": {"team": "video"},
        "active": True,
    }
    assert {name: kept[name] for name in expected} == expected
    claims = jose.inspect(made["token"]).claims
    assert claims["exp"] - claims["iat"] == 7 * 86_400


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--days", "0"], 2, "--days"),
        (["--days", "366"], 2, "--days"),
        (["--metadata", "{"], 2, "--metadata is not JSON"),
        (["--metadata", "[]"], 2, "--metadata must be a JSON object"),
        (["--metadata", json.dumps({"a": "x" * 2048})], 2, "more than 2048 bytes"),
        (["--description", "x" * 513], 2, "at most 512"),
        (["--description", "\udcff"], 2, "UTF-8"),
        (["--project", "nope"], 1, "There is: ai-proxy, captionacc, crow, metacogna"),
        (["--service", "a b"], 1, "A service is a name"),
        (["--projects", "/nowhere"], 2, "there is no folder /nowhere"),
    ],
)
def test_an_order_that_is_none_says_what_to_change(cli: Run, more: list[str], code: int, says: str) -> None:
    result = cli(*ISSUE, *more)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


def test_a_token_whose_row_cannot_be_kept_is_not_given_away(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("gatehouse.stores.token_registry.TokenRegistry.put", down)
    result = cli(*ISSUE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "AWS does not answer" in result.stderr
    assert audit_lines(result)[0]["result"] == "failed"


def test_the_list_goes_on_where_its_cursor_says(cli: Run) -> None:
    made = [issued(cli, "--service", "paged")["jti"] for _ in range(3)]
    first = json.loads(cli("token", "list", "--service", "paged", "--limit", "2", "--json").stdout)
    second = json.loads(cli("token", "list", "--service", "paged", "--cursor", first["cursor"], "--json").stdout)
    assert [one["jti"] for page in (first, second) for one in page["tokens"]] == made[::-1]
    assert second["cursor"] is None
    shown = cli("token", "list", "--service", "paged", "--limit", "2")
    assert shown.stdout.splitlines()[0].split()[:4] == ["JTI", "PROJECT", "SERVICE", "STATE"]
    assert len(shown.stdout.splitlines()) == 3
    assert "--cursor " in shown.stderr


def test_a_list_can_be_of_live_tokens_or_of_the_others(cli: Run) -> None:
    live, dead = (issued(cli, "--service", "halves")["jti"] for _ in range(2))
    assert cli("token", "revoke", dead).exit_code == 0
    for flag, jti, state in (("--active", live, "active"), ("--inactive", dead, "revoked")):
        lines = cli("token", "list", "--project", "captionacc", "--service", "halves", flag).stdout.splitlines()
        assert [line.split()[:4] for line in lines[1:]] == [[jti, "captionacc", "halves", state]]


def test_an_empty_list_says_so_where_it_disturbs_no_program(cli: Run) -> None:
    result = cli("token", "list", "--service", "none-of-these")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no tokens\n")


def test_a_cursor_of_another_list_is_refused(cli: Run) -> None:
    result = cli("token", "list", "--cursor", "nonsense")
    assert result.exit_code == 1
    assert "cursor" in result.stderr


def test_what_somebody_wrote_into_a_description_is_shown_and_not_obeyed(cli: Run) -> None:
    made = issued(cli, "--description", "\x1b[31mred\x07\nsecond line", "--service", "painted")
    for words in (("token", "list", "--service", "painted"), ("token", "show", made["jti"])):
        shown = cli(*words).stdout
        assert "\x1b" not in shown
        assert "\\x1b[31mred" in shown


def test_a_revoked_token_stays_revoked_by_whom_and_why_it_first_was(cli: Run) -> None:
    jti = issued(cli)["jti"]
    first = json.loads(cli("token", "revoke", jti, "--reason", "laptop stolen", "--json").stdout)
    again = json.loads(cli("token", "revoke", jti, "--reason", "another", "--json").stdout)
    assert first == again
    assert (first["active"], first["revokedReason"]) == (False, "laptop stolen")
    shown = cli("token", "show", jti).stdout
    assert "laptop stolen" in shown
    assert shown.startswith("state          revoked")


def test_a_login_is_revoked_with_all_that_it_was_refreshed_to(cli: Run) -> None:
    jti = token_ids.for_session(int(time.time()) + 3600)
    result = cli("token", "revoke", jti, "--json")
    assert (result.exit_code, json.loads(result.stdout)["active"]) == (0, False)
    shown = cli("token", "show", jti)
    assert (shown.exit_code, "login's or guest's token" in shown.stderr) == (1, True)


def test_an_id_that_nobody_knows_is_revoked_only_if_one_insists(cli: Run) -> None:
    refused = cli("token", "revoke", "deadbeef")
    assert refused.exit_code == 1
    assert "--unregistered" in refused.stderr
    assert audit_lines(refused)[0]["result"] == "refused"
    assert cli("token", "revoke", "deadbeef", "--unregistered").exit_code == 0
    assert cli("token", "show", "deadbeef").exit_code == 1


def test_what_is_no_id_is_a_misuse(cli: Run) -> None:
    result = cli("token", "show", "a b")
    assert (result.exit_code, "that is no id of a token" in result.stderr) == (2, True)


def test_a_token_in_place_of_its_id_is_not_repeated(cli: Run) -> None:
    token = issued(cli)["token"]
    result = cli("token", "revoke", token)
    assert result.exit_code == 2
    assert token not in result.output
    assert "its id (jti)" in result.stderr


def test_everything_of_a_service_is_revoked_at_once(cli: Run) -> None:
    jti = issued(cli, "--service", "leaky")["jti"]
    result = cli(
        "token", "revoke-all", "--subject", "captionacc/leaky", "--project", "captionacc", "--reason", "leak", "--yes"
    )
    assert result.exit_code == 0
    assert json.loads(cli("token", "show", jti, "--json").stdout)["active"] is False
    assert cli("token", "show", jti).stdout.split()[:2] == ["state", "revoked"]


def test_revoking_everything_asks_first(cli: Run) -> None:
    words = ("token", "revoke-all", "--subject", "ada", "--reason", "x")
    refused = cli(*words, stdin="n\n")
    assert refused.exit_code == 1
    assert "Revoke every token of ada issued before 20" in refused.output
    assert audit_lines(refused) == []
    assert cli(*words, stdin="").exit_code == 1
    assert cli(*words, stdin="y\n").exit_code == 0


def test_everything_before_a_moment_has_the_shape_that_the_http_address_gives(cli: Run) -> None:
    words = (
        "token",
        "revoke-all",
        "--project",
        "captionacc",
        "--before",
        "2026-01-01T01:00:00+01:00",
        "--reason",
        "old",
    )
    document = json.loads(cli(*words, "--yes", "--json").stdout)
    assert set(document) == {"project", "subject", "before", "revokedBy", "revokedReason"}
    assert (document["project"], document["subject"], document["before"]) == (
        "captionacc",
        None,
        "2026-01-01T00:00:00.000Z",
    )


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--reason", "x"], 2, "--subject, --project, or both"),
        (["--subject", "ada"], 2, "--reason"),
        (["--project", "nope", "--reason", "x"], 1, "there is ai-proxy, captionacc, crow, metacogna"),
        (["--subject", "ada", "--reason", "x", "--before", "yesterday"], 2, "like 2026-11-22T10:00:00Z"),
        (["--subject", "ada", "--reason", "x", "--before", "2026-01-01T00:00:00"], 2, "needs its offset"),
        (["--subject", "ada", "--reason", "x", "--before", "2999-01-01T00:00:00Z"], 1, "lies in the future"),
    ],
)
def test_revoking_everything_of_nobody_in_particular_is_refused(
    cli: Run, more: list[str], code: int, says: str
) -> None:
    result = cli("token", "revoke-all", "--yes", *more)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


@pytest.mark.parametrize(
    ("revoked_at", "expires_in", "active", "kids", "state"),
    [
        (None, 60, True, ["k"], "active"),
        (None, -1, False, ["k"], "expired"),
        (1.0, 60, False, ["k"], "revoked"),
        (1.0, -1, False, ["k"], "revoked"),
        (None, 60, False, ["k"], "revoked"),
        (None, 60, False, ["another"], "no key"),
        (None, -1, False, [], "expired"),
    ],
)
def test_a_token_is_active_expired_revoked_or_without_its_key(
    revoked_at: Any, expires_in: int, active: bool, kids: list[str], state: str
) -> None:
    from gatehouse.registry import Record

    record = Record(
        jti="j",
        project="p",
        service="s",
        kid="k",
        sha256="",
        created_at=0,
        expires_at=1000 + expires_in,
        created_by="",
        issued_by="",
        revoked_at=revoked_at,
    )
    assert tokens._state(record, {"active": active}, 1000, kids) == state


def test_every_change_leaves_one_audit_line_without_the_token(cli: Run) -> None:
    result = cli(*ISSUE, "--json")
    document = json.loads(result.stdout)
    revoked = cli("token", "revoke", document["jti"], "--reason", "test", "--json")
    everything = cli("token", "revoke-all", "--subject", "nobody", "--reason", "test", "--yes", "--json")
    lines = [*audit_lines(result), *audit_lines(revoked), *audit_lines(everything)]
    assert [(line["action"], line["result"]) for line in lines] == [
        ("token issue", "ok"),
        ("token revoke", "ok"),
        ("tokens revoke", "ok"),
    ]
    assert all(line["who"].endswith("@local") for line in lines)
    assert document["token"] not in result.stderr
    assert lines[0]["jti"] == lines[1]["jti"] == document["jti"]
