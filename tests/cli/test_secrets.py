"""Named secrets of project files, as operators set them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.cli import hidden, place, secret_names, secrets
from gatehouse.cli.problems import RefusedError
from gatehouse.keys import KeyRingError, parse
from gatehouse.projects import ProjectFileError, load
from gatehouse.rotation import RotationError
from gatehouse.stores.key_ring_secret import KeyRingSecret
from local.house import House
from tests.cli.conftest import Run, audit_lines, invoke, projects

Client = Callable[[str], Any]
KEY, TOKEN = "INTERNAL_GATEWAY_KEY", "CF_AI_GATEWAY_TOKEN"
VALUE = "a-value-that-crows-services-know"
OTHER = "another-value-that-they-know"
RING = {"current": "k", "keys": {"k": {"alg": "HS256", "secret": "kX9vQ2mW7pL4zR8tY1nB6cD3fG5hJ0sA"}}}
PROJECT = """
project: one
routes:
  - {{name: ONE, path: /one, upstream: "http://u", auth: none, set_headers: {{X-Key: "Key ${{secret:{name}}}"}}}}
"""


@pytest.fixture(autouse=True)
def _the_secret_as_it_was(house: House) -> Iterator[None]:
    environ = {**place.NEVER_REAL, **{k: v for k, v in house.environment().items() if k.startswith("AWS_")}}
    yield
    with place.environment(environ, without="AWS_"):
        secret = KeyRingSecret(house.environment()["GATEWAY_SECRET_ARN"])
        assert secret.replace(house._ring, secret.read()[1])


@pytest.fixture
def stored(client: Client, house: House) -> Callable[[], dict[str, Any]]:
    """What the gateway's secret holds now."""
    arn = house.environment()["GATEWAY_SECRET_ARN"]

    def read() -> dict[str, Any]:
        text = client("secretsmanager").get_secret_value(SecretId=arn, VersionStage="AWSCURRENT")["SecretString"]
        found: dict[str, Any] = json.loads(text)
        return found

    return read


def listed(cli: Run, *more: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads(cli("secrets", "list", "--json", *more).stdout)["secrets"]}


# ---------------------------------------------------------------------------------------------------------------- list


def test_the_names_are_listed_with_the_files_that_name_them_and_no_value(cli: Run, house: House) -> None:
    result = cli("secrets", "list")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["NAME", "STATE", "NAMED", "BY"],
        [TOKEN, "ok", "ai-proxy.yaml"],
        [KEY, "ok", "crow.yaml"],
        ["METRICS_TOKEN", "ok", "/metrics"],
        ["SERVICE_API_KEY_ORG_SERVICE", "ok", "crow.yaml"],
    ]
    for value in json.loads(house._ring)["secrets"].values():
        assert value not in result.output


def test_what_is_missing_or_cannot_stand_in_a_header_is_said_with_what_to_do(
    cli: Run, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {TOKEN: "", KEY: "changeme", "SERVICE_API_KEY_ORG_SERVICE": "two\nlines", "UNNAMED": VALUE}
    ring = json.dumps({**json.loads(house._ring), "secrets": held})
    monkeypatch.setattr(secrets.Gate, "ring", lambda _: parse(ring))
    result = cli("secrets", "list")
    assert "'secrets set NAME' gives one its value" in result.stderr
    assert "two" not in result.output
    assert "changeme" not in result.output
    views = listed(cli)
    assert {name: (one["state"], one["reason"]) for name, one in views.items()} == {
        TOKEN: ("missing", None),
        KEY: ("unfit", "is a placeholder"),
        "SERVICE_API_KEY_ORG_SERVICE": ("unfit", "holds a line break, a control character, or spaces around it"),
        "UNNAMED": ("ok", None),
    }
    assert views["UNNAMED"]["namedBy"] == []


def test_a_secret_that_only_a_project_file_knows_is_missing(cli: Run, tmp_path: Path) -> None:
    folder = projects(tmp_path, PROJECT.format(name="NEW_KEY"))
    assert listed(cli, "--projects", str(folder))["NEW_KEY"] == {
        "name": "NEW_KEY", "state": "missing", "reason": None, "namedBy": ["one.yaml"],
    }  # fmt: skip


def test_files_that_cannot_be_read_are_named_and_the_others_are_read(cli: Run, tmp_path: Path) -> None:
    projects(tmp_path, PROJECT.format(name="NEW_KEY"))
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "latin.yml").write_bytes(b"a: \xff")
    (tmp_path / "endless.yaml").write_text(PROJECT.format(name="TOO_LONG") + "#" * 262_144)
    result = cli("secrets", "list", "--projects", str(tmp_path))
    for name in ("broken.yaml", "latin.yml", "endless.yaml"):
        assert f"{tmp_path / name} cannot be read" in result.stderr
    assert "NEW_KEY" in result.stdout
    assert "TOO_LONG" not in result.stdout
    assert len(json.loads(cli("secrets", "list", "--json", "--projects", str(tmp_path)).stdout)["unread"]) == 3


def test_a_folder_that_is_not_there_does_not_hide_what_is_kept(cli: Run, tmp_path: Path) -> None:
    result = cli("secrets", "list", "--projects", str(tmp_path / "nowhere"))
    assert (result.exit_code, KEY in result.stdout) == (0, True)
    assert "say --projects DIR" in result.stderr


def test_nothing_to_list_is_said(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets.Gate, "ring", lambda _: parse(json.dumps(RING)))
    result = cli("secrets", "list", "--projects", str(projects(tmp_path, "project: one\nroutes: []\n")))
    assert result.stdout == "there is no secret, and no project file names one\n"
    assert result.stderr == ""


def test_what_stands_in_a_comment_names_nothing_and_one_file_is_named_once(tmp_path: Path) -> None:
    text = PROJECT.format(name="ONE") + "    # ${secret:TWO}\n" + PROJECT.format(name="ONE").partition("routes:\n")[2]
    assert secret_names.named(projects(tmp_path, text)).files == {"ONE": ("one.yaml",)}


# ----------------------------------------------------------------------------------------------------------------- set


def test_a_value_is_asked_for_twice_where_nobody_sees_it(cli: Run, stored: Callable[[], Any]) -> None:
    before = stored()
    result = cli("secrets", "set", KEY, stdin=f"{VALUE}\n{VALUE}\n")
    assert result.exit_code == 0, result.stderr
    assert VALUE not in result.output
    assert stored() == {**before, "secrets": {**before["secrets"], KEY: VALUE}}
    done = f"{KEY} is replaced at http://127.0.0.1:3000; running functions notice within 5 minutes\n"
    assert result.stdout.lstrip() == done  # what is asked goes elsewhere; a line break of the runner's does not
    assert "started anew, 'make run' has its own again" in result.stderr


def test_two_different_values_are_asked_for_again(cli: Run, stored: Callable[[], Any]) -> None:
    before = stored()
    result = cli("secrets", "set", KEY, stdin=f"{VALUE}\n{OTHER}\n")
    assert (result.exit_code, stored()) == (1, before)
    assert "do not match" in result.stderr


@pytest.mark.parametrize("words", [["--stdin"], ["-"], ["-", "--stdin"]])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_value_comes_from_standard_input_without_the_line_break_at_its_end(
    cli: Run, stored: Callable[[], Any], words: list[str], end: str
) -> None:
    assert cli("secrets", "set", KEY, *words, stdin=VALUE + end).exit_code == 0
    assert stored()["secrets"][KEY] == VALUE


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("changeme", "is a placeholder"),
        ("your-secret-here", "is a placeholder"),
        ("----", "is a placeholder"),
        ("one line\nand another", "holds a line break"),
        ("a single line\n\n", "holds a line break"),
        ("a bell \x07 rings", "control character"),
        (" a value with a space before", "spaces around it"),
        ("a value with a space behind ", "spaces around it"),
        ("a value \udcff of bytes", "not text in UTF-8"),
        ("x" * 8193, "longer than 8192 bytes"),
        ("é" * 4097, "longer than 8192 bytes"),
        ("x" * 100_000, "longer than 8192 bytes"),
    ],
)
def test_what_no_header_can_hold_is_refused_and_not_repeated(
    cli: Run, stored: Callable[[], Any], value: str, says: str
) -> None:
    before = stored()
    result = cli("secrets", "set", KEY, "--stdin", stdin=value.encode(errors="surrogateescape"))  # type: ignore[arg-type]
    assert (result.exit_code, result.stdout, stored()) == (1, "", before)
    assert says in result.stderr
    assert not value.strip() or value.strip() not in result.stderr
    assert audit_lines(result) == []


@pytest.mark.parametrize("value", ["x" * 8192, "é" * 4096, "k", "a value with spaces", "schlüssel-für-crow"])
def test_what_a_header_can_hold_is_taken_as_it_is(cli: Run, stored: Callable[[], Any], value: str) -> None:
    assert cli("secrets", "set", "NEW_KEY", "--stdin", stdin=value).exit_code == 0
    assert stored()["secrets"]["NEW_KEY"] == value


@pytest.mark.parametrize("words", [[VALUE], ["-", VALUE], [VALUE, "-"], ["two", VALUE], ["-", "-"]])
def test_a_value_among_the_arguments_is_refused_and_not_repeated(
    cli: Run, stored: Callable[[], Any], words: list[str]
) -> None:
    before = stored()
    result = cli("secrets", "set", KEY, *words, stdin=f"{OTHER}\n{OTHER}\n")
    assert (result.exit_code, result.stdout, stored()) == (2, "", before)
    assert "a value is no argument" in result.stderr
    assert VALUE not in result.output


@pytest.mark.parametrize(
    "name", ["", "9LIVES", "A-B", "A B", "A.B", "ÄB", "A\n", "${secret:A}", f"A={VALUE}", "A" * 129]
)
def test_a_name_that_is_none_is_refused_before_anything_is_asked(cli: Run, name: str) -> None:
    result = cli("secrets", "set", name, stdin="never read\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "a secret's name is letters, digits and _" in result.stderr
    assert VALUE not in result.output


@pytest.mark.parametrize("name", ["A", "_", "a_9", "A" * 128, "9", "A-B", "ÄB", "A" * 129])
def test_the_names_that_can_be_set_are_those_that_project_files_can_write(tmp_path: Path, name: str) -> None:
    folder = projects(tmp_path, PROJECT.format(name=name))
    try:
        load(folder, {}, {name: VALUE})
    except ProjectFileError:
        can_be_written = False
    else:
        can_be_written = True
    assert bool(secrets.re.fullmatch(secret_names.NAME, name)) is can_be_written


def test_a_value_is_made_and_printed_once(cli: Run, stored: Callable[[], Any]) -> None:
    result = cli("secrets", "set", KEY, "--generate")
    made = result.stdout.removesuffix("\n")
    assert stored()["secrets"][KEY] == made
    assert len(made) == 48
    assert made not in result.stderr
    assert f"{KEY} is replaced at" in result.stderr
    assert made not in cli("secrets", "list").output
    again = json.loads(cli("secrets", "set", "NEW_KEY", "--generate", "--json").stdout)
    assert again == {"name": "NEW_KEY", "replaced": False, "namedBy": [], "secret": stored()["secrets"]["NEW_KEY"]}
    assert again["secret"] != made


def test_without_generate_programs_are_not_told_the_value_either(cli: Run) -> None:
    result = cli("secrets", "set", KEY, "--stdin", "--json", stdin=VALUE)
    assert json.loads(result.stdout) == {"name": KEY, "replaced": True, "namedBy": ["crow.yaml"]}


def test_a_value_is_either_made_or_brought(cli: Run, stored: Callable[[], Any]) -> None:
    before = stored()
    result = cli("secrets", "set", KEY, "--generate", "-", stdin=VALUE)
    assert (result.exit_code, result.stdout, stored()) == (2, "", before)
    assert "say one of them" in result.stderr


def test_a_name_that_no_project_file_has_is_set_and_the_near_one_is_named(cli: Run, stored: Callable[[], Any]) -> None:
    result = cli("secrets", "set", "INTERNAL_GATWAY_KEY", "--stdin", stdin=VALUE)
    assert stored()["secrets"]["INTERNAL_GATWAY_KEY"] == VALUE
    assert f"no project file names INTERNAL_GATWAY_KEY (did you mean {KEY}?)" in result.stderr
    assert "no project file names ZZZ\n" in cli("secrets", "set", "ZZZ", "--stdin", stdin=VALUE).stderr


def test_where_files_cannot_be_read_nobody_says_that_none_names_it(cli: Run, tmp_path: Path) -> None:
    result = cli("secrets", "set", "ZZZ", "--stdin", "--projects", str(projects(tmp_path, "a: [")), stdin=VALUE)
    assert "cannot be read" in result.stderr
    assert "no project file names" not in result.stderr


def test_without_a_terminal_the_way_out_is_said(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(*_: object, **__: object) -> str:
        warnings.warn("it is seen", hidden.GetPassWarning, stacklevel=1)
        return VALUE

    monkeypatch.setattr(typer, "prompt", seen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = cli("secrets", "set", KEY)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "say --stdin" in result.stderr


def test_a_stack_is_not_told_about_make_run(house: House) -> None:
    variables = {name: house.environment()[name] for name in place.OUTPUTS.values()}
    aws = {k: v for k, v in house.environment().items() if k.startswith("AWS_")}
    result = invoke("secrets", "set", KEY, "--stdin", stdin=VALUE, GATEHOUSE_STACK=None, **variables, **aws)
    assert result.exit_code == 0, result.stderr
    assert "make run" not in result.output


# -------------------------------------------------------------------------------------------------------------- remove


def test_a_secret_that_nobody_names_is_removed_without_a_question(cli: Run, stored: Callable[[], Any]) -> None:
    before = stored()
    cli("secrets", "set", "OLD_KEY", "--stdin", stdin=VALUE)
    result = cli("secrets", "remove", "OLD_KEY")
    assert (result.exit_code, stored()) == (0, before)
    assert result.stdout == "OLD_KEY is removed; running functions notice within 5 minutes\n"


@pytest.mark.parametrize(("words", "stdin"), [([], "y\n"), (["--yes"], ""), (["-y", "--json"], "")])
def test_a_secret_that_a_project_file_names_is_removed_if_that_is_meant(
    cli: Run, stored: Callable[[], Any], words: list[str], stdin: str
) -> None:
    result = cli("secrets", "remove", KEY, *words, stdin=stdin)
    assert (result.exit_code, KEY in stored()["secrets"]) == (0, False)
    assert ("It is named in crow.yaml: without it, routes that need it answer 503" in result.stderr) is (not words)
    assert listed(cli)[KEY]["state"] == "missing"
    if "--json" in words:
        assert json.loads(result.stdout) == {"name": KEY, "removed": True}


def test_the_token_of_metrics_is_the_gateways_own(cli: Run, stored: Callable[[], Any]) -> None:
    assert listed(cli)["METRICS_TOKEN"]["namedBy"] == ["/metrics"]
    replaced = cli("secrets", "set", "METRICS_TOKEN", "--generate")
    assert (replaced.exit_code, "no project file names" in replaced.stderr) == (0, False)
    result = cli("secrets", "remove", "METRICS_TOKEN", stdin="n\n")
    assert (result.exit_code, "METRICS_TOKEN" in stored()["secrets"]) == (1, True)
    assert "only administrators can" in result.stderr


@pytest.mark.parametrize("stdin", ["n\n", "\n", ""])
def test_a_secret_is_kept_unless_somebody_says_yes(cli: Run, stored: Callable[[], Any], stdin: str) -> None:
    before = stored()
    result = cli("secrets", "remove", KEY, stdin=stdin)
    assert (result.exit_code, "removed" in result.output, stored()) == (1, False, before)


def test_where_files_cannot_be_read_the_question_is_asked(cli: Run, stored: Callable[[], Any], tmp_path: Path) -> None:
    folder = str(projects(tmp_path, "a: ["))
    result = cli("secrets", "remove", KEY, "--projects", folder, stdin="n\n")
    assert (result.exit_code, KEY in stored()["secrets"]) == (1, True)
    assert "cannot be read" in result.stderr


def test_what_is_not_there_cannot_be_removed(cli: Run) -> None:
    result = cli("secrets", "remove", "NOPE", "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no secret 'NOPE'; 'secrets list' shows those there are" in result.stderr


# ----------------------------------------------------------------------------------------------- with others meanwhile


def test_a_change_of_somebody_else_meanwhile_is_kept(
    cli: Run, stored: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    true, calls = KeyRingSecret.replace, 0

    def replace(self: KeyRingSecret, text: str, version_id: str) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:  # somebody else sets another one, and this one as well
            current, version = self.read()
            theirs = secret_names.put(secret_names.put(current, "THEIRS", OTHER), "NEW_KEY", OTHER)
            assert true(self, theirs, version)
        return true(self, text, version_id)

    monkeypatch.setattr(KeyRingSecret, "replace", replace)
    result = cli("secrets", "set", "NEW_KEY", "--stdin", "--json", stdin=VALUE)
    assert calls == 2
    assert (stored()["secrets"]["NEW_KEY"], stored()["secrets"]["THEIRS"]) == (VALUE, OTHER)
    assert json.loads(result.stdout)["replaced"] is True
    assert [line["result"] for line in audit_lines(result)] == ["ok"]


@pytest.mark.parametrize("words", [["set", KEY, "--generate"], ["remove", KEY, "--yes"]])
def test_if_somebody_changes_the_secret_all_the_time_the_command_gives_up_and_prints_no_value(
    cli: Run, stored: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    before, calls = stored(), []
    monkeypatch.setattr(KeyRingSecret, "replace", lambda *given: calls.append(given))
    result = cli("secrets", *words)
    assert (result.exit_code, result.stdout, stored(), len(calls)) == (1, "", before, 3)
    assert "somebody else is changing the secret at the same time; see 'secrets list'" in result.stderr
    assert audit_lines(result)[0]["result"] == "refused"


def test_a_secret_that_somebody_else_has_just_removed_is_said_to_be_gone(
    cli: Run, stored: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = KeyRingSecret.read

    def without(self: KeyRingSecret) -> tuple[str, str]:
        text, version = read(self)
        return secret_names.taken_out(text, KEY), version

    monkeypatch.setattr(KeyRingSecret, "read", without)
    result = cli("secrets", "remove", KEY, "--yes")
    assert (result.exit_code, f"no secret '{KEY}'" in result.stderr) == (1, True)
    assert audit_lines(result)[0]["result"] == "refused"


def test_every_change_leaves_one_audit_line_with_the_name_and_not_the_value(cli: Run) -> None:
    results = [
        cli("secrets", "set", KEY, "--stdin", stdin=VALUE),
        cli("secrets", "set", "NEW_KEY", "--generate"),
        cli("secrets", "remove", "NEW_KEY"),
    ]
    lines = [line for result in results for line in audit_lines(result)]
    assert [(line["action"], line["name"], line["result"], line.get("generated"), line.get("replaced"))
            for line in lines] == [
        ("secret set", KEY, "ok", False, True),
        ("secret set", "NEW_KEY", "ok", True, False),
        ("secret remove", "NEW_KEY", "ok", None, None),
    ]  # fmt: skip
    assert all("@local" in line["who"] for line in lines)
    assert VALUE not in "".join(result.output for result in results)


# ------------------------------------------------------------------------------------------------------- in the secret

texts = st.text(max_size=20)
names = st.from_regex(secret_names.NAME, fullmatch=True)


@given(
    st.dictionaries(names, texts, max_size=4), names, texts, st.dictionaries(st.sampled_from(["x", "generated"]), texts)
)
def test_whatever_else_is_in_the_secret_stays(
    held: dict[str, str], name: str, value: str, more: dict[str, str]
) -> None:
    whole = {**RING, **more, "secrets": held}
    written = secret_names.put(json.dumps(whole), name, value)
    assert json.loads(written) == {**whole, "secrets": {**held, name: value}}
    assert json.loads(secret_names.taken_out(written, name))["secrets"] == {
        other: kept for other, kept in held.items() if other != name
    }


def test_a_first_secret_comes_into_a_ring_that_has_none() -> None:
    assert json.loads(secret_names.put(json.dumps(RING), KEY, VALUE)) == {**RING, "secrets": {KEY: VALUE}}
    with pytest.raises(RefusedError, match="there is no secret"):
        secret_names.taken_out(json.dumps(RING), KEY)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": {}}', json.dumps({**RING, "secrets": []})])
def test_what_holds_no_key_ring_is_not_written_over(text: str) -> None:
    with pytest.raises(KeyRingError):
        secret_names.put(text, KEY, VALUE)
    with pytest.raises(KeyRingError):
        secret_names.taken_out(text, KEY)


def test_a_name_that_stands_twice_in_the_secret_is_for_people_to_sort_out() -> None:
    text = json.dumps(RING)[:-1] + f', "secrets": {{"A": "{VALUE}", "A": "{OTHER}"}}}}'
    with pytest.raises(RotationError, match="stands twice") as caught:
        secret_names.put(text, KEY, VALUE)
    assert VALUE not in str(caught.value)


def test_the_secret_does_not_grow_beyond_what_secrets_manager_keeps() -> None:
    room = secret_names.MOST_TEXT - len(secret_names.put(json.dumps(RING), KEY, ""))
    assert len(secret_names.put(json.dumps(RING), KEY, "x" * room)) == 65_536
    with pytest.raises(RefusedError, match="longer than 65536 bytes"):
        secret_names.put(json.dumps(RING), KEY, "x" * (room + 1))
