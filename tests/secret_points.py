"""Where secrets pass in the gateway and in its tests: whoever wants to know of them is told there."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol

import pytest

from gatehouse import logs

TOKEN = "token"


class Keeper(Protocol):
    """Who wants to know; `log_watch.Watch` is one."""

    def take(self, line: str) -> None:
        """Note a line of the log."""
        ...

    def keep(self, secret: object, what: str) -> None:
        """Note that *secret* is one, and what it is; what is no text is none."""
        ...

    def keep_fields(self, pairs: tuple[tuple[str, str], ...]) -> None:
        """Note the header fields of a request."""
        ...


def _watched(function: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    """Return *function*, of which *note* hears what it returns and what it was given."""

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        given = function(*args, **kwargs)
        note(given, *args, **kwargs)
        return given

    return watched


def _points(watch: Keeper) -> Iterator[tuple[str, Callable[..., None]]]:
    """Yield where secrets pass, and what notes them there."""

    def password(given: object, password: str, *stored: str, **_: object) -> None:
        watch.keep(password, "password")
        for one in (given, *stored):
            watch.keep(one, "hash or salt of a password")

    def token(given: object, *_: object, **__: object) -> None:
        watch.keep(given, TOKEN)

    yield "gatehouse.jose.compact", token
    yield "jwt.encode", token
    yield "gatehouse.templates._secret", lambda given, *_: watch.keep(given, "secret of a project file")
    yield from ((f"gatehouse.passwords.{name}", password) for name in ("hashed", "verify", "spend"))

    def keys(_: object, key: Any, *__: object, **___: object) -> None:
        watch.keep(key.secret, "key")

    def ring(_: object, ring: Any, *__: object, **___: object) -> None:
        for secret in ring.secrets.values():
            watch.keep(secret, "named secret")

    def call(_: object, call: Any, **__: object) -> None:
        watch.keep_fields(call.headers.pairs)

    def record(_: object, record: Any, **__: object) -> None:
        watch.keep(record.hash, "hash of a password")
        watch.keep(record.salt, "salt of a password")

    yield "gatehouse.keys.Key.__init__", keys
    yield "gatehouse.keys.KeyRing.__init__", ring
    yield "gatehouse.call.Call.__init__", call
    yield "gatehouse.call.Identity.__init__", lambda _, who, **__: watch.keep(who.token, "token of an identity")
    yield "gatehouse.stores.admins.AdminRecord.__init__", record


@contextmanager
def watching(watch: Keeper) -> Iterator[None]:
    """Have *watch* note what passes inside."""
    with pytest.MonkeyPatch.context() as patch, logs.also_to(watch.take):
        for place, note in _points(watch):
            patch.setattr(place, _watched(pkgutil.resolve_name(place), note))
        yield
