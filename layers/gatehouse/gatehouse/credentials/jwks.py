"""Prove who is calling by the token of another issuer, in the headers and the cookie that the project file names."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gatehouse.call import Call, Identity
from gatehouse.cookies import RepeatedCookieError, value_of
from gatehouse.credentials import Credential
from gatehouse.errors import ForeignTokenError
from gatehouse.headers import Headers
from gatehouse.hygiene import spelled
from gatehouse.projects.model import JwksProvider

AUTHORIZATION = "authorization"


class Tokens(Protocol):
    """What believes tokens of the issuer; `foreign_tokens.ForeignTokens` is it."""

    def verify(self, token: str, deadline: float | None = None) -> Awaitable[Identity]:
        """Return who *token* says is calling."""
        ...


def jwks(provider: JwksProvider, tokens: Tokens) -> Credential:
    """Return the credential that *tokens* believes, where *provider* says it is.

    Its headers are looked at in their order, then its cookie. A provider that names neither has its tokens in
    `Authorization: Bearer …`.
    """
    headers = tuple(name.lower() for name in provider.headers)
    if not (headers or provider.cookie):
        headers = (AUTHORIZATION,)

    async def prove(call: Call) -> Identity | None:
        token = _token(call.headers, headers, provider.cookie)
        return None if token is None else await tokens.verify(token, call.deadline)

    return prove


def _token(headers: Headers, names: tuple[str, ...], cookie: str) -> str | None:
    """Return the first token that is there; None if there is none.

    Raises:
        ForeignTokenError: a place for it holds something else, or two things. That never becomes "nobody".
    """
    for name in names:
        values = set(spelled(headers, (name,)))
        if len(values) > 1:
            raise ForeignTokenError(f"The header '{name}' was sent more than once; send one token.")
        if values:
            return _bearer(*values) if name == AUTHORIZATION else _bare(name, *values)
    try:
        return value_of(headers, cookie) if cookie else None
    except RepeatedCookieError as error:
        raise ForeignTokenError(str(error)) from error


def _bare(name: str, value: str) -> str:
    if value.lower().startswith("bearer "):
        raise ForeignTokenError(f"The header '{name}' holds the token alone, without 'Bearer'.")
    return value


def _bearer(value: str) -> str:
    """Return the token in the value of an Authorization header (RFC 6750 section 2.1)."""
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        raise ForeignTokenError("The Authorization header holds no bearer token. Send 'Bearer <token>'.")
    return token.strip(" ")
