"""A YAML file as plain values, with the line of every key; `${NAME}` is filled from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML without libyaml: slower, the same
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MOST_DEPTH = 16
MOST_VALUES = 20_000
"""Aliases let a few lines stand for more values than a machine holds."""
STRING_TAG = "tag:yaml.org,2002:str"
PerRequest = ("identity.", "claims.", "request.", "secret:")
FILLED_LATER = frozenset({"set_headers", "headers"})
"""Keys whose values are filled with those; anywhere else they would be taken literally."""
MAY_BE_UNSET = {
    "routes": (2, frozenset({"upstream"})),
    "defaults": (1, frozenset({"upstream"})),
    "providers": (2, frozenset({"url", "token_url", "jwks_url", "issuer", "audience"})),
    "organization": (1, frozenset({"session", "api_key", "membership"})),
}
"""Keys whose variable may be unset, by section, with how deep they are: the rules say where that matters."""
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Where = tuple[Any, ...]


@dataclass(frozen=True)
class Document:
    """One file: its value, the line of each key by its path, what was wrong (line, message).

    `unset` has the path of what is None for want of a variable, with the variables.
    """

    value: Any
    lines: Mapping[Where, int]
    problems: tuple[tuple[int, str], ...]
    unset: Mapping[Where, tuple[str, ...]] = field(default_factory=dict)

    def line(self, where: Where) -> int:
        """Return the line of *where*, or of the nearest thing around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


@dataclass
class _Reading:
    loader: Any
    environ: Mapping[str, str]
    lines: dict[Where, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    unset: dict[Where, tuple[str, ...]] = field(default_factory=dict)
    count: int = 0

    def value(self, node: yaml.Node, where: Where) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        self.count += 1
        if len(where) > MOST_DEPTH:
            self.problems.append((line, "is nested too deeply"))
            return None
        if self.count > MOST_VALUES:
            raise ValueError(f"holds too many values: more than {MOST_VALUES}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*where, number)) for number, item in enumerate(node.value)]
        plain = self.loader.construct_object(node)
        if plain is None and _may_be_unset(where):
            self.problems.append((line, f"{where[-1]}: write an address, or a variable that may be unset: ${{NAME}}"))
        return self._filled(plain, line, where) if isinstance(plain, str) else plain

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != STRING_TAG:
                self.problems.append((line, f'a key must be a text; quote it: "{getattr(key_node, "value", "?")}"'))
                continue
            key = key_node.value
            if key in made:
                self.problems.append((line, f"'{key}' is said twice"))
            self.lines[*where, key] = line
            made[key] = self.value(value_node, (*where, key))
        return made

    def _filled(self, text: str, line: int, where: Where) -> str | None:
        """Fill `${NAME}`; an address whose variable is not set becomes None (of an upstream: MISSING_TARGET)."""
        missing: list[str] = []
        later: list[str] = []

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith(PerRequest):
                later.append(name)
                if not FILLED_LATER.intersection(where):
                    self.problems.append((line, f"'{match[0]}' is not filled here; only headers to set may hold it"))
                return match[0]
            if not _NAME.fullmatch(name):
                self.problems.append(
                    (
                        line,
                        f"'{match[0]}' is not a variable: write ${{NAME}}, ${{secret:NAME}} or ${{identity.email}}",
                    )
                )
                return ""
            if not self.environ.get(name):
                missing.append(name)
            return self.environ.get(name, "")

        filled = _VARIABLE.sub(replace, text)
        self._check_once(filled, later, line)
        if missing and _may_be_unset(where):
            self.unset[where] = tuple(dict.fromkeys(missing))
            return None
        if missing:
            self.problems.append((line, f"the environment has no {' and no '.join(missing)}; set it"))
        return filled

    def _check_once(self, filled: str, later: list[str], line: int) -> None:
        """Find what would be filled in each request though it came from the environment and not from the file."""
        if [name for name in _VARIABLE.findall(filled) if name.startswith(PerRequest)] != later:
            self.problems.append((line, "a variable's value makes a '${…}' here; the environment cannot hold those"))


def _may_be_unset(where: Where) -> bool:
    depth, keys = MAY_BE_UNSET.get(where[0], (0, frozenset[str]())) if where else (0, frozenset[str]())
    return len(where) > depth and where[depth] in keys


def read(text: str, environ: Mapping[str, str]) -> Document:
    """Read *text*; every mistake of form comes back among the problems."""
    loader = Loader(text)
    reading = _Reading(loader, environ)
    try:
        node = loader.get_single_node()
        value = None if node is None else reading.value(node, ())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or (str(error) if type(error) is ValueError else "cannot be read")
        return Document(None, {}, ((mark.line + 1 if mark else 1, f"is not YAML: {what}"),))
    finally:
        loader.dispose()
    return Document(value, reading.lines, tuple(reading.problems), reading.unset)
