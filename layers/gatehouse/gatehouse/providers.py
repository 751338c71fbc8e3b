"""From the `providers` and the `organization` of project files to what proves who is calling: the wiring, and no rule.

What they share lives as long as the process: the circuits of services, what is kept in memory, what processes share.
It is loaded when a route needs it; the library for foreign signatures, when one is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gatehouse.asked_visitors import AskedVisitors
from gatehouse.asking import Shared
from gatehouse.auth_service import AuthService
from gatehouse.circuit import Circuits
from gatehouse.clock import Clock, Elapsed
from gatehouse.credentials import Credential
from gatehouse.credentials.anonymous import anonymous
from gatehouse.credentials.api_key import api_key
from gatehouse.credentials.jwks import jwks
from gatehouse.credentials.session import session
from gatehouse.foreign_keys import ForeignKeys
from gatehouse.foreign_tokens import ForeignTokens
from gatehouse.kept import Kept
from gatehouse.named_secrets import Secrets, told
from gatehouse.organizations import Organizations
from gatehouse.projects.model import (
    AnonymousProvider,
    JwksProvider,
    Organization,
    Project,
    SessionProvider,
)
from gatehouse.proofs import Means
from gatehouse.published_keys import PublishedKeys
from gatehouse.sealed_sharing import SealedSharing
from gatehouse.stores.shared_answers import SharedAnswers
from gatehouse.tokens import Ring
from gatehouse.upstreams import Upstream
from gatehouse.visitors import MintedVisitors

MOST_KEY_SET_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Providers:
    """Makes the credentials and the organisations of projects.

    Attributes:
        upstream: the client that questions leave by, as requests do.
        ring: the keys that visitors' tokens are signed with.
        secrets: the named secrets, for what services are told.
        table: the DynamoDB table where answers are shared.
        wall: seconds since the epoch.
        monotonic: a steady clock, in seconds.
    """

    upstream: Upstream
    ring: Ring
    secrets: Secrets
    table: str
    wall: Clock
    monotonic: Clock
    _issuers: dict[object, ForeignKeys] = field(default_factory=dict, init=False)

    def credential(self, project: Project, name: str) -> Credential:
        """Return the way to prove who is calling that *project* calls *name*."""
        provider = project.providers[name]
        unique = f"{project.project}/{name}"
        if isinstance(provider, JwksProvider):
            return self._jwks(provider)
        if isinstance(provider, AnonymousProvider):
            return self._anonymous(provider, project, unique)
        means = self._means(provider.set_headers, self._kept, self._table_shared)
        if isinstance(provider, SessionProvider):
            return session(provider, unique, means)
        return api_key(provider, unique, means)

    def organizations(self, project: Project) -> Organizations:
        """Return what confirms organisations as *project* says."""
        where = project.organization or Organization()
        return Organizations(
            name=project.project, where=where, means=self._means(where.headers, self._confirmed, self._shared)
        )

    def _jwks(self, provider: JwksProvider) -> Credential:
        return jwks(provider, ForeignTokens(provider, self._keys(provider), self.wall))

    def _keys(self, provider: JwksProvider) -> ForeignKeys:
        """Return the keys of the issuer of *provider*: one for all providers that ask the same for the same time."""
        url, about = provider.jwks_url or "", (provider.jwks_url, provider.cache, provider.retry)
        if about not in self._issuers:
            published = PublishedKeys(url, self._fetch, self._shared, self._elapsed, fresh_s=provider.cache)
            self._issuers[about] = ForeignKeys(published, provider.retry)
        return self._issuers[about]

    def _anonymous(self, provider: AnonymousProvider, project: Project, unique: str) -> Credential:
        if not provider.url:
            return anonymous(MintedVisitors(project.project, project.issuer, self.ring, provider.ttl, self.wall))
        means = self._means(provider.set_headers, Kept(self._elapsed), self._shared)
        return anonymous(AskedVisitors(provider=provider, name=unique, means=means))

    def _means(self, set_headers: Mapping[str, Any], kept: Kept, shared: Shared) -> Means:
        return Means(ask=self._ask, kept=kept, shared=shared, told=told(set_headers, self.secrets), wall=self.wall)

    @cached_property
    def _elapsed(self) -> Elapsed:
        return Elapsed(self.wall, self.monotonic)

    @cached_property
    def _circuits(self) -> Circuits:
        return Circuits(self._elapsed)

    @cached_property
    def _ask(self) -> AuthService:
        return AuthService(self.upstream, self.monotonic, circuits=self._circuits)

    @cached_property
    def _fetch(self) -> AuthService:
        """What fetches keys: a set of them may be longer than what is said of one credential."""
        return AuthService(self.upstream, self.monotonic, most_bytes=MOST_KEY_SET_BYTES, circuits=self._circuits)

    @cached_property
    def _kept(self) -> Kept:
        """For sessions and API keys, alone: visitors and organisations come in any number and would push them out."""
        return Kept(self._elapsed)

    @cached_property
    def _confirmed(self) -> Kept:
        """For organisations, which owners of API keys can name as they like."""
        return Kept(self._elapsed)

    @cached_property
    def _table_shared(self) -> SharedAnswers:
        return SharedAnswers(self.table, self.wall, self.monotonic)

    @cached_property
    def _shared(self) -> SealedSharing:
        """For all but sessions and API keys, whose answers are sealed by the credential itself."""
        return SealedSharing(self._table_shared, self.ring, self.wall)
