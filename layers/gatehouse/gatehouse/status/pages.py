"""`GET /ping`, `/ready` and `/metrics`: what monitors ask. The first must answer whatever else is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gatehouse.build import outermost
from gatehouse.call import Call, Handler, Reply, Stage, pipeline
from gatehouse.errors import NotFoundError
from gatehouse.headers import Headers
from gatehouse.hygiene import check_request
from gatehouse.projects import ProjectFileError
from gatehouse.projects.model import Cors
from gatehouse.stages.cors import cors_of_any
from gatehouse.stages.methods import methods
from gatehouse.status.inspection import Collaborators

ROUTE = "STATUS"
"""What error bodies and the log call these addresses."""
NOT_STORED = ("cache-control", "no-store")


def pages(kit: Collaborators, found: Mapping[str, Handler]) -> Handler:
    """Return the handler that answers for each path of *found*, with the manners of all the gateway's answers."""

    async def end(call: Call) -> Reply:
        check_request(call.headers)
        if call.path not in found:
            raise NotFoundError
        return await methods(("GET", "HEAD"))(call, found[call.path])

    async def pages(call: Call) -> Reply:
        call.notes["route"] = ROUTE
        return await pipeline(*outermost(_readable(call, kit)), end=end)(replace(call, route=ROUTE))

    return pages


async def ping(_: Call) -> Reply:
    """Say that this function runs."""
    return Reply(status=200, headers=Headers((("content-type", "text/plain; charset=utf-8"), NOT_STORED)), body=b"OK")


def _readable(call: Call, kit: Collaborators) -> Stage:
    """Return the stage that lets web pages read the answer. Who is none does not wait for the project files."""
    from_a_page = "origin" in call.headers or call.method == "OPTIONS"
    return cors_of_any(_policies(kit) if from_a_page else ())


def _policies(kit: Collaborators) -> tuple[Cors, ...]:
    try:
        return kit.projects.cors
    except ProjectFileError:
        return ()
