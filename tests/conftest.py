"""What every test leaves behind is closed here: warnings are errors."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator

import pytest

from gatehouse import lambda_http
from gatehouse.stores import aws_json
from tests.cheaper import (
    a_transaction_of_moto_does_not_copy_its_table_to_the_bottom,
    moto_answers_with_rows_as_it_keeps_them,
    the_stand_ins_are_not_measured,
    what_boto3_knows_of_aws_is_read_once,
)
from tests.log_watch import pytest_configure, pytest_runtest_call, what_is_logged_is_watched
from tests.ministack import ministack
from tests.moto_server import moto_server

__all__ = [
    "a_transaction_of_moto_does_not_copy_its_table_to_the_bottom",
    "ministack",
    "moto_answers_with_rows_as_it_keeps_them",
    "moto_server",
    "pytest_configure",
    "pytest_runtest_call",
    "the_stand_ins_are_not_measured",
    "what_boto3_knows_of_aws_is_read_once",
    "what_is_logged_is_watched",
]

# Apart from what a person's own `make run` keeps in `.gatehouse/`, and from what another worker's tests make up.
# Here, and not in a fixture, since `local.state` looks for it as soon as it is imported.
STATE = tempfile.TemporaryDirectory(prefix="gatehouse-tests-")
os.environ["GATEHOUSE_STATE"] = STATE.name


def pytest_unconfigure() -> None:
    STATE.cleanup()


@pytest.fixture(scope="session", autouse=True)
def _close_the_loop_of_lambda() -> Iterator[None]:
    yield
    lambda_http.event_loop().close()
    aws_json.close()
    gc.unfreeze()
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def _what_is_there_before_a_file_is_not_its_garbage() -> None:
    """A test that collects garbage, to see what it left open, does not look through a million old objects for it."""
    gc.collect()
    gc.freeze()
