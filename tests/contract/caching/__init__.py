"""What a shared cache must do, as data: each case is a sentence, the section it is drawn from, and what is sent."""

from __future__ import annotations

from tests.contract.caching import (
    ages,
    answer_directives,
    cache_status,
    callers,
    client_conditions,
    freshness,
    invalidation,
    keys,
    request_directives,
    stale,
    storing,
    validation,
    variants,
)
from tests.contract.caching.case import Case

CASES: tuple[Case, ...] = (
    *keys.CASES,
    *storing.CASES,
    *freshness.CASES,
    *ages.CASES,
    *variants.CASES,
    *validation.CASES,
    *client_conditions.CASES,
    *invalidation.CASES,
    *request_directives.CASES,
    *answer_directives.CASES,
    *stale.CASES,
    *cache_status.CASES,
    *callers.CASES,
)
