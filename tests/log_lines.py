"""What a line of the log must be: JSON by `docs/log.schema.json`, with metrics that CloudWatch will find.

The schema is asked once for each shape of lines: which members, of which types, and which of the values that it lists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).resolve().parents[1] / "docs/log.schema.json"


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@cache
def _listed() -> frozenset[str]:
    """Return the members whose values the schema lists."""
    kinds = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"].values()
    members = (member for kind in kinds for member in kind.get("properties", {}).items())
    return frozenset(name for name, said in members if isinstance(said, dict) and {"enum", "const"} & said.keys())


def wrong(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield every line that is none, one for each shape, and what is wrong with it."""
    seen: set[object] = set()
    for line in lines:
        try:
            record = json.loads(line, parse_constant=_refuse)
        except ValueError as error:
            yield line, f"is not JSON: {error}"
            continue
        shape = _shape(record)
        if shape not in seen:
            seen.add(shape)
            yield from ((line, problem) for problem in problems(record))


def problems(record: Any) -> list[str]:
    """Return what is wrong with *record*, a line as Python has it."""
    found = [f"{error.json_path}: {error.message}" for error in _validator().iter_errors(record)]
    return found or list(_unembedded(record))


def _unembedded(record: dict[str, Any]) -> Iterator[str]:
    """Yield what a metric or a dimension lacks that `_aws` names: the schema cannot say it."""
    for directive in record.get("_aws", {}).get("CloudWatchMetrics", ()):
        for name in {name for names in directive["Dimensions"] for name in names}:
            value = record.get(name)
            if not (isinstance(value, str) and value.strip() and value.isascii() and len(value) <= 1024):
                yield f"the dimension {name} is {value!r}"
        for name in (metric["Name"] for metric in directive["Metrics"]):
            value = record.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                yield f"the metric {name} is {value!r}"


def _shape(record: Any) -> object:
    if not isinstance(record, dict):
        return type(record)
    listed = _listed()
    return tuple(
        (name, value if name in listed and not isinstance(value, list | dict) else _kind(value))
        for name, value in record.items()
    )


def _kind(value: Any) -> object:
    if isinstance(value, list):
        return frozenset(map(type, value)), bool(value)
    if isinstance(value, dict):
        return json.dumps({name: one for name, one in value.items() if name != "Timestamp"})
    return type(value), value == ""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON's")
