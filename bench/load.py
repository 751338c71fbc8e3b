"""Put load on a URL and read off what came of it: by `wrk`, or by our own driver where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError
from bench.surroundings import ROOT

REPORT = """\
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%d,"seconds":%f,"p50_us":%f,"p99_us":%f,"errors":%d}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one stretch of load came to."""

    rps: float
    p50_us: float
    p99_us: float


def wrk() -> str | None:
    """Return where wrk is, if it is installed."""
    return shutil.which("wrk")


def put(url: str, token: str, connections: int, seconds: int, folder: Path) -> Load:
    """Send GETs for *url* on *connections* at once for *seconds*, with *token*, if it is not empty.

    Raises:
        BenchError: requests failed, so the figures would say nothing.
    """
    found = wrk()
    if found:
        script = folder / "report.lua"
        script.write_text(REPORT)
        command = [found, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
        command += [*(["-H", f"Authorization: Bearer {token}"] if token else []), url]
    else:
        command = [sys.executable, "-m", "bench.driver", url, token, str(connections), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, cwd=ROOT, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise BenchError(f"the load on {url} failed: {(done.stderr or done.stdout)[-500:]}")
    figures = json.loads(lines[-1])
    if figures["errors"] or not figures["requests"]:
        raise BenchError(f"{figures['errors']} of {figures['requests']} requests to {url} failed")
    return Load(figures["requests"] / figures["seconds"], figures["p50_us"], figures["p99_us"])
