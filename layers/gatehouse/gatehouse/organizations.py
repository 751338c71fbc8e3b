"""Have it confirmed that a caller belongs to the organisation that their credential names, and learn its own id.

Who proved who they are by a session, or by an API key, is not yet known to be in the organisation that the session has
active, or that the key's metadata names: whoever makes a key may write down there what they like.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import quote

from gatehouse import logs
from gatehouse.asking import Answer, Question
from gatehouse.auth_answers import UnclearAnswerError, document_of
from gatehouse.call import Call, Identity
from gatehouse.errors import AuthUnavailableError, BadPathError
from gatehouse.memberships import checked_id, membership_of, organization_of
from gatehouse.paths import canonical
from gatehouse.projects.model import Organization
from gatehouse.proofs import Means

REFUSED_S = 30.0
"""How long it is kept, at most, that a caller does not belong: who is taken in need not wait long."""
SESSION = "session"
MOST_ID = 256
Reader: TypeAlias = Callable[[Any, str, str], str | None]
"""Takes what a service answered, the organisation that was named and the user; see `memberships`."""
_READERS: dict[str, Reader] = {SESSION: organization_of, "api_key": membership_of}
_REFUSED = 403
_UNKNOWN = (_REFUSED, 404)


@dataclass(frozen=True, slots=True, kw_only=True)
class Organizations:
    """Asks about the organisations of one project.

    Attributes:
        name: the project's name: what is confirmed for one says nothing to another.
        where: the addresses that are asked.
        means: how they are asked, and where what they say is kept.
    """

    name: str
    where: Organization
    means: Means

    async def confirmed(self, call: Call, identity: Identity) -> str | None:
        """Return the own id of the organisation that *identity*, who sent *call*, names and belongs to.

        None if nobody confirms it: there is no such organisation, they are not in it, or there is nobody to ask.

        Raises:
            AuthUnavailableError: it cannot be said now.
        """
        template = self._address(identity)
        if not template:
            return None
        key = (
            "organization",
            self.name,
            identity.kind,
            template,
            self._membership,
            identity.user,
            identity.organization,
        )

        async def find() -> tuple[str | None, float]:
            return await self._found(_name(key), template, call, identity)

        return await self.means.kept.get(key, find, call.deadline)

    def _address(self, identity: Identity) -> str | None:
        """Return where organisations are asked about that a credential of this kind names; None if nowhere."""
        kind = identity.kind
        return {SESSION: self.where.session, "api_key": self.where.api_key}.get(kind)

    @property
    def _membership(self) -> str:
        """Where it is asked besides whether the user of a session is in the organisation; empty if nowhere."""
        return self.where.membership or ""

    async def _found(self, name: str, template: str, call: Call, identity: Identity) -> tuple[str | None, float]:
        """Return what another process found, or what the service says now, and for how many seconds to keep it."""
        known = await self.means.shared.read(name)
        if known is not None:
            try:
                return _unpacked(known[0]), min(known[1] - self.means.wall(), self.where.cache)
            except UnclearAnswerError:
                logs.error("shared organization not understood")
        found = await self._heard(template, call, identity, _READERS[identity.kind])
        if found and identity.kind == SESSION and self._membership:
            found = await self._heard(self._membership, call, identity, _either(found))
        seconds = self._kept_s(found)
        if seconds > 0:
            await self.means.shared.write(name, json.dumps({"id": found}), self.means.wall() + seconds)
        return found, seconds

    async def _heard(self, template: str, call: Call, identity: Identity, read: Reader) -> str | None:
        """Return the organisation's own id as *read* finds it in what the service at *template* says now, or None."""
        url = place(template, organization=identity.organization, user=identity.user)
        if not url:
            return None
        fields = (("x-request-id", call.request_id), *await self.means.told())
        answer = await self.means.ask(Question(method="GET", url=url, service=template, headers=fields), call.deadline)
        return _understood(answer, identity, read)

    def _kept_s(self, found: str | None) -> float:
        """Return for how many seconds *found* is kept."""
        return self.where.cache if found else min(REFUSED_S, self.where.cache)


def place(template: str, **ids: str) -> str:
    """Return *template*, an address with places like `{user}`, with each of *ids* as one segment of its path.

    Empty if one of those that it asks for cannot be one: it is empty, too long, or could be read in more than one way
    once somebody decodes it ('..', '/'). What the gateway would not take in a path it does not put into one.
    """
    start = template.index("/", template.index("://") + len("://"))  # ids never choose the host
    host, path = template[:start], template[start:]
    for name, value in ids.items():
        hole = f"{{{name}}}"
        if hole in path:
            segment = _segment(value)
            if not segment:
                return ""
            path = path.replace(hole, segment)  # holds no brace, so it makes no other place
    return host + path


def _segment(value: str) -> str:
    """Return *value* percent-encoded as one segment (RFC 3986 section 3.3), or an empty text."""
    if len(value) > MOST_ID or not value.isprintable():
        return ""
    segment = quote(value, safe="")
    try:
        canonical(f"/{segment}")
    except BadPathError:
        return ""
    return segment


def _either(own: str) -> Reader:
    """Return what finds *own*, an organisation's own id, if the user is in it by that or by the auth service's id."""

    def read(document: Any, asked: str, user: str) -> str | None:
        member = membership_of(document, asked, user) or membership_of(document, own, user)
        return own if member else None

    return read


def _understood(answer: Answer, identity: Identity, read: Reader) -> str | None:
    """Return the organisation's own id that *answer* confirms for *identity*, as *read* finds it, or None.

    Raises:
        AuthUnavailableError: it says neither yes nor no.
    """
    if answer.status == _REFUSED:
        # Whom does it refuse, the caller or the gateway itself? An operator can tell.
        logs.error("organization refused", kind=identity.kind, status=answer.status)
    if answer.status in _UNKNOWN:
        return None
    if answer.status != 200:  # noqa: PLR2004  # OK
        logs.error("organization not confirmed", kind=identity.kind, status=answer.status)
        raise AuthUnavailableError
    try:
        return read(document_of(answer), identity.organization, identity.user)
    except UnclearAnswerError as error:
        logs.error("organization not confirmed", kind=identity.kind, reason=str(error))
        raise AuthUnavailableError from error


def _name(key: tuple[str, ...]) -> str:
    """Return what *key* is called where processes share: nobody reads there who belongs where."""
    return f"organization#{sha256(json.dumps(key).encode()).hexdigest()}"


def _unpacked(text: str) -> str | None:
    """Return what another process wrote down.

    Raises:
        UnclearAnswerError: it is something else.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnclearAnswerError("not JSON") from error
    if not isinstance(found, dict) or "id" not in found:
        raise UnclearAnswerError("not an organization")
    return None if found["id"] is None else checked_id(found["id"])
