"""The collaborators that live as long as the process, each made (and its library loaded) when first asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from gatehouse import logs, metrics, snapshot
from gatehouse.call import Stage
from gatehouse.credentials import Credential
from gatehouse.keyring import LiveKeyRing
from gatehouse.keys import KeyRing, KeyRingError, parse
from gatehouse.projects import Project, Projects, Route, load
from gatehouse.revocation_watch import RevocationWatch
from gatehouse.settings import Settings
from gatehouse.tokens import Issuer, TokenVerifier
from gatehouse.upstreams import Upstream
from gatehouse.usage import LastUse

if TYPE_CHECKING:
    from gatehouse.caching.inquiry import Cache
    from gatehouse.login_limits import LoginLimits
    from gatehouse.models.metering import Meter
    from gatehouse.organizations import Organizations
    from gatehouse.providers import Providers
    from gatehouse.route_limits import RouteLimits
    from gatehouse.session_limits import SessionLimits
    from gatehouse.stores.admins import AdminRecords
    from gatehouse.stores.purge_log import PurgeLog
    from gatehouse.stores.revocation_log import RevocationLog
    from gatehouse.stores.token_registry import TokenRegistry


@dataclass(frozen=True)
class Kit:
    """Everything that functions share between requests."""

    settings: Settings
    _verifiers: dict[Issuer, TokenVerifier] = field(default_factory=dict)
    _credentials: dict[tuple[str, str], Credential] = field(default_factory=dict)

    @cached_property
    def projects(self) -> Projects:
        """The projects; a mistake in their files stops whoever asks first."""
        return load(self.settings.projects_dir, os.environ)

    @cached_property
    def served(self) -> Projects:
        """The projects as the proxy serves them: with the secrets that they name, as far as these could be fetched."""
        ring = self.keys.ring
        return load(self.settings.projects_dir, os.environ, ring.secrets if ring else None)

    @cached_property
    def keys(self) -> LiveKeyRing:
        """The key ring, fetched from Secrets Manager when first needed."""
        return self._keys()

    def start(self) -> None:
        """Fetch the key ring now, so that one that nobody should trust stops the start.

        Without an answer the function starts all the same and asks again when the first token comes; where only boto3
        can ask, as under SnapStart, it does not ask now.

        Raises:
            KeyRingError: there is a key ring, and it is not one to trust.
        """
        from gatehouse.stores import aws_json, secrets

        snapshot.hook(os.environ, aws_json.close)
        metrics.publish(self.settings.metrics_namespace, self.settings.environment)
        arn = self.settings.secret_arn
        if not secrets.at_hand(arn):
            return
        try:
            ring = parse(secrets.read(arn))
        except KeyRingError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the store, it is asked again
            logs.error("key ring not fetched", reason=type(error).__name__, **metrics.store_failed("secrets"))
        else:
            self.__dict__["keys"] = self._keys(ring)

    def _keys(self, ring: KeyRing | None = None) -> LiveKeyRing:
        arn = self.settings.secret_arn

        async def fetch() -> str:
            if not arn:
                raise KeyRingError("GATEWAY_SECRET_ARN is not set.")
            from gatehouse.stores.secrets import secret_value

            return await secret_value(arn)

        return LiveKeyRing(fetch, time.monotonic, ring=ring)

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        """Return what believes the tokens of *issuer*; one per issuer, so that it remembers for all routes."""
        if issuer not in self._verifiers:
            self._verifiers[issuer] = TokenVerifier(self.keys, issuer, time.time)
        return self._verifiers[issuer]

    async def secrets(self) -> Mapping[str, str]:
        """Return the named secrets that are in force.

        Raises:
            AuthUnavailableError: they cannot be had.
        """
        return (await self.keys.current()).secrets

    def credential(self, project: Project, name: str) -> Credential:
        """Return the way to prove who is calling that *project* calls *name*; one for all its routes."""
        key = (project.project, name)
        if key not in self._credentials:
            self._credentials[key] = self._providers.credential(project, name)
        return self._credentials[key]

    def organizations(self, project: Project) -> Organizations:
        """Return what confirms organisations as *project* says."""
        return self._providers.organizations(project)

    @cached_property
    def _providers(self) -> Providers:
        from gatehouse.providers import Providers

        return Providers(
            upstream=self.upstream,
            ring=self.keys,
            secrets=self.secrets,
            table=self.settings.cache_table,
            wall=time.time,
            monotonic=time.monotonic,
        )

    @cached_property
    def revocation_log(self) -> RevocationLog:
        """The revocation log in DynamoDB."""
        from gatehouse.stores.revocation_log import RevocationLog

        return RevocationLog(self.settings.tokens_table)

    @cached_property
    def revocations(self) -> RevocationWatch:
        """What has been taken back, as far as this process knows."""
        return RevocationWatch(self.revocation_log, self.settings.revocation_refresh_s, time.time, time.monotonic)

    @cached_property
    def last_use(self) -> LastUse:
        """When service tokens were used."""
        from gatehouse.stores.last_use import write_last_use

        return LastUse(partial(write_last_use, self.settings.tokens_table), time.time)

    @cached_property
    def limits(self) -> RouteLimits:
        """How often requests may come, counted in DynamoDB if there is a table."""
        from gatehouse.route_limits import RouteLimits
        from gatehouse.stores.route_buckets import RouteBuckets

        table = self.settings.cache_table
        return RouteLimits(RouteBuckets(table), time.time, time.monotonic, shared=bool(table))

    @cached_property
    def purge_log(self) -> PurgeLog:
        """What was thrown away of the cache, in DynamoDB."""
        from gatehouse.stores.purge_log import PurgeLog

        return PurgeLog(self.settings.cache_table)

    def cache(self, project: Project, route: Route, path: str, *, keeps: bool) -> Stage:
        """Return the stage that keeps answers of *route* of *project* under *path*; see `stages.cache.cached`."""
        from gatehouse.stages.cache import cached

        return cached(project, route, path, self.answers, keeps=keeps)

    @cached_property
    def answers(self) -> Cache:
        """Where answers are kept: in memory, and in DynamoDB if there is a table."""
        from gatehouse.caching.opened import opened

        table, most_bytes = self.settings.cache_table, self.settings.cache_memory_bytes
        return opened(table, most_bytes, time.time, time.monotonic, freezes="AWS_LAMBDA_FUNCTION_NAME" in os.environ)

    def model_calls(self, project: Project, route: Route, path: str) -> Stage:
        """Return the stage that takes calls of models on *route* of *project* under *path*."""
        from gatehouse.stages.model_calls import model_calls, policy_of

        return model_calls(policy_of(project, route, path), self.meter)

    @cached_property
    def meter(self) -> Meter:
        """What keeps account of calls of models, in DynamoDB if there is a table."""
        from gatehouse.models.metering import Meter
        from gatehouse.stores.usage import UsageTable

        table = self.settings.usage_table
        return Meter(UsageTable(table), time.time, time.monotonic, shared=bool(table))

    @cached_property
    def session_limits(self) -> SessionLimits:
        """How often sessions may be refreshed or ended."""
        from gatehouse.session_limits import SessionLimits
        from gatehouse.stores.limits import Limits

        return SessionLimits(Limits(self.settings.cache_table), time.time)

    @cached_property
    def registry(self) -> TokenRegistry:
        """The registry of service tokens in DynamoDB."""
        from gatehouse.stores.token_registry import TokenRegistry

        return TokenRegistry(self.settings.tokens_table)

    @cached_property
    def upstream(self) -> Upstream:
        """The client that requests leave by; the settings choose which."""
        if self.settings.upstream_client == "buffered":
            from gatehouse.upstreams.buffered import BufferedUpstream

            return BufferedUpstream()
        from gatehouse.upstreams.streaming import StreamingUpstream

        return StreamingUpstream()

    @cached_property
    def functions(self) -> Upstream:
        """The client that invokes Lambda functions."""
        from gatehouse.upstreams.functions import FunctionUpstream

        return FunctionUpstream()

    async def close(self) -> None:
        """Close what is open, if anything was ever opened."""
        from gatehouse.stores import aws_json

        aws_json.close()
        if "answers" in self.__dict__:
            for task in tuple(self.answers.renewing):
                task.cancel()
        for name in ("upstream", "functions"):
            if name in self.__dict__:
                await self.__dict__[name].close()

    @cached_property
    def admins(self) -> AdminRecords:
        """The admin records in S3."""
        from gatehouse.stores.admins import AdminRecords

        return AdminRecords(self.settings.admins_bucket)

    @cached_property
    def login_limits(self) -> LoginLimits:
        """How many logins may fail, counted in DynamoDB."""
        from gatehouse.login_limits import LoginLimits, LoginRates
        from gatehouse.stores.limits import Limits
        from gatehouse.stores.places import LoginPlaces

        table = self.settings.cache_table
        rates = LoginRates(user=self.settings.login_limit_user, address=self.settings.login_limit_address)
        return LoginLimits(Limits(table), LoginPlaces(table), rates, time.time)
