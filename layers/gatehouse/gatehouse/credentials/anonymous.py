"""Let somebody in who has nothing to show, as a visitor: the last one of a route's `accept`, if it is there at all."""

from __future__ import annotations

from gatehouse.call import Call, Identity
from gatehouse.credentials import Credential
from gatehouse.visitors import ANONYMOUS, Visitors


def anonymous(visitors: Visitors) -> Credential:
    """Return the credential that everybody has: it never answers None.

    That a request with a bad credential, or with one that nobody claims, does not get this far is not known here but
    in `stages.authenticate`. A visitor is a subject and no user.
    """

    async def prove(call: Call) -> Identity:
        visit = await visitors(call)
        return Identity(
            kind=ANONYMOUS,
            subject=visit.subject,
            scopes=frozenset({ANONYMOUS}),
            claims=visit.claims,
            token=visit.token,
        )

    return prove
