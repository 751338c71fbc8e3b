"""What a first response and a warm one cost under the Runtime Interface Emulator.

Beside ours: an empty function, and a naive gateway (`bench/naive`) that does the same, which is to check a JWT
and forward a GET of 1 KB. The functions take turns, and the warm figure is that of each one's quietest process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from bench import peers, workshop
from bench.emulated import Function, Life, live
from bench.processes import BenchError
from bench.surroundings import PROXY, ROOT, Surroundings
from bench.table import table

ROUNDS = 7
WARM = 300
MOST_FIRST, MOST_WARM = 0.30, 0.25
EMPTY, OURS, NAIVE, NAIVE_SOURCE = "empty", "gatehouse", "naive", "naive, without bytecode"


@dataclass
class Figures:
    """The lives of one function."""

    lives: list[Life] = field(default_factory=list)

    @property
    def firsts(self) -> list[float]:
        """Return every first response, in ms."""
        return [life.first_ms for life in self.lives]

    @property
    def warm_ms(self) -> float:
        """Return the p50 of the quietest process."""
        return min(median(life.warm_ms) for life in self.lives)


def run() -> None:
    """Measure, and print the table; or say what is missing."""
    try:
        workshop.emulator()
        workshop.prepare()
    except BenchError as error:
        print(f"  not measured: {error}")
        return
    with Surroundings() as around, peers.upstream(around.folder) as upstream:
        functions = _functions(around, f"http://{upstream}")
        figures = {function.name: Figures() for function in functions}
        for number in range(ROUNDS):
            print(f"  round {number + 1} of {ROUNDS}", flush=True)
            for function in functions:
                life = live(function, around.token, WARM, around.folder / f"{number}.log")
                figures[function.name].lives.append(life)
    print(_rows(figures))


def _functions(around: Surroundings, upstream: str) -> list[Function]:
    environ = around.environment(upstream, "buffered")
    layer, source = around.folder / "layer", around.folder / "source"
    workshop.layer(layer)
    workshop.without_bytecode(source)
    naive = ROOT / "bench" / "naive"
    return [
        Function(EMPTY, ROOT / "bench" / "empty", environ),
        Function(OURS, PROXY, environ, layer),
        Function(NAIVE, naive, environ),
        Function(NAIVE_SOURCE, naive, environ, source),
    ]


def _rows(figures: dict[str, Figures]) -> str:
    empty, naive = figures[EMPTY], figures[NAIVE]
    rows = [("function", "first ms", "first min", "first/naive", "warm p50 ms", "+warm ms", "+warm/naive")]
    for name, own in figures.items():
        added, theirs = own.warm_ms - empty.warm_ms, naive.warm_ms - empty.warm_ms
        rows.append(
            (
                name,
                f"{median(own.firsts):.0f}",
                f"{min(own.firsts):.0f}",
                f"{median(own.firsts) / median(naive.firsts):.2f}",
                f"{own.warm_ms:.2f}",
                f"{added:.2f}",
                f"{added / theirs:.2f}",
            )
        )
    said = f"  {ROUNDS} cold starts each (median and least), {WARM} warm invocations after each; secrets from moto"
    goal = f"  the goal, with naive at 1.00: first at most {MOST_FIRST:.2f}, +warm at most {MOST_WARM:.2f}"
    return f"{table(rows)}\n{said}\n{goal}"
