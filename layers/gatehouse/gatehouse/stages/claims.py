"""Let a known caller on only if the credential says what the route asks for."""

from __future__ import annotations

from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.claims import Rules, unmet
from gatehouse.errors import ForbiddenError


def claims(rules: Rules) -> Stage:
    """Return the stage that holds every caller to *rules*; one whom nobody knows meets none."""

    async def claims(call: Call, forward: Handler) -> Reply:
        missing = unmet(rules, call.identity.claims if call.identity else {})
        if missing:
            call.notes["unmetClaims"] = missing  # names from the project file; what the token says stays out of the log
            raise ForbiddenError
        return await forward(call)

    return claims
