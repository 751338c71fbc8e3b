"""The gateway of the drill: the real functions, as Lambda calls them, behind lines to all that they depend on.

A process is loaded anew for each fault, so it knows what it was asked and nothing else. Nobody waits as long here as in
production: what is asked of somebody who never answers is given a fraction of its time, and nobody else less than that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import SplitResult, urlsplit

import pytest
from argon2 import PasswordHasher
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID

from gatehouse import keys, kit, lambda_http, passwords
from gatehouse.call import Reply
from gatehouse.cli.rest_api import Endpoint, in_order, reaches
from gatehouse.keyring import LiveKeyRing
from gatehouse.projects import load
from gatehouse.stores import aws_json, clients, revocation_log
from gatehouse.stores.admins import AdminRecord, AdminRecords
from gatehouse.upstreams import Outbound
from gatehouse.upstreams.buffered import BufferedUpstream
from local import stores, template
from local.house import NEVER_REAL, PERSONAL, House
from local.router import load_function
from tests.contract.conftest import Answer, invoke
from tests.contract.drill_lines import Lines
from tests.contract.drill_requests import PATIENT_MS, Request, Somebody
from tests.contract.drill_services import ISSUER, SECRETS, Behind, behind, written
from tests.contract.rest_event import Context, rest_event

DYNAMODB, S3, SECRETS_MANAGER = "DYNAMODB", "S3", "SECRETS_MANAGER"
AWS = (DYNAMODB, S3, SECRETS_MANAGER)
BY_BOTO3 = {DYNAMODB: "dynamodb", S3: "s3"}
HURRY = 0.01
"""How much of their time calls are given that nobody will answer."""
PASSWORD = "correct horse battery staple"
CHEAP = {"PASSES": 1, "MEMORY_KIB": 8, "_HASHER": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)}
"""Passwords that cost nothing: what they cost is no part of the drill."""


class Wall:
    """The wall clock of the functions, which the drill puts forward; `module` is the `time` that they import."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.module = ModuleType("time")
        vars(self.module).update({**vars(time), "time": self.time})

    def time(self) -> float:
        return time.time() + self.ahead_s

    def pass_by(self, seconds: float) -> None:
        self.ahead_s += seconds


class Process:
    """The functions, as they run somewhere, each from the first request that it is sent. To be closed.

    Attributes:
        starts_s: how long the functions took to start.
    """

    def __init__(self, endpoints: list[Endpoint], wall: Wall) -> None:
        aws_json.close()
        self.starts_s: list[float] = []
        self._wall = wall
        self._endpoints = endpoints
        self._modules: dict[str, Any] = {}

    def start(self, request: Request) -> Any:
        """Return the function that *request* is for, started if it was not yet."""
        path = request.target.partition("?")[0]
        folder = next(one.function for one in self._endpoints if reaches(one, request.method, path))
        if folder not in self._modules:
            began = time.monotonic()
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(sys.modules, "time", self._wall.module)
                self._modules[folder] = load_function(folder)
            self.starts_s.append(time.monotonic() - began)
        return self._modules[folder]

    def send(self, request: Request, client_ip: str, remaining_ms: int = PATIENT_MS) -> Answer:
        """Send *request* with so much time left for the invocation."""
        headers = [("Host", "gateway.example"), *request.headers.items()]
        event = rest_event(request.method, request.target, headers, request.body, source_ip=client_ip)
        return invoke(self.start(request), event, Context(remaining_ms))

    def close(self) -> None:
        for module in self._modules.values():
            lambda_http.event_loop().run_until_complete(module.kit.close())


@dataclass(frozen=True)
class Site:
    """Where the drill is held: the services, the lines to them and to AWS, the clock, and who is calling.

    Attributes:
        pauses: those that boto3 would have made between its attempts, in seconds.
    """

    services: Behind
    lines: Lines
    wall: Wall
    endpoints: list[Endpoint]
    somebody: Callable[[str], Somebody]
    tables: tuple[str, ...]
    pauses: list[float]

    @contextmanager
    def process(self) -> Iterator[Process]:
        process = Process(self.endpoints, self.wall)
        try:
            yield process
        finally:
            process.close()

    def forget(self) -> None:
        """Begin anew, with empty tables at the present moment."""
        self.wall.ahead_s = 0.0
        kept = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][NEVER_REAL["AWS_REGION"]].tables
        for table in self.tables:
            kept[table].items.clear()  # a thousand times faster than asking for it

    @contextmanager
    def hurried(self, names: Iterable[str]) -> Iterator[None]:
        """Give what is asked of those called *names*, by whatever client, a fraction of its time."""
        ports = self.lines.ports(names)
        by_boto3 = set(names) & set(BY_BOTO3)
        with ExitStack() as hurry:
            patch = hurry.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(aws_json, "_connection", _hurried_connection(ports))
            patch.setattr(BufferedUpstream, "send", _hurried_send(ports))
            for idle in chain.from_iterable(aws_json._IDLE[f"http://127.0.0.1:{port}"] for port in ports):
                idle.sock.settimeout(aws_json.TIMEOUT_S * HURRY)
            hurry.callback(aws_json.close)  # what was connected in a hurry stays so
            if by_boto3:
                hurry.callback(clients.client.cache_clear)
                _hurried_clients(by_boto3)
            yield


def _hurried_clients(names: Iterable[str]) -> None:
    clients.client.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "READ_S", clients.READ_S * HURRY)
        for name in names:
            clients.client(BY_BOTO3[name])


def _hurried_connection(ports: Container[int | None]) -> Callable[[SplitResult], HTTPConnection]:
    connect = aws_json._connection

    def connection(url: SplitResult) -> HTTPConnection:
        made = connect(url)
        if url.port in ports:
            made.timeout = aws_json.TIMEOUT_S * HURRY
        return made

    return connection


def _hurried_send(ports: Container[int | None]) -> Callable[[BufferedUpstream, Outbound], Awaitable[Reply]]:
    send = BufferedUpstream.send

    async def hurried(upstream: BufferedUpstream, outbound: Outbound) -> Reply:
        hurry = HURRY if urlsplit(outbound.url).port in ports else 1
        return await send(upstream, replace(outbound, timeout_s=outbound.timeout_s * hurry))

    return hurried


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Set up everything, with project files in *folder*. The environment is another one until the end."""
    with ExitStack() as running:
        patch = running.enter_context(pytest.MonkeyPatch.context())
        services = running.enter_context(behind())
        wall = Wall()
        # Another gateway of these tests may be running, and have the functions' variables for itself.
        others = (*template.load().variables(), "AWS_ENDPOINT_URL", *(f"AWS_ENDPOINT_URL_{one}" for one in AWS))
        for name in (*PERSONAL, *others):
            patch.delenv(name, raising=False)
        given = {"PROJECTS": str(written(folder)), "ADMIN_PASSWORD": PASSWORD, **SECRETS}
        for name, value in (given | services.addresses).items():
            patch.setenv(name, value)
        for name, cheap in CHEAP.items():
            patch.setattr(passwords, name, cheap)
        patch.setattr(passwords, "_NOBODY", passwords.hashed("nobody"))
        patch.setattr(stores, "STACK", "gatehouse-drill")  # other tests have stores of the same moto
        house = running.enter_context(House())
        lines = Lines(services.addresses | dict.fromkeys(AWS, house.environment()["AWS_ENDPOINT_URL"]))
        running.enter_context(lines.open())
        for name, value in (NEVER_REAL | house.environment() | _variables(lines)).items():
            patch.setenv(name, value)
        pauses = _driven(patch, wall)
        clients.client.cache_clear()
        running.callback(clients.client.cache_clear)
        tables = tuple(house.template.made[name]["Ref"] for name in house.template.resources("AWS::DynamoDB::Table"))
        endpoints = in_order(house.template.endpoints())
        yield Site(services, lines, wall, endpoints, _introduced(house, lines), tables, pauses)


def _variables(lines: Lines) -> dict[str, str]:
    return {f"AWS_ENDPOINT_URL_{name}" if name in AWS else name: line.url for name, line in lines.named.items()}


def _driven(patch: pytest.MonkeyPatch, wall: Wall) -> list[float]:
    """Have the functions go by *wall*, and boto3 not sleep between its attempts; return how long it would have."""
    for module in (kit, revocation_log):
        patch.setattr(module, "time", wall.module)
    patch.setitem(LiveKeyRing.__init__.__kwdefaults__, "wall", wall.time)
    pauses: list[float] = []
    patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=pauses.append))
    return pauses


def _introduced(house: House, lines: Lines) -> Callable[[str], Somebody]:
    """Return what makes an administrator of a given name: limits of logins count by the name, and by the clock."""
    ring, environ = keys.parse(house._ring), {**house.environment(), **_variables(lines)}
    _, tokens = load(house.projects, environ, ring.secrets).issuing()
    stored = passwords.hashed(PASSWORD)

    def somebody(name: str) -> Somebody:
        records = AdminRecords(environ["ADMINS_BUCKET"])
        records.create(AdminRecord(username=name, role="admin", hash=stored))
        return Somebody(ring, tokens, (name, PASSWORD), environ[ISSUER], name)

    return somebody
