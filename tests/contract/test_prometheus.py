"""Prometheus and its own checker, against the gateway as `make run` serves it: what is counted is what was sent."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from moto.cloudwatch.models import cloudwatch_backends
from prometheus_client.parser import text_string_to_metric_families

from gatehouse import logs
from local.house import MOTO_ACCOUNT, House
from local.metric_lines import MetricLines
from local.router import router
from local.servers import listen, served
from tests.contract.conftest import bearer, patient
from tests.ministack import free_port

START_S = 15
SCRAPED_S = 10
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: gatehouse
    authorization: {{credentials_file: {token}}}
    static_configs: [{{targets: ["{target}"]}}]
"""


class Gateway:
    """A gateway whose log is taken for metrics, and that asks CloudWatch whenever it is scraped."""

    def __init__(self, port: int, lines: MetricLines, token: str) -> None:
        self.port = port
        self.token = token
        self._lines = lines

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def send(self, path: str, times: int) -> list[str]:
        """Send a request *times* times, and what its lines say to CloudWatch; return the lines."""
        written: list[str] = []
        with logs.also_to(written.append):
            for _ in range(times):
                self.get(path)
            until = time.monotonic() + 10
            while len(own := [line for line in written if f'"path":"{path}"' in line]) < times:
                assert time.monotonic() < until
                time.sleep(0.005)  # the line follows the answer
        self._lines.send()
        return own

    def repeat(self, lines: list[str]) -> None:
        """Say *lines* to CloudWatch once more."""
        for line in lines:
            self._lines.take(line)
        self._lines.send()

    def scraped(self) -> str:
        status, body = self.get("/metrics", **bearer(self.token))
        assert status == 200
        return body.decode()

    def total(self, name: str, **labels: str) -> float:
        """Return what the samples called *name* that have *labels* come to."""
        samples = [one for family in text_string_to_metric_families(self.scraped()) for one in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


@pytest.fixture(scope="module")
def gateway(house: House) -> Iterator[Gateway]:
    modules: dict[str, Any] = {}

    def load(folder: str) -> Any:
        modules[folder] = patient(folder)
        return modules[folder]

    app = router(house.template, load)
    modules["functions/status"].fleet.fresh_s = 0
    listening = listen("127.0.0.1", 0)
    lines = house.metric_lines()
    with lines.running(), served(app, [listening]):
        yield Gateway(listening.getsockname()[1], lines, house.metrics_token)


def test_what_is_counted_is_what_was_sent_and_only_grows(gateway: Gateway):
    counted = {"project": "lab", "route": "ECHO", "method": "GET", "code": "200"}
    before = gateway.total("gatehouse_requests_total", **counted)
    seen = []
    for times in (3, 4):
        gateway.send("/lab/echo/x", times)
        seen.append(gateway.total("gatehouse_requests_total", **counted) - before)
    assert seen == [3, 7]
    took = {"project": "lab", "route": "ECHO"}
    assert gateway.total("gatehouse_request_duration_seconds_count", **took) == before + 7
    assert 0 < gateway.total("gatehouse_request_duration_seconds_sum", **took) < 60
    assert gateway.total("gatehouse_upstream_duration_seconds_count", **took) == before + 7


def test_a_refused_request_is_counted_with_its_code_and_why(gateway: Gateway):
    before = gateway.total("gatehouse_auth_total", project="lab", outcome="missing")
    gateway.send("/lab/opened/x", 2)
    assert gateway.total("gatehouse_requests_total", project="lab", route="OPENED", code="401") >= 2
    assert gateway.total("gatehouse_auth_total", project="lab", outcome="missing") == before + 2


def test_twenty_thousand_requests_later_a_scrape_has_no_more_to_look_through(gateway: Gateway):
    """moto looks through all that it has for each metric it is asked for: what it has must not grow with requests."""

    def kept() -> int:
        return len(cloudwatch_backends[MOTO_ACCOUNT]["us-east-1"].metric_data)

    lines = gateway.send("/lab/read/x", 100)
    few = kept()
    for _ in range(20):
        gateway.repeat(lines * 10)
    assert gateway.total("gatehouse_requests_total", route="READ") == 100 + 20_000
    assert kept() <= 2 * few + 20  # twice, if a new slot of time began meanwhile; and what scrapes count


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


def test_promtool_finds_nothing_wrong(gateway: Gateway):
    promtool = tool("promtool")
    gateway.send("/lab/echo/x", 1)
    gateway.send("/lab/opened/x", 1)
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=gateway.scraped(), capture_output=True, text=True, timeout=20, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@contextmanager
def prometheus(folder: Path, gateway: Gateway) -> Iterator[int]:
    """Run Prometheus on a port of this machine alone; it scrapes *gateway* every second."""
    program, port, token = tool("prometheus"), free_port(), folder / "token"
    token.write_text(gateway.token)
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(token=token, target=f"127.0.0.1:{gateway.port}"))
    command = [
        program, f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    log = folder / "log.txt"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            wait(lambda: asked(port, "/-/ready") is not None, START_S, log)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def asked(port: int, path: str) -> Any:
    """Return what Prometheus answers, as JSON where it is; None if it does not answer well."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            return None
        return json.loads(body) if body.startswith(b"{") else body
    except OSError:
        return None
    finally:
        connection.close()


def queried(port: int, query: str) -> float | None:
    """Return the one value that *query* has now."""
    answer = asked(port, f"/api/v1/query?query={quote(query)}")
    found = answer["data"]["result"] if answer else []
    return float(found[0]["value"][1]) if found else None


def wait(holds: Any, within_s: float, log: Path) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)


def test_prometheus_scrapes_it_and_answers_queries(gateway: Gateway, tmp_path: Path):
    query = 'sum(gatehouse_requests_total{project="lab",route="KEPT",code="200"})'
    gateway.send("/lab/kept/x", 5)
    with prometheus(tmp_path, gateway) as port:
        log = tmp_path / "log.txt"
        wait(lambda: queried(port, query) == 5, SCRAPED_S, log)
        gateway.send("/lab/kept/x", 6)
        wait(lambda: queried(port, query) == 11, SCRAPED_S, log)
        assert queried(port, 'up{job="gatehouse"}') == 1
        assert queried(port, query.replace("sum(", "sum(increase(").replace("})", "}[1m]))")) is not None
        assert log.read_text() == ""
