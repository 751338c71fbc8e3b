"""Ask upstreams whether they are well, all of them at the same time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gatehouse.function_names import is_function
from gatehouse.projects import Projects, health_urls

if TYPE_CHECKING:
    from aiohttp import ClientSession

BUDGET_S = 2.0
WELL = range(200, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the upstream of one route said of itself; `status` is None where there was no answer."""

    project: str
    route: str
    url: str
    status: int | None = None
    error: str = ""
    milliseconds: int = 0

    @property
    def is_well(self) -> bool:
        """Say whether it said that it is well."""
        return self.status in WELL

    @property
    def words(self) -> str:
        """Return the answer for people."""
        if self.status is None:
            return self.error
        return "well" if self.is_well else f"answers {self.status}"

    def view(self) -> dict[str, Any]:
        """Return the answer for programs."""
        return {
            "project": self.project,
            "route": self.route,
            "url": self.url,
            "well": self.is_well,
            "status": self.status,
            "error": self.error or None,
            "ms": self.milliseconds,
        }


def ask(projects: Projects) -> list[Answer]:
    """Return the answers of every upstream with a health path and an address, in the files' order.

    Functions have none: who asks from outside the gateway may not invoke them.
    """
    asked = [(one.project, *route) for one in projects.all for route in health_urls(one)]
    return asyncio.run(_all([one for one in asked if not is_function(one[2])]))


async def _all(asked: list[tuple[str, str, str]]) -> list[Answer]:
    from aiohttp import ClientSession, ClientTimeout

    async with ClientSession(timeout=ClientTimeout(total=BUDGET_S)) as session:
        return await asyncio.gather(*(_one(session, project, route, url) for project, route, url in asked))


async def _one(session: ClientSession, project: str, route: str, url: str) -> Answer:
    from aiohttp import ClientError

    started = time.monotonic()
    status: int | None = None
    error = ""
    try:
        # A redirect is an answer, and none that says that the service is well: nobody follows it here.
        async with session.get(url, allow_redirects=False) as response:
            status = response.status
    except TimeoutError:
        error = f"no answer within {BUDGET_S:g} s"
    except (ClientError, OSError, ValueError):
        error = "cannot be reached"
    milliseconds = round((time.monotonic() - started) * 1000)
    return Answer(project=project, route=route, url=url, status=status, error=error, milliseconds=milliseconds)
