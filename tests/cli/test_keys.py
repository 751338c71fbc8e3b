"""Signing keys, as operators change them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gatehouse import key_states
from gatehouse.cli import keys
from gatehouse.stores.key_ring_secret import KeyRingSecret
from local.house import House
from tests.cli.conftest import SECRET, Run, audit_lines

Client = Callable[[str], Any]
DAY_S = 86_400
VIEW = {"kid", "algorithm", "state", "legacy", "since", "promotableAt", "retirableAt"}


class Later:
    """The module `time` as the commands see it, some seconds later."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def time(self) -> float:
        return time.time() + self.seconds


@pytest.fixture(autouse=True)
def _the_ring_as_it_was(house: House) -> Iterator[None]:
    """Give every test the one key that the gateway starts with."""
    from gatehouse.cli import place

    environ = {**place.NEVER_REAL, **{k: v for k, v in house.environment().items() if k.startswith("AWS_")}}
    yield
    with place.environment(environ, without="AWS_"):
        secret = KeyRingSecret(house.environment()["GATEWAY_SECRET_ARN"])
        assert secret.replace(house._ring, secret.read()[1])


def shown(cli: Run) -> dict[str, dict[str, Any]]:
    return {one["kid"]: one for one in json.loads(cli("keys", "show", "--json").stdout)["keys"]}


def added(cli: Run, *more: str) -> str:
    result = cli("keys", "add", "--json", *more)
    assert result.exit_code == 0, result.stderr
    kid: str = json.loads(result.stdout)["kid"]
    return kid


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(keys, "time", Later(seconds))


def test_the_key_that_the_gateway_starts_with_is_shown_and_its_secret_is_not(cli: Run) -> None:
    result = cli("keys", "show")
    assert result.stdout.splitlines()[0].split("  ")[0] == "KID"
    assert result.stdout.splitlines()[1].split()[:4] == ["local", "HS256", "current", "yes"]
    assert SECRET not in result.output


@pytest.mark.parametrize(
    ("said", "algorithm"), [([], "EdDSA"), (["--algorithm", "es256"], "ES256"), (["--algorithm", "HS256"], "HS256")]
)
def test_a_new_key_is_next_and_does_not_sign(cli: Run, said: list[str], algorithm: str) -> None:
    kid = added(cli, *said)
    ring = shown(cli)
    assert (ring[kid]["state"], ring[kid]["algorithm"], ring["local"]["state"]) == ("next", algorithm, "current")
    assert "promote at 20" in cli("keys", "show").stdout


def test_the_ring_that_functions_read_is_the_changed_one(cli: Run, client: Client, house: House) -> None:
    kid = added(cli)
    arn = house.environment()["GATEWAY_SECRET_ARN"]
    text = client("secretsmanager").get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"]
    assert set(json.loads(text)["keys"]) == {"local", kid}


def test_a_key_is_promoted_once_everybody_has_it_and_not_before(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    kid = added(cli)
    early = cli("keys", "promote", kid)
    assert (early.exit_code, early.stdout) == (1, "")
    assert "not known everywhere yet. Promote it at 20" in early.stderr
    assert audit_lines(early)[0]["result"] == "refused"
    at(monkeypatch, key_states.PUBLISHED_S + 1)
    assert "promote now" in cli("keys", "show").stdout
    document = json.loads(cli("keys", "promote", kid, "--json").stdout)
    assert set(document) == VIEW
    assert document["state"] == "current"
    assert shown(cli)["local"]["state"] == "previous"


def test_who_cannot_wait_can_force_it(cli: Run) -> None:
    kid = added(cli)
    result = cli("keys", "promote", kid, "--force")
    assert result.exit_code == 0
    assert audit_lines(result)[0]["force"] is True


def test_a_key_is_kept_as_long_as_service_tokens_that_it_signed_live(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = added(cli)
    cli("keys", "promote", first, "--force")
    made = json.loads(cli("token", "issue", "--project", "captionacc", "--service", "kept", "--json").stdout)
    assert made["kid"] == first
    second = added(cli)
    cli("keys", "promote", second, "--force")
    assert shown(cli)[first]["liveServiceTokens"] == 1

    at(monkeypatch, DAY_S)
    refused = cli("keys", "retire", first)
    assert refused.exit_code == 1
    assert "Service tokens that key" in refused.stderr
    assert "retire when its 1 service tokens are gone" in cli("keys", "show").stdout

    cli("token", "revoke", made["jti"])
    assert "retire now" in cli("keys", "show").stdout
    retired = json.loads(cli("keys", "retire", first, "--json").stdout)
    assert retired == {"kid": first, "retired": True, "liveServiceTokens": 0}
    assert first not in shown(cli)


def test_a_key_is_kept_as_long_as_logins_that_it_signed_live(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = added(cli)
    cli("keys", "promote", first, "--force")
    second = added(cli)
    cli("keys", "promote", second, "--force")
    wait_s = key_states.EVERYWHERE_S + 3600 + key_states.LEEWAY_S
    at(monkeypatch, wait_s - 10)
    assert cli("keys", "retire", first).exit_code == 1
    at(monkeypatch, wait_s + 2)
    assert cli("keys", "retire", first).exit_code == 0


def test_a_key_that_leaked_can_be_forced_out(cli: Run) -> None:
    kid = added(cli)
    cli("keys", "promote", kid, "--force")
    assert cli("keys", "retire", "local").exit_code == 1
    assert cli("keys", "retire", "local", "--force").exit_code == 0
    assert set(shown(cli)) == {kid}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["promote", "nope"], 1, "There is no such key. The ring has: local"),
        (["retire", "nope"], 1, "There is no such key"),
        (["retire", "local"], 1, "is the one that signs"),
        (["promote", "local"], 1, "is the one that signs"),
        (["add", "--algorithm", "RS256"], 2, "HS256, EdDSA, ES256"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(cli: Run, words: list[str], code: int, says: str) -> None:
    result = cli("keys", *words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


def test_a_second_next_key_is_refused(cli: Run) -> None:
    added(cli)
    result = cli("keys", "add")
    assert (result.exit_code, "is next already" in result.stderr) == (1, True)


def test_a_change_of_somebody_else_meanwhile_is_kept_and_the_step_is_taken_on_it(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, calls = KeyRingSecret.replace, 0

    def replace(self: KeyRingSecret, text: str, version_id: str) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:  # somebody else comes in between
            current, version = self.read()
            assert true(self, json.dumps({**json.loads(current), "secrets": {"OURS": "x"}}), version)
        return true(self, text, version_id)

    monkeypatch.setattr(KeyRingSecret, "replace", replace)
    kid = added(cli)
    assert calls == 2
    assert kid in shown(cli)


def test_if_somebody_changes_the_secret_all_the_time_the_command_gives_up_and_says_so(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeyRingSecret, "replace", lambda *_: False)
    result = cli("keys", "add")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "somebody else is changing the secret" in result.stderr


def test_a_key_without_times_says_that_nobody_noted_them() -> None:
    view = {"state": "previous", "promotableAt": None, "retirableAt": None, "liveServiceTokens": 0}
    assert keys._advice(view, 0) == "retire: nobody noted since when"


def test_tokens_older_than_any_can_live_are_not_looked_at(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    json.loads(cli("token", "issue", "--project", "captionacc", "--service", "old", "--json").stdout)
    at(monkeypatch, 366 * DAY_S)
    assert shown(cli)["local"]["liveServiceTokens"] == 0


def test_every_change_leaves_one_audit_line_without_the_key(cli: Run) -> None:
    results = [cli("keys", "add", "--json")]
    kid = json.loads(results[0].stdout)["kid"]
    results += [cli("keys", "promote", kid, "--force"), cli("keys", "retire", "local", "--force")]
    lines = [line for result in results for line in audit_lines(result)]
    assert [(line["action"], line["kid"], line["result"]) for line in lines] == [
        ("key add", kid, "ok"), ("key promote", kid, "ok"), ("key retire", "local", "ok"),
    ]  # fmt: skip
