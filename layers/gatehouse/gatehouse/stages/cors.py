"""Answer preflights, and make answers readable by the web pages that may read them."""

from __future__ import annotations

from gatehouse import cors as rules
from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.projects.model import Cors

NO_CONTENT = 204


def cors(policy: Cors) -> Stage:
    """Return the stage that keeps *policy*; OPTIONS ends here, whatever asks."""

    async def cors(call: Call, forward: Handler) -> Reply:
        origin = call.headers.get("origin")
        if call.method == "OPTIONS":
            return Reply(status=NO_CONTENT, headers=rules.preflight(policy, origin))
        reply = await forward(call)
        return reply.with_headers(rules.opened(reply.headers, policy, origin))

    return cors


def cors_of_any(policies: tuple[Cors, ...]) -> Stage:
    """Return the stage for answers that belong to no project: it lets in whom any project lets in."""

    async def cors_of_any(call: Call, forward: Handler) -> Reply:
        # Where none lets it in, any will do to say so: to an origin that is not admitted they all say the same.
        policy = rules.admitting(policies, call.headers.get("origin")) or next(iter(policies), None)
        return await (cors(policy)(call, forward) if policy else forward(call))

    return cors_of_any
