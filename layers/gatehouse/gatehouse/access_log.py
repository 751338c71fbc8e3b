"""The line that every request leaves in the log, which is also where its metrics stand.

One line says who called, by which route, what was decided on the way, how it ended, and how long it took. It has the
path and not the query, where secrets like to stand. `docs/monitoring.md` explains each member.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gatehouse import metrics
from gatehouse.call import Call
from gatehouse.metric_names import (
    AUTH,
    AUTH_FAILURES,
    CACHE,
    DURATION,
    FAILED,
    GATEWAY_ERRORS,
    LIMITS,
    REQUESTS,
    REVOCATION_LAG,
    UPSTREAM_DURATION,
    Metric,
)
from gatehouse.redaction import redacted_path
from gatehouse.tracing import trace_id

NO_PROJECT = "gatehouse"
"""Whose request it is that belongs to no project: the gateway's own."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "OTHER"
NOBODY = "none"
MOST_SAID = 256
"""How much is repeated of a text that a stage has noted, in characters: of a subject, say, which others choose."""
MOST_PATH = 2048
"""How much of a path is repeated, in characters."""
CLIENT_GONE = 499
"""The status of a request whose client left before there was an answer: nobody was sent it. nginx calls it so."""
_CODES = frozenset({CLIENT_GONE, *(int(one) for one in HTTPStatus)})
_AUTH_OF_ERROR = {
    "MISSING_TOKEN": "missing",
    "INVALID_TOKEN": "refused",
    "INVALID_CREDENTIALS": "refused",
    "TOKEN_REVOKED": "revoked",
    "FORBIDDEN": "forbidden",
    "AUTH_UNAVAILABLE": "unavailable",
}
FAILURES = frozenset({"refused", "revoked"})
"""What an attack would look like; a missing credential is a browser that has not logged in yet."""
LIMITED_LOGIN = ("limited", "AUTH")
"""So does this: whoever has failed too often goes on trying."""
OWN_ERRORS = frozenset({"INTERNAL", "AUTH_UNAVAILABLE"})
"""Failures of the gateway, and of what it needs to say who is calling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a request ended.

    Attributes:
        status: the answer's.
        sent_bytes: how much of its body left.
        head_s: when the answer began to leave, in seconds since the request came.
        total_s: when all was done.
        cut: whether the answer broke off.
        cold: whether it was the first of its process.
    """

    status: int
    sent_bytes: int
    head_s: float
    total_s: float
    cut: bool = False
    cold: bool = False


def line(call: Call, ended: Ended) -> dict[str, Any]:
    """Return the members of the line about *call*."""
    notes = call.notes
    said: dict[str, Any] = {
        "requestId": call.request_id,
        **_traced(call),
        "method": call.method if call.method in METHODS else OTHER,
        "path": redacted_path(call.path[:MOST_PATH]),
        "ip": call.client_ip,
        **{name: note[:MOST_SAID] if isinstance(note, str) else note for name, note in notes.items()},
        "auth": auth_of(call),
        "status": ended.status,
        "bytes": ended.sent_bytes,
        "ms": _ms(ended.total_s),
        "gatewayMs": _gateway_ms(notes, ended),
        **({"limit": limit_of(call)} if call.counts else {}),
        **({"cut": True} if ended.cut else {}),
        **({"coldStart": True} if ended.cold else {}),
    }
    return {**said, **_metrics(said, ended)}


def auth_of(call: Call) -> str:
    """Return what came of the question who is calling.

    `accepted`, `anonymous` (nobody had to say, and nobody did), `missing`, `refused`, `revoked`, `forbidden` (known,
    and not allowed), `unavailable` (it could not be decided), `limited` (a limit refused before anybody looked).
    """
    error = call.notes.get("error")
    answer = _AUTH_OF_ERROR.get(error) if isinstance(error, str) else None
    if answer or "credential" in call.notes:
        return answer or "accepted"
    return "limited" if error == "RATE_LIMITED" else "anonymous"


def limit_of(call: Call) -> str:
    """Return what came of counting *call*.

    `allowed`, `limited` (refused), `shadow` (a limit in the shadow would have refused it), `local` (counted for one
    process alone, since the table could not be reached).
    """
    if "limitedBy" in call.notes:
        return "limited"
    if "shadowLimits" in call.notes:
        return "shadow"
    return "local" if "limitedHere" in call.notes else "allowed"


def code_of(status: int) -> str:
    """Return *status* as metrics count it: what is no status of HTTP's by its first digit alone."""
    return str(status) if status in _CODES else f"{status // 100}xx"


def _traced(call: Call) -> dict[str, str]:
    trace = trace_id(call.headers)
    return {"traceId": trace} if trace else {}


def _gateway_ms(notes: dict[str, object], ended: Ended) -> float:
    """Return how long the gateway itself took until the answer began to leave: all but the upstream."""
    upstream = notes.get("upstreamMs")
    return round(max(0.0, ended.head_s * 1000 - (upstream if isinstance(upstream, float) else 0.0)), 1)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _metrics(said: dict[str, Any], ended: Ended) -> dict[str, Any]:
    """Return what makes the line publish metrics; the members that it has already stay as they are."""
    answered = FAILED if "error" in said else REQUESTS
    numbers: dict[Metric, float] = {answered: 1, DURATION: said["ms"], AUTH: 1}
    if "upstreamMs" in said:
        numbers[UPSTREAM_DURATION] = said["upstreamMs"]
    if "limit" in said:
        numbers[LIMITS] = 1
    if "cache" in said:
        numbers[CACHE] = 1
    if said["auth"] in FAILURES or (said["auth"], said.get("route")) == LIMITED_LOGIN:
        numbers[AUTH_FAILURES] = 1
    if said.get("error") in OWN_ERRORS:
        numbers[GATEWAY_ERRORS] = 1
    if "revocationLagS" in said:
        numbers[REVOCATION_LAG] = said["revocationLagS"]
    return metrics.embedded(
        numbers,
        project=said.get("project", NO_PROJECT),
        route=said.get("route", NO_PROJECT),
        method=said["method"],
        code=code_of(ended.status),
        auth=said["auth"],
        credential=said.get("credential", NOBODY),
        limit=said.get("limit", ""),
        cache=said.get("cache", ""),
    )
