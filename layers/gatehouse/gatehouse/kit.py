"""The collaborators that live as long as the process, each made (and its library loaded) when first asked for."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gatehouse.keyring import LiveKeyRing
from gatehouse.keys import KeyRingError
from gatehouse.projects import Projects, load
from gatehouse.settings import Settings
from gatehouse.tokens import Issuer, TokenVerifier
from gatehouse.upstreams import Upstream

if TYPE_CHECKING:
    from gatehouse.stores.admins import AdminRecords


@dataclass(frozen=True)
class Kit:
    """Everything that functions share between requests."""

    settings: Settings
    _verifiers: dict[Issuer, TokenVerifier] = field(default_factory=dict)

    @cached_property
    def projects(self) -> Projects:
        """The projects; a mistake in their files stops whoever asks first."""
        return load(self.settings.projects_dir, os.environ)

    @cached_property
    def keys(self) -> LiveKeyRing:
        """The key ring, fetched from Secrets Manager when first needed."""
        arn = self.settings.secret_arn

        async def fetch() -> str:
            if not arn:
                raise KeyRingError("GATEWAY_SECRET_ARN is not set.")
            from gatehouse.stores.secrets import secret_value

            return await secret_value(arn)

        return LiveKeyRing(fetch, time.monotonic)

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        """Return what believes the tokens of *issuer*; one per issuer, so that it remembers for all routes."""
        if issuer not in self._verifiers:
            self._verifiers[issuer] = TokenVerifier(self.keys, issuer, time.time)
        return self._verifiers[issuer]

    @cached_property
    def upstream(self) -> Upstream:
        """The client that requests leave by; the settings choose which."""
        if self.settings.upstream_client == "buffered":
            from gatehouse.upstreams.buffered import BufferedUpstream

            return BufferedUpstream()
        from gatehouse.upstreams.streaming import StreamingUpstream

        return StreamingUpstream()

    async def close(self) -> None:
        """Close what is open, if anything was ever opened."""
        if "upstream" in self.__dict__:
            await self.upstream.close()

    @cached_property
    def admins(self) -> AdminRecords:
        """The admin records in S3."""
        from gatehouse.stores.admins import AdminRecords

        return AdminRecords(self.settings.admins_bucket)
