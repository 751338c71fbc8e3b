"""`GET /ready`: whether requests can be served. Everybody gets a word for it; administrators get the reasons."""

from __future__ import annotations

import json
from typing import Protocol
from urllib.parse import parse_qsl

from gatehouse import callers
from gatehouse.call import Call, Handler, Reply
from gatehouse.errors import AuthUnavailableError, InvalidRequestError, NotFoundError
from gatehouse.headers import Headers, Pair
from gatehouse.projects import ProjectFileError
from gatehouse.status.inspection import FRESH_S
from gatehouse.status.pages import NOT_STORED
from gatehouse.status.readiness import UNAVAILABLE, Report

ACTION = "readiness"
AGAIN: Pair = ("retry-after", f"{FRESH_S:.0f}")


class Inspected(Protocol):
    """What finds out; `inspection.Inspection` is it."""

    async def report(self) -> Report:
        """Return what was found."""
        ...


def ready(kit: callers.Collaborators, inspection: Inspected) -> Handler:
    """Return the handler of `/ready`, and of `/ready?project=NAME`, which looks at one project alone."""

    async def ready(call: Call) -> Reply:
        project = _asked(call.query)
        trusted = await _is_admin(call, kit)
        report = await inspection.report()
        if not report.knows(project):
            raise NotFoundError("There is no project of that name here.")
        word = report.word(project)
        document = report.view(project) if trusted else {"status": word}
        again = (AGAIN,) if word == UNAVAILABLE else ()
        headers = Headers((("content-type", "application/json"), NOT_STORED, *again))
        return Reply(status=503 if again else 200, headers=headers, body=json.dumps(document).encode())

    return ready


def _asked(query: str) -> str:
    """Return the project that *query* names, or an empty text."""
    said = parse_qsl(query, keep_blank_values=True, errors="replace")
    if not said:
        return ""
    if len(said) > 1 or said[0][0] != "project" or not said[0][1]:
        raise InvalidRequestError("This address takes one parameter: ?project=NAME.")
    return said[0][1]


async def _is_admin(call: Call, kit: callers.Collaborators) -> bool:
    """Say whether an administrator is asking; also no, where nobody can decide that now.

    Raises:
        GatewayError: a credential was sent, and it is not an administrator's.
    """
    if "authorization" not in call.headers:
        return False
    try:
        await callers.admin(call, kit, ACTION)
    except (AuthUnavailableError, ProjectFileError):
        return False
    return True
