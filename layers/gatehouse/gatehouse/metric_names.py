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


def _counter(name: str, family: str, dimensions: tuple[str, ...], says: str, **named: Mapping[str, str]) -> Metric:
    return Metric(
        name=name, unit="Count", dimensions=dimensions, family=f"gatehouse_{family}", kind="counter", says=says, **named
    )


def _duration(name: str, family: str, says: str) -> Metric:
    family = f"gatehouse_{family}_duration_seconds"
    return Metric(name=name, unit="Milliseconds", dimensions=ROUTE, family=family, kind="summary", says=says)


def _age(name: str, family: str, dimensions: tuple[str, ...], says: str) -> Metric:
    family = f"gatehouse_{family}_seconds"
    return Metric(name=name, unit="Seconds", dimensions=dimensions, family=family, kind="gauge", says=says)


ROUTE = ("project", "route")
FLEET = ("environment",)
"""Of what an alarm looks at: it must know all dimensions beforehand."""

_ANSWERED = "Requests that were answered, by the status of the answer."
_TOKENS = "Tokens of language models that calls took."

REQUESTS = _counter("Requests", "requests", (*ROUTE, "method", "code"), _ANSWERED)
FAILED = _counter("Failures", "requests", (*ROUTE, "code"), _ANSWERED, fixed={"method": "any"})
"""Requests that the gateway answered with a failure of its own. Anybody can make these, by any method: without it they
make fewer metrics of it, which cost money."""
DURATION = _duration("Duration", "request", "How long requests took, to the last byte of the answer.")
UPSTREAM_DURATION = _duration(
    "UpstreamDuration", "upstream", "How long upstreams took to answer; of streams, until the answer began."
)
AUTH = _counter(
    "Auth",
    "auth",
    ("project", "credential", "auth"),
    "Requests by what came of the question who is calling.",
    labels={"auth": "outcome"},
)
LIMITS = _counter(
    "Limits",
    "limits",
    (*ROUTE, "limit"),
    "Requests that were counted under limits, by what came of it.",
    labels={"limit": "outcome"},
)
CACHE = _counter(
    "Cache",
    "cache",
    (*ROUTE, "cache"),
    "Requests of routes with a cache, by what the cache had to do with the answer.",
    labels={"cache": "outcome"},
)
PROMPT_TOKENS = _counter("PromptTokens", "model_tokens", ROUTE, _TOKENS, fixed={"type": "prompt"})
COMPLETION_TOKENS = _counter("CompletionTokens", "model_tokens", ROUTE, _TOKENS, fixed={"type": "completion"})
KEY_FETCHES = _counter(
    "KeyFetches", "key_fetches", ("issuer", "outcome"), "How often other issuers were asked for their keys."
)
KEY_AGE = _age(
    "KeyAge",
    "key_age",
    ("issuer",),
    "How old another issuer's keys were when they were last asked for; 0 if new ones came.",
)
STORE_FAILURES = _counter(
    "StoreFailures",
    "store_failures",
    ("store",),
    "How often a store did not answer: requests then went without it, or were refused.",
)
AUTH_FAILURES = _counter(
    "AuthFailures", "auth_failures", FLEET, "Logins and credentials that were refused, and logins that a limit refused."
)
GATEWAY_ERRORS = _counter(
    "GatewayErrors",
    "errors",
    FLEET,
    "Requests that failed by the gateway itself, or by what it needs to say who is calling.",
)
REVOCATION_LAG = _age(
    "RevocationLag",
    "revocation_lag",
    FLEET,
    "How old what a process knew of revoked tokens was when it last judged a token.",
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
