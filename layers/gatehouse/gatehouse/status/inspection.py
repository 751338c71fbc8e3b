"""Looking at everything that the projects depend on, all at once, at most every ten seconds, however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from gatehouse import logs
from gatehouse.clock import Elapsed
from gatehouse.kept import Kept
from gatehouse.projects import Project, ProjectFileError, Projects
from gatehouse.projects.secret_rules import findings
from gatehouse.status import needs, probes, upstream_health
from gatehouse.status.needs import SECRET
from gatehouse.status.probes import BUDGET_S
from gatehouse.status.readiness import Finding, Report
from gatehouse.upstreams import Upstream

FRESH_S = 10.0
UNSET = (
    "It has no address here, so its route answers 502 MISSING_TARGET. Set the variable that its project file names; "
    "until then it does not count."
)
OTHERS = (
    "A named secret of another project is missing. What runs goes on, but an instance of the proxy that starts now "
    "serves nothing until the secret has a value."
)


class Stores(Protocol):
    """What the stores are asked by; `probes.Stores` is it."""

    async def prepare(self) -> None:
        """Load what asking takes."""
        ...

    async def ask(self, store: str) -> Mapping[str, str]:
        """Ask *store*; return the named secrets, if it holds them."""
        ...


class Collaborators(Protocol):
    """What is looked at; `kit.Kit` is it."""

    @property
    def projects(self) -> Projects:
        """Return the projects, or raise ProjectFileError."""
        ...

    @property
    def functions(self) -> Upstream:
        """Return what invokes functions."""
        ...


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came of one question."""

    ms: int
    reason: str = ""
    said: Any = field(default=None, repr=False)

    def finding(self, name: str, *, comfort: bool = False) -> Finding:
        return Finding(name=name, ok=not self.reason, ms=self.ms, reason=self.reason, comfort=comfort)


class Inspection:
    """The state of a gateway's surroundings.

    Args:
        kit: the projects, and what invokes functions.
        stores: asks the stores.
        elapsed: what says how much time has passed.
        fresh_s: how long what was found is good, in seconds.
        budget_s: how long finding it out may take, in seconds.
    """

    def __init__(
        self,
        kit: Collaborators,
        stores: Stores,
        elapsed: Elapsed,
        *,
        fresh_s: float = FRESH_S,
        budget_s: float = BUDGET_S,
    ) -> None:
        self.fresh_s = fresh_s
        self.budget_s = budget_s
        self._kit = kit
        self._stores = stores
        self._wall = elapsed.wall
        self._kept = Kept(elapsed)

    async def report(self) -> Report:
        """Return what was found lately, or is found now."""
        return await self._kept.get((), self._inspected)

    async def _inspected(self) -> tuple[Report, float]:
        try:
            projects = self._kit.projects.all
        except ProjectFileError as error:
            logs.error("project files not loaded", problems=[str(one) for one in error.problems])
            return Report(self._wall()), self.fresh_s
        stores, upstreams = await self._asked(projects)
        lacking = _lacking(projects, stores.get(SECRET))
        found = {one.project: tuple(_findings(one, stores, upstreams, lacking)) for one in projects}
        return Report(self._wall(), found), self.fresh_s

    async def _asked(self, projects: tuple[Project, ...]) -> tuple[dict[str, _Heard], dict[str, _Heard]]:
        """Return what every store and every upstream of *projects* said; each is asked once, whoever needs it."""
        stores = list(dict.fromkeys(store for one in projects for store in needs.stores_of(one)))
        urls = list(dict.fromkeys(watched.url for one in projects for watched in needs.watched(one)))
        if needs.ADMINS in stores:
            await self._prepared()
        asking: list[Awaitable[_Heard]] = [self._heard(partial(self._stores.ask, one), probes.words) for one in stores]
        asking += [self._heard(partial(self._upstream, one), upstream_health.words) for one in urls]
        heard = await asyncio.gather(*asking)
        return dict(zip(stores, heard, strict=False)), dict(zip(urls, heard[len(stores) :], strict=True))

    async def _prepared(self) -> None:
        try:
            await self._stores.prepare()
        except Exception as error:  # noqa: BLE001  # what is wrong is heard when the store is asked
            logs.error("status not prepared", reason=type(error).__name__)

    async def _upstream(self, url: str) -> None:
        await upstream_health.ask(url, self._kit.functions, self.budget_s)

    async def _heard(self, ask: Callable[[], Awaitable[Any]], words: Callable[[Exception], str]) -> _Heard:
        """Return what *ask* came to within the budget; *words* says what to do about an exception."""
        started = time.monotonic()
        reason, said = "", None
        try:
            said = await asyncio.wait_for(ask(), self.budget_s)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what was to be found out
            reason = words(error)
        return _Heard(round((time.monotonic() - started) * 1000), reason, said)


def _findings(
    project: Project, stores: Mapping[str, _Heard], upstreams: Mapping[str, _Heard], lacking: Mapping[str, str]
) -> Iterator[Finding]:
    """Yield what was found of *project*; *lacking* is what projects lack of named secrets."""
    yield _configuration(project, lacking)
    for name in needs.stores_of(project):
        yield stores[name].finding(name, comfort=needs.is_comfort(project, name))
    if project.project in lacking:
        yield Finding(name="named secrets", ok=not lacking[project.project], reason=lacking[project.project])
    for watched in needs.watched(project):
        yield upstreams[watched.url].finding(f"upstream {watched.route}")
    for route in needs.unset(project):
        yield Finding(name=f"upstream {route}", ok=None, reason=UNSET)


def _configuration(project: Project, lacking: Mapping[str, str]) -> Finding:
    """Return what is to be said of the files: an instance that starts now serves all of them, or nothing."""
    others = any(reason for name, reason in lacking.items() if name != project.project)
    return Finding(name="configuration", ok=not others, reason=OTHERS if others else "", comfort=True)


def _lacking(projects: tuple[Project, ...], secret: _Heard | None) -> dict[str, str]:
    """Return what each of *projects* lacks of the named secrets in *secret*; nothing, if that could not be read."""
    if secret is None or secret.reason:
        return {}
    return {
        one.project: "; ".join(message for _, message in findings(one, secret.said))
        for one in projects
        if needs.names_secrets(one)
    }
