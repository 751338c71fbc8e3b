"""The Cookie header (RFC 6265 sections 4.2 and 5.4): pairs with semicolons between them, byte for byte.

Nothing is decoded and no quotes are taken off: what is asked about, or passed on, is what came.
"""

from __future__ import annotations

from collections.abc import Collection

from gatehouse.errors import InvalidRequestError
from gatehouse.headers import Headers, Pair

MOST_COOKIES = 512
_SPACE = " \t"


class RepeatedCookieError(InvalidRequestError):
    """A cookie was sent twice, with two values: two servers could read it in two ways."""

    def __init__(self, name: str = "") -> None:
        super().__init__(f"The cookie '{name}' was sent twice with different values. Clear the site's cookies.")


def cookies(headers: Headers) -> tuple[Pair, ...]:
    """Return the names and values of the cookies in *headers*, in order; what has no name is left out.

    Raises:
        InvalidRequestError: there are more than MOST_COOKIES.
    """
    items = [item for value in headers.get_all("cookie") for item in _items(value)]
    if len(items) > MOST_COOKIES:
        raise InvalidRequestError(f"There are more than {MOST_COOKIES} cookies. Clear the site's cookies.")
    return tuple((_name(item), item.partition("=")[2].strip(_SPACE)) for item in items if _name(item))


def value_of(headers: Headers, name: str) -> str | None:
    """Return the value of the cookie called *name*; None if there is none.

    Raises:
        RepeatedCookieError: it is there twice, with two values.
        InvalidRequestError: there are more than MOST_COOKIES.
    """
    values = {value for known, value in cookies(headers) if known == name}
    if len(values) > 1:
        raise RepeatedCookieError(name)
    return next(iter(values), None)


def without(value: str, names: Collection[str]) -> str:
    """Return *value*, of a Cookie header, without the cookies called one of *names*; empty if nothing is left."""
    return "; ".join(item for item in _items(value) if _name(item) not in names)


def _items(value: str) -> list[str]:
    return [stripped for item in value.split(";") if (stripped := item.strip(_SPACE))]


def _name(item: str) -> str:
    """Return the name in *item*; empty if there is none."""
    name, equals, _ = item.partition("=")
    return name.strip(_SPACE) if equals else ""
