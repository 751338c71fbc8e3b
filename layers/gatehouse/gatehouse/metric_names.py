"""Every metric of the gateway, by the name CloudWatch has for it and by the one that Prometheus has.

Each is a number in a line of the log (`metrics.py`), and its dimensions are members of the same line. A combination of
values of these is a metric of its own, which AWS has a price for: what clients choose is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["Count", "Milliseconds", "Seconds"]
Kind: TypeAlias = Literal["counter", "summary", "gauge"]
NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        name: what CloudWatch calls it, and the member of the line that has the number.
        unit: CloudWatch's unit.
        dimensions: the members of the line that tell its numbers apart.
        family: what Prometheus calls it, without `_total`, `_sum` and `_count`.
        kind: what it is there. Counters add up, summaries have a sum and a count, gauges are the largest of late.
        says: what it says, for `# HELP`.
        labels: what a dimension is called there, where it has another name.
        fixed: labels that all its numbers have.
    """

    name: str
    unit: Unit
    dimensions: tuple[str, ...]
    family: str
    kind: Kind
    says: str
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    fixed: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)

    @property
    def scale(self) -> float:
        """What a number is multiplied with for Prometheus, whose unit of time is the second."""
        return 0.001 if self.unit == "Milliseconds" else 1.0


ROUTE = ("project", "route")
FLEET = ("environment",)
"""Of what an alarm looks at: it must know all dimensions beforehand."""

REQUESTS = Metric(
    name="Requests",
    unit="Count",
    dimensions=(*ROUTE, "method", "code"),
    family="gatehouse_requests",
    kind="counter",
    says="Requests that were answered, by the status of the answer.",
)
FAILED = Metric(
    name="Failures",
    unit="Count",
    dimensions=(*ROUTE, "code"),
    family="gatehouse_requests",
    kind="counter",
    says=REQUESTS.says,
    fixed={"method": "any"},
)
"""Requests that the gateway answered with a failure of its own. Anybody can make these, by any method: without it they
make fewer metrics of it, which cost money."""
DURATION = Metric(
    name="Duration",
    unit="Milliseconds",
    dimensions=ROUTE,
    family="gatehouse_request_duration_seconds",
    kind="summary",
    says="How long requests took, to the last byte of the answer.",
)
UPSTREAM_DURATION = Metric(
    name="UpstreamDuration",
    unit="Milliseconds",
    dimensions=ROUTE,
    family="gatehouse_upstream_duration_seconds",
    kind="summary",
    says="How long upstreams took to answer; of streams, until the answer began.",
)
AUTH = Metric(
    name="Auth",
    unit="Count",
    dimensions=("project", "credential", "auth"),
    family="gatehouse_auth",
    kind="counter",
    says="Requests by what came of the question who is calling.",
    labels={"auth": "outcome"},
)
LIMITS = Metric(
    name="Limits",
    unit="Count",
    dimensions=(*ROUTE, "limit"),
    family="gatehouse_limits",
    kind="counter",
    says="Requests that were counted under limits, by what came of it.",
    labels={"limit": "outcome"},
)
CACHE = Metric(
    name="Cache",
    unit="Count",
    dimensions=(*ROUTE, "cache"),
    family="gatehouse_cache",
    kind="counter",
    says="Requests of routes with a cache, by what the cache had to do with the answer.",
    labels={"cache": "outcome"},
)
PROMPT_TOKENS = Metric(
    name="PromptTokens",
    unit="Count",
    dimensions=ROUTE,
    family="gatehouse_model_tokens",
    kind="counter",
    says="Tokens of language models that calls took.",
    fixed={"type": "prompt"},
)
COMPLETION_TOKENS = Metric(
    name="CompletionTokens",
    unit="Count",
    dimensions=ROUTE,
    family="gatehouse_model_tokens",
    kind="counter",
    says=PROMPT_TOKENS.says,
    fixed={"type": "completion"},
)
KEY_FETCHES = Metric(
    name="KeyFetches",
    unit="Count",
    dimensions=("issuer", "outcome"),
    family="gatehouse_key_fetches",
    kind="counter",
    says="How often other issuers were asked for their keys.",
)
KEY_AGE = Metric(
    name="KeyAge",
    unit="Seconds",
    dimensions=("issuer",),
    family="gatehouse_key_age_seconds",
    kind="gauge",
    says="How old another issuer's keys were when they were last asked for; 0 if new ones came.",
)
STORE_FAILURES = Metric(
    name="StoreFailures",
    unit="Count",
    dimensions=("store",),
    family="gatehouse_store_failures",
    kind="counter",
    says="How often a store did not answer: requests then went without it, or were refused.",
)
AUTH_FAILURES = Metric(
    name="AuthFailures",
    unit="Count",
    dimensions=FLEET,
    family="gatehouse_auth_failures",
    kind="counter",
    says="Logins and credentials that were refused, and logins that a limit refused.",
)
GATEWAY_ERRORS = Metric(
    name="GatewayErrors",
    unit="Count",
    dimensions=FLEET,
    family="gatehouse_errors",
    kind="counter",
    says="Requests that failed by the gateway itself, or by what it needs to say who is calling.",
)
REVOCATION_LAG = Metric(
    name="RevocationLag",
    unit="Seconds",
    dimensions=FLEET,
    family="gatehouse_revocation_lag_seconds",
    kind="gauge",
    says="How old what a process knew of revoked tokens was when it last judged a token.",
)

CATALOGUE = (
    REQUESTS,
    FAILED,
    DURATION,
    UPSTREAM_DURATION,
    AUTH,
    LIMITS,
    CACHE,
    PROMPT_TOKENS,
    COMPLETION_TOKENS,
    KEY_FETCHES,
    KEY_AGE,
    STORE_FAILURES,
    AUTH_FAILURES,
    GATEWAY_ERRORS,
    REVOCATION_LAG,
)
