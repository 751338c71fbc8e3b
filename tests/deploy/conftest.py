"""The gateway as `make build` made it, deployed by `sam deploy` into MiniStack: no container, no AWS account."""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zipfile import ZipFile

import boto3
import httpx
import pytest
import yaml

from local.sam import BUILT, architecture
from local.servers import listen, served
from tests.contract.upstream import Lab
from tests.deploy import interpreter
from tests.deploy.emulated import emulated
from tests.ministack import running

ROOT = Path(__file__).resolve().parents[2]
REGION, SUFFIX = "eu-west-1", "amazonaws.com"
DEPLOY_S = 120
PASSWORD = secrets.token_urlsafe(16)


@dataclass(frozen=True)
class Emulator:
    """A running MiniStack."""

    url: str
    log: Path
    environ: Mapping[str, str] = field(repr=False)
    """What leads the AWS command line tools and ours to it, and nowhere else."""

    def client(self, service: str) -> Any:
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.url, aws_access_key_id="here", aws_secret_access_key="only"
        )

    def put_metrics(self, namespace: str, data: list[dict[str, Any]]) -> None:
        """Do what `put_metric_data` does, which speaks CBOR, and MiniStack not (it lacks a package for it)."""
        scope = f"here/20261122/{REGION}/monitoring/aws4_request"
        said = {
            "X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
        }
        document = {"Namespace": namespace, "MetricData": data}
        httpx.post(self.url, headers=said, json=document).raise_for_status()


@dataclass(frozen=True)
class Stack:
    """What `sam deploy` has made."""

    name: str
    outputs: dict[str, str]
    said: str
    """By `sam deploy`."""


@pytest.fixture(scope="session", autouse=True)
def _ends_what_it_started() -> None:
    """Make a SIGTERM end the tests as Ctrl-C does, so that fixtures end what they started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


# ------------------------------------------------------------------------------------------ what it needs


@pytest.fixture(scope="session")
def built() -> dict[str, Any]:
    """The built template; it has no short tags left."""
    if not BUILT.exists():
        pytest.skip(f"nothing is built: make build ARCH={architecture()}")
    template: dict[str, Any] = yaml.safe_load(BUILT.read_text(encoding="utf-8"))
    if (made_for := template["Resources"]["GatehouseLayer"]["Metadata"]["BuildArchitecture"]) != architecture():
        pytest.skip(f"what is built is for {made_for}, and this machine is {platform.machine()}")
    return template


@pytest.fixture(scope="session")
def python() -> Path:
    """A CPython 3.13 with MiniStack: this one, or the one with which the tests run once more."""
    for candidate in (Path(sys.executable), ROOT / ".venv313" / "bin" / "python"):
        if interpreter.is_of_lambda(candidate):
            return candidate
    pytest.skip(
        "the layer is for CPython 3.13, and only one with MiniStack can run it: make test VENV=.venv313 PYTHON=…"
    )


@pytest.fixture(scope="session")
def sam() -> Path:
    """The SAM command line that built it."""
    command = ROOT / ".venv-sam" / "bin" / "sam"
    if not command.exists():
        pytest.skip("there is no .venv-sam: make build makes it")
    return command


# ------------------------------------------------------------------------------------------ the deployment


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where everything is kept for as long as the tests last: unpacked layers are too big to be left behind."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-deploy-") as made:
        yield Path(made)


@pytest.fixture(scope="session")
def emulator(python: Path, folder: Path) -> Iterator[Emulator]:
    """A MiniStack that takes an API's URL for its own, and runs functions by a Python like Lambda's."""
    functions = interpreter.like_lambdas(python, folder / "python")
    command = interpreter.ministack(python, functions)
    with running(folder, command, MINISTACK_HOST=f"{REGION}.{SUFFIX}", PYTHONPATH="") as (url, log):
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "here",
            "AWS_SECRET_ACCESS_KEY": "only",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
        }
        yield Emulator(url, log, environ)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The service behind the gateway, and what it was asked."""
    return Lab()


@pytest.fixture(scope="session")
def upstream(lab: Lab) -> Iterator[str]:
    """Its URL."""
    with listen("127.0.0.1", 0) as listening, served(lab, [listening]):
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="session")
def stack(built: dict[str, Any], sam: Path, emulator: Emulator, upstream: str, folder: Path) -> Stack:
    """The stack of samconfig.toml's environment `dev`, with upstreams: `sam deploy` asks nothing on the way."""
    template = folder / "template.yaml"
    template.write_text(yaml.safe_dump(emulated(built, BUILT.parent, folder / "opt" / "projects")), encoding="utf-8")
    upstreams = [f"{name}ServiceUrl={upstream}" for name in ("Build", "Kv", "Prefect")]
    said = deploy(sam, emulator, template, *upstreams)
    name = settings()["stack_name"]
    found = emulator.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    unpack_projects(emulator, folder / "opt")
    return Stack(name, {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}, said)


def settings() -> dict[str, Any]:
    """What samconfig.toml says of a deployment to dev."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    said: dict[str, Any] = config["dev"]["deploy"]["parameters"]
    return said


def deploy(sam: Path, emulator: Emulator, template: Path, *parameters: str) -> str:
    """Run `sam deploy --config-env dev` with *parameters* besides those that stand there, and nobody to ask."""
    config = ["--config-file", ROOT / "samconfig.toml", "--config-env", "dev", "--template-file", template]
    overrides = [*settings()["parameter_overrides"], f"Architecture={architecture()}", *parameters]
    words = [sam, "deploy", *config, "--no-progressbar", "--parameter-overrides", *overrides]
    environ = {**emulator.environ, "SAM_CLI_POLL_DELAY": "0.2"}
    ended = subprocess.run(
        words, env=environ, cwd=template.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=DEPLOY_S,
    )  # fmt: skip
    if ended.returncode:
        pytest.fail(f"{ended.stdout[-6000:]}\n{ended.stderr[-2000:]}\nMiniStack: {emulator.log.read_text()[-4000:]}")
    return ended.stdout


def unpack_projects(emulator: Emulator, opt: Path) -> None:
    """Do with the layer of project files what Lambda does: unpack it to /opt."""
    functions = emulator.client("lambda")
    version = functions.list_layer_versions(LayerName="ProjectsLayer")["LayerVersions"][0]["Version"]
    where = functions.get_layer_version(LayerName="ProjectsLayer", VersionNumber=version)["Content"]["Location"]
    # The address is MiniStack's under the name that we gave it, which leads elsewhere.
    ZipFile(BytesIO(httpx.get(emulator.url + urlsplit(where).path).content)).extractall(opt)


# ------------------------------------------------------------------------------------------ who uses it


@pytest.fixture(scope="session")
def gatehouse(emulator: Emulator, stack: Stack) -> Any:
    """Our command line, as an operator runs it beside the deployed stack."""

    environ = {**emulator.environ, "PYTHONPATH": str(ROOT / "layers" / "gatehouse")}

    def run(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gatehouse", *words, "--stack", stack.name]
        return subprocess.run(command, env=environ, cwd=ROOT, input=typed, capture_output=True, check=False, text=True)

    return run


@pytest.fixture(scope="session")
def admin(gatehouse: Any) -> dict[str, str]:
    """The first administrator, made as docs/operations.md says."""
    ended = gatehouse("admin", "add", "ada", "--password-stdin", typed=f"{PASSWORD}\n")
    assert ended.returncode == 0, ended.stderr
    return {"username": "ada", "password": PASSWORD}


@pytest.fixture(scope="session")
def api(emulator: Emulator, stack: Stack) -> Iterator[httpx.Client]:
    """A client of the deployed gateway, at the URL that is the stack's output; only, that name leads to MiniStack."""
    url = urlsplit(stack.outputs["ApiUrl"])
    with httpx.Client(base_url=emulator.url + url.path, headers={"Host": url.netloc}, timeout=40) as client:
        yield client


@pytest.fixture(scope="session")
def secret(emulator: Emulator, stack: Stack) -> dict[str, Any]:
    """The stack's secret, as it was generated."""
    kept = emulator.client("secretsmanager").get_secret_value(SecretId=stack.outputs["GatewaySecretArn"])
    value: dict[str, Any] = json.loads(kept["SecretString"])
    return value
