"""How many requests per second a protected GET of 1 KB makes, and what the gateway adds to its time.

Direct upstream, nginx and gateway take turns, several times over, and each keeps its quietest turn: on a
shared machine the ratios within one run say something, and single figures do not.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from platform import python_version

from bench import peers
from bench.load import Load, put, wrk
from bench.processes import LOOPBACK
from bench.surroundings import PATH, Surroundings
from bench.table import table

ROUNDS = 4
SECONDS = 3
WARM_UP_S = 1
CONCURRENT = 32
DIRECT, NGINX, FLOOR, GATEWAY = "direct to upstream", "nginx proxy_pass (no auth)", "uvicorn, empty app", "gatehouse"
MOST_ADDED, LEAST_RPS = 2.59, 0.18
"""What the metacogna Worker on workerd was measured at, in times of nginx: added p50 at 1, rps at 32.

nginx and the empty application made the same rps there. Where they do not, the one in Python says more about us.
"""


@dataclass
class Figures:
    """The turns of one peer: alone on its connection, and 32 connections at once."""

    single: list[Load] = field(default_factory=list)
    many: list[Load] = field(default_factory=list)

    @property
    def p50_us(self) -> float:
        """Return the p50 of the quietest turn of one connection."""
        return min(load.p50_us for load in self.single)

    @property
    def busiest(self) -> Load:
        """Return the quietest turn of 32 connections: the one that got the most done."""
        return max(self.many, key=lambda load: load.rps)


def run() -> None:
    """Measure, and print the table."""
    _say_what_is_missing()
    with Surroundings() as around, ExitStack() as running:
        upstream = running.enter_context(peers.upstream(around.folder))
        places = {DIRECT: f"{upstream}/file"}
        if peers.nginx():
            places[NGINX] = running.enter_context(peers.proxy_pass(around.folder, upstream)) + PATH
        places[FLOOR] = running.enter_context(peers.floor(around, upstream)) + PATH
        places[GATEWAY] = running.enter_context(peers.gateway(around, upstream)) + PATH
        figures = {name: Figures() for name in places}
        for number in range(ROUNDS):
            print(f"  round {number + 1} of {ROUNDS}", flush=True)
            for name, place in places.items():
                _turn(f"http://{place}", around, figures[name], warm_up=number == 0)
    print(_rows(figures))


def _turn(url: str, around: Surroundings, figures: Figures, *, warm_up: bool) -> None:
    if warm_up:
        put(url, around.token, CONCURRENT, WARM_UP_S, around.folder)
    figures.single.append(put(url, around.token, 1, SECONDS, around.folder))
    figures.many.append(put(url, around.token, CONCURRENT, SECONDS, around.folder))


def _say_what_is_missing() -> None:
    if not peers.nginx():
        print("  nginx not found: apt-get install nginx (our own small server is the upstream, and no peer)")
    if not wrk():
        print("  wrk not found: apt-get install wrk (our own driver is slower: its figures are floors)")
    print(f"  one uvicorn process, httptools, Python {python_version()}, {LOOPBACK}; access log to /dev/null")


def _rows(figures: dict[str, Figures]) -> str:
    direct, nginx, floor = figures[DIRECT], figures.get(NGINX), figures[FLOOR]
    nginx_added = nginx.p50_us - direct.p50_us if nginx else 0.0
    head = ("peer", "c1 p50 us", "+p50 us", "c1 rps", "c32 rps", "c32 p50 us", "c32 p99 us")
    rows = [(*head, "+p50/nginx", "rps/nginx", "rps/empty")]
    for name, own in figures.items():
        many, added = own.busiest, own.p50_us - direct.p50_us
        rows.append(
            (
                name,
                f"{own.p50_us:.0f}",
                f"{added:.0f}",
                f"{max(load.rps for load in own.single):.0f}",
                f"{many.rps:.0f}",
                f"{many.p50_us:.0f}",
                f"{many.p99_us:.0f}",
                f"{added / nginx_added:.2f}" if nginx_added > 0 else "-",
                f"{many.rps / nginx.busiest.rps:.2f}" if nginx else "-",
                f"{many.rps / floor.busiest.rps:.2f}",
            )
        )
    goal = f"  the goal, with nginx and the empty app at 1.00: +p50 at most {MOST_ADDED}, rps at least {LEAST_RPS}"
    return f"{table(rows)}\n{goal}"
