"""Stand-ins for what surrounds the code under test, and short ways to make its values."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from gatehouse.caching.opened import opened
from gatehouse.call import Call, Identity, Reply, Stage
from gatehouse.credentials import Credential
from gatehouse.errors import TokenRevokedError
from gatehouse.headers import Headers, Pair
from gatehouse.keys import Key, KeyRing
from gatehouse.models.metering import Meter
from gatehouse.organizations import Organizations
from gatehouse.projects import Project, Projects, Route, load
from gatehouse.route_limits import RouteLimits
from gatehouse.stages.cache import cached
from gatehouse.stages.model_calls import model_calls, policy_of
from gatehouse.stores.route_buckets import RouteBuckets
from gatehouse.stores.usage import UsageTable
from gatehouse.tokens import Issuer, TokenVerifier
from gatehouse.upstreams import Outbound
from gatehouse.usage import LastUse

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "layers/config/projects"
NOW = 1_800_000_000
SECRET = "an0ther-Fine/Secret+0f-48-Bytes=that-nobody-knows"
OTHER_SECRET = "Zq9w!8e7r6t5y4u3i2o1p0a_s-d.f,g;h:j k<l>yxcvbnm"
METACOGNA = Issuer(issuer="gateway.metacogna.ai", audience="metacogna-clients")
TARGETS = {
    "BUILD_SERVICE_URL": "http://build.test",
    "KV_SERVICE_URL": "http://kv.test/base",
    "CORE_SERVICE_URL": "http://core.test",
    "PREFECT_SERVICE_URL": "http://prefect.test",
}


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* on a loop of its own."""
    return asyncio.run(work)


class FakeClock:
    """A clock that only moves when it is told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeBody:
    """A request's body that counts how often it was read."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.reads = 0

    async def read(self) -> bytes:
        self.reads += 1
        return self.data

    async def gone(self) -> None:
        await asyncio.Event().wait()


class FakeUpstream:
    """An upstream that remembers what it was sent, and answers (or raises) what it was given, in order."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[Outbound] = []
        self.closed = False

    async def send(self, outbound: Outbound) -> Reply:
        self.sent.append(outbound)
        answer = self.answers.pop(0) if self.answers else ok()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True

    @property
    def only(self) -> Outbound:
        """The one request that was sent."""
        (outbound,) = self.sent
        return outbound


class FakeRing:
    """A key ring that never changes unless a test changes it."""

    def __init__(self, keys: KeyRing) -> None:
        self.keys = keys
        self.asked: list[str] = []

    async def current(self) -> KeyRing:
        return self.keys

    async def with_key(self, kid: str) -> KeyRing:
        self.asked.append(kid)
        return self.keys


class FakeRevocations:
    """Revocations that a test makes by naming a token's id; they remember what they were asked."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()
        self.asked: list[tuple[str, str, bool]] = []

    async def check(self, identity: Identity, project: str, *, strict: bool) -> None:
        self.asked.append((identity.token_id, project, strict))
        if identity.token_id in self.revoked:
            raise TokenRevokedError

    def age_s(self) -> float:
        return 1.5


class FakeOrganizations:
    """Organisations that a test makes: by the name that a credential has for one, its own id."""

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self.own = dict(own or {})

    async def confirmed(self, call: Call, identity: Identity) -> str | None:
        return self.own.get(identity.organization)


class FakeKit:
    """The collaborators of pipelines."""

    def __init__(self, upstream: FakeUpstream | None = None, keys: KeyRing | None = None) -> None:
        self.upstream = upstream or FakeUpstream()
        self.functions = self.upstream
        self.clock = FakeClock()
        self.ring = FakeRing(keys or ring())
        self.revocations = FakeRevocations()
        self.last_use = LastUse(self._used, self.clock)
        self.used: list[tuple[str, int]] = []
        self.named_secrets: dict[str, str] = {}
        self.credentials: dict[str, Credential] = {}
        self.limits = RouteLimits(RouteBuckets(""), self.clock, self.clock, shared=False)
        self.meter = Meter(UsageTable(""), self.clock, self.clock, shared=False)
        self.answers = opened("", 1024 * 1024, self.clock, self.clock)
        self.confirming: Organizations = cast("Organizations", FakeOrganizations())

    def model_calls(self, project: Project, route: Route, path: str) -> Stage:
        return model_calls(policy_of(project, route, path), self.meter)

    def cache(self, project: Project, route: Route, path: str, *, keeps: bool) -> Stage:
        return cached(project, route, path, self.answers, keeps=keeps)

    def credential(self, project: Project, name: str) -> Credential:  # one project at a time
        return self.credentials[name]

    def organizations(self, project: Project) -> Organizations:
        return self.confirming

    async def secrets(self) -> dict[str, str]:
        return self.named_secrets

    async def _used(self, jti: str, now: int) -> None:
        self.used.append((jti, now))

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        return TokenVerifier(self.ring, issuer, self.clock)


def ok(body: bytes = b"hello", *pairs: Pair, status: int = 200) -> Reply:
    """An upstream's answer."""
    return Reply(status=status, headers=Headers((("content-type", "text/plain"), *pairs)), body=body)


def key(kid: str = "k1", secret: str = SECRET, *, legacy: bool = False) -> Key:
    return Key(kid=kid, algorithm="HS256", secret=secret.encode(), legacy=legacy)


def ring(*keys: Key) -> KeyRing:
    """A ring of *keys*; the first one signs."""
    kept = keys or (key(),)
    return KeyRing(kept[0], {one.kid: one for one in kept})


def a_call(path: str = "/build/x", method: str = "GET", *headers: Pair, body: bytes = b"", **changes: Any) -> Call:
    """A request as the edge hands it over."""
    fields: dict[str, Any] = {
        "method": method,
        "path": path,
        "query": "",
        "headers": Headers(headers),
        "body": FakeBody(body),
        "client_ip": "192.0.2.7",
        "scheme": "https",
        "request_id": "request-0001",
        "route": "CORE",
    }
    return Call(**{**fields, **changes})


def an_identity(route: str | None = "BUILD", subject: str = "ada", *scopes: str) -> Identity:
    """Somebody whose token of ours was granted for *route*."""
    claims = {} if route is None else {"route": route}
    return Identity(kind="gateway", subject=subject, scopes=frozenset(scopes or ("admin",)), claims=claims)


def body_of(reply: Reply) -> Any:
    """The JSON of an answer that is whole."""
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)


def write(folder: Path, text: str, name: str = "demo.yaml") -> Path:
    """Put a project file into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def metacogna(environ: Mapping[str, str] = TARGETS) -> Projects:
    """The project files that ship with the gateway, with metacogna's among them."""
    return _with_targets() if environ is TARGETS else load(SHIPPED, environ)


@cache
def _with_targets() -> Projects:
    """Read once: a value that nothing changes."""
    return load(SHIPPED, TARGETS)


def the_metacogna() -> Project:
    return next(project for project in metacogna().all if project.project == "metacogna")
