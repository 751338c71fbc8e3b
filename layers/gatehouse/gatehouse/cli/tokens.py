"""`token …`: the tokens of services."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from gatehouse import registry, token_ids
from gatehouse.cli.gate import Gate
from gatehouse.cli.options import Yes, at_a_gateway, examples
from gatehouse.cli.output import Said, facts, table
from gatehouse.cli.problems import MisuseError, RefusedError
from gatehouse.clock import iso
from gatehouse.errors import TokenNotFoundError
from gatehouse.projects.checks import MOST_DAYS
from gatehouse.registry import DEFAULT_DAYS, MOST_METADATA_BYTES, MOST_TEXT, Record
from gatehouse.token_ids import FORM as JTI
from gatehouse.token_pages import page

MOST_LISTED = 1000
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Service tokens: issue, look up, revoke.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a list is asked for with."""

    project: str | None
    service: str | None
    active: str | None
    limit: int
    cursor: str | None


def _text(value: str) -> str:
    if len(value) > MOST_TEXT or any("\ud800" <= char <= "\udfff" for char in value):
        raise typer.BadParameter(f"at most {MOST_TEXT} characters of UTF-8")
    return value


def _jti(value: str) -> str:
    if re.fullmatch(JTI, value):
        return value
    if value.count(".") > 1:
        raise typer.BadParameter("that may be a token; what is wanted is its id (jti): 'token list' shows them")
    raise typer.BadParameter("that is no id of a token (jti); 'token list' shows them")


Jti = Annotated[str, typer.Argument(metavar="JTI", callback=_jti, help="The token's id, not the token.")]
Project = Annotated[str, typer.Option("--project", metavar="NAME", help="The project that the token is for.")]
Service = Annotated[str, typer.Option("--service", metavar="NAME", help="The service that will carry it.")]
OfProject = Annotated[str | None, typer.Option("--project", metavar="NAME", help="Only those of this project.")]
OfService = Annotated[str | None, typer.Option("--service", metavar="NAME", help="Only those of this service.")]
Days = Annotated[int, typer.Option("--days", min=1, max=MOST_DAYS, help="How many days it is good for.")]
Description = Annotated[str, typer.Option("--description", callback=_text, help="What it is for.")]
Backend = Annotated[str, typer.Option("--backend", callback=_text, help="The backend that it leads to.")]
CreatedBy = Annotated[str, typer.Option("--created-by", callback=_text, help="For whom; yourself, if left out.")]
Metadata = Annotated[str, typer.Option("--metadata", metavar="JSON", help="A JSON object that is kept with it.")]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help="Only live ones, or only the others.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MOST_LISTED, help="How many at most.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Where to go on: what the list before ended with.")]
Reason = Annotated[str, typer.Option("--reason", callback=_text, help="Why; it is kept.")]
Unregistered = Annotated[bool, typer.Option("--unregistered", help="Also an id that this gateway never gave.")]
OfSubject = Annotated[str, typer.Option("--subject", callback=_text, help="A username, or PROJECT/SERVICE.")]
IssuedFor = Annotated[str, typer.Option("--project", metavar="NAME", help="Tokens of this project alone.")]
Before = Annotated[
    str | None,
    typer.Option("--before", metavar="TIME", help="Issued before, as 2026-11-22T10:00:00Z; now, if left out."),
]


@app.command(epilog=examples("token issue --project captionacc --service modal --days 30 --local"))
@at_a_gateway
def issue(
    gate: Gate,
    project: Project,
    service: Service,
    days: Days = DEFAULT_DAYS,
    description: Description = "",
    backend: Backend = "",
    created_by: CreatedBy = "",
    metadata: Metadata = "{}",
) -> Said:
    """Issue a service token. It stands alone on standard output, this once; what is known of it on standard error."""
    order = registry.Order(
        project=project,
        service=service,
        days=days,
        description=description,
        backend=backend,
        created_by=created_by,
        metadata=_metadata(metadata),
    )
    store = gate.registry
    checked = registry.check(order, gate.projects.all)
    with gate.audited("token issue", project=project, forService=service) as said:
        token, record = registry.issue(gate.ring(), checked, order, by=gate.operator, now=time.time())
        said["jti"] = record.jti
        store.put(record)
    known = {"jti": record.jti, "expiresAt": iso(record.expires_at), "project": project, "service": service}
    return Said(document={"token": token, **known, "kid": record.kid}, text=token, aside=facts(known.items()))


@app.command("list", epilog=examples("token list --project captionacc --active --stack gatehouse-prod"))
@at_a_gateway
def find(
    gate: Gate,
    project: OfProject = None,
    service: OfService = None,
    active: Active = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Said:
    """List service tokens, newest first."""
    wanted = None if active is None else str(active).lower()
    asked = Asked(project=project, service=service, active=wanted, limit=limit, cursor=cursor)
    good, now, kids = gate.good(), time.time(), gate.ring().keys
    records, further = page(gate.registry, asked, good)
    views = [registry.view(one, active=good(one)) for one in records]
    rows = [
        (one["jti"], one["project"], one["service"], _state(record, one, now, kids), _day(one["createdAt"]),
         _day(one["expiresAt"]), _day(one["lastUsedAt"]), one["createdBy"], one["description"])
        for record, one in zip(records, views, strict=True)
    ]  # fmt: skip
    head = ("JTI", "PROJECT", "SERVICE", "STATE", "CREATED", "EXPIRES", "LAST USED", "FOR", "DESCRIPTION")
    aside = f"there may be more: --cursor {further}" if further else ""
    text = table(head, rows) if rows else ""
    return Said(document={"tokens": views, "cursor": further}, text=text, aside=aside or ("" if rows else "no tokens"))


@app.command(epilog=examples("token show 5f3b… --stack gatehouse-prod"))
@at_a_gateway
def show(gate: Gate, jti: Jti) -> Said:
    """Show what is kept of one service token. Of the token itself that is its SHA-256."""
    record = gate.registry.get(jti)
    if record is None:
        raise RefusedError(_unknown(jti))
    now = time.time()
    view = registry.view(record, active=gate.good()(record))
    state = _state(record, view, now, gate.ring().keys)
    return Said(document=view, text=facts([("state", state), *view.items()]))


@app.command(epilog=examples("token revoke 5f3b… --reason 'laptop stolen' --stack gatehouse-prod"))
@at_a_gateway
def revoke(gate: Gate, jti: Jti, reason: Reason = "", unregistered: Unregistered = False) -> Said:
    """Revoke one token: a service's, or that of a login or guest with all that it was refreshed to."""
    with gate.audited("token revoke", jti=jti, reason=reason):
        try:
            said = gate.taking_back.by_id(jti, by=gate.operator, reason=reason, unregistered=unregistered)
        except TokenNotFoundError as error:
            raise RefusedError(f"{_unknown(jti)}; --unregistered revokes it all the same") from error
    text = f"{jti} is revoked since {said['revokedAt']}, by {said['revokedBy']}"
    return Said(document=said, text=text)


@app.command("revoke-all", epilog=examples("token revoke-all --subject grace --reason 'left the company' --local"))
@at_a_gateway
def revoke_all(
    gate: Gate,
    reason: Reason,
    subject: OfSubject = "",
    project: IssuedFor = "",
    before: Before = None,
    yes: Yes = False,
) -> Said:
    """Revoke whatever was issued to a subject, or for a project, before a moment: logins, guests and services."""
    if not subject and not project:
        raise MisuseError("say whose tokens to revoke: --subject, --project, or both")
    if project and project not in {one.project for one in gate.projects.all}:
        there = ", ".join(one.project for one in gate.projects.all)
        raise RefusedError(f"there is no project '{project}' in the project files; there is {there}")
    taking_back, moment = gate.taking_back, _moment(before) if before else gate.end_of_this_second()
    whose = " ".join(filter(None, (subject and f"of {subject}", project and f"for {project}")))
    if not yes:
        question = f"Revoke every token {whose} issued before {iso(moment)} at {gate.place.name}?"
        typer.confirm(question, abort=True, err=True)
    with gate.audited("tokens revoke", project=project, subject=subject, before=iso(moment), reason=reason):
        said = taking_back.everything(project=project, subject=subject, before=moment, by=gate.operator, reason=reason)
    return Said(document=said, text=f"every token {whose} issued before {said['before']} is revoked")


def _metadata(text: str) -> dict[str, Any]:
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MisuseError('--metadata is not JSON; write it like \'{"team": "video"}\'') from error
    if not isinstance(metadata, dict):
        raise MisuseError('--metadata must be a JSON object, like \'{"team": "video"}\'')
    if not registry.metadata_fits(metadata):
        raise MisuseError(f"--metadata has more than {MOST_METADATA_BYTES} bytes")
    return metadata


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise MisuseError(f"--before {text!r} is no time; write it like 2026-11-22T10:00:00Z") from error
    if moment.tzinfo is None:
        raise MisuseError("--before needs its offset, like 2026-11-22T10:00:00Z or 2026-11-22T11:00:00+01:00")
    return moment.timestamp()


def _state(record: Record, view: dict[str, Any], now: float, kids: Collection[str]) -> str:
    if view["active"]:
        return "active"
    if record.is_active(now) and record.kid not in kids:
        return "no key"
    return "expired" if record.revoked_at is None and now >= record.expires_at else "revoked"


def _day(moment: str | None) -> str:
    return moment[:10] if moment else ""


def _unknown(jti: str) -> str:
    session = token_ids.SessionTokenId.read(jti)
    if session:
        until = iso(session.ends_at)
        return f"{jti} is the id of a login's or guest's token, good until {until}; nothing more is kept of those"
    return f"no token with the id {jti} is known here"
