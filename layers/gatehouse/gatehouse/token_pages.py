"""Lists of service tokens, a page at a time; a cursor says where the next one begins."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Protocol

from gatehouse.errors import InvalidRequestError
from gatehouse.keys import LATEST
from gatehouse.registry import Place, Record

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Asked(Protocol):
    """What a list is asked for with; `api.forms.Page` is it."""

    @property
    def project(self) -> str | None:
        """Of which project."""
        ...

    @property
    def service(self) -> str | None:
        """Of which service."""
        ...

    @property
    def active(self) -> str | None:
        """`true`: only live ones, `false`: only others."""
        ...

    @property
    def limit(self) -> int:
        """How many at most."""
        ...

    @property
    def cursor(self) -> str | None:
        """Where to go on."""
        ...


class Registry(Protocol):
    """Where records are kept; `stores.token_registry.TokenRegistry` is one."""

    def newest(self, project: str = "", after: Place | None = None) -> Iterator[Record]:
        """Yield records, newest first."""
        ...


def page(registry: Registry, asked: Asked, good: Callable[[Record], bool]) -> tuple[list[Record], str | None]:
    """Return the records that were *asked* for, and the cursor of the next page, if there may be one. Blocks.

    *good* says of a record whether its token is good now.

    Raises:
        InvalidRequestError: the cursor is not one of ours.
    """
    found: list[Record] = []
    project = asked.project or ""
    for record in registry.newest(project, _place(asked.cursor, project) if asked.cursor else None):
        if asked.service not in {None, record.service}:
            continue
        if asked.active and good(record) != (asked.active == "true"):
            continue
        if len(found) == asked.limit:
            return found, _cursor(found[-1])
        found.append(record)
    return found, None


def _cursor(last: Record) -> str:
    text = json.dumps([last.created_at, last.jti, last.project])
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _place(cursor: str, asked_project: str) -> Place:
    try:
        text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created_at, jti, project = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise _foreign() from None
    if not (type(created_at) in {int, float} and 0 <= created_at < LATEST):
        raise _foreign()
    if asked_project not in {"", project}:
        raise _foreign()
    if not all(isinstance(one, str) and _PLAIN.fullmatch(one) for one in (jti, project)):
        raise _foreign()
    return Place(created_at, jti, project)


def _foreign() -> InvalidRequestError:
    return InvalidRequestError("The cursor is not one that this list gave; leave it out to begin again.")
