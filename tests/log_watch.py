"""Watches what the whole suite has the gateway write into its log, and fails the run if a line should not be there.

Every line must be one by the schema (`log_lines.py`), and none may have a secret, token or password in it that a test
used: these are noted where they pass. Each worker of pytest-xdist watches its own tests.

Not everything that is used as a secret is one. Hypothesis takes words out of the source for what it makes up: of its
examples only tokens count. And tests have ordinary words of the gateway refused: what its source says is no secret.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import is_hypothesis_test

from gatehouse import logs
from tests.log_lines import wrong
from tests.secret_points import TOKEN, watching
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
MOST_SHOWN = 10
LEAST_KINDS = 6
"""Of so many different characters a secret must be made; `aaaaaaaaaaaa` is what tests of lengths say."""
_SEPARATORS = re.compile(r"[;,\s]+")


class Watch:
    """What was logged and what was secret, so far."""

    made_up: ClassVar[bool] = False
    """Whether what passes now is made up by Hypothesis, in whatever thread."""

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
        if isinstance(secret, str) and len(secret) >= LEAST and (what == TOKEN or not self.made_up):
            self._secrets.setdefault(secret, what)

    def keep_fields(self, pairs: tuple[tuple[str, str], ...]) -> None:
        """Note the credentials among the header fields *pairs*."""
        if not self.made_up:
            self._fields.update(pair for pair in pairs if pair[0] in CREDENTIALS)

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
            if leak.piece in _sources() or len(set(leak.piece)) < LEAST_KINDS:
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


class _Others(logging.Handler):
    """Hears what other loggers than the gateway's own say: asyncio's, aiohttp's, uvicorn's."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        """Have what *record* says noted, with its traceback."""
        self._watch.hear(self.format(record))


@contextmanager
def others_heard(watch: Watch) -> Iterator[None]:
    """Have *watch* hear what comes to the root of all loggers."""
    handler = _Others(watch)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


WATCH = Watch()
hear, on_purpose = WATCH.hear, WATCH.on_purpose


_running = ExitStack()


def pytest_configure() -> None:
    """Begin before tests are read: they make keys and tokens while they are."""
    _running.enter_context(watching(WATCH))
    _running.enter_context(others_heard(WATCH))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Know whether the test has Hypothesis make things up, by itself or in a function within."""
    if isinstance(item, pytest.Function):
        Watch.made_up = is_hypothesis_test(item.obj) or "given" in item.function.__code__.co_names
    try:
        return (yield)
    finally:
        Watch.made_up = False


@pytest.fixture(scope="session", autouse=True)
def what_is_logged_is_watched() -> Iterator[None]:
    """Fail the run at its end if anything was logged that should not have been."""
    yield
    _running.close()
    found = WATCH.verdict()
    if found:
        shown = "\n".join(found[:MOST_SHOWN])
        pytest.fail(f"{len(found)} things in the log that should not be there:\n{shown}", pytrace=False)
