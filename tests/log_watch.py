"""Watches what the whole suite has the gateway write into its log, and fails the run if a line should not be there.

Every line must be one by the schema (`log_lines.py`), and none may have a secret, token or password in it that a test
used: these are noted where they pass. Each worker of pytest-xdist watches its own tests.

Not everything that is used as a secret is one. Hypothesis takes words out of the source for what it makes up: of its
examples only tokens count. And tests have ordinary words of the gateway refused: what its source says is no secret.
"""

from __future__ import annotations

import json
import os
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import currently_in_test_context

from gatehouse import logs
from tests.log_lines import wrong
from tests.secret_search import LEAST, leaks

CREDENTIALS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "apikey",
        "api-key",
        "cf-access-token",
        "cf-access-jwt-assertion",
        "x-internal-key",
    }
)
"""The headers that have credentials in them."""
TOKEN = "token"
MOST_SHOWN = 10
_SEPARATORS = re.compile(r"[;,\s]+")


class Watch:
    """What was logged and what was secret, so far."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        """Lines, and the tests they came from."""
        self._texts: list[tuple[str, str]] = []
        self._secrets: dict[str, str] = {}
        self._fields: set[tuple[str, str]] = set()
        self._exempt: list[str] = []

    def take(self, line: str) -> None:
        """Note *line* of the log."""
        if not self._exempt:
            self._lines.append((line, _test()))

    def hear(self, text: str) -> None:
        """Note what a process said that a test has started; lines of the log in it must be good ones, too."""
        for line in text.splitlines():
            if line.startswith('{"level":'):
                self.take(line)
            elif not self._exempt:
                self._texts.append((line, _test()))

    def keep(self, secret: object, what: str) -> None:
        """Note that *secret* must not be logged; it is *what*."""
        if isinstance(secret, bytes):
            secret = secret.decode("utf-8", "replace")
        if isinstance(secret, str) and len(secret) >= LEAST and (what == TOKEN or not currently_in_test_context()):
            self._secrets.setdefault(secret, what)

    def keep_fields(self, pairs: tuple[tuple[str, str], ...]) -> None:
        """Note the credentials among the header fields *pairs*."""
        found = [pair for pair in pairs if pair[0] in CREDENTIALS]
        if found and not currently_in_test_context():
            self._fields.update(found)

    @contextmanager
    def on_purpose(self, reason: str) -> Iterator[None]:
        """Let what is logged inside be anything, for *reason*."""
        assert reason
        self._exempt.append(reason)
        try:
            yield
        finally:
            self._exempt.pop()

    def verdict(self) -> list[str]:
        """Return what is wrong with what was logged."""
        origin = dict(self._lines)
        found = [f"{origin[line]}: {problem}\n  {line}" for line, problem in wrong(origin)]
        texts = {_said(line): (line, test) for line, test in (*origin.items(), *self._texts)}
        for leak in leaks(texts, self._all()):
            if leak.piece in _sources():
                continue
            line, test = texts[leak.text]
            found.append(f"{test}: has the {leak.what}: {leak.piece!r}\n  {line}")
        return found

    def _all(self) -> Iterator[tuple[str, str]]:
        """Yield every secret and what it is; of header fields the parts: `Bearer <token>`, `name=value; name=value`."""
        yield from self._secrets.items()
        for name, value in self._fields:
            for part in _SEPARATORS.split(value):
                yield part.partition("=")[2] if name == "cookie" else part, f"value of {name}"


def _test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "between tests").partition(" (")[0]


@cache
def _sources() -> str:
    """Return what the gateway itself says."""
    files = sorted(Path(logs.__file__).parent.rglob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _said(line: str) -> str:
    """Return *line* with nothing in it escaped, as JSON escapes things."""
    if "\\" not in line:
        return line
    try:
        return "\n".join(_texts(json.loads(line)))
    except ValueError:
        return line


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        yield str(value)


WATCH = Watch()
hear, on_purpose = WATCH.hear, WATCH.on_purpose


def _watched(function: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    """Return *function*, of which *note* hears what it returns and what it was given."""

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        given = function(*args, **kwargs)
        note(given, *args, **kwargs)
        return given

    return watched


def _points(watch: Watch) -> Iterator[tuple[str, Callable[..., None]]]:
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
def watching(watch: Watch) -> Iterator[None]:
    """Have *watch* note what passes inside."""
    with pytest.MonkeyPatch.context() as patch, logs.also_to(watch.take):
        for place, note in _points(watch):
            patch.setattr(place, _watched(pkgutil.resolve_name(place), note))
        yield


_running = ExitStack()


def pytest_configure() -> None:
    """Begin before tests are read: they make keys and tokens while they are."""
    _running.enter_context(watching(WATCH))


@pytest.fixture(scope="session", autouse=True)
def what_is_logged_is_watched() -> Iterator[None]:
    """Fail the run at its end if anything was logged that should not have been."""
    yield
    _running.close()
    found = WATCH.verdict()
    if found:
        shown = "\n".join(found[:MOST_SHOWN])
        pytest.fail(f"{len(found)} things in the log that should not be there:\n{shown}", pytrace=False)
