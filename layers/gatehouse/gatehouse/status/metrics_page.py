"""`GET /metrics`: what the fleet has done, for Prometheus. For who has METRICS_TOKEN, and for administrators."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol

from gatehouse import callers, logs
from gatehouse.call import Call, Handler, Reply
from gatehouse.credentials.gateway import bearer
from gatehouse.errors import InvalidTokenError, MissingTokenError, NotFoundError
from gatehouse.headers import Headers
from gatehouse.status.fleet import Fleet
from gatehouse.status.pages import NOT_STORED
from gatehouse.weak_secrets import weakness

NAME = "METRICS_TOKEN"
"""What the named secret is called that scrapers send."""
ACTION = "metrics"
HOW = (
    f"The metrics need a token: the secret {NAME}, or that of an administrator from POST /auth/login. Send it as "
    f"'Authorization: Bearer <token>'. Operators make one with: python -m gatehouse secrets set {NAME} --generate"
)
WRONG = (
    f"The token is neither {NAME} nor one of the gateway's. Operators give it another value with: "
    f"python -m gatehouse secrets set {NAME} --generate"
)
OFF = "This gateway publishes no metrics. Its operators switch them on with the variable METRICS_NAMESPACE."
_JWT_BEGINS = "eyJ"
_DOTS = 2


class Collaborators(callers.Collaborators, Protocol):
    """What lets callers in; `kit.Kit` is it."""

    async def secrets(self) -> Mapping[str, str]:
        """Return the named secrets."""
        ...


def metrics(kit: Collaborators, fleet: Fleet) -> Handler:
    """Return the handler of `/metrics`, which shows *fleet*."""

    async def metrics(call: Call) -> Reply:
        await _let_in(call, kit)
        if not fleet.namespace:
            raise NotFoundError(OFF)
        from gatehouse.status.exposition import exposition  # noqa: PLC0415  # 60 ms, which `/ping` does without

        body, content_type = exposition(await fleet.shown(), call.headers.get("accept"))
        headers = Headers((("content-type", content_type), NOT_STORED))
        return Reply(status=200, headers=headers, body=body)

    return metrics


async def _let_in(call: Call, kit: Collaborators) -> None:
    """Refuse whoever has neither the token for metrics nor one of an administrator.

    Raises:
        MissingTokenError, InvalidTokenError, ForbiddenError, TokenRevokedError: they have not.
        AuthUnavailableError: it cannot be said now.
    """
    if "authorization" not in call.headers:
        raise MissingTokenError(HOW)
    token = bearer(call)
    if token.startswith(_JWT_BEGINS) and token.count(".") == _DOTS:
        await callers.admin(call, kit, ACTION)
    elif not _is(token, (await kit.secrets()).get(NAME, "")):
        raise InvalidTokenError(WRONG)
    else:
        call.notes["credential"] = ACTION


def _is(token: str, secret: str) -> bool:
    """Say whether *token* is *secret*, in the same time whatever of it is right. One not to trust is nobody's."""
    reason = weakness(secret) if secret else "is not set"
    if reason:
        logs.error("metrics token not usable", reason=reason)
        return False
    digests = (sha256(one.encode("utf-8", "surrogatepass")).digest() for one in (token, secret))
    return hmac.compare_digest(*digests)
