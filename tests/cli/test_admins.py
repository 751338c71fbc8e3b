"""Who may log in, as operators decide it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from gatehouse import passwords
from gatehouse.cli import gate, hidden, new_passwords
from gatehouse.stores.revocation_log import RevocationLog
from tests.cli.conftest import NEW, NEWER, Run, audit_lines

Client = Callable[[str], Any]


@pytest.fixture
def grace(cli: Run) -> Any:
    """An administrator who is there for one test."""
    assert cli("admin", "add", "grace", "--password-stdin", stdin=f"{NEW}\n").exit_code == 0
    yield "grace"
    cli("admin", "remove", "grace", "--yes")


def stored(client: Client, username: str) -> dict[str, Any]:
    key = f"auth/admins/{username}.json"
    body = client("s3").get_object(Bucket="gatehouse-local-adminsbucket", Key=key)["Body"]
    found: dict[str, Any] = json.load(body)
    body.close()
    return found


def revocations(client: Client) -> list[dict[str, str]]:
    rows = client("dynamodb").query(
        TableName="gatehouse-local-TokensTable",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "revocations"}},
    )["Items"]
    return [{name: next(iter(value.values())) for name, value in row.items()} for row in rows]


def test_a_new_administrator_has_an_argon2id_hash_of_the_password(cli: Run, client: Client, grace: str) -> None:
    record = stored(client, grace)
    assert record["hash"].startswith("$argon2id$")
    assert passwords.verify(NEW, record["hash"], record["salt"])
    assert (record["username"], record["role"]) == ("grace", "admin")


def test_the_password_is_asked_for_twice_where_nobody_sees_it(cli: Run, client: Client) -> None:
    result = cli("admin", "add", "hopper", "--role", "viewer", stdin=f"{NEW}\n{NEW}\n")
    assert result.exit_code == 0
    assert passwords.verify(NEW, stored(client, "hopper")["hash"], "")
    assert stored(client, "hopper")["role"] == "viewer"
    assert cli("admin", "remove", "hopper", "-y").exit_code == 0


def test_two_different_passwords_are_asked_for_again(cli: Run) -> None:
    result = cli("admin", "add", "hopper", stdin=f"{NEW}\n{NEWER}\n")
    assert result.exit_code == 1
    assert "do not match" in result.stderr


def test_an_existing_administrator_is_not_overwritten(cli: Run, client: Client, grace: str) -> None:
    before = stored(client, grace)
    result = cli("admin", "add", grace, "--password-stdin", stdin=NEWER)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is an administrator 'grace' already; 'admin passwd'" in result.stderr
    assert stored(client, grace) == before
    assert audit_lines(result)[0]["result"] == "refused"


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("short", "at least 12 characters"),
        ("x" * 1025, "at most 1024 characters"),
        ("aaaaaaaaaaaaaaaa", "fewer than 5 different"),
        ("hopper-hopper-1", "what everybody would try"),
        ("Password12345678", "what everybody would try"),
        ("qwerty-password-1", "what everybody would try"),
        ("", "at least 12 characters"),
    ],
)
def test_a_password_that_anybody_would_guess_is_refused(cli: Run, password: str, says: str) -> None:
    result = cli("admin", "add", "hopper", "--password-stdin", stdin=f"{password}\n")
    assert result.exit_code == 1
    assert says in result.stderr
    assert not password or password not in result.output


@pytest.mark.parametrize(("length", "reason"), [(11, True), (12, False), (1024, False), (1025, True)])
def test_a_password_has_a_length_within_bounds(length: int, reason: bool) -> None:
    assert bool(new_passwords.weakness(("kx7Q!m2Zp9" * 103)[:length], "ada")) is reason


def test_a_username_of_a_letter_or_two_takes_nothing_from_a_password() -> None:
    assert new_passwords.weakness("the eleven eels", "e") == ""


def test_a_password_that_is_no_text_is_refused() -> None:
    assert "UTF-8" in new_passwords.weakness("a good password \udcff", "ada")


def test_without_a_terminal_the_way_out_is_said(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    def seen(*_: object, **__: object) -> str:
        raise hidden.GetPassWarning

    monkeypatch.setattr(typer, "prompt", seen)
    result = cli("admin", "add", "hopper")
    assert result.exit_code == 2
    assert "--password-stdin" in result.stderr


@pytest.mark.parametrize("username", ["Ada", "../x", "a b", "guest", "", "x" * 65])
def test_a_username_that_is_none_is_refused_before_anything_is_asked(cli: Run, username: str) -> None:
    result = cli("admin", "add", username, stdin="never read\n")
    assert result.exit_code == 2
    assert "USERNAME" in result.stderr


@pytest.mark.parametrize("role", ["guest", "a b", ""])
def test_a_role_that_is_none_is_refused(cli: Run, role: str) -> None:
    result = cli("admin", "add", "hopper", "--role", role, "--password-stdin", stdin=NEW)
    assert result.exit_code == 2
    assert "--role" in result.stderr


def test_a_new_password_takes_every_older_token_along(cli: Run, client: Client, grace: str) -> None:
    started = time.time()
    result = cli("admin", "passwd", grace, "--password-stdin", "--json", stdin=NEWER)
    assert result.exit_code == 0
    assert passwords.verify(NEWER, stored(client, grace)["hash"], "")
    assert not passwords.verify(NEW, stored(client, grace)["hash"], "")
    row = max((one for one in revocations(client) if one["value"] == grace), key=lambda one: one["sk"])
    assert (row["kind"], row.get("project", ""), row["reason"]) == ("subject", "", "password changed")
    assert float(row["before"]) > started
    assert json.loads(result.stdout)["username"] == grace


def test_the_revocation_ends_with_the_second_so_that_a_login_after_it_counts(
    cli: Run, grace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("gatehouse.cli.admins.time.sleep", waited.append)
    result = cli("admin", "passwd", grace, "--password-stdin", "--json", stdin=NEWER)
    before = json.loads(result.stdout)["revokedBefore"]
    assert re.fullmatch(r"\S+:\d\d\.000Z", before)
    assert len(waited) == 1
    assert 0 <= waited[0] <= 1


def test_an_operator_whose_clock_is_behind_revokes_by_the_clock_of_aws(
    cli: Run, grace: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = time.time()

    class Behind:
        """The module `time`, of a machine whose clock is ten minutes behind."""

        time = staticmethod(lambda: time.time() - 600)

    monkeypatch.setattr(gate, "time", Behind)
    assert cli("admin", "passwd", grace, "--password-stdin", stdin=NEWER).exit_code == 0
    row = max((one for one in revocations(client) if one["value"] == grace), key=lambda one: one["sk"])
    assert float(row["before"]) >= int(true)


def test_if_the_tokens_cannot_be_revoked_the_command_says_what_is_left_to_do(
    cli: Run, grace: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(RevocationLog, "append", down)
    result = cli("admin", "passwd", grace, "--password-stdin", stdin=NEWER)
    assert result.exit_code == 1
    assert "The password is changed, but older tokens may still be good" in result.stderr
    assert "token revoke-all --subject grace" in result.stderr
    assert passwords.verify(NEWER, stored(client, grace)["hash"], "")
    assert audit_lines(result)[0]["result"] == "failed"


def test_a_record_that_somebody_else_changes_meanwhile_is_not_lost(
    cli: Run, grace: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(password: str) -> str:
        key = "auth/admins/grace.json"
        changed = {**stored(client, "grace"), "note": "changed meanwhile"}
        client("s3").put_object(Bucket="gatehouse-local-adminsbucket", Key=key, Body=json.dumps(changed).encode())
        return "hash"

    monkeypatch.setattr(passwords, "hashed", slow)
    result = cli("admin", "passwd", grace, "--password-stdin", stdin=NEWER)
    assert result.exit_code == 1
    assert "try again" in result.stderr
    assert stored(client, grace)["note"] == "changed meanwhile"


def test_a_new_password_keeps_what_else_stands_in_the_record(cli: Run, grace: str, client: Client) -> None:
    changed = {**stored(client, grace), "note": "on leave"}
    key = "auth/admins/grace.json"
    client("s3").put_object(Bucket="gatehouse-local-adminsbucket", Key=key, Body=json.dumps(changed).encode())
    assert cli("admin", "passwd", grace, "--password-stdin", stdin=NEWER).exit_code == 0
    assert stored(client, grace)["note"] == "on leave"


@pytest.mark.parametrize("command", [["passwd", "--password-stdin"], ["remove", "--yes"]])
def test_somebody_who_is_not_there_is_named(cli: Run, command: list[str]) -> None:
    result = cli("admin", command[0], "nobody", *command[1:], stdin=NEW)
    assert result.exit_code == 1
    assert "there is no administrator 'nobody'; 'admin list'" in result.stderr


def test_removing_asks_first_and_a_no_changes_nothing(cli: Run, grace: str, client: Client) -> None:
    result = cli("admin", "remove", grace, stdin="n\n")
    assert result.exit_code == 1
    assert "Remove the administrator grace of http://127.0.0.1:3000?" in result.output
    assert "nothing was changed" in result.stderr
    assert stored(client, grace)["username"] == grace
    assert audit_lines(result) == []


def test_removing_takes_the_login_and_every_token(cli: Run, client: Client) -> None:
    cli("admin", "add", "hopper", "--password-stdin", stdin=NEW)
    before = len(revocations(client))
    result = cli("admin", "remove", "hopper", stdin="y\n")
    assert result.exit_code == 0
    with pytest.raises(client("s3").exceptions.NoSuchKey):
        stored(client, "hopper")
    new = revocations(client)[before:]
    assert [(row["kind"], row["value"], row["reason"]) for row in new] == [
        ("subject", "hopper", "administrator removed")
    ]


def test_a_broken_record_can_be_seen_and_removed(cli: Run, client: Client) -> None:
    bucket, key = "gatehouse-local-adminsbucket", "auth/admins/broken.json"
    client("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")
    client("s3").put_object(Bucket=bucket, Key="auth/admins/Not A Name.json", Body=b"{}")
    shown = json.loads(cli("admin", "list", "--json").stdout)["admins"]
    assert {"username": "broken", "role": None, "password": "broken record"} in shown
    assert {"username": "Not A Name", "role": None, "password": "broken record"} in shown
    refused = cli("admin", "passwd", "broken", "--password-stdin", stdin=NEW)
    assert (refused.exit_code, "'admin remove' takes it away" in refused.stderr) == (1, True)
    assert cli("admin", "remove", "broken", "--yes").exit_code == 0
    client("s3").delete_object(Bucket=bucket, Key="auth/admins/Not A Name.json")


def test_the_list_tells_old_hashes_from_new_ones(cli: Run, client: Client) -> None:
    bucket, key = "gatehouse-local-adminsbucket", "auth/admins/old.json"
    record = {"username": "old", "role": "admin", "salt": "s", "hash": "bm90IGFuIGFyZ29uMiBoYXNo"}
    client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(record).encode())
    lines = cli("admin", "list").stdout.splitlines()
    client("s3").delete_object(Bucket=bucket, Key=key)
    assert lines[0].split() == ["USERNAME", "ROLE", "PASSWORD"]
    assert [line.split(maxsplit=2) for line in lines[1:]] == [
        ["ada", "admin", "argon2id"],
        ["old", "admin", "old hash"],
    ]


def test_every_change_leaves_one_audit_line_that_names_the_operator(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "olga")
    commands = [
        cli("admin", "add", "hopper", "--password-stdin", stdin=NEW),
        cli("admin", "passwd", "hopper", "--password-stdin", "--json", stdin=NEWER),
        cli("admin", "remove", "hopper", "--yes"),
    ]
    lines = [line for result in commands for line in audit_lines(result)]
    assert [line["action"] for line in lines] == ["admin add", "admin passwd", "admin remove"]
    assert {(line["who"], line["result"], line["username"]) for line in lines} == {("olga@local", "ok", "hopper")}
