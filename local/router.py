"""What API Gateway does before a function is called: pick the function by the template's resource paths."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

from gatehouse import edge
from gatehouse.build import outermost
from gatehouse.call import Call, Reply, pipeline
from gatehouse.cli.rest_api import in_order, reaches
from gatehouse.edge import App, Receive, Scope, Send
from gatehouse.errors import NotFoundError
from local.template import ROOT, Template


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
    endpoints = in_order(template.endpoints())
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


async def _not_found(_: Call) -> Reply:
    raise NotFoundError
