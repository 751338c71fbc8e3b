"""What was seen of the drill, as two tables in `docs/operations.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from local.template import ROOT
from tests.contract.drill_faults import A_LOOK_LATER_S, NEW, NOTHING, RUNNING, Through
from tests.contract.drill_lines import SLOWLY_S
from tests.contract.drill_requests import KINDS

PAGE = ROOT / "docs/operations.md"
BEGIN, END = "<!-- drill: begin (tests/contract/test_fault_drill.py writes this) -->", "<!-- drill: end -->"
SERVICES = "Services of others that are down, with all of AWS well:"
AWS = "AWS, with all services well unless it says otherwise:"
ABOUT = """\
Each thing was taken down as it says, and where that makes no difference both by refusing connections and by never
answering. Processes were *running* before that, or *new*: they started meanwhile. It had lasted for {s} s, or as long
as it says. Every answer came before the end of its invocation, and every failure had our [error body](errors.md).
Where it could not be said who is calling, the upstream was asked nothing; none was sent a `POST` twice. {s} s after it
was over all was well again, in the same processes.

Time was simulated: the functions' clock was put forward, what never answers was given a hundredth of its time, which
was multiplied back to judge whether it is enough, and the pauses that boto3 makes between two attempts were counted
and not waited for. Passwords were hashed with an Argon2 that costs nothing, and a slow upstream took {ms} ms of the 2 s
that it had.""".format(s=round(A_LOOK_LATER_S), ms=round(SLOWLY_S * 1000))


def written(drilled: Sequence[Through]) -> str:
    """Return what is to stand between the markers."""
    faults = [one for one in drilled if one.fault != NOTHING]
    others, aws = ([one for one in faults if one.fault.of_aws is of_aws] for of_aws in (False, True))
    kinds = "\n".join(f"- *{kind.name}*: {kind.means}" for kind in KINDS)
    parts = (ABOUT, SERVICES, _table(others), AWS, _table(aws), f"The requests:\n\n{kinds}")
    return "\n\n".join(parts)


def found() -> str:
    """Return what stands there now."""
    return PAGE.read_text().partition(f"{BEGIN}\n\n")[2].partition(f"\n\n{END}")[0]


def put(text: str) -> None:
    """Write *text* there."""
    page = PAGE.read_text()
    PAGE.write_text(page.replace(f"{BEGIN}\n\n{found()}\n\n{END}", f"{BEGIN}\n\n{text}\n\n{END}"))


@dataclass(frozen=True)
class _Row:
    """What processes answered during a fault, by kinds of requests; one, where several answered the same."""

    down: str
    process: str
    cells: Mapping[str, str]


def _table(drilled: Iterable[Through]) -> str:
    rows = [row for _, several in groupby(drilled, lambda one: one.fault.what) for row in _rows(list(several))]
    known = [kind for kind in KINDS if all(kind.name in row.cells for row in rows)]
    well = [kind.name for kind in known if all(row.cells[kind.name] == kind.well for row in rows)]
    columns = _columns([kind.name for kind in known if kind.name not in well], rows)
    lines = [["down", "process", *(", ".join(column) for column in columns)]]
    lines += [["---"] * len(lines[0])]
    lines += [[row.down, row.process, *(f"`{row.cells[column[0]]}`" for column in columns)] for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\nAnswered as always: {', '.join(well)}."


def _rows(several: Sequence[Through]) -> Iterator[_Row]:
    """Yield the rows of one thing that was down in *several* ways."""
    alike: dict[tuple[tuple[str, str], ...], list[tuple[str, str]]] = {}
    for one in several:
        for process in (RUNNING, NEW) if one.fault.starting else (RUNNING,):
            cells = tuple((name, seen.cell) for name, seen in one.of(process, "during").items())
            alike.setdefault(cells, []).append((one.fault.how, process))
    for cells, who in alike.items():
        hows, processes = (list(dict.fromkeys(side)) for side in zip(*who, strict=True))
        how = "" if len(hows) == len(several) > 1 else f": {', '.join(hows)}"
        yield _Row(f"{several[0].fault.what}{how}", "any" if len(processes) > 1 else processes[0], dict(cells))


def _columns(names: Iterable[str], rows: Sequence[_Row]) -> list[list[str]]:
    """Return *names*, with those together that are answered alike in all of *rows*."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        alike.setdefault(tuple(row.cells[name] for row in rows), []).append(name)
    return list(alike.values())
