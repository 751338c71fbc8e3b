"""`admin …`: who may log in."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Annotated, Any

import typer

from gatehouse import passwords
from gatehouse.cli import new_passwords
from gatehouse.cli.gate import Gate
from gatehouse.cli.options import Yes, at_a_gateway, examples
from gatehouse.cli.output import Said, table
from gatehouse.cli.problems import HalfDoneError, RefusedError, words
from gatehouse.logins import USERNAME
from gatehouse.projects.checks import NAME
from gatehouse.stores.admins import AdminRecord, RecordError
from gatehouse.tokens import GUEST

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who may log in: administrators and passwords.")


def _username(value: str) -> str:
    if not re.fullmatch(USERNAME, value):
        raise typer.BadParameter("a username is 1 to 64 of a-z 0-9 . _ - and begins with a letter or digit")
    return value


def _new_username(value: str) -> str:
    if value == GUEST:
        raise typer.BadParameter(f"'{GUEST}' is what guests are called; choose another name")
    return _username(value)


def _role(value: str) -> str:
    if not re.fullmatch(NAME, value) or value == GUEST:
        raise typer.BadParameter(f"a role is a name of letters, digits, _ and -, and not '{GUEST}'")
    return value


NewUsername = Annotated[str, typer.Argument(metavar="USERNAME", callback=_new_username, help="What they log in as.")]
Username = Annotated[str, typer.Argument(metavar="USERNAME", callback=_username, help="What they log in as.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Take the password from standard input: a line.")]
Role = Annotated[
    str,
    typer.Option("--role", metavar="ROLE", callback=_role, help="'admin' may also issue and revoke tokens."),
]


@app.command(
    epilog=examples("admin add grace --stack gatehouse-prod", "admin add grace --local --password-stdin < FILE")
)
@at_a_gateway
def add(gate: Gate, username: NewUsername, role: Role = "admin", password_stdin: FromStdin = False) -> Said:
    """Let somebody new log in. The password is asked for twice; it is never an argument."""
    records = gate.admins
    password = new_passwords.new(username, from_stdin=password_stdin)
    record = AdminRecord(username=username, role=role, hash=passwords.hashed(password))
    with gate.audited("admin add", username=username, role=role):
        if not records.create(record):
            raise RefusedError(f"there is an administrator '{username}' already; 'admin passwd' gives a new password")
    document = {"username": username, "role": role, "created": True}
    return Said(document=document, text=f"{username} can log in at {gate.place.name}, with the role {role}")


@app.command(epilog=examples("admin passwd grace --stack gatehouse-prod"))
@at_a_gateway
def passwd(gate: Gate, username: Username, password_stdin: FromStdin = False) -> Said:
    """Give an administrator a new password, and revoke every token that was issued to them before."""
    records = gate.admins
    record = records.get(username)
    if record is None:
        raise RefusedError(_nobody(username))
    password = new_passwords.new(username, from_stdin=password_stdin)
    changed = replace(record, hash=passwords.hashed(password), salt="")
    with gate.audited("admin passwd", username=username):
        if not records.replace(changed):
            raise RefusedError(f"somebody else has just changed the record of '{username}'; try again")
        before = _revoke_all(gate, username, "The password is changed", reason="password changed")
    document = {"username": username, "changed": True, "revokedBefore": before}
    return Said(document=document, text=f"{username} has a new password; what was issued before {before} is revoked")


@app.command(epilog=examples("admin remove grace --stack gatehouse-prod"))
@at_a_gateway
def remove(gate: Gate, username: Username, yes: Yes = False) -> Said:
    """Take an administrator's login away, and revoke every token that was issued to them."""
    records = gate.admins
    if not _is_there(gate, username):
        raise RefusedError(_nobody(username))
    if not yes:
        typer.confirm(f"Remove the administrator {username} of {gate.place.name}?", abort=True, err=True)
    with gate.audited("admin remove", username=username):
        records.remove(username)
        before = _revoke_all(gate, username, "The administrator is removed", reason="administrator removed")
    document = {"username": username, "removed": True, "revokedBefore": before}
    return Said(document=document, text=f"{username} is removed; what was issued before {before} is revoked")


@app.command("list", epilog=examples("admin list --stack gatehouse-prod"))
@at_a_gateway
def find(gate: Gate) -> Said:
    """List who may log in."""
    found = [_view(gate, username) for username in gate.admins.names()]
    rows = [(one["username"], one["role"], one["password"]) for one in found]
    text = table(("USERNAME", "ROLE", "PASSWORD"), rows) if rows else "nobody may log in; 'admin add' lets somebody"
    return Said(document={"admins": found}, text=text)


def _view(gate: Gate, username: str) -> dict[str, Any]:
    broken = {"username": username, "role": None, "password": "broken record"}
    if not re.fullmatch(USERNAME, username):
        return broken
    try:
        record = gate.admins.get(username)
    except RecordError:
        return broken
    if record is None:  # removed meanwhile
        return broken
    kind = "argon2id" if passwords.is_current(record.hash) else "old hash"
    return {"username": username, "role": record.role, "password": kind}


def _is_there(gate: Gate, username: str) -> bool:
    """Say whether there is a record of *username*, if only a broken one: that can be removed, too."""
    try:
        return gate.admins.get(username) is not None
    except RecordError:
        return True


def _nobody(username: str) -> str:
    return f"there is no administrator '{username}'; 'admin list' shows those there are"


def _revoke_all(gate: Gate, username: str, done: str, *, reason: str) -> str:
    """Revoke what was issued to *username* until now, wait for the end of this second, and return that moment.

    Whoever logs in after this has a token that is not revoked: a token's time has no fractions.
    """
    before = gate.end_of_this_second()
    try:
        said = gate.taking_back.everything(project="", subject=username, before=before, by=gate.operator, reason=reason)
    except Exception as error:
        advice = f"python -m gatehouse token revoke-all --subject {username} --reason '{reason}'"
        raise HalfDoneError(f"{done}, but older tokens may still be good. Run: {advice}\n{words(error)}") from error
    time.sleep(min(1.0, max(0.0, before - gate.now())))
    moment: str = said["before"]
    return moment
