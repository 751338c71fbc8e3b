"""Prove who is calling by a session cookie that an auth service knows (better-auth's get-session, and its kin)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatehouse.asking import Answer, Question
from gatehouse.auth_answers import UnclearAnswerError, document_of, email_in, id_in, member, token_of, until_in
from gatehouse.call import Call, Identity
from gatehouse.cookies import RepeatedCookieError, value_of
from gatehouse.credentials import Credential
from gatehouse.errors import RejectedCredentialError
from gatehouse.headers import Headers
from gatehouse.projects.model import SessionProvider
from gatehouse.proofs import NOBODY, Means, Proof, Witness
from gatehouse.visitors import ANONYMOUS

KIND = "session"
MOST_VALUE = 4096
OK, UNAUTHORIZED, FORBIDDEN = 200, 401, 403
_ORGANIZATION = ("activeOrganizationId", "active_organization_id")
_OWNER = ("userId", "user_id")
_UNTIL = ("expiresAt", "expires_at")
_ANONYMOUS = ("isAnonymous", "is_anonymous")
"""How an auth service says that the user is a visitor, who never showed anything (better-auth's anonymous plugin)."""


def session(provider: SessionProvider, name: str, means: Means) -> Credential:
    """Return the credential that *provider* describes, whose `url` is known.

    A session that the service gave to somebody who never signed in (`isAnonymous`) proves a visitor: anybody gets one.
    `stages.authenticate` lets such a one on where the route takes visitors, and knows nobody elsewhere.

    Args:
        provider: the cookie's name, and where it is asked about.
        name: what the provider is called, with its project's name; see `proofs.Witness`.
        means: how its service is asked, and where what it says is kept.
    """
    witness = Witness(kind=KIND, name=name, url=provider.url or "", cache_s=provider.cache, means=means)

    async def prove(call: Call) -> Identity | None:
        cookie = cookie_in(call.headers, provider.cookies)
        if cookie is None:
            return None

        def question() -> Question:
            return Question(method="GET", url=witness.url, headers=(("cookie", cookie),))

        return await witness.identity(call, cookie, question, lambda answer: proof_of(answer, cookie))

    return prove


def cookie_in(headers: Headers, names: tuple[str, ...]) -> str | None:
    """Return the first cookie called one of *names* that is in *headers*, as `name=value`; None if there is none.

    Raises:
        RejectedCredentialError: it is there twice with two values, or what it holds is no session.
    """
    for called in names:
        try:
            value = value_of(headers, called)
        except RepeatedCookieError as error:
            raise RejectedCredentialError(str(error)) from error
        if value is not None:
            if not value or len(value) > MOST_VALUE or not (value.isascii() and value.isprintable()):
                raise RejectedCredentialError
            return f"{called}={value}"
    return None


def proof_of(answer: Answer, cookie: str) -> Proof:
    """Return what *answer* says of *cookie*.

    The claims of the token that comes with it are taken as they are: the service that was asked gave it itself.

    Raises:
        UnclearAnswerError: it says neither who it is nor that it is nobody.
    """
    if answer.status in {UNAUTHORIZED, FORBIDDEN}:
        return NOBODY
    if answer.status != OK:
        raise UnclearAnswerError(f"status {answer.status}")
    document = document_of(answer)
    if not document or _is_nobody(document):
        return NOBODY
    said, user = member(document, "session"), member(document, "user")
    subject = id_in(user, "id")
    if not subject:
        raise UnclearAnswerError("no user with an id")
    if id_in(said, *_OWNER) not in {"", subject}:
        raise UnclearAnswerError("the session of another user")
    token = token_of(answer, document, cookie.partition("=")[2], str(said.get("token")))
    visitor = any(user.get(name) for name in _ANONYMOUS)
    identity = Identity(
        kind=ANONYMOUS if visitor else KIND,
        subject=subject,
        user="" if visitor else subject,
        organization=id_in(said, *_ORGANIZATION) or id_in(document, *_ORGANIZATION),
        email="" if visitor else email_in(user),
        scopes=frozenset({ANONYMOUS}) if visitor else frozenset(),
        claims={**(token.claims if token else {}), "user": user},
        token=token.text if token else "",
    )
    ends = (until_in(said, *_UNTIL), until_in(document, *_UNTIL), *((token.until,) if token else ()))
    return Proof(identity=identity, until=min(ends))


def _is_nobody(document: Mapping[str, Any]) -> bool:
    """Say whether *document* says outright that there is no session, or nobody whose it is."""
    return any(name in document and document[name] is None for name in ("session", "user"))
