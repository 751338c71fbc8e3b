"""Two operators who change the key ring at once: one of them hears of it, and nothing is lost.

Every test runs on moto and on MiniStack.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.server import ThreadedMotoServer

from gatehouse import rotation
from gatehouse.keys import parse
from gatehouse.stores import key_ring_secret
from gatehouse.stores.key_ring_secret import KeyRingSecret
from tests.unit.fakes import NOW, SECRET

FIRST = json.dumps({"current": "k1", "keys": {"k1": {"alg": "HS256", "secret": SECRET}}})


@dataclass
class Vault:
    """Secrets Manager, and what was asked of it; *trouble* is raised instead of asking for an operation."""

    client: Any

    def __post_init__(self) -> None:
        self.trouble: dict[str, Exception] = {}
        self.asked: list[str] = []

    def __getattr__(self, operation: str) -> Any:
        def ask(**arguments: Any) -> Any:
            self.asked.append(operation)
            if operation in self.trouble:
                raise self.trouble[operation]
            return getattr(self.client, operation)(**arguments)

        return ask

    def secret(self) -> str:
        made: str = self.client.create_secret(Name=f"ring-{uuid4()}", SecretString=FIRST)["ARN"]
        return made

    def labels(self, arn: str) -> list[list[str]]:
        """The labels of every version that has some."""
        return sorted(self.client.describe_secret(SecretId=arn)["VersionIdsToStages"].values())


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture(params=["moto", "ministack"])
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    session = boto3.Session("local", "local", region_name="us-east-1")
    made = Vault(session.client("secretsmanager", endpoint_url=request.getfixturevalue(request.param)))
    monkeypatch.setattr(key_ring_secret, "client", lambda service: made if service == "secretsmanager" else None)
    yield made
    made.client.close()


def test_what_was_read_is_replaced(vault: Vault) -> None:
    secret = KeyRingSecret(vault.secret())
    text, version = secret.read()
    assert text == FIRST
    assert secret.replace("second", version)
    text, second = secret.read()
    assert text == "second"
    assert second != version
    assert secret.replace("third", second)
    assert secret.read()[0] == "third"


def test_everybody_else_reads_the_new_text(vault: Vault) -> None:
    """Who asks for no label gets the current one's text on AWS; moto gives what was written last as current."""
    arn = vault.secret()
    secret = KeyRingSecret(arn)
    assert secret.replace("second", secret.read()[1])
    assert vault.client.get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"] == "second"


def test_who_read_an_older_text_changes_nothing(vault: Vault) -> None:
    arn = vault.secret()
    first, second = KeyRingSecret(arn), KeyRingSecret(arn)
    _, version = first.read()
    assert second.replace("of the second", version)
    before = vault.labels(arn)
    assert not first.replace("of the first", version)
    assert first.read()[0] == "of the second"
    assert [labels for labels in vault.labels(arn) if labels] == [labels for labels in before if labels]


def test_no_label_of_ours_is_left(vault: Vault) -> None:
    arn = vault.secret()
    secret = KeyRingSecret(arn)
    version = secret.read()[1]
    secret.replace("second", version)
    secret.replace("never", version)
    assert not [label for labels in vault.labels(arn) for label in labels if label.startswith("gatehouse")]


def test_the_text_before_stays_at_hand(vault: Vault) -> None:
    arn = vault.secret()
    secret = KeyRingSecret(arn)
    secret.replace("second", secret.read()[1])
    assert vault.client.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["SecretString"] == FIRST


def test_a_label_that_stays_does_no_harm(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = KeyRingSecret(vault.secret())
    version = secret.read()[1]
    monkeypatch.setattr(vault.client, "update_secret_version_stage", once(vault.client.update_secret_version_stage))
    assert secret.replace("second", version)
    assert secret.read()[0] == "second"


def once(operation: Any) -> Any:
    """Let *operation* be asked for once; then nobody answers any more."""
    left = [True]

    def ask(**arguments: Any) -> Any:
        if not left:
            raise EndpointConnectionError(endpoint_url="http://nowhere")
        left.pop()
        return operation(**arguments)

    return ask


def test_an_answer_that_was_lost_is_no_conflict(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client sends the request again by itself, and then the label is where it shall be already."""
    secret = KeyRingSecret(vault.secret())
    version = secret.read()[1]
    move = vault.client.update_secret_version_stage

    def twice(**arguments: Any) -> Any:
        move(**arguments)
        return move(**arguments)

    monkeypatch.setattr(vault.client, "update_secret_version_stage", twice)
    assert secret.replace("second", version)
    assert secret.read()[0] == "second"


def test_a_mistake_is_no_conflict(vault: Vault) -> None:
    secret = KeyRingSecret(vault.secret())
    text, version = secret.read()
    denied = ClientError({"Error": {"Code": "AccessDeniedException"}}, "UpdateSecretVersionStage")
    vault.trouble["update_secret_version_stage"] = denied
    with pytest.raises(ClientError, match="AccessDenied"):
        secret.replace("second", version)
    vault.trouble.clear()
    assert secret.read() == (text, version)


def test_a_secret_that_cannot_be_written_stays_as_it_is(vault: Vault) -> None:
    secret = KeyRingSecret(vault.secret())
    before = secret.read()
    vault.trouble["put_secret_value"] = EndpointConnectionError(endpoint_url="http://nowhere")
    with pytest.raises(EndpointConnectionError):
        secret.replace("second", before[1])
    assert "update_secret_version_stage" not in vault.asked
    assert secret.read() == before


def test_a_secret_that_is_not_text_reads_as_nothing(vault: Vault) -> None:
    arn = vault.client.create_secret(Name=f"binary-{uuid4()}", SecretBinary=b"\x00")["ARN"]
    assert KeyRingSecret(arn).read()[0] == ""


def test_of_many_operators_at_once_nobodys_change_is_lost(vault: Vault) -> None:
    """Each adds a key of its own until that succeeds; keys that are next are promoted so that the others may add."""
    arn = vault.secret()

    def add(number: int) -> int:
        secret, attempts = KeyRingSecret(arn), 0
        while True:
            attempts += 1
            text, version = secret.read()
            added, kid = rotation.add(text, algorithm="HS256", now=NOW, kid=f"key-{number}")
            if secret.replace(rotation.promote(added, kid, now=NOW, force=True), version):
                return attempts

    with ThreadPoolExecutor(4) as pool:
        attempts = list(pool.map(add, range(8)))
    ring = parse(KeyRingSecret(arn).read()[0])
    assert set(ring.keys) == {"k1", *(f"key-{number}" for number in range(8))}
    assert len(attempts) == 8
