"""Where nothing may be skipped, what is has failed, and says why."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tests.nothing_skipped import counted


def report(outcome: Literal["passed", "failed", "skipped"], longrepr: Any = None, **more: Any) -> pytest.TestReport:
    return pytest.TestReport("x::y", ("x", 1, "y"), {}, outcome, longrepr, "setup", **more)


def test_what_was_skipped_has_failed_and_says_why():
    found = counted(report("skipped", ("x.py", 7, "Skipped: nothing is built")))
    assert (found.outcome, found.longrepr) == ("failed", "nothing may be skipped here: Skipped: nothing is built")


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_what_ran_is_left_alone(outcome: Any):
    found = counted(report(outcome, "why"))
    assert (found.outcome, found.longrepr) == (outcome, "why")


def test_what_is_expected_to_fail_is_left_alone():
    assert counted(report("skipped", "why", wasxfail="it is known")).outcome == "skipped"
