"""Every failure the gateway can answer with, and the one place that renders it.

Each class has its status, its code (what programs read) and a message (what people read, and what it
says to do). `docs/errors.md` lists them; a test holds it to this file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from gatehouse.call import Call, Reply
from gatehouse.headers import Headers, Pair

NO_ROUTE = "CORE"
"""What the error body calls the route where there is none; the metacogna gateway's clients expect it."""
REALM = 'Bearer realm="gatehouse"'
PROBLEM = "application/problem+json"


class ClientGoneError(Exception):
    """The client hung up before its request was whole: there is nobody to answer."""


class GatewayError(Exception):
    """A failure that is meant for the caller's eyes."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    message: ClassVar[str] = "Something went wrong inside the gateway. Try again; tell its operators the requestId."
    challenge: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        details: Mapping[str, Any] | None = None,
        headers: Sequence[Pair] = (),
    ) -> None:
        super().__init__(message or self.message)
        self.details = details
        self.headers = (*headers, *((("www-authenticate", self.challenge),) if self.challenge else ()))


class InternalError(GatewayError):
    """A defect of the gateway; the log has the rest, under the same request id."""


class InvalidRequestError(GatewayError):
    """The request is not of the form that this address takes."""

    status, code = 400, "INVALID_REQUEST"
    message = "The request does not have the form that this address takes."


class BadPathError(GatewayError):
    """The path or query could be read in more than one way."""

    status, code = 400, "BAD_PATH"
    message = "The path could be read in more than one way."


class InvalidRouteError(GatewayError):
    """A token was asked for a route that the asker cannot have."""

    status, code = 400, "INVALID_ROUTE"
    message = "Guests cannot have a token for that route."


class InvalidProjectError(GatewayError):
    """A service token was asked for a project that there is not."""

    status, code = 400, "INVALID_PROJECT"
    message = "There is no such project here."


class InvalidServiceError(GatewayError):
    """A service token was asked for with a service that cannot be one."""

    status, code = 400, "INVALID_SERVICE"
    message = "A service is a name of 1 to 64 letters, digits, '_' and '-'."


class InvalidExpiryError(GatewayError):
    """A service token was asked for with a lifetime that is not given."""

    status, code = 400, "INVALID_EXPIRY"
    message = "expiresInDays is a whole number of days from 1 to 365; without it a token lasts 90 days."


class MissingTokenError(GatewayError):
    """The route needs a credential and none was sent."""

    status, code = 401, "MISSING_TOKEN"
    message = "This route needs a token. Send it as 'Authorization: Bearer <token>'; POST /auth/login gives one."
    challenge = REALM


class InvalidCredentialsError(GatewayError):
    """A login with a username or password that is not right."""

    status, code = 401, "INVALID_CREDENTIALS"
    message = "The username or the password is wrong."
    challenge = REALM


class InvalidTokenError(GatewayError):
    """A token that is not valid here."""

    status, code = 403, "INVALID_TOKEN"
    message = "The token is not valid here. Get a new one from POST /auth/login or POST /auth/guest."
    challenge = f'{REALM}, error="invalid_token"'


class ForeignTokenError(InvalidTokenError):
    """A token of another issuer that is not believed: 401, as the AI proxy answered (RFC 6750 section 3.1)."""

    status = 401
    message = "The token is not valid here. Sign in again at its issuer and send the new one."


class RejectedCredentialError(GatewayError):
    """A session or an API key that the auth service does not know, or knows no longer."""

    status, code = 401, "INVALID_CREDENTIALS"
    message = "The session or API key is not valid, or not any more. Sign in again, or use another key."
    challenge = REALM


class InsufficientTokenError(InvalidTokenError):
    """A good token for another route. The code is the same: the metacogna gateway knew only one."""

    message = "The token does not open this route. Get one for it from POST /auth/login or POST /auth/guest."
    challenge = f'{REALM}, error="insufficient_scope"'


class TokenRevokedError(GatewayError):
    """A token that was good, and was taken back."""

    status, code = 403, "TOKEN_REVOKED"
    message = "The token has been revoked. Get a new one, or ask the administrators of the gateway why."
    challenge = f'{REALM}, error="invalid_token"'


class ForbiddenError(GatewayError):
    """A good credential that does not say what the route asks for."""

    status, code = 403, "FORBIDDEN"
    message = "The token is good, but not for this route. Ask the gateway's administrators for one that is."
    challenge = f'{REALM}, error="insufficient_scope"'


class NotFoundError(GatewayError):
    """No project file has a route for the path."""

    status, code = 404, "NOT_FOUND"
    message = "No route of this gateway matches the path."


class TokenNotFoundError(GatewayError):
    """The registry has no such token."""

    status, code = 404, "TOKEN_NOT_FOUND"
    message = "No token with that id is known here."


class MethodNotAllowedError(GatewayError):
    """The route does not take the method; `Allow` has those it takes."""

    status, code = 405, "METHOD_NOT_ALLOWED"
    message = "This route does not take that method; the Allow header lists those it takes."


class PayloadTooLargeError(GatewayError):
    """The request's body is larger than the gateway takes."""

    status, code = 413, "PAYLOAD_TOO_LARGE"
    message = "The request's body is larger than the gateway takes."


class RateLimitedError(GatewayError):
    """Too many requests in too short a time; `Retry-After` says when the next one has a chance (RFC 6585 section 4)."""

    status, code = 429, "RATE_LIMITED"
    message = "Too many requests. Wait for as many seconds as the Retry-After header says, then try again."

    def __init__(self, message: str = "", *, retry_after_s: float = 1, headers: Sequence[Pair] = ()) -> None:
        after_s = max(1, math.ceil(retry_after_s))
        super().__init__(message, headers=(*headers, ("retry-after", str(after_s))))


class BudgetExceededError(GatewayError):
    """Too many of a model's tokens in too short a time; `Retry-After` says when there are new ones."""

    status, code = 429, "BUDGET_EXCEEDED"
    message = "There are not enough tokens left for this request. There are more after the time in Retry-After."

    def __init__(self, message: str = "", *, retry_after_s: float = 1, headers: Sequence[Pair] = ()) -> None:
        after_s = max(1, math.ceil(retry_after_s))
        super().__init__(message, headers=(*headers, ("retry-after", str(after_s))))


class MissingTargetError(GatewayError):
    """The route's upstream has no address in this deployment."""

    status, code = 502, "MISSING_TARGET"
    message = "This route has no upstream yet. Its operators must set the variable that its project file names."


class UpstreamUnreachableError(GatewayError):
    """The upstream refused the connection, broke it, or did not speak HTTP."""

    status, code = 502, "UPSTREAM_UNREACHABLE"
    message = "The service behind this route could not be reached. Try again in a moment."


class ResponseTooLargeError(GatewayError):
    """The upstream's answer does not fit into a buffered Lambda answer (6 MB)."""

    status, code = 502, "RESPONSE_TOO_LARGE"
    message = (
        "The service's answer is larger than a buffered route can carry (6 MB). "
        "Ask for less at a time, or have the route made a streaming one."
    )


class AuthUnavailableError(GatewayError):
    """Who is calling cannot be decided now, so nobody goes through."""

    status, code = 503, "AUTH_UNAVAILABLE"
    message = "The gateway cannot check credentials right now. Try again in a moment."


class MetricsUnavailableError(GatewayError):
    """CloudWatch does not say what the fleet has done, and what it said before is too old to be shown."""

    status, code = 503, "METRICS_UNAVAILABLE"
    message = "CloudWatch does not answer, so there are no metrics to show. Scrape again in a moment."


class NotCachedError(GatewayError):
    """The client wants a kept answer or none (`only-if-cached`, RFC 9111 section 5.2.1.7), and none is kept."""

    status, code = 504, "NOT_CACHED"
    message = "No answer to this request is kept here. Ask again without 'only-if-cached' to have it fetched."


class UpstreamTimeoutError(GatewayError):
    """The upstream took longer than the route, or the invocation, allows."""

    status, code = 504, "UPSTREAM_TIMEOUT"
    message = "The service behind this route took too long to answer. Try again in a moment."


def render(error: GatewayError, call: Call, *, now: datetime | None = None) -> Reply:
    """Turn *error* into the answer to *call*: our body, or RFC 9457 where the client accepts that."""
    problem = PROBLEM in call.headers.get("accept").lower()
    body = document(error, route=call.route, request_id=call.request_id, now=now)
    if problem:
        body = {"type": "about:blank", "title": error.code, "detail": body.pop("message"), **body}
    headers = Headers(
        (
            *error.headers,
            ("content-type", PROBLEM if problem else "application/json"),
            ("cache-control", "no-store"),
        )
    )
    return Reply(status=error.status, headers=headers, body=json.dumps(body).encode())


def document(error: GatewayError, *, route: str, request_id: str, now: datetime | None = None) -> dict[str, Any]:
    """Return the error body that every answer of the gateway uses."""
    moment = (now or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body: dict[str, Any] = {
        "route": route,
        "status": error.status,
        "code": error.code,
        "message": str(error),
        "requestId": request_id,
        "timestamp": moment,
    }
    return {**body, "details": dict(error.details)} if error.details else body
