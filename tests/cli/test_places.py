"""Where a command works: never at a gateway that nobody named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from gatehouse.cli import place
from gatehouse.stores.clients import client as cached
from local import running
from local.house import House
from tests.cli.conftest import Run, invoke

STACK = "gatehouse-test"
LIST = ("admin", "list", "--json")


@pytest.fixture
def aws(house: House) -> dict[str, str]:
    """The environment of somebody with credentials, where AWS is the gateway's stores in process."""
    endpoint = house.environment()["AWS_ENDPOINT_URL"]
    return {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


@pytest.fixture(scope="module")
def stacks(house: House) -> Iterator[None]:
    """Two stacks: one of ours, and one that is none."""
    import boto3

    environ = house.environment()
    session = boto3.Session("local", "local", region_name="us-east-1")
    cloudformation = session.client("cloudformation", endpoint_url=environ["AWS_ENDPOINT_URL"])
    values = {output: environ[variable] for output, variable in place.OUTPUTS.items()}
    for name, outputs in ((STACK, values), ("another", {"Url": "https://x"})):
        template = {
            "Resources": {"Some": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": f"{name}-some"}}},
            "Outputs": {key: {"Value": value} for key, value in outputs.items()},
        }
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    yield
    for name in (STACK, "another"):
        cloudformation.delete_stack(StackName=name)


def admins(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return [one["username"] for one in json.loads(result.stdout)["admins"]]


def test_a_stack_is_found_by_its_outputs(stacks: None, aws: dict[str, str]) -> None:
    assert admins(invoke(*LIST, "--stack", STACK, "--region", "us-east-1", **aws)) == ["ada"]
    named = {**aws, "GATEHOUSE_STACK": STACK, "AWS_REGION": "us-east-1"}
    assert admins(invoke(*LIST, **named)) == ["ada"]


def test_at_a_stack_the_operator_is_who_aws_says(stacks: None, aws: dict[str, str]) -> None:
    result = invoke(
        "token", "revoke", "deadbeef", "--unregistered", "--json", "--stack", STACK, "--region", "us-east-1", **aws
    )
    assert json.loads(result.stdout)["revokedBy"].startswith("arn:aws:sts::123456789012:")
    assert '"who":"arn:aws:sts::123456789012:' in result.stderr


def test_where_aws_does_not_say_who_it_is_the_machine_does(
    house: House, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "olga")
    environ = house.environment()
    variables = {name: environ[name] for name in ("TOKENS_TABLE", "GATEWAY_SECRET_ARN")}
    nowhere = {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"}
    words = ("token", "revoke-all", "--subject", "nobody", "--reason", "x", "--yes", "--json")
    result = invoke(*words, **aws, **variables, **nowhere)
    assert (result.exit_code, json.loads(result.stdout)["revokedBy"]) == (0, "olga@local")


def test_a_stack_that_cannot_be_asked_for_is_not_called_missing(aws: dict[str, str]) -> None:
    down = {**aws, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "us-east-1"}
    result = invoke(*LIST, "--stack", STACK, **down)
    assert (result.exit_code, "AWS does not answer" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("name", "says"), [("missing", "there is no stack 'missing'"), ("another", "no output TokensTableName")]
)
def test_a_stack_that_is_none_of_ours_is_named(stacks: None, aws: dict[str, str], name: str, says: str) -> None:
    result = invoke(*LIST, "--stack", name, "--region", "us-east-1", **aws)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr


def test_the_functions_own_variables_are_a_place(house: House, aws: dict[str, str]) -> None:
    environ = house.environment()
    variables = {name: environ[name] for name in place.OUTPUTS.values()}
    assert admins(invoke(*LIST, **aws, **variables, AWS_REGION="us-east-1")) == ["ada"]


def test_a_variable_that_a_command_needs_is_asked_for(aws: dict[str, str]) -> None:
    result = invoke(*LIST, **aws, TOKENS_TABLE="t", AWS_REGION="us-east-1")
    assert (result.exit_code, "ADMINS_BUCKET is not set" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "words", [LIST, ("token", "list"), ("token", "show", "j"), ("keys", "show"), ("admin", "remove", "ada", "--yes")]
)
def test_without_a_place_the_three_ways_are_said(words: tuple[str, ...]) -> None:
    result = invoke(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    for way in ("--stack NAME", "--local", "TOKENS_TABLE, CACHE_TABLE, ADMINS_BUCKET, GATEWAY_SECRET_ARN"):
        assert way in result.stderr


@pytest.mark.parametrize("more", [["--stack", "x"], ["--region", "eu-west-1"]])
def test_two_places_at_once_are_a_misuse(cli: Run, more: list[str]) -> None:
    assert cli(*LIST, *more).exit_code == 2


def test_local_is_stronger_than_a_stack_that_the_environment_names(cli: Run) -> None:
    assert admins(cli(*LIST, GATEHOUSE_STACK="never-asked")) == ["ada"]


def test_with_local_nothing_of_a_real_account_is_used(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    true = place._with_projects

    def look(found: place.Place, given: Path | None) -> place.Place:
        seen.update(os.environ)
        return true(found, given)

    monkeypatch.setattr(place, "_with_projects", look)
    real = {
        "AWS_PROFILE": "prod",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_S3": "https://s3",
        "AWS_ROLE_ARN": "r",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
    }
    assert admins(cli(*LIST, **real)) == ["ada"]
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ROLE_ARN"} & seen.keys()
    assert (seen["AWS_ACCESS_KEY_ID"], seen["AWS_SHARED_CREDENTIALS_FILE"]) == ("local", os.devnull)


def test_the_environment_is_as_it_was_after_a_command(cli: Run) -> None:
    before = dict(os.environ)
    cli(*LIST)
    assert dict(os.environ) == before
    assert cached.cache_info().currsize == 0


@pytest.fixture
def note(state: Path, tmp_path: Path) -> Callable[..., str]:
    """Write a note of something running that differs from the true one."""

    def write(**changes: Any) -> str:
        text = json.loads((state / running.NAME).read_text())
        (tmp_path / running.NAME).write_text(json.dumps({**text, **changes}))
        return str(tmp_path)

    return write


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("pid", [dead_pid, lambda: 0, lambda: -1])
def test_what_has_ended_is_not_running(note: Callable[..., str], pid: Callable[[], int]) -> None:
    result = invoke(*LIST, "--local", GATEHOUSE_STATE=note(pid=pid()))
    assert (result.exit_code, "start it with 'make run'" in result.stderr) == (1, True)


def test_without_a_note_nothing_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*LIST, "--local", GATEHOUSE_STATE=None)
    assert (result.exit_code, "nothing is running here (.gatehouse/running.json)" in result.stderr) == (1, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"pid": "x"}'])
def test_a_note_that_is_none_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / running.NAME).write_text(text)
    result = invoke(*LIST, "--local", GATEHOUSE_STATE=str(tmp_path))
    assert (result.exit_code, "start it anew" in result.stderr) == (1, True)


def test_another_users_note_is_not_believed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place.os, "getuid", lambda: 4711)
    result = invoke(*LIST, "--local", GATEHOUSE_STATE=str(state))
    assert (result.exit_code, "another user's" in result.stderr) == (1, True)


def test_a_note_cannot_bring_credentials_or_a_profile(note: Callable[..., str]) -> None:
    where = note(variables={"AWS_PROFILE": "evil", "BUILD_SERVICE_URL": "http://b"})
    found = place.running({"GATEHOUSE_STATE": where})
    assert "AWS_PROFILE" not in found.environ
    assert found.environ["BUILD_SERVICE_URL"] == "http://b"


def test_a_process_of_somebody_else_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_ours(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(place.os, "kill", not_ours)
    assert place._lives(1) is True


def test_the_note_is_readable_by_its_writer_alone_and_goes_with_it(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    file = folder / running.NAME
    with running.noted("http://x", house.environment(), ["BUILD_SERVICE_URL", "UNSET"], folder):
        assert file.stat().st_mode & 0o777 == 0o600
        written = json.loads(file.read_text())
        assert (written["pid"], set(written["variables"])) == (os.getpid(), {"BUILD_SERVICE_URL"})
        assert "SECRET" not in file.read_text().replace("GATEWAY_SECRET_ARN", "")
    assert not file.exists()


@pytest.mark.parametrize("text", ['{"pid": 1}', "[]", "nonsense"])
def test_a_note_that_another_run_has_written_meanwhile_stays(house: House, tmp_path: Path, text: str) -> None:
    with running.noted("http://x", house.environment(), [], tmp_path):
        (tmp_path / running.NAME).write_text(text)
    assert (tmp_path / running.NAME).exists()


def test_a_note_that_somebody_deleted_is_no_failure(house: House, tmp_path: Path) -> None:
    with running.noted("http://x", house.environment(), [], tmp_path):
        (tmp_path / running.NAME).unlink()
