"""What a credential says of its bearer, by name: one reading for the rules that ask and for the headers that tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rules = Mapping[str, tuple[str, ...]]
"""Claims that must be there, each with the texts that it may be."""


def lookup(claims: Mapping[str, Any], name: str) -> Any:
    """Return the claim called *name*, or None.

    A claim that is called so as a whole comes first ("https://example.com/role"); if there is none, the dots lead
    into objects: `address.city` is the `city` of `address`.
    """
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def unmet(rules: Rules, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the claims that *rules* ask for and *claims* do not have.

    Texts alone are compared, and exactly: 5 is not "5". Of a list, one item is enough.
    """
    return tuple(name for name, allowed in rules.items() if not _is_one_of(lookup(claims, name), allowed))


def _is_one_of(said: Any, allowed: tuple[str, ...]) -> bool:
    items = said if isinstance(said, list) else [said]
    return any(item in allowed for item in items)
