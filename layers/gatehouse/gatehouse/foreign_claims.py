"""What a token of another issuer must say to be believed, and who it says is calling (RFC 7519 section 4.1).

Pure rules: whether its signature is good is for `foreign_tokens` to find out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatehouse.call import Identity
from gatehouse.claims import lookup
from gatehouse.errors import ForeignTokenError
from gatehouse.keys import LATEST
from gatehouse.templates import UNSAYABLE

KIND = "jwks"
LEEWAY_S = 30
SCOPES = ("scope", "scp", "scopes")
"""RFC 8693 section 4.2; what Entra ID and Okta call it; what our own tokens call it. The first that is there counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """Whose tokens are believed, and what they must say.

    Attributes:
        issuer: their `iss`.
        audiences: one of these must be in their `aud`.
        require: claims that must be there, as texts that are not empty; dots lead into objects.
        service_logins: the `common_name` of each login that is no person's, and the email that it counts as.
    """

    issuer: str
    audiences: frozenset[str]
    require: tuple[str, ...] = ()
    service_logins: Mapping[str, str] = field(default_factory=dict)


def identity_of(claims: Mapping[str, Any], token: str, believed: Believed, now: float) -> Identity:
    """Return who is calling with *token*, which says *claims*.

    Raises:
        ForeignTokenError: they are not those of a token for us, now, of somebody who can be named.
    """
    _check_sayable(claims)
    if "events" in claims:  # OpenID Connect Back-Channel Logout 1.0 section 2.4: it ends a login and is none
        raise ForeignTokenError
    _check_addressee(claims, believed)
    _check_times(claims, now)
    subject, service_email = _subject(claims, believed)
    email = service_email or _email(claims)
    said = {**claims, "email": email}
    for name in believed.require:
        value = lookup(said, name)
        if not (isinstance(value, str) and value.strip()):
            raise ForeignTokenError(f"The token has no '{name}' that counts, which this route asks for.")
    told = claims if email or "email" not in claims else {name: claims[name] for name in claims.keys() - {"email"}}
    return Identity(
        kind=KIND, subject=subject, user=subject, email=email, scopes=_scopes(claims), claims=told, token=token
    )


def expires_at(claims: Mapping[str, Any]) -> float:
    """Return when a token that says *claims* is over, in seconds since the epoch; `identity_of` has checked them."""
    return float(claims["exp"])


def check_not_over(exp: float, now: float) -> None:
    """Refuse a token that expired at *exp*; LEEWAY_S is for clocks that differ.

    Raises:
        ForeignTokenError: it is over.
    """
    if now >= exp + LEEWAY_S:
        raise ForeignTokenError("The token has expired. Sign in again at its issuer and send the new one.")


def _check_sayable(claims: Mapping[str, Any]) -> None:
    """Refuse what JSON can spell and nobody can say again: halves of characters, numbers that are infinite."""
    try:
        json.dumps(claims, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise ForeignTokenError from error


def _check_addressee(claims: Mapping[str, Any], believed: Believed) -> None:
    issuer, named = claims.get("iss"), claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    if not issuer or not isinstance(issuer, str) or issuer != believed.issuer:
        raise ForeignTokenError("The token is of another issuer than this route believes.")
    if not all(isinstance(one, str) for one in audiences) or believed.audiences.isdisjoint(audiences):
        raise ForeignTokenError("The token is not for this audience.")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    """RFC 7519 sections 4.1.4 to 4.1.6: times may have fractions. How long a token lasts is its issuer's affair."""
    for name in ("exp", "iat", "nbf"):
        if (name in claims or name == "exp") and not _is_time(claims.get(name)):
            raise ForeignTokenError(f"The token's {name} is not a time.")
    check_not_over(claims["exp"], now)
    if max(claims.get("iat", 0), claims.get("nbf", 0)) > now + LEEWAY_S:
        raise ForeignTokenError("The token is not valid yet.")


def _is_time(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value < LATEST  # neither NaN nor infinity is


def _subject(claims: Mapping[str, Any], believed: Believed) -> tuple[str, str]:
    """Return who the token is of and, for the login of a service, the email that it counts as.

    Cloudflare Access gives service tokens an empty `sub`; their `common_name` is the client's id.
    """
    subject = _text(claims, "sub")
    if subject:
        return subject, ""
    name = _text(claims, "common_name")
    email = believed.service_logins.get(name, "") if name else ""
    if not email:
        raise ForeignTokenError("The token is of nobody: logins of services must be listed in the project file.")
    return name, email


def _email(claims: Mapping[str, Any]) -> str:
    """Return the email, unless the issuer itself says that it never checked it (OpenID Connect Core section 5.1)."""
    email = _text(claims, "email")
    return email if claims.get("email_verified", True) in (True, "true") else ""


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or UNSAYABLE.search(value):
        raise ForeignTokenError(f"The token's {name} is not a text.")
    return value


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    name = next((name for name in SCOPES if name in claims), None)
    said = claims[name] if name else ()
    scopes = said.split(" ") if isinstance(said, str) else said
    if not isinstance(scopes, list | tuple) or not all(isinstance(one, str) for one in scopes):
        raise ForeignTokenError(f"The token's {name} is not a list of texts.")
    return frozenset(scope for scope in scopes if scope)
