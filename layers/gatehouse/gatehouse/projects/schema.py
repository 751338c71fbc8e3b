"""Checked, frozen dataclasses: a field says once what it is called, what it takes and its default.

The checking is voluptuous, which finds all mistakes at once and costs a cold start 15 ms (pydantic: 100).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeVar

import voluptuous as vol

T = TypeVar("T")
Check = Callable[[Any], Any]

_CHECK = "gatehouse.check"


def key(check: Any, default: Any = MISSING) -> Any:
    """Declare a field of a model: its *check* and its *default*."""
    metadata = {_CHECK: check}
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata) if default is not MISSING else field(metadata=metadata)


def of(model: type[T]) -> Callable[[Any], T]:
    """Return the check that takes a mapping with the keys of *model* and makes one."""
    declared = [f for f in fields(model) if _CHECK in f.metadata]  # type: ignore[arg-type]  # T is a dataclass
    schema = vol.Schema({(vol.Required if _needed(f) else vol.Optional)(f.name): f.metadata[_CHECK] for f in declared})

    def check(value: Any) -> T:
        if not isinstance(value, dict):
            raise vol.Invalid("expected a mapping of keys to values")
        return model(**schema(value))

    return check


def check_key(model: type, name: str, value: Any) -> Any:
    """Check *value* as the key called *name* of *model*.

    Raises:
        vol.Invalid: *model* has no such key, or it does not take *value*.
    """
    for declared in fields(model):
        if declared.name == name and _CHECK in declared.metadata:
            return declared.metadata[_CHECK](value)
    raise vol.Invalid("extra keys not allowed")


def _needed(declared: Field[Any]) -> bool:
    return declared.default is MISSING and declared.default_factory is MISSING


def keys_of(model: type) -> tuple[str, ...]:
    """Return the names of the keys that *model* takes."""
    return tuple(f.name for f in fields(model) if _CHECK in f.metadata)


def text(value: Any) -> str:
    """Take a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise vol.Invalid("expected a text")
    return value


def flag(value: Any) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise vol.Invalid("expected true or false")
    return value


def flag_or(check: Check) -> Check:
    """Take true or false, or what *check* takes."""
    return lambda value: value if isinstance(value, bool) else check(value)


def off_or(check: Check) -> Check:
    """Take `false` as nothing, so that a route can be without what `defaults` have; else what *check* takes."""
    return lambda value: None if value is False else check(value)


def count(value: Any) -> int:
    """Take a whole number above zero."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise vol.Invalid("expected a whole number above zero")
    return value


def matching(pattern: str, what: str) -> Check:
    """Take a text that *pattern* matches whole; *what* says so in words."""
    matches = vol.Match(rf"\A(?:{pattern})\Z", msg=f"expected {what}")
    return lambda value: matches(text(value))


def one_of(*values: str) -> Check:
    """Take one of *values*."""
    allowed = frozenset(values)

    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise vol.Invalid(f"expected one of {', '.join(values)}")
        return value

    return check


def listing(item: Any, *, least: int = 0) -> Check:
    """Take a list of *item*, with no item twice, as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            written = f": write [{value}]" if isinstance(value, str) and value else ""
            raise vol.Invalid("expected a list" + (f" of at least {least}" if least else "") + written)
        made = _each(item, value)
        if len({repr(one) for one in made}) < len(made):
            raise vol.Invalid("expected no item twice")
        return made

    return check


def _each(item: Check, values: list[Any]) -> tuple[Any, ...]:
    """Check every value, and say what is wrong with all of them (voluptuous stops at the first deep one)."""
    made: list[Any] = []
    problems: list[vol.Invalid] = []
    for number, value in enumerate(values):
        try:
            made.append(item(value))
        except vol.Invalid as error:
            error.prepend([number])
            problems.extend(error.errors if isinstance(error, vol.MultipleInvalid) else [error])
    if problems:
        raise vol.MultipleInvalid(problems)
    return tuple(made)


def mapping(item: Check, name: Check = text) -> Check:
    """Take a mapping from *name* to *item*, and say what is wrong with all of it."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise vol.Invalid("expected a mapping")
        made: dict[str, Any] = {}
        problems: list[vol.Invalid] = []
        for key_, what in value.items():
            try:
                made[name(key_)] = item(what)
            except vol.Invalid as error:
                error.prepend([key_])
                problems.extend(error.errors if isinstance(error, vol.MultipleInvalid) else [error])
        if problems:
            raise vol.MultipleInvalid(problems)
        return made

    return check
