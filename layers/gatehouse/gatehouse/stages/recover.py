"""Turn every failure further in into an answer with the gateway's error body."""

from __future__ import annotations

from gatehouse import logs
from gatehouse.call import Call, Handler, Reply
from gatehouse.errors import ClientGoneError, GatewayError, InternalError, render


async def recover(call: Call, forward: Handler) -> Reply:
    """Answer for what *forward* raises; what nobody expected is logged, and says nothing of itself outside."""
    try:
        return await forward(call)
    except ClientGoneError:
        raise
    except GatewayError as error:
        call.notes["code"] = error.code
        return render(error, call)
    except Exception as error:  # noqa: BLE001  # the promise is that every failure has our body
        logs.crash("unexpected failure", error, requestId=call.request_id, route=call.route)
        call.notes["code"] = InternalError.code
        return render(InternalError(), call)
