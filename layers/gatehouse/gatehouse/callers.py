"""Who is calling the gateway itself: any token of any project proves it, as long as it was not taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gatehouse import grants, jose
from gatehouse.audit import audit
from gatehouse.call import Call, Identity
from gatehouse.credentials.gateway import Revocations, bearer
from gatehouse.errors import ForbiddenError, InvalidTokenError, MissingTokenError
from gatehouse.projects import Project, Projects
from gatehouse.tokens import Issuer, TokenVerifier


class Collaborators(Protocol):
    """What proves a caller; `kit.Kit` is it."""

    @property
    def projects(self) -> Projects:
        """Return the projects whose tokens are taken."""
        ...

    @property
    def revocations(self) -> Revocations:
        """Return what knows which tokens were taken back."""
        ...

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        """Return what believes the tokens of *issuer*."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a good token, and the project that it is for."""

    project: Project
    identity: Identity


async def caller(call: Call, kit: Collaborators) -> Caller:
    """Return who sent *call*. Revocations are asked for anew: what is done here is not done a thousand times a second.

    Raises:
        MissingTokenError, InvalidTokenError, TokenRevokedError: no token, or none to believe.
        AuthUnavailableError: it cannot be said now.
    """
    known = await _verified(call, kit)
    await kit.revocations.check(known.identity, known.project.project, strict=True)
    return known


async def _verified(call: Call, kit: Collaborators) -> Caller:
    """Return who sent *call*, by a token that may have been taken back."""
    if "authorization" not in call.headers:
        raise MissingTokenError
    token = bearer(call)
    project = _project(jose.inspect(token).claims, kit.projects)
    issuer = Issuer(issuer=project.issuer, audience=project.audience, projects=_unaddressed(project))
    identity = await kit.verifier(issuer).verify(token)
    call.notes.update(project=project.project, credential=identity.kind, subject=identity.subject)
    return Caller(project, identity)


async def admin(call: Call, kit: Collaborators, action: str) -> Caller:
    """Return who sent *call*, if they may administer the gateway; a refusal of *action* is audited.

    Who may not is told so before anybody asks for revocations: tokens that may not are easily had.

    Raises:
        ForbiddenError: they may not. See `caller` for the others.
    """
    known = await _verified(call, kit)
    if not grants.is_admin(known.identity, known.project):
        who = known.identity.subject
        jti = known.identity.token_id
        audit(action, who=who, source_ip=call.client_ip, result="refused", request_id=call.request_id, jti=jti)
        raise ForbiddenError("Only administrators may do that: send a token of POST /auth/login with the role 'admin'.")
    await kit.revocations.check(known.identity, known.project.project, strict=True)
    return known


def _unaddressed(project: Project) -> frozenset[str]:
    """Return whose tokens may name no issuer: what a route of *project* asks for, where it issues none itself."""
    asked = {name for route in project.routes for name in route.claims.get("project", ())}
    return frozenset() if project.tokens else frozenset(asked & {project.project})


def _project(claims: Mapping[str, Any], projects: Projects) -> Project:
    """Return the project that a token with *claims* says it is for. Nothing is believed yet: its verifier decides."""
    named = claims.get("aud", [])
    audiences = named if isinstance(named, list) else [named]
    for project in projects.all:
        addressed = project.audience in audiences and claims.get("iss", project.issuer) == project.issuer
        if addressed or ("aud" not in claims and claims.get("project") == project.project):
            return project
    raise InvalidTokenError
