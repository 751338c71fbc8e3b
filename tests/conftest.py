"""What every test leaves behind is closed here: warnings are errors."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gatehouse import lambda_http
from gatehouse.stores import aws_json
from tests.ministack import ministack
from tests.moto_server import moto_server

__all__ = ["ministack", "moto_server"]


@pytest.fixture(scope="session", autouse=True)
def _close_the_loop_of_lambda() -> Iterator[None]:
    yield
    lambda_http.event_loop().close()
    aws_json.close()
    gc.collect()
