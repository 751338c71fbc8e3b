"""Whose answers are whose: the place of an answer in the cache, by all that may make it another one.

A place is a digest of a tuple, so nothing in one part can pass for another part. It never holds less than decides the
answer: who may share it (`by`), where it comes from, and what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gatehouse.caching.rules import ORGANIZATION, PUBLIC, SUBJECT, CacheRules, digest
from gatehouse.call import Call, Identity
from gatehouse.hygiene import barred, spelling
from gatehouse.paths import loosely

PASSING = frozenset({"auth_time", "exp", "iat", "jti", "nbf", "nonce", "sid"})
"""Claims that differ from one token of a caller to the next, and say nothing of the caller."""
_TELLING = frozenset({
    "account", "apikey", "auth", "authentication", "authorization", "bearer", "credential", "credentials", "customer",
    "jwt", "key", "login", "password", "secret", "session", "sessionid", "sid", "signature", "tenant", "user", "userid",
})  # fmt: skip
"""What is in the names of fields that say who is calling, or that prove it."""
_OF_EVERY_BROWSER = frozenset({"sec-fetch-user", "sec-websocket-key", "user-agent"})
_LISTS = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Where the answer to a request is kept.

    Attributes:
        place: the SHA-256, in hex, of all that decides it, but for what its `Vary` names.
        gone: the SHA-256, in hex, of the project and the path: what unsafe methods change.
        path: the canonical path.
        organization: the caller's organisation, where answers are kept apart by callers.
        explicitly: whether only an answer that says that everybody may have it is kept.
    """

    place: str
    gone: str
    path: str
    organization: str
    explicitly: bool


def key_of(rules: CacheRules, call: Call) -> Key:
    """Return where the answer to *call* is kept under *rules*."""
    whose, explicitly = _partition(rules, call)
    host = call.headers.get("host").lower()
    about = (rules.project, rules.route, rules.source, call.scheme, host, call.path, call.query, *whose)
    organization = call.identity.organization if call.identity and rules.by != PUBLIC else ""
    return Key(
        place=digest(about),
        gone=gone_key(rules.project, call.path),
        path=call.path,
        organization=organization,
        explicitly=explicitly,
    )


def gone_key(project: str, path: str) -> str:
    """Return what a change of *path* is noted under, whoever made it, and however the path is written."""
    return digest((project, loosely(path)))


def _partition(rules: CacheRules, call: Call) -> tuple[tuple[Any, ...], bool]:
    """Return who shares the answer to *call*, and whether it must say itself that everybody may have it.

    It must where it was made for somebody, known or not, and others are to get it: under `by: public` for identified
    callers, and everywhere for cookies that nobody here has looked at. These callers do not get what was made for
    nobody, either. Cookies that go upstream make an answer a subject's own, also under `by: organization`.
    """
    identity, cookies = call.identity, call.headers.get_all("cookie") if rules.cookies else ()
    if identity is None:
        return (("somebody",), True) if cookies or _says_who(call) else (("nobody",), False)
    if rules.by == PUBLIC:
        return ("somebody",), True
    if rules.by == ORGANIZATION and identity.organization and not cookies:
        return (ORGANIZATION, identity.organization), False
    return (SUBJECT, *_subject(identity, rules.told), *cookies), False


def _says_who(call: Call) -> bool:
    """Say whether *call* has a field that looks as if it said who is calling, to the upstream if not to us.

    `Authorization` does not go upstream where nobody looks at it; RFC 9111 section 3.5 counts it all the same.
    """
    return any(name == "authorization" or (_tells(name) and not barred(name)) for name, _ in call.headers)


@lru_cache(maxsize=4096)
def _tells(name: str) -> bool:
    known = spelling(name)
    return known not in _OF_EVERY_BROWSER and ("token" in known or not _TELLING.isdisjoint(known.split("-")))


def _subject(identity: Identity, told: frozenset[str]) -> tuple[Any, ...]:
    claims = {name: value for name, value in identity.claims.items() if name not in PASSING or name in told}
    return (
        identity.kind,
        identity.subject,
        identity.user,
        identity.organization,
        identity.email,
        sorted(identity.scopes),
        claims,
    )


def variant_of(names: tuple[str, ...], seen: Callable[[str], Iterable[str]]) -> str:
    """Return which variant a request selects (RFC 9111 section 4.1).

    Args:
        names: the fields that the answer's `Vary` names, in lower case.
        seen: returns the values of a field as the upstream sees them.
    """
    return digest([(name, _normal(name, seen(name))) for name in names]) if names else ""


def _normal(name: str, values: Iterable[str]) -> str | None:
    """Return *values* of one field, however they were spread over lines; None if there is none."""
    lines = given = [value.strip() for value in values]
    if name in _LISTS:
        lines = [part.strip() for line in lines for part in line.split(",") if part.strip()]
    return ", ".join(lines) if given else None
