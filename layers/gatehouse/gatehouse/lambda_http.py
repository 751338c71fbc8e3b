"""The function that Lambda calls: Mangum, with our reader of events, and never an answer that is not ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from mangum import Mangum

from gatehouse import logs
from gatehouse.edge import App, whole
from gatehouse.errors import GatewayError, InternalError
from gatehouse.rest_event import RestEvent, answer, check, invocation_id
from gatehouse.stages.security_headers import bare

for _name in ("mangum", "botocore"):  # they say at INFO what our own line says, and Lambda charges by the line
    logging.getLogger(_name).setLevel(logging.WARNING)

LambdaFunction = Callable[[dict[str, Any], Any], dict[str, Any]]


def lambda_function(app: App) -> LambdaFunction:
    """Return the function that Lambda calls with an event, and that always answers with our error body."""

    @cache
    def adapter() -> Mangum:
        return Mangum(whole(app), lifespan="off", custom_handlers=[RestEvent])

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            check(event)
            asyncio.set_event_loop(event_loop())  # `asyncio.run` anywhere in the process would have taken it away
            return adapter()(event, context)
        except GatewayError as error:
            return _failed(error, context)
        except Exception as error:  # noqa: BLE001  # a crash here would be API Gateway's answer, not ours
            logs.crash("unexpected failure", error)
            return _failed(InternalError(), context)

    return handler


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that all invocations of this process run on, so that connections outlive them."""
    return asyncio.new_event_loop()


def _failed(error: GatewayError, context: object) -> dict[str, Any]:
    failure = bare(error, invocation_id(context))
    return answer(failure.status, failure.headers, failure.whole)
