"""`secrets …`: the named secrets that project files fill into headers. A value is never shown, but one made here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from gatehouse import keyring
from gatehouse.cli import new_secrets, secret_names
from gatehouse.cli.changing import changed
from gatehouse.cli.gate import Gate
from gatehouse.cli.options import Yes, at_a_gateway, examples
from gatehouse.cli.output import Said, table
from gatehouse.cli.problems import MisuseError, RefusedError
from gatehouse.cli.secret_names import NAME, Namings
from gatehouse.keys import parse
from gatehouse.status.metrics_page import NAME as METRICS_TOKEN
from gatehouse.templates import unfit

LIST = "secrets list"
NOTICED = f"running functions notice within {keyring.FRESH_S / 60:.0f} minutes"
app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Named secrets of project files: what is there, set, remove."
)


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise typer.BadParameter("a secret's name is letters, digits and _, at most 128, and begins with no digit")
    return value


def _source(value: list[str] | None) -> list[str] | None:
    """Refuse a value among the arguments, where Typer would repeat it."""
    if value and value != ["-"]:
        raise MisuseError(
            "a value is no argument: the shell keeps it, and other users of the machine can read it. Leave it out and "
            "you are asked, or say --stdin; and no longer use the one that you have just typed"
        )
    return value


NewName = Annotated[
    str, typer.Argument(metavar="NAME", callback=_name, help="What project files call it: ${secret:NAME}.")
]
AnyName = Annotated[str, typer.Argument(metavar="NAME", help="Which one; 'secrets list' has the names.")]
Source = Annotated[
    list[str] | None, typer.Argument(metavar="-", callback=_source, help="The same as --stdin; never the value.")
]
FromStdin = Annotated[bool, typer.Option("--stdin", help="Take the value from standard input: one line.")]
Generate = Annotated[bool, typer.Option("--generate", help="Make a value, and print it: once.")]


@app.command("list", epilog=examples("secrets list --stack gatehouse-prod"))
@at_a_gateway
def find(gate: Gate) -> Said:
    """List the named secrets, which project files name them, and which of them are missing. No values."""
    kept, namings = gate.ring().secrets, _namings(gate)
    views = [_view(name, kept, namings) for name in sorted({*kept, *namings.files})]
    rows = [(one["name"], _state(one), ", ".join(one["namedBy"])) for one in views]
    text = table(("NAME", "STATE", "NAMED BY"), rows) if rows else "there is no secret, and no project file names one"
    advice = "'secrets set NAME' gives one its value" if any(one["state"] != "ok" for one in views) else ""
    document = {"secrets": views, "unread": list(namings.unread)}
    return Said(document=document, text=text, aside=_lines(*namings.unread, advice))


@app.command(
    "set",
    epilog=examples(
        "secrets set CF_AI_GATEWAY_TOKEN --stack gatehouse-prod",
        "secrets set CF_AI_GATEWAY_TOKEN --stdin --local < FILE",
        "secrets set INTERNAL_GATEWAY_KEY --generate --stack gatehouse-prod",
    ),
)
@at_a_gateway
def put(gate: Gate, name: NewName, source: Source = None, stdin: FromStdin = False, generate: Generate = False) -> Said:
    """Give a named secret its value. It is asked for twice; it is never an argument."""
    from_stdin, arn, namings = stdin or bool(source), gate.secret_arn, _namings(gate)
    if from_stdin and generate:
        raise MisuseError("--generate makes a value, and --stdin brings one: say one of them")
    value = new_secrets.new(name, from_stdin=from_stdin, generate=generate)
    replaced = _set(gate, arn, name, value, generated=generate)
    done = f"{name} is {'replaced' if replaced else 'set'} at {gate.place.name}; {NOTICED}"
    aside = _lines(done if generate else "", _unnamed(name, namings), _until(gate, name))
    document = {"name": name, "replaced": replaced, "namedBy": list(namings.files.get(name, ()))}
    if generate:
        return Said(document={**document, "secret": value}, text=value, aside=aside)
    return Said(document=document, text=done, aside=aside)


@app.command(epilog=examples("secrets remove OLD_SERVICE_KEY --stack gatehouse-prod"))
@at_a_gateway
def remove(gate: Gate, name: AnyName, yes: Yes = False) -> Said:
    """Take a named secret away. Asks first if a project file names it."""
    arn, namings = gate.secret_arn, _namings(gate)
    if name not in gate.ring().secrets:
        raise RefusedError(secret_names.no_such(name))
    doubt = _doubt(name, namings)
    if doubt and not yes:
        typer.confirm(f"{doubt} Remove {name} of {gate.place.name}?", abort=True, err=True)
    with gate.audited("secret remove", name=name):
        changed(arn, lambda document: secret_names.taken_out(document, name), see=LIST)
    document = {"name": name, "removed": True}
    return Said(document=document, text=f"{name} is removed; {NOTICED}", aside=_until(gate, name))


def _set(gate: Gate, arn: str, name: str, value: str, *, generated: bool) -> bool:
    """Write *value* into the secret *arn*; return whether it took another one's place."""
    replaced: list[bool] = []

    def step(document: str) -> str:
        replaced.append(name in parse(document).secrets)
        return secret_names.put(document, name, value)

    with gate.audited("secret set", name=name, generated=generated) as said:
        changed(arn, step, see=LIST)
        said["replaced"] = replaced[-1]
    return replaced[-1]


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _namings(gate: Gate) -> Namings:
    return secret_names.named(gate.place.settings.projects_dir)


def _view(name: str, kept: Mapping[str, str], namings: Namings) -> dict[str, Any]:
    value = kept.get(name, "")
    reason = unfit(value) if value else ""
    return {
        "name": name,
        "state": "missing" if not value else "unfit" if reason else "ok",
        "reason": reason or None,
        "namedBy": ["/metrics"] if name == METRICS_TOKEN else list(namings.files.get(name, ())),
    }


def _state(view: Mapping[str, Any]) -> str:
    return f"{view['state']}: it {view['reason']}" if view["reason"] else str(view["state"])


def _unnamed(name: str, namings: Namings) -> str:
    """Return what there is to say where no project file is known to name the secret."""
    if name in {*namings.files, METRICS_TOKEN} or namings.unread:
        return "\n".join(namings.unread)
    near = get_close_matches(name, namings.files, 1)
    return f"no project file names {name}{f' (did you mean {near[0]}?)' if near else ''}"


def _doubt(name: str, namings: Namings) -> str:
    """Return why nobody should take the secret away without a thought, or an empty text."""
    files = ", ".join(namings.files.get(name, ()))
    if files:
        return f"It is named in {files}: without it, routes that need it answer 503 and new processes do not start."
    if name == METRICS_TOKEN:
        return "Prometheus reads /metrics with it: without it only administrators can."
    return "\n".join(namings.unread)


def _until(gate: Gate, name: str) -> str:
    """Return for how long a change at what `make run` has lasts, if it is that."""
    if not gate.place.is_local:
        return ""
    return f"started anew, 'make run' has its own again: what its environment says {name} is, or a value that it made"
