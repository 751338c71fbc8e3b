"""The gateway's own pipeline with nothing behind it: no upstream, no stores, and no look at any signature."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatehouse import jose
from gatehouse.build import gateway
from gatehouse.caching.opened import opened
from gatehouse.call import Call, Identity, Reply, Stage
from gatehouse.clock import Clock
from gatehouse.credentials import Credential
from gatehouse.credentials_of import is_there
from gatehouse.errors import AuthUnavailableError, InvalidTokenError
from gatehouse.headers import Headers
from gatehouse.keys import ALGORITHMS, HS256, KeyRing
from gatehouse.models.metering import Meter
from gatehouse.organizations import Organizations
from gatehouse.projects import Project, Projects, Route
from gatehouse.projects.model import Organization
from gatehouse.route_limits import RouteLimits
from gatehouse.stages.cache import cached
from gatehouse.stages.model_calls import model_calls, policy_of
from gatehouse.stages.organization import NAMING
from gatehouse.stores.route_buckets import RouteBuckets
from gatehouse.stores.usage import UsageTable
from gatehouse.tokens import Issuer, TokenVerifier, identity_of
from gatehouse.upstreams import Outbound
from gatehouse.usage import LastUse
from gatehouse.visitors import ANONYMOUS


class _Recorder:
    """An upstream that keeps what it would have been sent."""

    def __init__(self) -> None:
        self.sent: list[Outbound] = []

    async def send(self, outbound: Outbound) -> Reply:
        self.sent.append(outbound)
        return Reply(status=200, headers=Headers())

    async def close(self) -> None:
        """Nothing is open."""


class _NoKeys:
    async def with_key(self, kid: str) -> KeyRing:  # noqa: ARG002  # it has none
        raise AuthUnavailableError

    async def current(self) -> KeyRing:
        raise AuthUnavailableError


class _NoRevocations:
    async def check(self, identity: Identity, project: str, *, strict: bool) -> None:
        """Nothing is revoked, as far as is known here."""

    def age_s(self) -> float:
        """Return how old that is."""
        return 0.0


class AnySecret(dict[str, str]):
    """Has a secret of every name: a text that says which."""

    def get(self, name: str, default: str | None = None) -> str:  # type: ignore[override]  # noqa: ARG002  # all are there
        """Return what stands for the secret called *name*."""
        return f"(the secret {name})"


class _Reader(TokenVerifier):
    """Takes whatever a token says, if only its signature is to be believed."""

    def __init__(self, issuer: Issuer, clock: Clock, proved: list[Identity]) -> None:
        super().__init__(_NoKeys(), issuer, clock)
        self._proved = proved

    async def verify(self, token: str) -> Identity:
        """Return who *token* says is calling."""
        form = jose.inspect(token)
        if form.algorithm not in (ALGORITHMS if form.kid else (HS256,)):
            raise InvalidTokenError
        identity = identity_of(self.claims_of(form, legacy=not form.kid), token)
        self._proved.append(identity)
        return identity


_NO_MEANS: Any = None
"""Nobody is asked, so nothing is needed for it."""
A_TOKEN = "(the token)"  # noqa: S105  # it stands for one
OWN_ORGANIZATION = "(the organization's own id)"


class _NoOrganizations(Organizations):
    """Confirms every organisation, by an id that says so."""

    async def confirmed(self, call: Call, identity: Identity) -> str | None:  # noqa: ARG002  # nobody is asked
        """Return what stands for the organisation's own id."""
        return OWN_ORGANIZATION


def _named(kind: str) -> Identity:
    """Return somebody whom a credential of this *kind* would name, with what such a one can say."""
    if kind == ANONYMOUS:
        return Identity(kind=kind, subject="(the visitor)", scopes=frozenset({ANONYMOUS}), token=A_TOKEN)
    return Identity(
        kind=kind,
        subject="(the user)",
        user="(the user)",
        organization="(the organization)" if kind in NAMING else "",
        email="" if kind == "api_key" else "(the e-mail address)",
        token=A_TOKEN,
    )


@dataclass(frozen=True)
class DryKit:
    """Collaborators of pipelines that do nothing."""

    clock: Clock = time.time
    proved: list[Identity] = field(default_factory=list)
    upstream: _Recorder = field(default_factory=_Recorder)
    revocations: _NoRevocations = field(default_factory=_NoRevocations)

    @property
    def functions(self) -> _Recorder:
        """Return what keeps what functions would have been sent, too."""
        return self.upstream

    @property
    def last_use(self) -> LastUse:
        """Nobody notes anything."""

        async def write(_: str, __: int) -> None:
            return None

        return LastUse(write, self.clock)

    @property
    def limits(self) -> RouteLimits:
        """Return what counts this request alone."""
        return RouteLimits(RouteBuckets(""), self.clock, self.clock, shared=False)

    def model_calls(self, project: Project, route: Route, path: str) -> Stage:
        """Return one that keeps account of nothing."""
        return model_calls(policy_of(project, route, path), Meter(UsageTable(""), self.clock, self.clock, shared=False))

    def cache(self, project: Project, route: Route, path: str, *, keeps: bool) -> Stage:
        """Return one that has nothing kept."""
        return cached(project, route, path, opened("", 0, self.clock, self.clock), keeps=keeps)

    def credential(self, project: Project, name: str) -> Credential:
        """Return what takes the credential that *project* calls *name* for good, whatever it is."""
        provider = project.providers[name]

        async def prove(call: Call) -> Identity | None:
            if not is_there(call.headers, provider):
                return None
            identity = _named(provider.type)
            self.proved.append(identity)
            return identity

        return prove

    def organizations(self, project: Project) -> Organizations:
        """Return what confirms every organisation."""
        return _NoOrganizations(name=project.project, where=project.organization or Organization(), means=_NO_MEANS)

    async def secrets(self) -> Mapping[str, str]:
        """Return a text for every secret."""
        return AnySecret()

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        """Return what reads the tokens of *issuer*."""
        return _Reader(issuer, self.clock, self.proved)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the gateway answers, whom it takes for the caller, and what it would send to where."""

    reply: Reply
    identity: Identity | None
    outbound: Outbound | None


async def outcome(projects: Projects, call: Call, clock: Clock = time.time) -> Outcome:
    """Return how a gateway with *projects* answers *call*, as far as that can be said without keys and stores."""
    kit = DryKit(clock)
    reply = await gateway(projects, kit)(call)
    return Outcome(reply, next(iter(kit.proved), None), next(iter(kit.upstream.sent), None))
