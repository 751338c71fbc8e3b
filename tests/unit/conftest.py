"""How property tests run here: no deadline (a busy machine is not a defect), few enough examples to stay quick."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.unit.counting_store import store

__all__ = ["store"]

settings.register_profile("gatehouse", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gatehouse")
