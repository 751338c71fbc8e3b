"""The named secrets of a deployment, as what fills them into headers gets them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from gatehouse.asking import Told
from gatehouse.headers import Pair
from gatehouse.templates import Filling, fill, parse

Secrets: TypeAlias = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives the named secrets that are in force; it raises AuthUnavailableError where they cannot be had."""


async def no_secrets() -> Mapping[str, str]:
    """Return none."""
    return {}


def told(set_headers: Mapping[str, object], secrets: Secrets) -> Told:
    """Return what gives the fields *set_headers* of a project file, filled with *secrets* and nothing of a caller."""
    templates = tuple((name.lower(), parse(value)) for name, value in set_headers.items())  # type: ignore[arg-type]  # checked by the loader
    needed = any(template.secrets for _, template in templates)

    async def told() -> tuple[Pair, ...]:
        filling = Filling(secrets=await secrets() if needed else {})
        filled = ((name, fill(template, filling)) for name, template in templates)
        return tuple((name, value) for name, value in filled if value is not None)

    return told
