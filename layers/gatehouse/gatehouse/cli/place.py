"""Where a command works: at a stack, at what `make run` has running, or where the environment says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gatehouse import settings
from gatehouse.cli.problems import MisuseError, RefusedError
from gatehouse.settings import Settings
from gatehouse.stores.clients import client

OUTPUTS = {
    "TokensTableName": "TOKENS_TABLE",
    "CacheTableName": "CACHE_TABLE",
    "AdminsBucketName": "ADMINS_BUCKET",
    "GatewaySecretArn": "GATEWAY_SECRET_ARN",
}
"""Outputs of the stack, and how the functions call them in their environment."""
THREE_WAYS = (
    "at which gateway? Say --stack NAME (or set GATEHOUSE_STACK), or --local for what 'make run' has running, "
    f"or set the functions' own variables: {', '.join(OUTPUTS.values())}"
)
NEVER_REAL = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
PROJECTS = Path("layers/config/projects")
STATE, NOTE = Path(".gatehouse"), "running.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One gateway.

    Attributes:
        name: what people call it.
        settings: the functions' settings there.
        environ: what the environment has to hold meanwhile, for boto3 and for project files.
        is_local: whether it is what `make run` has running.
    """

    name: str
    settings: Settings
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)
    is_local: bool = False


@contextmanager
def found(*, stack: str, local: bool, region: str, projects: Path | None) -> Iterator[Place]:
    """Give the place that the options *stack*, *local* and *region* mean; the environment leads there meanwhile.

    Raises:
        MisuseError: they name none, or two.
        RefusedError: there is no such place.
    """
    if stack and local:
        raise MisuseError("--stack and --local are two gateways: say one of them")
    if local and region:
        raise MisuseError("--region is for AWS: leave it out with --local")
    named = stack or ("" if local else os.environ.get("GATEHOUSE_STACK", ""))
    if local:
        place = running(os.environ)
        with environment(place.environ, without="AWS_"):
            yield _with_projects(place, projects)
        return
    with environment(_region(region, os.environ)):
        yield _with_projects(_stack(named) if named else _surroundings(os.environ), projects)


def running(environ: Mapping[str, str]) -> Place:
    """Return what `make run` has noted of itself.

    Raises:
        RefusedError: nothing is running here, or somebody else's is.
    """
    file = Path(environ.get("GATEHOUSE_STATE") or STATE) / NOTE
    nothing = f"nothing is running here ({file}); start it with 'make run', and be in its folder"
    try:
        if file.stat().st_uid != os.getuid():
            raise RefusedError(f"{file} is another user's; run 'make run' yourself")
        note = json.loads(file.read_text(encoding="utf-8"))
        known = {name: str(note[name]) for name in ("url", "endpoint", "region", *OUTPUTS.values(), "PROJECTS_DIR")}
        variables = {name: str(value) for name, value in note["variables"].items() if not name.startswith("AWS_")}
        pid = int(note["pid"])
    except OSError as error:
        raise RefusedError(nothing) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"{file} is not what 'make run' writes; start it anew") from error
    if not _lives(pid):
        raise RefusedError(nothing)
    region = {"AWS_REGION": known["region"], "AWS_DEFAULT_REGION": known["region"]}
    functions = {name: known[name] for name in (*OUTPUTS.values(), "PROJECTS_DIR")}
    return Place(
        name=known["url"],
        settings=settings.read({**functions, "ENVIRONMENT": "local"}),
        environ={**variables, **NEVER_REAL, **region, "AWS_ENDPOINT_URL": known["endpoint"], "ENVIRONMENT": "local"},
        is_local=True,
    )


def _stack(name: str) -> Place:
    try:
        stack = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except Exception as error:
        if _code(error) == "ValidationError":
            raise RefusedError(f"there is no stack '{name}' in this account and region; see --region") from error
        raise
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
    missing = [output for output in OUTPUTS if not outputs.get(output)]
    if missing:
        raise RefusedError(f"the stack '{name}' is none of Gatehouse's: it has no output {', '.join(missing)}")
    variables = {variable: outputs[output] for output, variable in OUTPUTS.items()}
    return Place(name=f"the stack {name}", settings=settings.read({**variables, **_projects(os.environ)}))


def _surroundings(environ: Mapping[str, str]) -> Place:
    if not any(environ.get(name) for name in OUTPUTS.values()):
        raise MisuseError(THREE_WAYS)
    known = {name: environ.get(name, "") for name in OUTPUTS.values()}
    return Place(name="the environment's gateway", settings=settings.read({**known, **_projects(environ)}))


def projects_folder(given: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the folder of project files: the one that was *given*, PROJECTS_DIR, or that of this project."""
    return given or Path(environ.get("PROJECTS_DIR") or PROJECTS)


def _projects(environ: Mapping[str, str]) -> dict[str, str]:
    return {"PROJECTS_DIR": str(projects_folder(None, environ))}


def _with_projects(place: Place, given: Path | None) -> Place:
    if given is None:
        return place
    return replace(place, settings=replace(place.settings, projects_dir=given))


def _region(region: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what sets the region, for boto3 (AWS_DEFAULT_REGION) as for the functions (AWS_REGION)."""
    named = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return {"AWS_REGION": named, "AWS_DEFAULT_REGION": named} if named else {}


@contextmanager
def environment(changes: Mapping[str, str], without: str = "") -> Iterator[None]:
    """Have *changes* in the environment meanwhile, and nothing else that begins with *without*, if that is said."""
    before = dict(os.environ)
    if without:
        for name in [name for name in os.environ if name.startswith(without)]:
            del os.environ[name]
    os.environ.update(changes)
    _forget_clients()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        _forget_clients()


def _forget_clients() -> None:
    """Forget what was made in another environment: clients, and the session with its credentials behind them."""
    client.cache_clear()
    boto3: Any = sys.modules.get("boto3")
    if boto3:
        boto3.DEFAULT_SESSION = None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return pid > 0


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    code: str = response.get("Error", {}).get("Code", "")
    return code
