"""Turn every failure further in into an answer with an error body: the gateway's, or what the route says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gatehouse import logs
from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.errors import ClientGoneError, GatewayError, InternalError, render

Render: TypeAlias = Callable[[GatewayError, Call], Reply]


def recovering(render: Render) -> Stage:
    """Return the stage that answers, by *render*, for what is raised further in.

    What nobody expected is logged, and says nothing of itself outside.
    """

    async def recover(call: Call, forward: Handler) -> Reply:
        try:
            return await forward(call)
        except ClientGoneError:
            raise
        except GatewayError as error:
            call.notes["error"] = error.code
            return render(error, call)
        except Exception as error:  # noqa: BLE001  # the promise is that every failure has such a body
            logs.crash("unexpected failure", error, requestId=call.request_id, route=call.route)
            call.notes["error"] = InternalError.code
            return render(InternalError(), call)

    return recover


recover = recovering(render)
