"""What operators are told holds: every parameter is explained, and what they are to paste does what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from gatehouse import keys
from gatehouse.revocation_watch import OVERLAP_S
from local.house import CREDENTIALS
from local.template import ROOT, load
from tests.docs.pages import cells, here_documents, named, section

PAGE = (ROOT / "docs/operations.md").read_text()
PARAMETERS = load().body["Parameters"]
SCRIPTS = here_documents(PAGE)


def script(first_line: str) -> str:
    """Return the one text of the page that is handed to a command that has *first_line* in it."""
    (text,) = (text for line, text in SCRIPTS if first_line in line)
    return text


def test_every_parameter_of_the_template_is_documented_with_its_default():
    rows = cells(section(PAGE, "Parameters"))
    documented = {name: named(row[1])[0] if row[1] else "" for row in rows for name in named(row[0])}
    assert documented == {name: str(one["Default"]) for name, one in PARAMETERS.items()}


def test_what_the_environments_set_is_documented():
    rows = {name: row[1:] for row in cells(section(PAGE, "Environments")) for name in named(row[0])}
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for column, environment in enumerate(("dev", "staging", "prod")):
        for override in settings[environment]["deploy"]["parameters"]["parameter_overrides"]:
            name, _, value = override.partition("=")
            assert name == "Environment" or value in rows[name][column], override


def test_every_output_that_is_named_is_there():
    outputs = set(load().body["Outputs"])
    assert {"ApiUrl", "DomainTarget", "TokensTableName", "AdminsBucketName", "GatewaySecretArn"} <= outputs


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts find an emulator in place of AWS."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": moto_server}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


def run(text: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-", *arguments])
    exec(compile(text, "operations.md", "exec"), {})  # it is what operators run


def table(rows: list[dict[str, str]]) -> str:
    name = f"tokens-{uuid4()}"
    key = [("pk", "HASH"), ("sk", "RANGE")]
    boto3.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": one, "KeyType": kind} for one, kind in key],
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one, _ in key],
        BillingMode="PAY_PER_REQUEST",
    )
    for row in rows:
        boto3.client("dynamodb").put_item(TableName=name, Item={key: {"S": value} for key, value in row.items()})
    return name


@pytest.mark.usefixtures("aws")
def test_what_was_restored_is_copied_back_and_a_revocation_is_seen_at_once(monkeypatch: pytest.MonkeyPatch):
    lost = {"pk": "revocations", "sk": "000000000000001#aa", "value": "the lost one"}
    known = {"pk": "revocations", "sk": "000000000000002#bb", "value": "the known one"}
    before, after = ({"pk": "token#1", "sk": "token", "state": state} for state in ("active", "revoked"))
    restored, live = table([lost, known, before]), table([known, after])
    run(script("$TABLE-restored $TABLE"), restored, live, monkeypatch=monkeypatch)

    items = boto3.client("dynamodb").scan(TableName=live)["Items"]
    rows = [{name: value["S"] for name, value in item.items()} for item in items]
    assert after in rows
    assert before not in rows
    looked_at = f"{int((time.time() - OVERLAP_S) * 1000):015d}"
    assert lost in rows
    assert [row["value"] for row in rows if row["pk"] == "revocations" and row["sk"] > looked_at] == ["the lost one"]
    assert len(rows) == 4  # the token, what was known, what was lost, and that once more


@pytest.mark.usefixtures("aws")
def test_the_old_gateways_secret_becomes_the_key_that_signs_and_checks_its_tokens(monkeypatch: pytest.MonkeyPatch):
    client = boto3.client("secretsmanager")
    ring = {"current": "k1", "keys": {"k1": {"alg": "HS256", "from": "generated"}}, "generated": uuid4().hex * 2}
    arn = client.create_secret(Name=f"ring-{uuid4()}", SecretString=json.dumps(ring))["ARN"]
    monkeypatch.setenv("OLD_SECRET", uuid4().hex)
    run(script("$GatewaySecretArn"), arn, monkeypatch=monkeypatch)

    changed = keys.parse(client.get_secret_value(SecretId=arn)["SecretString"])
    assert changed.current.kid == "metacogna"
    assert changed.legacy is changed.current
    assert changed.keys["k1"].demoted_at == changed.current.promoted_at is not None


class _Answers(BaseHTTPRequestHandler):
    """Echoes the path, with an id and a time of its own; the other one refuses what has "secret" in it."""

    refuses = False

    def do_GET(self) -> None:
        status = 403 if self.refuses and "secret" in self.path else 200
        body = json.dumps(
            {"path": self.path, "status": status, "requestId": uuid4().hex, "timestamp": str(time.time_ns())}
        )
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


class _Refuses(_Answers):
    refuses = True


@pytest.fixture
def two_gateways() -> Iterator[list[str]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (_Answers, _Refuses)]
    threads = [threading.Thread(target=one.serve_forever, args=(0.01,)) for one in servers]
    for thread in threads:
        thread.start()
    yield [f"http://127.0.0.1:{one.server_port}" for one in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_two_gateways_are_compared_by_status_and_body(two_gateways: list[str], tmp_path: Path):
    (tmp_path / "compare.sh").write_text(script("cat > compare.sh"))
    requests = "# what is asked\n/open\n/secret -H 'X-Token: $TOKEN'\n"
    answer = subprocess.run(
        ["/bin/sh", str(tmp_path / "compare.sh"), *two_gateways],
        input=requests,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.startswith("same  /open\nDIFF  /secret -H 'X-Token: $TOKEN'\n")
    assert "< 200\n" in answer.stdout
    assert "> 403\n" in answer.stdout
