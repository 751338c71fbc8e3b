"""Run the benchmarks: `make bench`, or one of them, as in `make bench ARGS=throughput`."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from bench import caching, coldstart, revocations, streams, throughput
from bench.processes import BenchError

BENCHES: dict[str, Callable[[], None]] = {
    "throughput": throughput.run,
    "coldstart": coldstart.run,
    "revocations": revocations.run,
    "streams": streams.run,
    "caching": caching.run,
}
INTERRUPTED = 130


def main(names: list[str]) -> int:
    """Run the benchmarks called *names*, or all; return the exit code."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench: there is no '{unknown[0]}'; there is {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        for name in names or BENCHES:
            print(f"bench: {name}", flush=True)
            BENCHES[name]()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted; everything it started was ended", file=sys.stderr)
        return INTERRUPTED
    print(f"bench: done in {time.monotonic() - started:.0f} s")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
