"""What can still be said of a file whose form is wrong: the rest of it is held to the rules all the same.

A mistake in one key must not hide the mistakes in others until it is mended. So what is wrong is taken out,
and what is left is a project to look at; it is never one to serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import voluptuous as vol

from gatehouse.projects import rules
from gatehouse.projects.document import Where
from gatehouse.projects.model import Project

MOST_ROUNDS = 8
DOUBTFUL = (
    ("needs either", {"path", "paths"}),
    ("needs 'accept'", {"auth", "accept"}),
    ("no provider", {"/providers"}),
    ("alone name organisations", {"/providers", "accept"}),
    ("where organisations are asked for", {"/organization"}),
    ("own tokens never leave", {"accept"}),
    ("there is no limit", {"/limits"}),
    ("counts by organization", {"organization", "auth"}),
    ("counts by key", {"accept", "auth", "/providers"}),
    ("counts by subject", {"auth"}),
    ("kept by organization", {"organization", "auth"}),
    ("kept by subject", {"auth"}),
    ("nothing to keep", {"methods"}),
    ("it counts by", {"auth", "organization"}),
)
"""Findings that may only follow from one of these keys having been taken out, of the route or (`/`) of the file."""

UNREAD = {"issuer": "unread", "audience": "unread", "elevated": ["unread"]}
"""Stands for `tokens` that cannot be read: there are some, and nothing is known of them."""


def findings(value: Any, check: Callable[[Any], Project]) -> Iterator[rules.Finding]:
    """Yield what the rules say of the readable part of *value*, a file's value that *check* refuses."""
    if not isinstance(value, dict) or not isinstance(value.get("routes"), list):
        return
    left = {**value, "routes": list(value["routes"])}
    numbers = list(range(len(left["routes"])))
    for _ in range(MOST_ROUNDS):
        try:
            project = check(left)
        except vol.Invalid as error:
            errors = error.errors if isinstance(error, vol.MultipleInvalid) else [error]
            _take_out(left, numbers, [tuple(one.path) for one in errors])
        else:
            yield from _known(rules.within(project), numbers, value)
            return


def _take_out(left: dict[str, Any], numbers: list[int], wrong: list[Where]) -> None:
    lost: set[int] = set()
    for where in wrong:
        if where[:1] != ("routes",) or len(where) == 1:
            _replace(left, where)
            continue
        route = left["routes"][where[1]]
        if len(where) > 2 and isinstance(route, dict) and where[2] in route:  # noqa: PLR2004  # ("routes", number, key…)
            rest = {key: what for key, what in route.items() if key != where[2]}
            left["routes"][where[1]] = {**rest, **({"upstream": "http://unread"} if where[2] == "upstream" else {})}
        else:
            lost.add(where[1])
    for number in sorted(lost, reverse=True):
        del left["routes"][number], numbers[number]


def _replace(left: dict[str, Any], where: Where) -> None:
    key = where[0] if where else ""
    block = left.get(key)
    if len(where) > 1 and isinstance(block, dict) and where[1] in block:
        left[key] = {name: what for name, what in block.items() if name != where[1]}
        return
    left.pop(key, None)
    if key == "tokens":
        left["tokens"] = UNREAD
    if key == "project":
        left["project"] = "unread"


def _known(found: Iterator[rules.Finding], numbers: list[int], value: dict[str, Any]) -> Iterator[rules.Finding]:
    """Yield what was *found* that does not follow from what was taken out, by the numbers of the file."""
    for where, message in found:
        if where[:1] != ("routes",):
            if "no route of this file" not in message or len(numbers) == len(value["routes"]):
                yield where, message
            continue
        number = numbers[where[1]]
        said = {f"/{key}" for key in value} | set(value["routes"][number])
        if not any(words in message and keys & said for words, keys in DOUBTFUL):
            yield ("routes", number, *where[2:]), message
