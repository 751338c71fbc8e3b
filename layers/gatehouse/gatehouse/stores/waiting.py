"""Wait for a store of ours without blocking the loop; if it does not answer, nothing is let through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gatehouse import logs, metrics
from gatehouse.errors import AuthUnavailableError, GatewayError

P = ParamSpec("P")
R = TypeVar("R")


async def stored(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what *work* returns, which blocks.

    Raises:
        AuthUnavailableError: *work* failed.
        GatewayError: *work* raised one.
    """
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except GatewayError:
        raise
    except Exception as error:
        logs.error("store failed", reason=type(error).__name__, **metrics.store_failed("tokens"))
        raise AuthUnavailableError("A store of the gateway does not answer. Try again in a moment.") from error
