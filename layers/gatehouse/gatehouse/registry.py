"""Service tokens: who may have one, for how long, and what is kept of it: never the token, only its SHA-256."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from gatehouse import token_ids
from gatehouse.clock import iso
from gatehouse.errors import InvalidExpiryError, InvalidProjectError, InvalidServiceError
from gatehouse.keys import KeyRing
from gatehouse.projects.checks import MOST_DAYS, NAME
from gatehouse.projects.model import Project
from gatehouse.tokens import Issuer, mint, service_subject

DAY_S = 86_400
DEFAULT_DAYS = 90
MOST_TEXT = 512
MOST_METADATA_BYTES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody asks a service token for."""

    project: str
    service: str
    days: int = DEFAULT_DAYS
    description: str = ""
    backend: str = ""
    created_by: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the registry keeps of a service token. Times are seconds since the epoch; `created_at` has fractions.

    Attributes:
        created_by: whom the order named; `issued_by` is who really gave it.
        last_used_at: to within `usage.EVERY_S`; None if it was never used.
        revoked_at: None if it was not revoked by its id.
    """

    jti: str
    project: str
    service: str
    kid: str
    sha256: str
    created_at: float
    expires_at: int
    created_by: str
    issued_by: str
    description: str = ""
    backend: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    last_used_at: int | None = None
    revoked_at: float | None = None
    revoked_by: str = ""
    revoked_reason: str = ""

    @property
    def subject(self) -> str:
        """Return the `sub` of the token."""
        return f"{self.project}/{self.service}"

    def is_active(self, now: float) -> bool:
        """Say whether the token is neither expired nor revoked by its id."""
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a list, newest first, to go on: behind this record."""

    created_at: float
    jti: str
    project: str


def check(order: Order, projects: tuple[Project, ...]) -> Project:
    """Return the project that *order* is for.

    Raises:
        InvalidProjectError, InvalidServiceError, InvalidExpiryError: it is for something that is not to be had.
    """
    project = next((one for one in projects if one.project == order.project), None)
    if project is None:
        raise InvalidProjectError(f"There is no such project here. There is: {', '.join(p.project for p in projects)}.")
    if not re.fullmatch(NAME, order.service):
        raise InvalidServiceError
    if not 1 <= order.days <= MOST_DAYS:
        raise InvalidExpiryError
    return project


def issue(ring: KeyRing, project: Project, order: Order, *, by: str, now: float) -> tuple[str, Record]:
    """Return a new token for a checked *order*, and its record.

    The token may leave only after the record is kept: a failure in between must not leave one that nobody knows.
    """
    claims = {"project": order.project, "service": order.service}
    issued = mint(
        ring,
        Issuer(issuer=project.issuer, audience=project.audience),
        {**claims, "sub": service_subject(claims), "jti": token_ids.for_service()},
        ttl_s=order.days * DAY_S,
        now=now,
    )
    record = Record(
        jti=issued.jti,
        project=order.project,
        service=order.service,
        kid=issued.kid,
        sha256=sha256(issued.token.encode()).hexdigest(),
        created_at=now,
        expires_at=issued.expires_at,
        created_by=order.created_by or by,
        issued_by=by,
        description=order.description,
        backend=order.backend,
        metadata=order.metadata,
    )
    return issued.token, record


def view(record: Record, *, active: bool) -> dict[str, Any]:
    """Return *record* as callers see it."""
    return {
        "jti": record.jti,
        "project": record.project,
        "service": record.service,
        "active": active,
        "createdAt": iso(record.created_at),
        "expiresAt": iso(record.expires_at),
        "lastUsedAt": iso(record.last_used_at),
        "createdBy": record.created_by,
        "issuedBy": record.issued_by,
        "description": record.description,
        "backend": record.backend,
        "metadata": dict(record.metadata),
        "sha256": record.sha256,
        "kid": record.kid,
        "revokedAt": iso(record.revoked_at),
        "revokedBy": record.revoked_by or None,
        "revokedReason": record.revoked_reason or None,
    }


def metadata_fits(metadata: Mapping[str, Any]) -> bool:
    """Say whether *metadata* is JSON, and small enough to be kept."""
    try:
        return len(json.dumps(metadata, allow_nan=False).encode()) <= MOST_METADATA_BYTES
    except ValueError:
        return False
