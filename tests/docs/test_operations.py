"""What operators are told holds: every parameter is explained, and what they are to paste does what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import boto3
import pytest

from gatehouse import keys
from gatehouse.revocation_watch import OVERLAP_S
from local.house import CREDENTIALS
from local.template import ROOT, load
from tests.docs.pages import cells, here_documents, named, section

Compare: TypeAlias = Callable[..., "subprocess.CompletedProcess[str]"]
PAGE = (ROOT / "docs/operations.md").read_text()
PARAMETERS = load().body["Parameters"]
SCRIPTS = here_documents(PAGE)
OUTPUT = r"[A-Z]\w+(?:Name|Arn|Url|Target|GoTo)"
"""What outputs are called, and some parameters."""


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


def test_every_output_is_named_and_every_one_that_is_named_is_there():
    outputs = set(load().body["Outputs"])
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    read = set(re.findall(r"\$\(output (\w+)\)", pages))
    code = [*re.findall(r"`(\w+)`", pages), *re.findall(r"\$\{?([A-Z][a-z]\w+)", pages), *read]
    assert {one for one in code if re.fullmatch(OUTPUT, one)} - set(PARAMETERS) == outputs
    assert {"ApiUrl", "AdminsBucketName", "TokensTableName", "UsageTableName", "GatewaySecretArn"} == read


def test_every_variable_of_what_is_to_be_pasted_is_set_by_another_line():
    lines = [line for line in PAGE.splitlines() if re.match(r" {4,}\S", line)]
    named = {name for line in lines for name in re.findall(r'"?\$\{?([A-Z][A-Z_]+)', line)}
    set_here = [line for line in lines if re.match(r" +(?:export |(?:while )?(?:IFS= )?read -r|\w+=)", line)]
    known = {name for line in set_here for name in re.findall(r"(?<![$\w{])[A-Z][A-Z_]+\b", line)}
    assert len(known) > 5
    assert named - known == set()


def test_make_deploy_goes_another_way_for_once_and_keeps_what_the_file_says(tmp_path: Path):
    venv = Path(os.path.relpath(tmp_path, ROOT))
    sam = tmp_path / "bin/sam"
    sam.parent.mkdir()
    sam.write_text('#!/bin/sh\n[ "$1" != deploy ] || printf "%s\\n" "$@"\n')
    sam.chmod(0o755)
    (tmp_path / ".ready").touch()

    def deploys(*how: str) -> list[str]:
        words = ["make", "-s", "deploy", f"SAM_VENV={venv}", f"PYTHON={sys.executable} -S", "CONFIG_ENV=prod", *how]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["prod"]["deploy"]["parameters"]
    others = [one for one in settings["parameter_overrides"] if not one.startswith("Deployment=")]
    assert len(others) < len(settings["parameter_overrides"]), "prod deploys in steps"
    assert deploys() == ["deploy", "--config-env", "prod"]
    assert deploys("DEPLOYMENT=AllAtOnce") == [
        *("deploy", "--config-env", "prod", "--parameter-overrides"), *others, "Deployment=AllAtOnce",
    ]  # fmt: skip


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
    run(script('- "$ARN"'), arn, monkeypatch=monkeypatch)

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
            {
                "path": self.path,
                "told": [self.headers.get("X-Token"), self.headers.get("X-Other")],
                "status": status,
                "requestId": uuid4().hex,
                "timestamp": str(time.time_ns()),
            }
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


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Compares two gateways by the script of the page; TOKEN is set, and no other variable of requests."""
    if not shutil.which("curl"):
        pytest.skip("there is no curl here")
    file = tmp_path / "compare.sh"
    file.write_text(script("cat > compare.sh"))

    def compared(gateways: list[str], *requests: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(file), *gateways], input="".join(f"{one}\n" for one in requests), capture_output=True,
            text=True, check=False, env={"PATH": os.environ["PATH"], "TOKEN": "t0ken"}, timeout=60,
        )  # fmt: skip

    return compared


def test_two_gateways_are_compared_by_status_and_body(two_gateways: list[str], compare: Compare):
    answer = compare(two_gateways, "# what is asked", "/open?a=1&b=2", "/secret?a=1&b=2 -H 'X-Token: $TOKEN'")
    assert answer.stdout.startswith("same  /open?a=1&b=2\nDIFF  /secret?a=1&b=2 -H 'X-Token: $TOKEN'\n")
    assert "< 200\n" in answer.stdout
    assert "> 403\n" in answer.stdout
    assert answer.returncode == 0


def test_what_is_asked_reaches_a_gateway_as_it_stands_there(two_gateways: list[str], compare: Compare):
    answer = compare(two_gateways, "/secret/{a,b}/[1]?x=1&y=$(z)&z=* -H \"X-Token: $TOKEN\" -H 'X-Other: $TOKEN'")
    assert '"path":"/secret/{a,b}/[1]?x=1&y=$(z)&z=*"' in answer.stdout
    assert '"told":["t0ken","$TOKEN"]' in answer.stdout


@pytest.mark.parametrize(
    "request_line",
    ['/open -H "X-Token: $NOT_SET"', "/open -d a=1&b=2", '/open -H "X-Token: ', "/open --no-such-option"],
)
def test_what_could_not_be_asked_is_not_the_same(two_gateways: list[str], compare: Compare, request_line: str):
    answer = compare(two_gateways, request_line, "/open")
    assert answer.stdout == f"FAILED  {request_line}\nsame  /open\n"
    assert answer.returncode == 1


@pytest.mark.parametrize("dead", [(0,), (1,), (0, 1)], ids=["the old one", "the new one", "both"])
def test_a_gateway_that_does_not_answer_is_not_the_same(two_gateways: list[str], compare: Compare, dead: tuple[int]):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody listens
        gateways = [f"http://127.0.0.1:{nobody.getsockname()[1]}" if i in dead else two_gateways[i] for i in (0, 1)]
        answer = compare(gateways, "/open")
    assert answer.stdout == "FAILED  /open\n"
    assert answer.returncode == 1
