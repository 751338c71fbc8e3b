"""`/ping`, `/ready` and `/metrics`, one call at a time: who gets what, and what it must not depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gatehouse import grants
from gatehouse.call import Reply
from gatehouse.errors import AuthUnavailableError
from gatehouse.headers import Pair
from gatehouse.keys import KeyRing
from gatehouse.metric_names import REQUESTS
from gatehouse.projects import Projects, load
from gatehouse.status import metrics_page, ready_page
from gatehouse.status.fleet import Fleet
from gatehouse.status.pages import pages, ping
from gatehouse.status.readiness import Finding, Report
from gatehouse.stores.metrics import SUM, Readings, Series
from gatehouse.tokens import Issuer, TokenVerifier, mint
from tests.unit.fakes import NOW, FakeClock, FakeRevocations, FakeRing, a_call, body_of, ring, run, write

TOKEN = "Wq8-zX3vB6nM1kL9jH4gF7dS2aP5oI0uY"
PROJECT = """
project: demo
cors: {origins: [https://app.example.com]}
tokens: {issuer: demo.example, audience: demo-clients, elevated: [ADMIN], guest_routes: [A]}
routes: [{name: A, path: /a, upstream: http://a.test}]
"""
FOUND = (
    Finding(name="secret", ok=True, ms=4),
    Finding(name="upstream A", ok=False, ms=2000, reason="It did not answer within 2 s: look at the service."),
)


class StatusKit:
    """What the pages work with; a test breaks it."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.keys: KeyRing = ring()
        self.revocations: Any = FakeRevocations()
        self.functions: Any = None
        self.named: Mapping[str, str] = {"METRICS_TOKEN": TOKEN}
        self.down: Exception | None = None
        self.loads = 0

    @property
    def projects(self) -> Projects:
        self.loads += 1
        return load(self.folder, {})

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        return TokenVerifier(FakeRing(self.keys), issuer, self.clock)

    async def secrets(self) -> Mapping[str, str]:
        if self.down:
            raise self.down
        return self.named


class Found:
    """What was found, as a test says; it counts how often that is asked for."""

    def __init__(self) -> None:
        self.report_: Report = Report(NOW, {"demo": FOUND, "other": FOUND[:1]})
        self.asked = 0

    async def report(self) -> Report:
        self.asked += 1
        return self.report_


class Status:
    """The three pages, and what stands behind them."""

    def __init__(self, tmp_path: Path, namespace: str = "Gatehouse/test") -> None:
        clock = FakeClock()
        self.kit = StatusKit(write(tmp_path, PROJECT), clock)
        self.found = Found()
        self.reads = 0
        fleet = Fleet(namespace, self._read, clock, clock)
        ready, metrics = ready_page.ready(self.kit, self.found), metrics_page.metrics(self.kit, fleet)
        self.handle = pages(self.kit, {"/ping": ping, "/ready": ready, "/metrics": metrics})

    def _read(self, namespace: str, now: float, within_s: float) -> Readings:
        self.reads += 1
        numbers = {Series(REQUESTS, ("demo", "A", "GET", "200")): {SUM: 3.0}}
        return Readings(since=0, taken_at=now, numbers=numbers, asked=1)

    def __call__(self, target: str, *headers: Pair, method: str = "GET") -> Reply:
        path, _, query = target.partition("?")
        return run(self._answered(a_call(path, method, *headers, query=query)))

    async def _answered(self, call: Any) -> Reply:
        return await self.handle(call)

    def token(self, kind: str) -> str:
        """Return a token of an administrator, a guest, or a service."""
        (project,) = load(self.kit.folder, {}).all
        tokens = project.tokens
        assert tokens
        claims = {
            "admin": grants.login_claims(tokens, "ada", "admin"),
            "guest": grants.guest_claims(tokens, "A"),
            "service": {"sub": "demo/worker", "project": "demo", "service": "worker"},
        }[kind]
        issuer = Issuer(issuer=tokens.issuer, audience=tokens.audience)
        return mint(self.kit.keys, issuer, claims, ttl_s=3600, now=NOW).token


@pytest.fixture
def status(tmp_path: Path) -> Status:
    return Status(tmp_path)


def bearer(token: str) -> Pair:
    return "authorization", f"Bearer {token}"


def code_of(reply: Reply) -> tuple[int, str]:
    return reply.status, body_of(reply)["code"]


# --------------------------------------------------------------------------------------------------------- what is here


def test_ping_answers_ok_and_is_not_kept(status: Status):
    reply = status("/ping")
    assert (reply.status, reply.body) == (200, b"OK")
    assert reply.headers.get("content-type").startswith("text/plain")
    assert reply.headers.get("cache-control") == "no-store"
    assert reply.headers.get("x-content-type-options") == "nosniff"


def test_ping_needs_no_project_file_and_does_not_look_at_one(status: Status):
    write(status.kit.folder, "project: [")
    assert status("/ping").status == 200
    assert status.kit.loads == 0
    assert status("/ping", ("origin", "https://app.example.com")).status == 200


@pytest.mark.parametrize("path", ["/", "/pings", "/ping/", "/Ready", "/metrics/x"])
def test_nothing_else_is_here(status: Status, path: str):
    assert code_of(status(path)) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/ping", "/ready", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_only_get_and_head_are_taken(status: Status, path: str, method: str):
    reply = status(path, bearer(TOKEN), method=method)
    assert code_of(reply) == (405, "METHOD_NOT_ALLOWED")
    assert reply.headers.get("allow") == "GET, HEAD"
    assert (status.found.asked, status.reads) == (0, 0)


@pytest.mark.parametrize("path", ["/ping", "/ready", "/metrics"])
def test_a_page_that_any_project_lets_in_may_read_the_answer(status: Status, path: str):
    origin = ("origin", "https://app.example.com")
    assert status(path, origin).headers.get("access-control-allow-origin") == "https://app.example.com"
    assert status(path, ("origin", "https://evil.example")).headers.get("access-control-allow-origin") == ""
    preflight = status(path, origin, method="OPTIONS")
    assert (preflight.status, preflight.headers.get("access-control-allow-origin")) == (204, origin[1])


# ---------------------------------------------------------------------------------------------------------------- ready


@pytest.mark.parametrize(
    ("target", "status_code", "word"),
    [
        ("/ready", 503, "unavailable"),
        ("/ready?project=demo", 503, "unavailable"),
        ("/ready?project=other", 200, "ready"),
    ],
)
def test_everybody_gets_the_word_and_nothing_else(status: Status, target: str, status_code: int, word: str):
    reply = status(target)
    assert (reply.status, body_of(reply)) == (status_code, {"status": word})
    assert reply.headers.get("cache-control") == "no-store"
    assert reply.headers.get("retry-after") == ("10" if status_code == 503 else "")


def test_what_goes_on_with_less_comfort_is_200(status: Status):
    status.found.report_ = Report(NOW, {"demo": (Finding(name="cache table", ok=False, comfort=True),)})
    reply = status("/ready")
    assert (reply.status, body_of(reply)) == (200, {"status": "degraded"})


def test_administrators_get_the_details(status: Status):
    said = body_of(status("/ready", bearer(status.token("admin"))))
    assert said["status"] == "unavailable"
    assert [one["project"] for one in said["projects"]] == ["demo", "other"]
    assert said["projects"][0]["checks"][1]["reason"].startswith("It did not answer")
    assert status.kit.revocations.asked[0][1:] == ("demo", True)


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ("Basic YWRhOng=", (401, "MISSING_TOKEN")),
        ("Bearer nonsense", (403, "INVALID_TOKEN")),
        (f"Bearer {TOKEN}", (403, "INVALID_TOKEN")),
        ("guest", (403, "FORBIDDEN")),
        ("service", (403, "FORBIDDEN")),
        ("revoked", (403, "TOKEN_REVOKED")),
    ],
)
def test_a_credential_that_is_no_administrators_is_refused_and_nothing_is_looked_at(
    status: Status, credential: str, expected: tuple[int, str]
):
    if credential in {"guest", "service"}:
        credential = f"Bearer {status.token(credential)}"
    elif credential == "revoked":
        token = status.token("admin")
        status.kit.revocations.revoked.add(_jti(token))
        credential = f"Bearer {token}"
    assert code_of(status("/ready", ("authorization", credential))) == expected
    assert status.found.asked == 0
    assert bool(status.kit.revocations.asked) is (expected[1] == "TOKEN_REVOKED")  # other tokens are easily had


def test_where_nobody_can_say_who_an_administrator_is_there_is_the_word_alone(status: Status):
    token = status.token("admin")

    async def undecided(*_: Any, **__: Any) -> None:
        raise AuthUnavailableError

    status.kit.revocations.check = undecided
    assert body_of(status("/ready", bearer(token))) == {"status": "unavailable"}


def test_where_the_project_files_have_mistakes_that_is_what_is_said(status: Status):
    token = status.token("admin")
    write(status.kit.folder, "project: [")
    status.found.report_ = Report(NOW)
    for target in ("/ready", "/ready?project=demo", "/ready?project=whoever"):
        reply = status(target, bearer(token))
        assert (reply.status, body_of(reply)) == (503, {"status": "unavailable"})


def test_a_project_that_there_is_not_is_404(status: Status):
    assert code_of(status("/ready?project=nobodys")) == (404, "NOT_FOUND")


@pytest.mark.parametrize("query", ["projects=demo", "project=", "project=demo&project=other", "project=demo&x=1", "x"])
def test_a_question_that_could_be_misread_is_not_answered(status: Status, query: str):
    assert code_of(status(f"/ready?{query}")) == (400, "INVALID_REQUEST")


# -------------------------------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize("who", ["scraper", "admin"])
def test_who_has_the_token_or_is_an_administrator_sees_the_metrics(status: Status, who: str):
    reply = status("/metrics", bearer(TOKEN if who == "scraper" else status.token("admin")))
    assert reply.status == 200
    assert b'gatehouse_requests_total{code="200",method="GET",project="demo",route="A"} 3.0' in reply.whole
    assert reply.headers.get("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.headers.get("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ("", (401, "MISSING_TOKEN")),
        (f"Basic {TOKEN}", (401, "MISSING_TOKEN")),
        ("Bearer ", (401, "MISSING_TOKEN")),
        ("Bearer wrong", (403, "INVALID_TOKEN")),
        (f"Bearer {TOKEN}x", (403, "INVALID_TOKEN")),
        (f"Bearer {TOKEN[:-1]}", (403, "INVALID_TOKEN")),
        (f"Bearer {TOKEN.lower()}", (403, "INVALID_TOKEN")),
        ("Bearer ~!", (403, "INVALID_TOKEN")),
        ("Bearer eyJ.x.y", (403, "INVALID_TOKEN")),
        ("guest", (403, "FORBIDDEN")),
        ("service", (403, "FORBIDDEN")),
    ],
)
def test_nobody_else_does(status: Status, credential: str, expected: tuple[int, str]):
    if credential in {"guest", "service"}:
        credential = f"Bearer {status.token(credential)}"
    reply = status("/metrics", *([("authorization", credential)] if credential else []))
    assert code_of(reply) == expected
    assert reply.headers.get("www-authenticate").startswith("Bearer")
    assert status.reads == 0
    assert TOKEN not in reply.whole.decode()


def test_the_refusal_says_how_it_is_done(status: Status):
    said = body_of(status("/metrics"))["message"]
    assert "METRICS_TOKEN" in said
    assert "secrets set METRICS_TOKEN --generate" in said


@pytest.mark.parametrize("secret", ["", "sh0rt-un", "changeme-" * 8, "a" * 64])
def test_a_token_that_nobody_should_trust_lets_nobody_in(
    status: Status, secret: str, capsys: pytest.CaptureFixture[str]
):
    status.kit.named = {"METRICS_TOKEN": secret} if secret else {}
    assert code_of(status("/metrics", bearer(secret or TOKEN))) == (403, "INVALID_TOKEN")
    logged = capsys.readouterr().out
    assert "metrics token not usable" in logged
    assert not secret or secret not in logged


def test_a_token_that_cannot_be_compared_now_lets_nobody_in(status: Status):
    status.kit.down = AuthUnavailableError()
    assert code_of(status("/metrics", bearer(TOKEN))) == (503, "AUTH_UNAVAILABLE")
    assert status.reads == 0


def test_where_no_metrics_are_published_only_who_may_see_them_is_told_so(tmp_path: Path):
    status = Status(tmp_path, namespace="")
    assert code_of(status("/metrics")) == (401, "MISSING_TOKEN")
    reply = status("/metrics", bearer(TOKEN))
    assert code_of(reply) == (404, "NOT_FOUND")
    assert "METRICS_NAMESPACE" in body_of(reply)["message"]


def test_no_token_stands_in_the_log(status: Status, capsys: pytest.CaptureFixture[str]):
    wrong = TOKEN[::-1]
    for token in (TOKEN, wrong):
        status("/metrics", bearer(token))
    logged = capsys.readouterr().out
    assert TOKEN not in logged
    assert wrong not in logged


def test_tokens_are_compared_by_their_digests_and_in_constant_time(status: Status, monkeypatch: pytest.MonkeyPatch):
    compared: list[tuple[bytes, bytes]] = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("gatehouse.status.metrics_page.hmac.compare_digest", spy)
    status("/metrics", bearer("x"))
    ((one, other),) = compared
    assert (len(one), len(other)) == (32, 32)


def _jti(token: str) -> str:
    import base64

    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    jti: str = claims["jti"]
    return jti
