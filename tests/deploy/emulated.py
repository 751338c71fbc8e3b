"""The built template as far as MiniStack can deploy it: a copy that differs in what is named here, and in no more."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

METRIC_MATH = "it knows no alarms of more than one metric"
LEFT_OUT = {
    ("Resources", "ApiErrorsAlarm"): METRIC_MATH,
    ("Resources", "FunctionThrottlesAlarm"): METRIC_MATH,
    ("Resources", "TokensTableThrottlesAlarm"): METRIC_MATH,
    ("Resources", "CacheTableThrottlesAlarm"): METRIC_MATH,
    ("Resources", "UsageTableThrottlesAlarm"): METRIC_MATH,
}
"""What MiniStack refuses to deploy, and why: where it stands in the template, from the top."""


def emulated(template: dict[str, Any], folder: Path, projects: Path) -> dict[str, Any]:
    """Return the copy of the built *template*, which stands in *folder*.

    - Each path is given its methods one by one: MiniStack does not serve one whose method is `ANY`.
    - Functions look for project files in *projects*: MiniStack unpacks layers anywhere, and not in /opt.
    - Its binary types are written with their slash: MiniStack does not read `~1` as one.
    - What is in `LEFT_OUT` is not there.
    - Code is named by whole paths, as the copy stands elsewhere.
    """
    made = copy.deepcopy(template)
    made["Globals"]["Function"]["Environment"]["Variables"]["PROJECTS_DIR"] = str(projects)
    api = made["Resources"]["Api"]["Properties"]
    api["BinaryMediaTypes"] = [kind.replace("~1", "/") for kind in api["BinaryMediaTypes"]]
    for *way, name in LEFT_OUT:
        del at(made, way)[name]
    for resource in made["Resources"].values():
        properties = resource.get("Properties", {})
        for name in properties.keys() & {"CodeUri", "ContentUri"}:
            properties[name] = str((folder / properties[name]).resolve())
        if "Events" in properties:
            properties["Events"] = dict(_one_by_one(properties["Events"]))
    return made


def at(template: dict[str, Any], way: list[str]) -> dict[str, Any]:
    """Return what stands in *template* at the end of *way*."""
    for name in way:
        template = template[name]
    return template


def _one_by_one(events: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, event in events.items():
        if event["Properties"].get("Method") != "ANY":
            yield name, event
            continue
        for method in METHODS:
            yield f"{name}{method.title()}", {**event, "Properties": {**event["Properties"], "Method": method}}
