"""What was found of the gateway's surroundings, and the word for it: pure values, asked for by `inspection`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gatehouse.clock import iso

READY = "ready"
DEGRADED = "degraded"
UNAVAILABLE = "unavailable"
_WORST_FIRST = (UNAVAILABLE, DEGRADED, READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one thing that a project depends on is like.

    Attributes:
        name: what it is, for people.
        ok: whether it is as it should be; None where there is nothing to ask, which does not count.
        ms: how long it took to find out, in milliseconds.
        reason: if it is not, why, and what to do: for administrators, without names of machines.
        comfort: whether requests go on without it.
    """

    name: str
    ok: bool | None
    ms: int = 0
    reason: str = ""
    comfort: bool = False

    def view(self) -> dict[str, Any]:
        """Return the finding for programs."""
        said = {"name": self.name, "ok": self.ok, "ms": self.ms}
        return {**said, "reason": self.reason} if self.reason else said


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, by project.

    Attributes:
        at: when, in seconds since the epoch.
        projects: the findings about each; None if the project files cannot be loaded.
    """

    at: float
    projects: Mapping[str, tuple[Finding, ...]] | None = field(default=None)

    def knows(self, project: str) -> bool:
        """Say whether there may be a *project*: where no file could be loaded nobody knows. No name is all of them."""
        return not project or self.projects is None or project in self.projects

    def word(self, project: str = "") -> str:
        """Return how *project* is; without one, the worst of all."""
        if self.projects is None:
            return UNAVAILABLE
        return worst(word(findings) for name, findings in self.projects.items() if project in ("", name))

    def view(self, project: str = "") -> dict[str, Any]:
        """Return the report for administrators, on *project* or on all."""
        found = [(name, findings) for name, findings in (self.projects or {}).items() if project in ("", name)]
        projects = [
            {"project": name, "status": word(findings), "checks": [one.view() for one in findings]}
            for name, findings in found
        ]
        return {"status": self.word(project), "checkedAt": iso(self.at), "projects": projects}


def word(findings: Iterable[Finding]) -> str:
    """Return what *findings* come to."""
    wrong = [one for one in findings if one.ok is False]
    return READY if not wrong else DEGRADED if all(one.comfort for one in wrong) else UNAVAILABLE


def worst(words: Iterable[str]) -> str:
    """Return the worst of *words*; of none, that all is well."""
    said = set(words)
    return next((one for one in _WORST_FIRST if one in said), READY)
