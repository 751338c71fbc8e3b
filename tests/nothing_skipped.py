"""A plugin (`-p tests.nothing_skipped`): what cannot run has failed. For runs that are to prove something."""

from __future__ import annotations

from collections.abc import Generator

import pytest

WHY = "nothing may be skipped here"


def counted(report: pytest.TestReport) -> pytest.TestReport:
    """Return *report*, of a failure if the test was skipped; one that is expected to fail may do so."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome, report.longrepr = "failed", f"{WHY}: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count it."""
    return counted((yield))
