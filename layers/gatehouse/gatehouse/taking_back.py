"""Revoke: by a token's id, by what somebody proved with it, or everything of somebody."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from gatehouse import sessions
from gatehouse.call import Identity
from gatehouse.clock import Clock, iso
from gatehouse.errors import InvalidRequestError, TokenNotFoundError
from gatehouse.registry import Record, view
from gatehouse.revocations import Revocation, RevocationSet

if TYPE_CHECKING:
    from gatehouse.kit import Kit

CLOCKS_DIFFER_S = 60


class TakingBack:
    """Writes revocations, to the registry of service tokens where it has the token, and to the log.

    Every method blocks; call it from a thread. Every method raises botocore.exceptions.BotoCoreError or ClientError if
    it may not have been written: ask again.
    """

    def __init__(self, kit: Kit, clock: Clock = time.time) -> None:
        self._kit = kit
        self._now = clock

    def by_id(self, jti: str, *, by: str, reason: str, unregistered: bool) -> dict[str, Any]:
        """Revoke the token with the id *jti* and return what is then known of it.

        Args:
            jti: the id of a service token, or of a login's or guest's, which ends its session.
            by: who revokes it.
            reason: why.
            unregistered: whether an id that this gateway did not give is revoked, too.

        Raises:
            TokenNotFoundError: there is no such token.
        """
        kit, now = self._kit, self._now()
        record = kit.registry.get(jti)
        if record:
            kept = kit.registry.revoke(record, by=by, reason=reason, now=now)
            return view(kept, active=False)
        rows = sessions.ended_by_id(jti) or (sessions.foreign(jti, now) if unregistered else ())
        if not rows:
            raise TokenNotFoundError
        for row in rows:
            self.by_row(row, by=by, reason=reason)
        return {
            "jti": jti, "active": False, "revokedAt": iso(now), "revokedBy": by, "revokedReason": reason or None,
        }  # fmt: skip

    def everything(
        self, *, project: str, subject: str, before: float | None = None, by: str, reason: str
    ) -> dict[str, Any]:
        """Revoke whatever was issued before *before*, or until now: of *subject*, of *project*, or of it there.

        Raises:
            InvalidRequestError: nobody is named, or the moment lies in the future.
        """
        if not project and not subject:
            raise InvalidRequestError("Say whose tokens to revoke: ?subject=… or ?project=…, or both.")
        now = self._now()
        # A token's `iat` has no fractions: "now" takes the whole second along.
        moment = math.floor(now) + 1.0 if before is None else before
        if moment > now + CLOCKS_DIFFER_S:
            raise InvalidRequestError("'before' lies in the future: nobody could log in until then.")
        self.by_row(sessions.everything(project=project, subject=subject, before=moment), by=by, reason=reason)
        return {
            "project": project or None,
            "subject": subject or None,
            "before": iso(moment),
            "revokedBy": by,
            "revokedReason": reason or None,
        }

    def own(self, identity: Identity) -> None:
        """Revoke the token that proved *identity*, and all that it was refreshed to."""
        kit, by = self._kit, identity.subject
        record = kit.registry.get(identity.token_id) if "service" in identity.claims else None
        if record:
            kit.registry.revoke(record, by=by, reason="logout", now=self._now())
        else:
            for row in sessions.ended(identity):
                self.by_row(row, by=by, reason="logout")

    def by_row(self, row: Revocation, *, by: str, reason: str) -> None:
        """Write *row* to the log."""
        self._kit.revocation_log.append(row, by=by, reason=reason)


def is_active(record: Record, known: RevocationSet, now: float, kids: Collection[str]) -> bool:
    """Say whether the token of *record* is good: neither expired nor revoked, and signed with a key of *kids*."""
    if not record.is_active(now) or record.kid not in kids or known.names(record.jti, now):
        return False
    return not known.covers(project=record.project, subject=record.subject, issued_at=int(record.created_at))
