"""The events in `events/`, with what they cannot hold filled in: tokens that are good now, and a password.

python -m local.events proxy-with-token --token "$TOKEN" | sam local invoke ProxyFunction --event -
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.template import ROOT

FOLDER = ROOT / "events"
PLACES = (
    "TOKEN", "EXPIRED_TOKEN", "GUEST_TOKEN", "LEAVING_TOKEN", "SERVICE_TOKEN", "ACCESS_TOKEN", "PASSWORD",
    "BASE64_LOGIN",
)  # fmt: skip
"""LEAVING_TOKEN is a login of its own, for events that end it; ACCESS_TOKEN is of the demo's issuer, not of ours."""


def names() -> list[str]:
    """Return the name of every event."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def load(event: Path | str, fillings: Mapping[str, str]) -> dict[str, Any]:
    """Return *event*, a file or the name of one in `events/`, with `{{TOKEN}}` and the other PLACES filled.

    Raises:
        OSError: there is no such file.
        ValueError: it does not hold a JSON object.
    """
    file = event if isinstance(event, Path) else FOLDER / f"{event}.json"
    filled = _filled(json.loads(file.read_text(encoding="utf-8")), fillings)
    if not isinstance(filled, dict):
        raise ValueError(f"{file} does not hold a JSON object")  # noqa: TRY004  # of the file, not of an argument
    return filled


def _filled(value: Any, fillings: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, fillings) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, fillings) for item in value]
    if isinstance(value, str):
        for place in PLACES:
            value = value.replace("{{" + place + "}}", fillings.get(place, ""))
    return value


def main(arguments: list[str] | None = None) -> int:
    """Print one event, filled in."""
    parser = argparse.ArgumentParser(prog="python -m local.events", description="Print an event, filled in.")
    parser.add_argument("name", choices=names())
    for place in PLACES:
        parser.add_argument(f"--{place.lower().replace('_', '-')}", default="", dest=place)
    given = vars(parser.parse_args(arguments))
    print(json.dumps(load(given.pop("name"), given), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
