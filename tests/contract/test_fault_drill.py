"""A fault drill: what the gateway depends on is down, one thing at a time and together, by refusing and by hanging.

It is held once, and the tests here judge what was seen. What was answered is a table in docs/operations.md, and stays
so: a test compares them. To write the table anew:

    make test ARGS="-n0 --no-cov tests/contract/test_fault_drill.py" WRITE_DRILL=1
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from tests.contract import drill_table
from tests.contract.conftest import check_error
from tests.contract.drill_faults import ENDS_S, FAULTS, INIT_S, LIMIT_S, NEW, NOTHING, RUNNING, Drill, Seen, Through
from tests.contract.drill_gateway import S3, site
from tests.contract.drill_lines import SLOW, SLOWLY_S
from tests.contract.drill_requests import KINDS

OF_UPSTREAM = frozenset({"UPSTREAM_UNREACHABLE", "UPSTREAM_TIMEOUT"})
UNAVAILABLE = "AUTH_UNAVAILABLE"
ANEW = 'make test ARGS="-n0 --no-cov tests/contract/test_fault_drill.py" WRITE_DRILL=1'


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Through, ...]:
    with site(tmp_path_factory.mktemp("drill")) as made:
        drill = Drill(made)
        return tuple(drill.through(fault) for fault in FAULTS)


@pytest.fixture(scope="module")
def seen(drilled: tuple[Through, ...]) -> list[Seen]:
    return [one for through in drilled for one in through.seen]


def of_failures(seen: Iterable[Seen]) -> list[Seen]:
    return [one for one in seen if one.answer.status >= 400 and not one.kind.reports]


def code(one: Seen) -> str:
    said: str = one.answer.json["code"] if one in of_failures([one]) else ""
    return said


# ------------------------------------------------------------------------------------------------------- the answers


def test_the_table_in_the_documentation_says_what_is_answered(drilled: tuple[Through, ...]) -> None:
    now = drill_table.written(drilled)
    if os.environ.get("WRITE_DRILL"):
        drill_table.put(now)
    assert drill_table.found() == now, f"docs/operations.md says something else. Read what differs; {ANEW} writes it."


def test_nothing_is_wrong_before_a_fault_nor_when_there_is_none(drilled: tuple[Through, ...], seen: list[Seen]) -> None:
    without = [one for through in drilled if through.fault == NOTHING for one in through.seen]
    before = [one for one in seen if one.phase == "before"]
    assert before
    assert {(one.kind.name, one.process) for one in without if one.phase == "during"} == {
        (one.kind.name, process) for one in without for process in (RUNNING, NEW)
    }
    assert [str(one) for one in (*without, *before) if one.cell != one.kind.well] == []


def test_every_failure_is_our_error_body_and_none_is_a_defect(seen: list[Seen]) -> None:
    failures = of_failures(seen)
    assert {code(one) for one in failures} == {UNAVAILABLE, *OF_UPSTREAM}
    for one in failures:
        check_error(one.answer, one.answer.status, code(one))
        told = one.answer.body.decode() + str(one.answer.headers)
        assert not [word for word in ("127.0.0.1", "http:", "Error", "boto", "Traceback", "moto") if word in told]


# ----------------------------------------------------------------------------------------------- nobody gets through


SHUT = {
    ("DynamoDB", RUNNING): ("login", "strict", "issue", "revoke", "refresh", "logout"),
    ("DynamoDB", NEW): ("login", "token", "strict", "service", "issue", "revoke", "refresh", "logout"),
    ("DynamoDB, for more than a minute", RUNNING): ("token", "service"),
    ("S3", RUNNING): ("login",),
    ("Secrets Manager", NEW): ("login", "guest", "issue", "jwks", *(kind.name for kind in KINDS if kind.proves)),
    ("the auth service", RUNNING): ("new session", "new key"),
    ("the auth service, for more than 30 seconds", RUNNING): ("session", "key"),
    ("the organization services", RUNNING): ("new session", "new key"),
    ("DynamoDB, and every service but the upstream", NEW): ("session", "key", "model"),
}
"""What fails closed, whatever the documentation says."""


def test_whoever_cannot_be_known_is_refused(drilled: tuple[Through, ...]) -> None:
    for (what, process), kinds in SHUT.items():
        down = [through for through in drilled if through.fault.what == what and through.of(process, "during")]
        assert down, what
        open_all_the_same = [
            str(through.of(process, "during")[kind])
            for through in down
            for kind in kinds
            if through.of(process, "during")[kind].cell != f"503 {UNAVAILABLE}"
        ]
        assert open_all_the_same == []


def test_nothing_is_asked_of_an_upstream_where_it_cannot_be_said_who_is_calling(seen: list[Seen]) -> None:
    undecided = [one for one in seen if code(one) == UNAVAILABLE and one.kind.proxied]
    assert undecided
    assert [str(one) for one in undecided if one.sent] == []


def test_upstreams_are_told_who_is_calling_through_every_fault(seen: list[Seen]) -> None:
    arrived = [one for one in seen if one.kind.proves and one.answer.status < 400]
    assert {one.fault for one in arrived} >= {fault for fault in FAULTS if "upstream" not in fault.what}
    assert [str(one) for one in arrived if len(one.told) != 1 or not one.told[0]] == []


def test_nothing_is_sent_twice_that_may_not_be_and_nothing_three_times(seen: list[Seen]) -> None:
    posted = [one for one in seen if one.request.method == "POST" and one.kind.proxied]
    assert any(one.sent for one in posted if one.cell != one.kind.well)
    assert [str(one) for one in posted if one.sent > 1] == []
    assert [str(one) for one in seen if one.sent > 2] == []


def test_a_failure_of_comfort_fails_nobody(drilled: tuple[Through, ...]) -> None:
    down = [one for one in drilled if one.fault.what in {"DynamoDB", "DynamoDB, for more than a minute", "all three"}]
    assert down
    for through in down:
        for process in (RUNNING, NEW):
            during = through.of(process, "during")
            assert [during[name].cell for name in ("open", "limited", "kept")] == ["200"] * 3


# ------------------------------------------------------------------------------------------------ in time, and again


def test_an_upstream_that_is_slow_is_waited_for_and_asked_once(drilled: tuple[Through, ...]) -> None:
    (slow,) = (through for through in drilled if through.fault.how == SLOW)
    during = slow.of(RUNNING, "during")
    asked = [one for one in during.values() if one.kind.name != "kept"]
    assert {one.kind.name for one in asked} == {kind.name for kind in KINDS if kind.proxied} - {"kept"}
    assert [str(one) for one in during.values() if one.cell != "200"] == []
    assert [str(one) for one in asked if one.sent != 1 or one.took_s < SLOWLY_S] == []


def test_every_answer_comes_before_the_invocation_ends(seen: list[Seen]) -> None:
    hung = [one for one in seen if one.waits_s]
    assert len({one.kind.name for one in hung}) > 10
    assert any(one.waits_s for one in hung if one.fault.lines == (S3,)), "what boto3 waits for is in it"
    assert [(str(one), one.waits_s) for one in hung if one.waits_s > ENDS_S] == []
    assert [(str(one), one.took_s) for one in seen if one.took_s > LIMIT_S] == []


def test_functions_start_in_time_whatever_is_down(drilled: tuple[Through, ...]) -> None:
    started = {through.fault: through.starts_s for through in drilled if through.fault.starting}
    assert all(started.values())
    assert {str(fault): starts_s for fault, starts_s in started.items() if max(starts_s) > INIT_S} == {}


def test_what_failed_is_well_again_after_a_fault_in_the_same_processes(drilled: tuple[Through, ...]) -> None:
    for through in drilled:
        for process in (RUNNING, NEW) if through.fault.starting else (RUNNING,):
            failed = {name for name, one in through.of(process, "during").items() if one.cell != one.kind.well}
            after = through.of(process, "after")
            assert after.keys() == failed
            assert [str(one) for one in after.values() if one.cell != one.kind.well] == []


def test_what_is_done_after_a_fault_is_done(seen: list[Seen]) -> None:
    taken_back = [one for one in seen if one.request.takes_back and one.phase == "after"]
    given = [one for one in seen if one.kind.opens and one.phase == "after"]
    assert {one.kind.name for one in taken_back} == {"revoke", "logout"}
    assert {one.kind.name for one in given} == {"login", "guest", "issue", "refresh"}
    assert [str(one) for one in taken_back if one.proof != "403 TOKEN_REVOKED"] == []
    assert [str(one) for one in given if one.proof != "200"] == []
