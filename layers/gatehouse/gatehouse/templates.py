"""`${…}` in headers to set: read once when the project files are, filled for each request.

What is filled in is what a credential says, so somebody else may have chosen it. A text goes into the header as it is
or the request is refused: a name with a line break taken out of it is another name. In a mapping it stays inside the
JSON text that the file put it in, whatever it holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gatehouse import logs
from gatehouse.call import Identity
from gatehouse.claims import lookup
from gatehouse.errors import AuthUnavailableError, ForbiddenError
from gatehouse.weak_secrets import is_placeholder

FILLED: Mapping[str, tuple[str, ...]] = {
    "identity": ("kind", "subject", "user", "organization", "email", "token"),
    "request": ("id",),
}
"""What there is to fill in, by source, beside `claims`."""
SECRET = "secret"  # noqa: S105  # the word itself
"""Where `${secret:NAME}` is filled from: the named secrets of the deployment."""
KEPT = "gateway"
"""The kind of identity whose token is the gateway's own: it never leaves (`${identity.token}` is empty)."""
UNSAYABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, and what somebody further on may take for a line break (RFC 9110 section 5.5); broken UTF-16."""
_SURROGATE = re.compile("[\ud800-\udfff]")
PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One `${source.name}`; the source is `identity`, `claims`, `request` or, with a colon, `secret`."""

    source: str
    name: str

    def __str__(self) -> str:
        return f"${{{self.source}{':' if self.source == SECRET else '.'}{self.name}}}"


OWN_TOKEN = Placeholder("identity", "token")
Text: TypeAlias = tuple[str | Placeholder, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """The value of one header: a text, or the members of a JSON object.

    Attributes:
        text: the parts of the text.
        members: names and values; a text among them is in parts, too.
        asking: the names of the members that hold placeholders.
        is_json: whether it is a JSON object.
    """

    text: Text = ()
    members: tuple[tuple[str, Text | float | bool], ...] = ()
    asking: tuple[str, ...] = ()
    is_json: bool = False

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """Every placeholder in it, in order."""
        texts = [self.text, *(value for _, value in self.members if isinstance(value, tuple))]
        return tuple(placeholder for text in texts for placeholder in _placeholders(text))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The names of the secrets that it holds."""
        return tuple(placeholder.name for placeholder in self.placeholders if placeholder.source == SECRET)


def parse(value: str | Mapping[str, Any]) -> Template:
    """Return the template that *value*, of `set_headers`, stands for; the loader has found no mistake in it."""
    if isinstance(value, str):
        return Template(text=_text(value))
    members = tuple((name, _text(said) if isinstance(said, str) else said) for name, said in value.items())
    asking = tuple(name for name, said in members if isinstance(said, tuple) and _placeholders(said))
    return Template(members=members, asking=asking, is_json=True)


@dataclass(frozen=True, slots=True)
class Filling:
    """What placeholders stand for in one request. `secrets` is shown nowhere."""

    identity: Identity | None = None
    request_id: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def fill(template: Template, filling: Filling) -> str | None:
    """Return the header's value as it stands on the wire (one character per byte of its UTF-8), or None.

    None where there are placeholders and nothing to fill any of them with: then there is no such header. In a mapping
    a single member goes the same way. Numbers, true, false, lists and objects are filled in as their compact JSON.

    Raises:
        ForbiddenError: the credential says something that a header cannot say unchanged.
        AuthUnavailableError: there is no secret of that name: without it the service would not know us.
    """
    if not template.is_json:
        filled = _filled(template.text, filling, strict=True)
        return None if filled is None else filled.strip(" ").encode().decode("latin-1")
    members = {
        name: _filled(value, filling, strict=False) if isinstance(value, tuple) else value
        for name, value in template.members
    }
    if template.asking and not any(members[name] for name in template.asking):
        return None
    left = {name: value for name, value in members.items() if value is not None}
    return json.dumps(left, separators=(",", ":"))


def _placeholders(text: Text) -> tuple[Placeholder, ...]:
    return tuple(part for part in text if isinstance(part, Placeholder))


def _text(text: str) -> Text:
    parts: list[str | Placeholder] = []
    for number, part in enumerate(PLACEHOLDER.split(text)):  # literal, placeholder, literal, …
        if number % 2:
            source, _, name = part.partition(":" if part.startswith(f"{SECRET}:") else ".")
            parts.append(Placeholder(source, name))
        elif part:
            parts.append(part)
    return tuple(parts)


def _filled(text: Text, filling: Filling, *, strict: bool) -> str | None:
    filled: list[str] = []
    absent = present = False
    for part in text:
        if isinstance(part, str):
            filled.append(part)
            continue
        said = _said(part, filling)
        _check(said, strict=strict)
        filled.append(said)
        present, absent = present or bool(said), absent or not said
    return "".join(filled) if present or not absent else None


def _said(placeholder: Placeholder, filling: Filling) -> str:
    """Return what *placeholder* stands for in this request, as text; empty if there is nothing."""
    identity = filling.identity
    if placeholder.source == "request":
        return filling.request_id
    if placeholder.source == SECRET:
        return _secret(placeholder.name, filling.secrets)
    if identity is None:
        return ""
    if placeholder.source == "identity":
        kept = identity.kind == KEPT and placeholder.name == "token"
        return "" if kept else str(getattr(identity, placeholder.name))
    claim = lookup(identity.claims, placeholder.name)
    if claim is None or isinstance(claim, str):
        return claim or ""
    try:
        return json.dumps(claim, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise _unsayable() from error


def unfit(secret: str) -> str:
    """Return why *secret* cannot be filled into a header, or an empty text."""
    if is_placeholder(secret):
        return "is a placeholder"
    if UNSAYABLE.search(secret) or secret != secret.strip():
        return "holds a line break, a control character, or spaces around it"
    return ""


def _secret(name: str, secrets: Mapping[str, str]) -> str:
    secret = secrets.get(name, "")
    reason = unfit(secret) if secret else "is missing"
    if reason:
        logs.error("secret not filled in", name=name, reason=reason)
        raise AuthUnavailableError("The gateway lacks a secret that this route needs. Tell its operators.")
    return secret


def _check(said: str, *, strict: bool) -> None:
    """Refuse what would arrive as something else: every HTTP server cuts spaces off the ends of a header.

    In JSON (not *strict*) all of that is escaped and arrives as it is, but for what is not Unicode.
    """
    wrong = UNSAYABLE.search(said) or said != said.strip() if strict else _SURROGATE.search(said)
    if wrong:
        raise _unsayable()


def _unsayable() -> ForbiddenError:
    return ForbiddenError(
        "The token says something that cannot be passed on to the service: a control character, or spaces around a "
        "name. Get a token without it."
    )
