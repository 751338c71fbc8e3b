"""Whatever goes wrong ends in one line that says what to do, and in the right exit code."""

from __future__ import annotations

import http.client
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from botocore import exceptions

from gatehouse.cli import gate, output, problems
from gatehouse.cli.problems import HalfDoneError, MisuseError, RefusedError, words
from gatehouse.errors import RateLimitedError
from gatehouse.keys import KeyRingError
from gatehouse.rotation import RotationError
from gatehouse.settings import SettingsError
from gatehouse.stores.admins import RecordError
from gatehouse.stores.aws_json import AwsError
from local.house import House
from tests.cli.conftest import ROOT, Run, invoke


def refusal(code: str, message: str = "told") -> exceptions.ClientError:
    return exceptions.ClientError({"Error": {"Code": code, "Message": message}}, "PutItem")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (exceptions.NoCredentialsError(), "there are no AWS credentials here"),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), "not complete"),
        (exceptions.ProfileNotFound(profile="x"), "there is no such AWS profile"),
        (exceptions.NoRegionError(), "Say --region"),
        (exceptions.EndpointConnectionError(endpoint_url="http://x"), "AWS does not answer"),
        (exceptions.ReadTimeoutError(endpoint_url="http://x"), "AWS does not answer"),
        (exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
        (exceptions.ParamValidationError(report="x"), "the AWS client gives up (ParamValidationError)"),
        (refusal("AccessDenied", "User: arn:x is not authorized\n"), "may not do that; ask whoever looks after"),
        (refusal("AccessDeniedException"), "AWS refuses PutItem (AccessDeniedException)"),
        (refusal("ExpiredTokenException"), "have expired"),
        (refusal("UnrecognizedClientException"), "does not know these credentials"),
        (refusal("RequestTimeTooSkewed"), "clock is wrong"),
        (refusal("ResourceNotFoundException"), "is this the right --stack"),
        (refusal("NoSuchBucket"), "is this the right --stack"),
        (refusal("ThrottlingException"), "try again in a moment"),
        (refusal("SomethingNew", "about it"), "AWS refuses PutItem (SomethingNew): about it"),
        (refusal("SomethingNew", ""), "AWS refuses PutItem (SomethingNew)"),
        (AwsError("AccessDeniedException"), "AWS refuses this (AccessDeniedException)"),
        (http.client.RemoteDisconnected(), "AWS does not answer"),
        (ConnectionRefusedError(), "AWS does not answer"),
        (TimeoutError(), "AWS does not answer"),
        (RefusedError("no"), "no"),
        (HalfDoneError("half"), "half"),
        (MisuseError("so"), "so"),
        (RotationError("early"), "early"),
        (KeyRingError("weak"), "weak"),
        (SettingsError("wrong"), "wrong"),
        (RecordError("broken"), "broken; 'admin remove' takes it away"),
        (RateLimitedError("slow"), "slow"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_says_what_to_do(error: Exception, says: str) -> None:
    assert says in words(error)
    assert "\n" not in words(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("x"), 1),
        (HalfDoneError("x"), 1),
        (MisuseError("x"), 2),
        (typer.BadParameter("x"), 2),
        (typer.Abort(), 1),
        (exceptions.NoCredentialsError(), 1),
        (RotationError("x"), 1),
        (ZeroDivisionError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_the_exit_code_tells_a_refusal_from_a_misuse(error: Exception, code: int) -> None:
    def fail() -> None:
        raise error

    assert problems.run(fail) == code


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (130, 130), ("text", 0)])
def test_what_a_command_returns_may_be_its_exit_code(returned: object, code: int) -> None:
    assert problems.run(lambda: returned) == code


def test_a_defect_of_ours_is_one_line_without_what_was_being_worked_on(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError("the-secret-that-it-was-working-on")

    monkeypatch.setattr("gatehouse.stores.admins.AdminRecords.names", broken)
    result = cli("admin", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "a defect of this command: ValueError at test_problems.py:" in result.stderr
    assert "the-secret" not in result.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["admin", "--help"], 0),
        (["keys", "retire", "--help"], 0),
        ([], 2),
        (["admin"], 2),
        (["nope"], 2),
        (["check", "a", "b"], 2),
        (["token", "list", "--limit", "many"], 2),
        (["admin", "add"], 2),
    ],
)
def test_misuse_is_explained_on_standard_error(words: list[str], code: int) -> None:
    result = invoke(*words)
    assert result.exit_code == code
    assert ("python -m gatehouse" in (result.stderr if code else result.stdout)) is True
    assert (result.stdout == "") is bool(code)


@pytest.mark.parametrize("command", [("admin", "list"), ("token", "list"), ("keys", "show")])
def test_aws_that_is_down_is_one_line(house: House, command: tuple[str, ...]) -> None:
    environ = {name: value for name, value in house.environment().items() if not name.startswith("AWS_")}
    down = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    result = invoke(*command, **{**environ, **down, "AWS_REGION": "us-east-1"})
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("gatehouse: AWS does not answer")
    assert result.stderr.count("\n") == 1


def test_without_credentials_it_says_how_to_get_some(house: House, tmp_path: Path) -> None:
    environ = {name: value for name, value in house.environment().items() if not name.startswith("AWS_")}
    nobody = {
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": None,
        "AWS_SECRET_ACCESS_KEY": None,
    }
    result = invoke("admin", "list", **{**environ, **nobody})
    assert result.exit_code == 1
    assert "there are no AWS credentials here" in result.stderr, result.stderr


def test_an_operator_without_a_name_is_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError

    monkeypatch.setattr(gate.getpass, "getuser", nobody)
    assert gate._person() == "operator@local"


def test_without_typer_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from gatehouse.__main__ import main; main(['check'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "layers/gatehouse")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("gatehouse: the command line needs Typer")
    assert "Traceback" not in done.stderr


def test_the_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gatehouse", "check", str(ROOT / "layers/config/projects")],
        env={"PYTHONPATH": str(ROOT / "layers/gatehouse")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "metacogna: " in done.stdout, done.stderr) == (0, True, "")


def test_a_table_is_aligned_and_shows_control_characters() -> None:
    assert output.table(("A", "LONG"), [("xyz", None), ("", "a\tb")]) == "A    LONG\nxyz  -\n-    a\\tb"
    assert output.facts([("a", "1\n2"), ("long", True)]) == "a     1\n      2\nlong  true"
