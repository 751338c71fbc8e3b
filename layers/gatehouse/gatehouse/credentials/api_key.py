"""Prove who is calling by an API key that an auth service knows (better-auth's api-key plugin, and its kin)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from typing import Any

from gatehouse import canonical
from gatehouse.asking import Answer, Question
from gatehouse.auth_answers import UnclearAnswerError, document_of, id_in, member, token_of, until_in
from gatehouse.call import Call, Identity
from gatehouse.credentials import Credential
from gatehouse.errors import RateLimitedError, RejectedCredentialError
from gatehouse.headers import Headers
from gatehouse.hygiene import spelled
from gatehouse.projects.model import ApiKeyProvider
from gatehouse.proofs import NOBODY, Means, Proof, Witness

KIND = "api_key"
MOST_KEY = 512
MOST_WAIT_S = 86_400.0
OK = 200
REFUSALS = frozenset({401, 403})
RATE_LIMITED = "RATE_LIMITED"
UNKNOWN = "INVALID_API_KEY"
"""What better-auth 1.7 says of keys it does not know, with a text beside it; with an object, that its store failed."""
_USER = ("userId", "referenceId", "user_id")
_ORGANIZATION = ("organizationId", "organization_id", "orgId")
_UNTIL = ("expiresAt", "expires_at")


def api_key(provider: ApiKeyProvider, name: str, means: Means) -> Credential:
    """Return the credential that *provider* describes, whose `url` is known.

    Args:
        provider: how keys begin, where they are, and where they are asked about.
        name: what the provider is called, with its project's name; see `proofs.Witness`.
        means: how its service is asked, and where what it says is kept.
    """
    witness = Witness(kind=KIND, name=name, url=provider.url or "", cache_s=provider.cache, means=means)

    async def prove(call: Call) -> Identity | None:
        key = key_in(call.headers, provider)
        if key is None:
            return None

        def question() -> Question:
            headers = (("content-type", "application/json"),)
            return Question(method="POST", url=witness.url, headers=headers, body=json.dumps({"key": key}).encode())

        return await witness.identity(call, key, question, lambda answer: proof_of(answer, key))

    return prove


def key_in(headers: Headers, provider: ApiKeyProvider) -> str | None:
    """Return the key in *headers*; None if there is none. A bearer token without the prefix is somebody else's.

    Raises:
        RejectedCredentialError: there are two, or where keys are something else stands.
    """
    said = {value.strip(" \t") for value in spelled(headers, provider.headers)}
    if provider.bearer:
        said |= {token for token in _bearers(headers) if token.startswith(provider.prefix)}
    if not said:
        return None
    key = said.pop()
    if said or not _is_key(key, provider.prefix):
        raise RejectedCredentialError
    return key


def proof_of(answer: Answer, key: str) -> Proof:
    """Return what *answer* says of *key*.

    Raises:
        RateLimitedError: the key has been used too often lately.
        UnclearAnswerError: it says neither whose it is nor that it is nobody's.
    """
    try:
        document = document_of(answer) or {}
    except UnclearAnswerError:
        if answer.status not in REFUSALS:
            raise
        document = {}
    if answer.status != OK or document.get("valid") is False:
        return _refusal(answer, document)
    said = member(document, "key")
    if document.get("valid") is not True or not said:
        raise UnclearAnswerError("neither valid nor not")
    return _proof(answer, document, said, key)


def _proof(answer: Answer, document: Mapping[str, Any], said: Mapping[str, Any], key: str) -> Proof:
    key_id, user = id_in(said, "id"), id_in(said, *_USER)
    if not key_id:
        raise UnclearAnswerError("a key without an id")
    metadata, permissions = _object(said.get("metadata")), _object(said.get("permissions"))
    token = token_of(answer, document, key)
    identity = Identity(
        kind=KIND,
        subject=user or key_id,
        user=user,
        organization=id_in(metadata, *_ORGANIZATION),
        scopes=_scopes(permissions),
        claims={
            **(token.claims if token else {}),
            "key": {"id": key_id, "name": said.get("name"), "metadata": metadata, "permissions": permissions},
        },
        token=token.text if token else "",
    )
    return Proof(identity=identity, until=min(until_in(said, *_UNTIL), token.until if token else inf))


def _bearers(headers: Headers) -> list[str]:
    pairs = [value.partition(" ") for value in headers.get_all("authorization")]
    return [token.strip(" ") for scheme, _, token in pairs if scheme.lower() == "bearer"]


def _is_key(text: str, prefix: str) -> bool:
    if not text.startswith(prefix) or not len(prefix) < len(text) <= MOST_KEY:
        return False
    return text.isascii() and text.isprintable() and " " not in text


def _refusal(answer: Answer, document: Mapping[str, Any]) -> Proof:
    """Return that the key is nobody's, if *answer* means that.

    Raises:
        RateLimitedError, UnclearAnswerError: it means something else; a 404 without words is a wrong address.
    """
    error = document.get("error")
    said = error if isinstance(error, dict) else document
    if said.get("code") == RATE_LIMITED:
        raise RateLimitedError(retry_after_s=_wait_s(answer, said))
    if said.get("code") == UNKNOWN and isinstance(said.get("message"), dict):
        raise UnclearAnswerError("a refusal for a failure of its own")
    if document.get("valid") is False or answer.status in REFUSALS:
        return NOBODY
    raise UnclearAnswerError(f"status {answer.status}")


def _wait_s(answer: Answer, said: Mapping[str, Any]) -> float:
    """Return in how many seconds the key may be used again: better-auth says it in ms, others as RFC 9110 10.2.3."""
    details = said.get("details")
    wait_ms = details.get("tryAgainIn") if isinstance(details, dict) else None
    if isinstance(wait_ms, int | float) and not isinstance(wait_ms, bool):
        return max(0.0, min(wait_ms, MOST_WAIT_S * 1000) / 1000)
    header = answer.headers.get("retry-after")
    return min(float(header), MOST_WAIT_S) if header.isascii() and header.isdigit() else 1.0


def _object(value: Any) -> dict[str, Any]:
    """Return the object that *value* is, or is the JSON text of; an empty one if there is none.

    Raises:
        UnclearAnswerError: it is something else.
    """
    if value in (None, "", "null"):
        return {}
    try:
        found = canonical.json_object(value.encode()) if isinstance(value, str) else value
    except ValueError as error:
        raise UnclearAnswerError("metadata or permissions are no JSON object") from error
    if not isinstance(found, dict):
        raise UnclearAnswerError("metadata or permissions are no object")
    return found


def _scopes(permissions: Mapping[str, Any]) -> frozenset[str]:
    """Return the permissions `{resource: [action, …]}` as scopes `resource:action`."""
    lists = [(resource, actions) for resource, actions in permissions.items() if isinstance(actions, list)]
    return frozenset(f"{resource}:{one}" for resource, actions in lists for one in actions if isinstance(one, str))
