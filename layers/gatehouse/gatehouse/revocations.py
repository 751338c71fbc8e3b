"""What has been taken back: every process keeps the whole set in memory and asks for what is new (DESIGN section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gatehouse.call import Identity
from gatehouse.token_ids import SessionTokenId

LEEWAY_S = 60
"""How much longer than its tokens a revocation is kept: they are believed a little past their end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One line of the revocation log. Times are seconds since the epoch.

    Attributes:
        kind: `jti` (one token), `session` (a login and all it was refreshed to), `subject` or `project` (everything
            of it that was issued before a moment).
        value: the id, the session or the subject; empty for a project.
        project: the project that tokens must be of; empty for those of every project.
        before: tokens are revoked that were issued, or whose session began, before this moment; kinds `subject` and
            `project`.
        since: when it takes effect.
        expires_at: from when on there is no such token any more.
    """

    kind: str
    value: str
    project: str = ""
    before: float = 0
    since: float = 0
    expires_at: int


@dataclass(frozen=True, slots=True)
class _Moment:
    before: float
    expires_at: int


class RevocationSet:
    """Every revocation in force, to be asked about in constant time."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}
        """When each id or session can be forgotten. One flat mapping: 100,000 entries are to fit into little memory."""
        self._since: dict[str, float] = {}
        """When those take effect that did not do so at once."""
        self._issued: dict[tuple[str, str], tuple[_Moment, ...]] = {}
        """Moments before which tokens of a subject, or of a project (subject ""), were taken back."""

    def __len__(self) -> int:
        return len(self._ends) + sum(len(moments) for moments in self._issued.values())

    def add(self, rows: Iterable[Revocation]) -> None:
        """Take in *rows*. It does not matter in what order they come, or how often."""
        for row in rows:
            if row.kind in {"jti", "session"}:
                self._add_id(row)
            elif row.kind in {"subject", "project"}:
                self._add_moment(row)

    def _add_id(self, row: Revocation) -> None:
        since = row.since if row.value not in self._ends else min(row.since, self._since.get(row.value, 0))
        if since:
            self._since[row.value] = since
        else:
            self._since.pop(row.value, None)
        self._ends[row.value] = max(row.expires_at, self._ends.get(row.value, 0))

    def _add_moment(self, row: Revocation) -> None:
        """Keep *row* unless another, that is kept at least as long, says more."""
        kept = self._issued.get((row.project, row.value), ())
        if any(one.before >= row.before and one.expires_at >= row.expires_at for one in kept):
            return
        kept = tuple(one for one in kept if one.before > row.before or one.expires_at > row.expires_at)
        self._issued[row.project, row.value] = (*kept, _Moment(row.before, row.expires_at))

    def forget(self, now: float) -> None:
        """Forget what no token can be affected by any more."""
        over = [value for value, ends in self._ends.items() if ends <= now]
        for value in over:
            del self._ends[value]
            self._since.pop(value, None)
        for key, moments in list(self._issued.items()):
            kept = tuple(one for one in moments if one.expires_at > now)
            if kept:
                self._issued[key] = kept
            else:
                del self._issued[key]

    def holds(self, identity: Identity, project: str, now: float) -> bool:
        """Say whether the token that proved *identity*, for *project*, has been taken back."""
        if self.names(identity.token_id, now):
            return True
        session = SessionTokenId.read(identity.token_id) if self._ends else None
        if session and self.names(session.session, now):
            return True
        return bool(self._issued) and self._issued_too_early(identity, project)

    def covers(self, *, project: str, subject: str, issued_at: float) -> bool:
        """Say whether a token of *subject* that was issued for *project* at *issued_at* was taken back with others."""
        scopes = ((project, subject), ("", subject), (project, ""))
        return any(issued_at < one.before for scope in scopes for one in self._issued.get(scope, ()))

    def mentions(self, value: str) -> bool:
        """Say whether the id, or session, *value* was taken back, or will be in a moment."""
        return value in self._ends

    def names(self, value: str, now: float) -> bool:
        """Say whether the id, or session, *value* was taken back by itself."""
        return value in self._ends and self._since.get(value, 0) <= now

    def _issued_too_early(self, identity: Identity, project: str) -> bool:
        # A token that was refreshed is as old as its login: what was revoked stays so, however often it is refreshed.
        issued_at: int = identity.claims["iat"]
        issued_at = min(issued_at, identity.claims.get("auth_time", issued_at))
        # The project that a service's token names, too: a route of one project may take the tokens of others.
        named = identity.claims.get("project", project)
        return any(self.covers(project=one, subject=identity.subject, issued_at=issued_at) for one in {project, named})
