"""The audit trail: one log line for every login, failure, issue, revocation and key change.

Who, what, from where, with which result. A line never holds a password, a token or a hash, also where a
client wrote one into a field that is meant for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from gatehouse import logs
from gatehouse.errors import GatewayError
from gatehouse.logins import USERNAME
from gatehouse.redaction import redacted

Result: TypeAlias = Literal["ok", "refused", "limited", "failed", "unavailable"]
"""How it ended: done; not allowed; too often; tried and not done; could not be decided."""

NOT_A_USERNAME = "(not a username)"
_SERVICE = r"[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}"


class Operator(str):
    """Whoever runs a command, as AWS or their machine calls them: no client chose this name."""

    __slots__ = ()


def audit(action: str, *, who: str, source_ip: str = "", result: Result, request_id: str = "", **what: object) -> None:
    """Write one line about *action*.

    Its level stays INFO whatever the result: Lambda drops lines below the function's level, and a login that
    was refused is nothing that an operator has to repair.

    Args:
        action: what was asked for, a noun and a verb or less: `login`, `guest`, `token issue`, `key promote`.
        who: the username of whoever asked. In a failed login it is what the client sent: anything that is not a
            username (somebody's password in the wrong field, say) is not repeated. An `Operator` is.
        source_ip: the client's address; none for an operator's command line.
        result: how it ended.
        request_id: the request's id, under which the access log has the rest.
        what: texts and numbers that say what it was about, as the log shall call them: `jti`, `route`, `project`.
    """
    logs.info(
        "audit",
        action=action,
        who=who if isinstance(who, Operator) or re.fullmatch(f"{USERNAME}|{_SERVICE}", who) else NOT_A_USERNAME,
        **({"from": source_ip} if source_ip else {}),
        result=result,
        **{name: _safe(value) for name, value in what.items()},
        **({"requestId": request_id} if request_id else {}),
    )


@contextmanager
def audited(action: str, *, who: str, source_ip: str = "", request_id: str = "") -> Iterator[dict[str, object]]:
    """Write one line about what stands inside, however it ends: with what it puts into the mapping, or with its error.

    The arguments are those of `audit`. The line of an error has the `code` that the client is answered with.
    """
    said: dict[str, object] = {}
    result: Result = "ok"
    try:
        yield said
    except BaseException as error:
        result = result_of(error)
        said["code"] = error.code if isinstance(error, GatewayError) else GatewayError.code
        raise
    finally:
        audit(action, who=who, source_ip=source_ip, result=result, request_id=request_id, **said)


def result_of(error: BaseException) -> Result:
    """Return how it ended, where it ended in *error*."""
    if not isinstance(error, GatewayError):
        return "failed"
    by_status: dict[int, Result] = {429: "limited", 500: "failed", 503: "unavailable"}
    return by_status.get(error.status, "refused")


def _safe(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redacted(str(value))
