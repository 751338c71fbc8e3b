"""What API Gateway does before a function is called: pick the function by the template's resource paths."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

from gatehouse import edge
from gatehouse.build import outermost
from gatehouse.call import Call, Reply, pipeline
from gatehouse.edge import App, Receive, Scope, Send
from gatehouse.errors import NotFoundError
from local.template import ROOT, Endpoint, Template

GREEDY = "+}"


def load_function(folder: str) -> Any:
    """Import `app.py` of the function in *folder* (as `functions/login`), under a name of its own."""
    name = "function_" + folder.rstrip("/").rpartition("/")[2]
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / "app.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder}/app.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def router(template: Template, load: Callable[[str], Any] = load_function) -> App:
    """Return the application that hands each request to the function that the template routes it to."""
    endpoints = sorted(template.endpoints(), key=_rank)
    modules = {folder: load(folder) for folder in {endpoint.function for endpoint in endpoints}}
    unrouted = edge.application(pipeline(*outermost(), end=_not_found), most_bytes=1)

    async def close() -> None:
        for module in modules.values():
            await module.kit.close()

    lifespan = edge.application(_not_found, most_bytes=1, close=close)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
            return
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        found = next((one for one in endpoints if reaches(one, scope["method"], path)), None)
        await (modules[found.function].app if found else unrouted)(scope, receive, send)

    return app


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


async def _not_found(_: Call) -> Reply:
    raise NotFoundError
