"""The REST API that a SAM template makes: its paths, what each leads to, and which of them a request reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

GREEDY = "+}"
STREAM = "RESPONSE_STREAM"


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (`!Ref X`) as their long ones (`{Ref: X}`)."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]  # the only kind left
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One event of a function: the resource path of the REST API that reaches it.

    Attributes:
        function: the folder of its code.
        path: the resource path, as `/auth/tokens/{jti}`.
        method: in capitals, or ANY.
        mode: what the event has as `ResponseTransferMode`; None if nothing.
        timeout_ms: what it has as `TimeoutInMillis`; None if nothing that is a number.
    """

    function: str
    path: str
    method: str
    mode: object = None
    timeout_ms: int | None = None

    @property
    def streams(self) -> bool:
        """Say whether SAM makes it stream: for this one word, and not for an intrinsic that would become it."""
        return self.mode == STREAM


def read(path: Path) -> Mapping[str, Any]:
    """Read the template at *path*, its short forms written out.

    Raises:
        OSError, yaml.YAMLError: it cannot be read.
    """
    body: Mapping[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # a SafeLoader
    return body


def endpoints(body: Mapping[str, Any]) -> list[Endpoint]:
    """Return every path that the API of the template *body* routes."""
    functions = [one for one in body["Resources"].values() if one["Type"] == "AWS::Serverless::Function"]
    return [
        _endpoint(function["Properties"]["CodeUri"], event["Properties"])
        for function in functions
        for event in function["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    ]


def _endpoint(folder: str, event: Mapping[str, Any]) -> Endpoint:
    timeout = event.get("TimeoutInMillis")
    return Endpoint(
        function=folder,
        path=event["Path"],
        method=event["Method"].upper(),
        mode=event.get("ResponseTransferMode"),
        timeout_ms=timeout if isinstance(timeout, int) else None,
    )


def in_order(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Return *endpoints* in the order that API Gateway tries them: literal paths first, greedy ones last."""
    return sorted(endpoints, key=_rank)


def reaches(endpoint: Endpoint, method: str, path: str) -> bool:
    """Say whether a request for *path* by *method* reaches *endpoint*."""
    if endpoint.method not in {"ANY", method}:
        return False
    wanted, given = endpoint.path.split("/")[1:], path.split("/")[1:]
    if wanted[-1].endswith(GREEDY):
        head = wanted[:-1]
        return len(given) > len(head) and given[: len(head)] == head and "/".join(given[len(head) :]) != ""
    return len(wanted) == len(given) and all(w == g or w.startswith("{") for w, g in zip(wanted, given, strict=True))


def _rank(endpoint: Endpoint) -> tuple[int, int]:
    """Return what endpoints are tried in the order of: literal paths first, greedy ones last, long before short."""
    segments = endpoint.path.split("/")
    return sum(s.startswith("{") + s.endswith(GREEDY) for s in segments), -len(segments)
