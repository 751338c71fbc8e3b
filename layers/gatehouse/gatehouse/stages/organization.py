"""Let a caller on in the name of an organisation only if it is confirmed that they belong to it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gatehouse.call import Call, Handler, Reply, Stage
from gatehouse.errors import ForbiddenError

if TYPE_CHECKING:
    from gatehouse.organizations import Organizations  # with all that asking takes, where a route asks

NAMING = frozenset({"session", "api_key"})
"""The kinds of credential that can name an organisation."""
UNNAMED = (
    "This route works for an organization, and your credential names none. Choose an organization (make it the active "
    "one of your session, or use an API key that belongs to one) and try again."
)
NOBODY = "This route works for an organization, and you sent no credential that names one. Sign in, and choose one."
UNCONFIRMED = (
    "Your credential names an organization that does not exist, or that you are not a member of. Choose another one, "
    "or ask its administrators to take you in."
)


def organization(policy: str, organizations: Organizations | None) -> Stage:
    """Return the stage that replaces the organisation that a credential names by its own, confirmed id.

    Args:
        policy: `required` refuses who names none, `optional` lets them pass without one, and both refuse who names
            one that is not confirmed; `none` has nobody asked: then there is no organisation.
        organizations: what confirms them; None where there is nobody to ask.
    """

    async def organization(call: Call, forward: Handler) -> Reply:
        own = "" if policy == "none" else await _confirmed(call, organizations)
        if policy == "required" and not own:
            raise ForbiddenError(UNNAMED if call.identity else NOBODY)
        return await forward(_in_the_name_of(own, call))

    return organization


async def _confirmed(call: Call, organizations: Organizations | None) -> str:
    """Return the own id of the organisation that the credential of *call* names; empty if it names none.

    Raises:
        ForbiddenError: it names one, and nobody confirms that.
        AuthUnavailableError: it cannot be said now.
    """
    identity = call.identity
    if identity is None or identity.kind not in NAMING or not identity.organization:
        return ""
    own = await organizations.confirmed(call, identity) if organizations else None
    if own is None:
        raise ForbiddenError(UNCONFIRMED)
    return own


def _in_the_name_of(organization: str, call: Call) -> Call:
    """Return *call* with *organization* in place of what the credential names: nothing else goes further."""
    if call.identity is None:
        return call
    if organization:
        call.notes["organization"] = organization
    return replace(call, identity=replace(call.identity, organization=organization))
