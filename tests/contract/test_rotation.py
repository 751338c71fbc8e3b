"""Keys change while clients hammer two processes, through every step: nobody is refused."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import boto3
import pytest

from gatehouse import edge, registry, rotation
from gatehouse.build import gateway
from gatehouse.key_states import EVERYWHERE_S, PUBLISHED_S
from gatehouse.keyring import FRESH_S, LiveKeyRing
from gatehouse.kit import Kit
from gatehouse.settings import read
from gatehouse.stores.key_ring_secret import KeyRingSecret
from gatehouse.stores.secrets import secret_value
from local.house import House
from local.servers import listen, served
from tests.unit.fakes import FakeClock, run

CLIENTS, REQUESTS = 4, 40
DAY = 86_400


class Process:
    """A gateway with a key ring of its own, as another Lambda environment has one."""

    def __init__(self, clock: FakeClock, arn: str, running: ExitStack) -> None:
        self.kit = Kit(read(os.environ))
        self.keys = LiveKeyRing(lambda: secret_value(arn), clock, wall=clock)
        self.kit.__dict__["keys"] = self.keys
        app = edge.application(gateway(self.kit.projects, self.kit), most_bytes=1024, close=self.kit.close)
        listening = listen("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        running.enter_context(served(app, [listening]))
        self.status("nonsense")  # its loop, and no other, waits for the ring

    def status(self, token: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/lab/opened/echo", headers={"Authorization": f"Bearer {token}"})
            return connection.getresponse().status
        finally:
            connection.close()


@dataclass
class Scene:
    """Two processes, a secret, a clock that tells how old their rings are, and everybody's tokens."""

    secret: KeyRingSecret
    clock: FakeClock
    processes: list[Process]
    tokens: list[str] = field(default_factory=list)
    steps: float = 0

    def step(self, change: object, *arguments: object, **named: object) -> str:
        """Take a step of the rotation, as the command line does."""
        text, version = self.secret.read()
        changed = change(text, *arguments, now=self.clock.now, **named)  # type: ignore[operator]  # a step of `rotation`
        new, kid = changed if isinstance(changed, tuple) else (changed, "")
        assert self.secret.replace(new, version)
        return kid

    def log_in(self, process: Process) -> str:
        """Issue a token as *process* would: with the key that its own ring says."""
        order = registry.Order(project="lab", service="worker", days=1)
        project = registry.check(order, process.kit.projects.all)
        ring = run(self._ring(process))
        token, record = registry.issue(ring, project, order, by="ada", now=time.time())
        self.tokens.append(token)
        return record.kid

    @staticmethod
    async def _ring(process: Process):
        return await process.keys.current()

    def hammer(self) -> None:
        """Let clients send every token to every process, at once; none may be refused."""
        refused: Counter[int] = Counter()

        def client(number: int) -> None:
            dice = random.Random(number)
            for _ in range(REQUESTS):
                status = dice.choice(self.processes).status(dice.choice(self.tokens))
                if status != 200:
                    refused[status] += 1

        clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        assert not refused


@pytest.fixture
def scene(house: House) -> Iterator[Scene]:
    endpoint = house.environment()["AWS_ENDPOINT_URL"]
    manager = boto3.client("secretsmanager", endpoint_url=endpoint, region_name="us-east-1")
    arn = house.environment()["GATEWAY_SECRET_ARN"]
    text = manager.get_secret_value(SecretId=arn)["SecretString"]
    own = manager.create_secret(Name=f"rotated-{time.time_ns()}", SecretString=text)["ARN"]
    manager.close()
    clock = FakeClock(time.time())
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GATEWAY_SECRET_ARN", own)
        processes = [Process(clock, own, running) for _ in range(2)]
        yield Scene(KeyRingSecret(own), clock, processes)


@pytest.mark.parametrize("algorithm", ["HS256", "EdDSA", "ES256"])
def test_nobody_is_refused_while_the_keys_change(scene: Scene, algorithm: str):
    early, late = scene.processes
    assert scene.log_in(early) == "local"
    scene.hammer()

    new = scene.step(rotation.add, algorithm=algorithm)
    scene.hammer()
    with pytest.raises(rotation.RotationError, match="not known everywhere yet"):
        scene.step(rotation.promote, new)
    scene.clock.now += PUBLISHED_S
    scene.hammer()  # both have fetched the ring by now

    scene.step(rotation.promote, new)
    scene.clock.now += FRESH_S - 1
    assert scene.log_in(late) == "local"  # its ring is not old enough to be looked at again: it signs with the old key
    scene.clock.now += 1
    assert scene.log_in(early) == new
    assert scene.log_in(late) == new
    scene.hammer()

    with pytest.raises(rotation.RotationError):
        scene.step(rotation.retire, "local", longest_s=DAY)
    scene.clock.now += DAY + EVERYWHERE_S
    with pytest.raises(rotation.RotationError):  # the originals' tokens live for up to a year
        scene.step(rotation.retire, "local", longest_s=DAY)
    scene.hammer()
    scene.tokens = scene.tokens[-2:]  # the others have expired
    scene.clock.now += 365 * DAY
    with pytest.raises(rotation.RotationError):
        scene.step(rotation.retire, "local", longest_s=DAY, live=1)
    scene.step(rotation.retire, "local", longest_s=DAY)
    scene.hammer()
    scene.clock.now += FRESH_S
    scene.hammer()


def test_a_process_that_does_not_know_a_key_yet_looks_once_and_believes_it(scene: Scene):
    """An operator who cannot wait promotes with force: processes find the key when its first token comes."""
    early, late = scene.processes
    scene.log_in(late)
    new = scene.step(rotation.add, algorithm="EdDSA")
    scene.step(rotation.promote, new, force=True)
    scene.clock.now += FRESH_S
    assert scene.log_in(early) == new
    scene.hammer()


def test_what_a_leaked_key_signed_ends_when_it_is_retired_by_force(scene: Scene):
    early, late = scene.processes
    scene.log_in(early)
    leaked = scene.tokens.pop()
    assert early.status(leaked) == 200
    new = scene.step(rotation.add, algorithm="HS256")
    scene.step(rotation.promote, new, force=True)
    scene.step(rotation.retire, "local", longest_s=DAY, force=True)
    scene.clock.now += FRESH_S
    assert [process.status(leaked) for process in (early, late)] == [403, 403]
    scene.log_in(early)
    scene.hammer()
