"""How property tests run here: no deadline (a busy machine is not a defect), few enough examples to stay quick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from gatehouse.metrics import published
from tests.unit.counting_store import store

__all__ = ["store"]

settings.register_profile("gatehouse", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gatehouse")


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_published_unless_a_test_wants_it() -> Iterator[None]:
    """Functions that an earlier file has started publish metrics from then on."""
    with published("", ""):
        yield
