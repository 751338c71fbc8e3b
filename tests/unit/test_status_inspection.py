"""Looking at what projects depend on: once for all who ask, everything at the same time, and within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gatehouse.clock import Elapsed
from gatehouse.errors import UpstreamTimeoutError, UpstreamUnreachableError
from gatehouse.keys import KeyRingError
from gatehouse.projects import Projects, load
from gatehouse.status import probes, upstream_health
from gatehouse.status.inspection import Inspection
from gatehouse.status.probes import NotSetError, Stores
from gatehouse.status.readiness import DEGRADED, READY, UNAVAILABLE, Report
from gatehouse.stores.aws_json import AwsError
from tests.unit.fakes import FakeClock, FakeUpstream, ok, run, write

OURS = """
project: ours
tokens: {issuer: i, audience: a, elevated: [ADMIN]}
routes:
  - {name: A, path: /a, upstream: "lambda:a", health: /health}
  - {name: B, path: /b, upstream: "${UNSET_URL}", health: /health}
"""
THEIRS = """
project: theirs
routes:
  - {name: C, path: /c, upstream: "lambda:c", auth: none, health: /health, set_headers: {X-Key: "${secret:THEIR_KEY}"}}
"""
GOOD_KEY = {"THEIR_KEY": "k7Hq2Zp0"}


class FakeStores:
    """Stores that a test breaks by name, and that count what they are asked."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self.secrets = GOOD_KEY if secrets is None else secrets
        self.broken: dict[str, Exception] = {}
        self.hanging: set[str] = set()
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def prepare(self) -> None:
        self.asked.append("prepare")

    async def ask(self, store: str) -> Mapping[str, str]:
        self.asked.append(store)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(3600 if store in self.hanging else 0)
        self.at_once -= 1
        if store in self.broken:
            raise self.broken[store]
        return self.secrets


class Surroundings:
    """The projects, and upstreams that are functions."""

    def __init__(self, folder: Path, *answers: Any) -> None:
        self.folder = folder
        self.functions = FakeUpstream(*answers)

    @property
    def projects(self) -> Projects:
        return load(self.folder, {})


def folder(tmp_path: Path, *texts: str) -> Path:
    for number, text in enumerate(texts):
        write(tmp_path, text, f"{number}.yaml")
    return tmp_path


def inspection(kit: Any, stores: FakeStores, clock: FakeClock | None = None) -> Inspection:
    clock = clock or FakeClock()
    return Inspection(kit, stores, Elapsed(clock, clock))


def reasons(report: Report, project: str) -> dict[str, str]:
    assert report.projects is not None
    return {one.name: one.reason for one in report.projects[project] if one.reason}


def test_all_is_well_where_everything_answers(tmp_path: Path):
    kit, stores = Surroundings(folder(tmp_path, OURS, THEIRS)), FakeStores()
    report = run(inspection(kit, stores).report())
    assert report.word() == READY
    assert report.projects is not None
    assert [one.name for one in report.projects["ours"]] == [
        "configuration", "secret", "revocation log", "admins bucket", "cache table", "upstream A", "upstream B",
    ]  # fmt: skip
    assert [one.name for one in report.projects["theirs"]] == [
        "configuration", "secret", "named secrets", "upstream C",
    ]  # fmt: skip


def test_an_upstream_without_an_address_is_said_and_does_not_count(tmp_path: Path):
    report = run(inspection(Surroundings(folder(tmp_path, OURS)), FakeStores()).report())
    assert report.word() == READY
    assert "MISSING_TARGET" in reasons(report, "ours")["upstream B"]


@pytest.mark.parametrize(
    ("store", "ours", "theirs"),
    [
        ("secret", UNAVAILABLE, UNAVAILABLE),
        ("revocation log", UNAVAILABLE, READY),
        ("admins bucket", UNAVAILABLE, READY),
        ("cache table", UNAVAILABLE, READY),
    ],
)
def test_a_store_that_is_down_counts_for_who_needs_it(tmp_path: Path, store: str, ours: str, theirs: str):
    stores = FakeStores()
    stores.broken[store] = OSError("http://host.internal refused k7Hq2Zp0")
    report = run(inspection(Surroundings(folder(tmp_path, OURS, THEIRS)), stores).report())
    assert (report.word("ours"), report.word("theirs")) == (ours, theirs)
    assert report.word() == max(ours, theirs, key=[READY, DEGRADED, UNAVAILABLE].index)
    assert "host.internal" not in str(report.view())


LIMITED = """
project: limited
limits: {few: {requests: 1, per: 1m, by: ip}}
routes:
  - {name: D, path: /d, upstream: "lambda:d", auth: none, limit: few}
"""


def test_without_the_table_of_comforts_a_project_without_logins_is_only_degraded(tmp_path: Path):
    stores = FakeStores()
    stores.broken["cache table"] = OSError()
    report = run(inspection(Surroundings(folder(tmp_path, OURS, LIMITED)), stores).report())
    assert (report.word("ours"), report.word("limited")) == (UNAVAILABLE, DEGRADED)


@pytest.mark.parametrize("answer", [ok(status=503), ok(status=302), UpstreamUnreachableError(), UpstreamTimeoutError()])
def test_one_teams_broken_upstream_is_no_other_teams(tmp_path: Path, answer: Any):
    kit = Surroundings(folder(tmp_path, OURS, THEIRS), ok(), answer)
    report = run(inspection(kit, FakeStores()).report())
    assert (report.word("ours"), report.word("theirs"), report.word()) == (READY, UNAVAILABLE, UNAVAILABLE)
    assert "look at the service" in reasons(report, "theirs")["upstream C"]


def test_two_routes_with_one_health_address_ask_it_once(tmp_path: Path):
    text = OURS.replace("lambda:a", "lambda:c") + "  - {name: D, path: /d, upstream: 'lambda:c', health: /health}\n"
    kit = Surroundings(folder(tmp_path, text, THEIRS))
    run(inspection(kit, FakeStores()).report())
    assert kit.functions.only.url == "lambda://c/health"


@pytest.mark.parametrize("value", ["", "changeme"])
def test_a_named_secret_that_is_missing_or_none_makes_its_project_unavailable(tmp_path: Path, value: str):
    """An instance that starts then loads no file at all, so the others cannot count on being served, either."""
    stores = FakeStores({"THEIR_KEY": value} if value else {})
    report = run(inspection(Surroundings(folder(tmp_path, OURS, THEIRS)), stores).report())
    assert (report.word("ours"), report.word("theirs")) == (DEGRADED, UNAVAILABLE)
    assert "secrets set THEIR_KEY" in reasons(report, "theirs")["named secrets"]
    assert "another project" in reasons(report, "ours")["configuration"]


def test_where_the_secret_cannot_be_read_nothing_is_said_of_named_ones(tmp_path: Path):
    stores = FakeStores()
    stores.broken["secret"] = OSError()
    report = run(inspection(Surroundings(folder(tmp_path, THEIRS)), stores).report())
    assert set(reasons(report, "theirs")) == {"secret"}


def test_project_files_with_mistakes_make_everything_unavailable(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stores = FakeStores()
    report = run(inspection(Surroundings(folder(tmp_path, "project: [")), stores).report())
    assert report.word() == UNAVAILABLE
    assert stores.asked == []
    assert "project files not loaded" in capsys.readouterr().out


def test_everything_is_asked_at_the_same_time(tmp_path: Path):
    stores = FakeStores()
    run(inspection(Surroundings(folder(tmp_path, OURS)), stores).report())
    assert stores.most_at_once == 4
    assert stores.asked[0] == "prepare"


def test_what_hangs_is_given_up_when_the_budget_is_spent(tmp_path: Path):
    stores = FakeStores()
    stores.hanging = {"revocation log", "cache table"}
    looking = inspection(Surroundings(folder(tmp_path, OURS)), stores)
    looking.budget_s = 0.05
    report = run(asyncio.wait_for(looking.report(), 30))  # of an hour
    assert set(reasons(report, "ours")) == {"revocation log", "cache table", "upstream B"}


def test_what_was_found_is_good_for_ten_seconds(tmp_path: Path):
    clock, stores = FakeClock(), FakeStores()
    looking = inspection(Surroundings(folder(tmp_path, OURS)), stores, clock)

    async def asks() -> list[str]:
        words = [(await looking.report()).word()]
        stores.broken["secret"] = OSError()
        for passed in (9.9, 0.2):
            clock.now += passed
            words.append((await looking.report()).word())
        return words

    assert run(asks()) == [READY, READY, UNAVAILABLE]
    assert stores.asked.count("secret") == 2


def test_however_many_ask_they_are_looked_at_once(tmp_path: Path):
    stores = FakeStores()
    looking = inspection(Surroundings(folder(tmp_path, OURS)), stores)

    async def crowd() -> None:
        await asyncio.gather(*(looking.report() for _ in range(50)))

    run(crowd())
    assert stores.asked.count("secret") == 1


# -------------------------------------------------------------------------------------------------- what is said then


class RefusalError(Exception):
    """botocore's ClientError, as far as anybody here knows it."""

    response: Mapping[str, Any] = {}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NotSetError("TOKENS_TABLE"), "TOKENS_TABLE is not set"),
        (KeyRingError("Key 'k1' is a placeholder."), "Key 'k1' is a placeholder. See"),
        (AwsError("AccessDeniedException"), "It refused"),
        (RefusalError("bucket secret-name"), "It refused"),
        (TimeoutError(), "did not answer within 2 s"),
        (ConnectionRefusedError("10.0.0.1"), "cannot be reached"),
    ],
)
def test_each_way_that_a_store_fails_says_what_to_do(error: Exception, says: str):
    said = probes.words(error)
    assert says in said
    assert said.endswith(".")
    assert "10.0.0.1" not in said
    assert "secret-name" not in said


def test_an_upstream_that_answers_something_else_is_quoted_by_its_status_alone():
    assert "answers 418" in upstream_health.words(upstream_health.UnwellError(418))


@pytest.mark.parametrize("store", ["secret", "revocation log", "admins bucket", "cache table", "usage table"])
def test_a_store_that_has_no_name_is_said_to_have_none(store: str):
    nameless = Stores(
        secret_arn="", tokens_table="", admins_bucket="", cache_table="", usage_table="", wall=FakeClock()
    )
    run(nameless.prepare())
    with pytest.raises(NotSetError):
        run(nameless.ask(store))
