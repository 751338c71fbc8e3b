"""What a cold start loads, and which way the package's modules depend on each other (read from their source)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.unit.fakes import ROOT, TARGETS

PACKAGE = ROOT / "layers/gatehouse/gatehouse"
SOURCES = {
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
HEAVY = {
    "fastapi",
    "starlette",
    "pydantic",
    "boto3",
    "botocore",
    "aiohttp",
    "argon2",
    "cryptography",
    "urllib3",
    "moto",
    "uvicorn",
    "httptools",
}


# ----------------------------------------------------------------------------------------------------- cold starts


def loads(function: str) -> set[str]:
    """Import functions/{function}/app.py in a fresh interpreter; return the top-level packages it has loaded then."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("COV_", "AWS_", "PYTEST"))},
        **TARGETS,
        "PROJECTS_DIR": str(ROOT / "layers/config/projects"),
        "PYTHONPATH": str(PACKAGE.parent),
        "UPSTREAM_CLIENT": "buffered",
        "GATEWAY_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x",
        "ADMINS_BUCKET": "admins",
    }
    code = (
        "import sys; import app; app.handler;"
        # powertools imports the front page of botocore, which is nothing; what costs is behind it.
        "print(*{name.partition('.')[0] for name, module in sys.modules.items() if module and name != 'botocore'})"
    )
    folder = ROOT / "functions" / function
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("function", "never"),
    [
        ("proxy", HEAVY),
        ("status", HEAVY | {"prometheus_client"}),
        ("login", {"aiohttp", "boto3", "botocore", "moto", "uvicorn"}),
        ("guest", {"aiohttp", "argon2", "boto3", "botocore", "cryptography", "moto", "uvicorn"}),
        ("tokens", {"aiohttp", "argon2", "boto3", "botocore", "cryptography", "moto", "uvicorn"}),
    ],
)
def test_a_cold_start_loads_nothing_that_its_function_does_not_need(function: str, never: set[str]) -> None:
    """Each of these costs 50 to 480 ms before the first answer."""
    loaded = loads(function)
    assert "gatehouse" in loaded
    assert loaded & never == set()


@pytest.mark.parametrize("package", ["pyjwt", "typer", "boto3", "botocore", "uvloop", "moto"])
def test_the_layer_does_not_carry_what_no_function_needs_from_it(package: str) -> None:
    locked = (PACKAGE.parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in locked if line.startswith(f"{package}==")]


# ---------------------------------------------------------------------------------------------- which way they point


@cache
def imported(path: Path) -> set[str]:
    """Every module that the source at *path* imports anywhere in it, functions and TYPE_CHECKING included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for alias in node.names:  # `from package import module` is about the module
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in SOURCES else node.module or "")
    return found


def ours(module: str) -> set[str]:
    """The modules of the package that *module* imports, by their name in it; `from gatehouse import x` names x."""
    names = imported(SOURCES[module])
    return {name.removeprefix("gatehouse.") for name in names if name in SOURCES and name != "gatehouse"}


def below(names: set[str], *tops: str) -> set[str]:
    """Those of *names* that are one of *tops* or inside one."""
    return {name for name in names if name.partition(".")[0] in tops}


@pytest.mark.parametrize(
    "module", [name for name in SOURCES if name.startswith(("gatehouse.stages", "gatehouse.credentials"))]
)
def test_stages_and_credentials_know_nothing_of_what_puts_them_together(module: str) -> None:
    hosts = ("build", "kit", "providers", "settings", "web", "edge", "lambda_http")
    assert not below(ours(module), *hosts, "stores", "accounts", "passwords")


@pytest.mark.parametrize(
    ("module", "may"), [("headers", set()), ("call", {"headers"}), ("errors", {"call", "headers"})]
)
def test_values_and_errors_are_at_the_bottom(module: str, may: set[str]) -> None:
    assert ours(f"gatehouse.{module}") <= may


@pytest.mark.parametrize(
    "module",
    [
        "paths",
        "hygiene",
        "durations",
        "routes",
        "cors",
        "jose",
        "keys",
        "weak_secrets",
        "asymmetric",
        "signatures",
        "jwks",
        "key_states",
        "rotation",
        "grants",
        "tokens",
        "keyring",
        "logs",
        "clock",
        "lambda_answer",
        "claims",
        "templates",
        "addresses",
        "asking",
        "auth_answers",
        "canonical",
        "circuit",
        "cookies",
        "counting",
        "credentials_of",
        "foreign_claims",
        "foreign_keys",
        "foreign_tokens",
        "jwk_set",
        "kept",
        "memberships",
        "named_secrets",
        "published_keys",
        "rate_fields",
        "route_limits",
        "sealed",
        "visitors",
    ],
)
def test_pure_modules_know_neither_stages_nor_hosts(module: str) -> None:
    tops = ("build", "kit", "settings", "web", "edge", "lambda_http", "stages", "stores", "upstreams", "credentials")
    assert not below(ours(f"gatehouse.{module}"), *tops)


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_nothing_in_the_package_imports_a_function_or_the_local_runner(module: str) -> None:
    assert not {name.partition(".")[0] for name in imported(SOURCES[module])} & {"functions", "local", "app", "tests"}


POWERTOOLS = "aws_lambda_powertools"
"""As `from aws_lambda_powertools import Logger` names it."""
READS_EVENTS = {"gatehouse.lambda_http", "gatehouse.rest_event"}
MAKES_EVENTS = {"gatehouse.upstreams.function_event", "gatehouse.upstreams.function_answer"}


@pytest.mark.parametrize("module", sorted(SOURCES.keys() - READS_EVENTS - MAKES_EVENTS))
def test_the_shape_of_aws_events_is_known_only_where_they_are_read_and_where_functions_are_invoked(module: str) -> None:
    assert not {
        name
        for name in imported(SOURCES[module])
        if name.partition(".")[0] in {"mangum", "aws_lambda_powertools"}
        and "logging" not in name
        and name != POWERTOOLS
    }
    words = {
        node.value
        for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }
    assert not words & {"httpMethod", "requestContext", "multiValueHeaders", "isBase64Encoded", "rawPath", "statusCode"}


@pytest.mark.parametrize(
    "module", sorted(name for name in SOURCES.keys() - {"gatehouse.web"} if not name.startswith("gatehouse.api"))
)
def test_fastapi_is_known_where_the_gateways_own_addresses_are_and_nowhere_else(module: str) -> None:
    assert not {name.partition(".")[0] for name in imported(SOURCES[module])} & {"fastapi", "starlette", "pydantic"}


def test_settings_are_read_by_those_who_put_things_together_and_by_nobody_else() -> None:
    readers = {name for name in SOURCES if "settings" in ours(name)}
    assert {name for name in readers if not name.startswith("gatehouse.cli")} <= {"gatehouse.kit"}


def test_the_command_line_is_for_operators_and_no_function_knows_it() -> None:
    others = {name for name in SOURCES if not name.startswith(("gatehouse.cli", "gatehouse.__main__"))}
    assert not {name for name in others if below(ours(name), "cli")}
    assert not {name for name in others if "typer" in {one.partition(".")[0] for one in imported(SOURCES[name])}}


def test_no_module_depends_on_itself_by_a_detour() -> None:
    edges = {name.removeprefix("gatehouse."): ours(name) for name in SOURCES if name != "gatehouse"}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in edges.get(name, set()):
                visit(other, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())
