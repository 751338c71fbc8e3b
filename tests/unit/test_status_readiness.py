"""What the findings come to, and what a project needs: tables, without anything that is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gatehouse.projects import Project, load
from gatehouse.status import needs
from gatehouse.status.needs import ADMINS, CACHE, REVOCATIONS, SECRET, USAGE
from gatehouse.status.readiness import DEGRADED, READY, UNAVAILABLE, Finding, Report, word, worst
from tests.unit.fakes import NOW, write

WELL = Finding(name="secret", ok=True, ms=3)
GONE = Finding(name="revocation log", ok=False, ms=2000, reason="It did not answer.")
BARE = Finding(name="cache table", ok=False, ms=1, reason="It refused.", comfort=True)
UNASKED = Finding(name="upstream KV", ok=None, reason="It has no address.")


@pytest.mark.parametrize(
    ("findings", "says"),
    [
        ((), READY),
        ((WELL,), READY),
        ((WELL, UNASKED), READY),
        ((WELL, BARE), DEGRADED),
        ((BARE, replace(BARE, name="usage table")), DEGRADED),
        ((WELL, GONE), UNAVAILABLE),
        ((BARE, GONE, WELL), UNAVAILABLE),
        ((UNASKED, GONE), UNAVAILABLE),
    ],
)
def test_the_word_is_that_of_the_worst_that_counts(findings: tuple[Finding, ...], says: str):
    assert word(findings) == says


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], READY),
        ([READY, READY], READY),
        ([READY, DEGRADED], DEGRADED),
        ([DEGRADED, UNAVAILABLE, READY], UNAVAILABLE),
    ],
)
def test_all_projects_together_are_as_the_worst_of_them(words: list[str], says: str):
    assert worst(words) == says


def test_one_project_can_be_looked_at_without_the_others():
    report = Report(NOW, {"ours": (WELL, BARE), "theirs": (GONE,)})
    assert (report.word(), report.word("ours"), report.word("theirs")) == (UNAVAILABLE, DEGRADED, UNAVAILABLE)
    assert [one["project"] for one in report.view("ours")["projects"]] == ["ours"]
    assert report.knows("")
    assert report.knows("theirs")
    assert not report.knows("nobodys")


def test_the_report_for_administrators_says_what_to_do_and_when_it_was_found():
    view = Report(NOW, {"ours": (WELL, GONE)}).view()
    assert view == {
        "status": "unavailable",
        "checkedAt": "2027-01-15T08:00:00.000Z",
        "projects": [
            {
                "project": "ours",
                "status": "unavailable",
                "checks": [
                    {"name": "secret", "ok": True, "ms": 3},
                    {"name": "revocation log", "ok": False, "ms": 2000, "reason": "It did not answer."},
                ],
            }
        ],
    }


def test_where_the_files_cannot_be_loaded_every_project_is_unavailable():
    report = Report(NOW)
    assert (report.word(), report.word("ours"), report.knows("ours")) == (UNAVAILABLE, UNAVAILABLE, True)
    assert report.view()["projects"] == []


# ---------------------------------------------------------------------------------------------- what a project needs

TOKENS = "tokens: {issuer: i, audience: a, elevated: [ADMIN]}\n"
ANONYMOUS = "providers: {visitors: {type: anonymous}}\n"
KEYS = 'providers: {keys: {type: api_key, prefix: k_, url: "http://auth.test/verify"}}\n'
LIMIT = "limits: {few: {requests: 1, per: 1m}}\n"
OPEN = "{name: A, path: /a, upstream: http://a.test, auth: none}"


def project(tmp_path: Path, *routes: str, more: str = "") -> Project:
    text = f"project: demo\n{more}routes:\n" + "".join(f"  - {route}\n" for route in routes)
    (one,) = load(write(tmp_path, text), {}).all
    return one


@pytest.mark.parametrize(
    ("more", "route", "stores"),
    [
        ("", OPEN, set()),
        ("", "{name: A, path: /a, upstream: http://a.test, accept: [gateway]}", {SECRET, REVOCATIONS}),
        ("", "{name: A, path: /a, upstream: http://a.test, accept: [gateway], auth: optional}", {SECRET, REVOCATIONS}),
        ("", '{name: A, path: /a, upstream: "${UNSET_URL}", accept: [gateway]}', set()),
        (TOKENS, OPEN, {SECRET, REVOCATIONS, ADMINS, CACHE}),
        (KEYS, "{name: A, path: /a, upstream: http://a.test, accept: [keys]}", {CACHE}),
        (ANONYMOUS, "{name: A, path: /a, upstream: http://a.test, accept: [visitors]}", {SECRET, CACHE}),
        (LIMIT, OPEN.replace("}", ", limit: few}"), {CACHE}),
        ("", OPEN.replace("}", ", cache: {ttl: 60s, by: public}}"), {CACHE}),
        ("", OPEN.replace("}", ', set_headers: {X-Key: "${secret:K}"}}'), {SECRET}),
        ("", OPEN.replace("}", ", ai: {models: [m]}}"), {USAGE}),
    ],
)
def test_a_project_needs_what_its_file_uses_and_nothing_else(tmp_path: Path, more: str, route: str, stores: set[str]):
    assert set(needs.stores_of(project(tmp_path, route, more=more))) == stores


def test_upstreams_are_asked_where_they_have_an_address_and_a_health_path(tmp_path: Path):
    found = project(
        tmp_path,
        "{name: A, path: /a, upstream: http://a.test/base, auth: none, health: /health}",
        "{name: B, path: /b, upstream: http://b.test, auth: none}",
        '{name: C, path: /c, upstream: "${UNSET_URL}", auth: none, health: /health}',
        "{name: D, path: /d, upstream: 'lambda:worker', auth: none, health: /ping}",
    )
    assert [(one.route, one.url) for one in needs.watched(found)] == [
        ("A", "http://a.test/base/health"),
        ("D", "lambda://worker/ping"),
    ]
    assert needs.unset(found) == ["C"]
