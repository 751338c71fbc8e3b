"""How project files name Lambda functions: by name or ARN, with an alias or a version if need be."""

from __future__ import annotations

import re
from dataclasses import dataclass

PREFIX = "lambda:"
"""How an upstream that is a function begins in a project file."""
SCHEME = "lambda://"
"""How its address begins once it was read: what forwards puts a path behind it, as behind any other."""
_FORM = re.compile(
    r"(?P<arn>arn:aws(?:-[a-z]+)*:lambda:(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]):(?P<account>[0-9]{12}):function:)?"
    r"(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]{1,128}))?"
)


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function.

    Attributes:
        name: its name alone.
        arn: what stands before the name in its ARN; empty where the project file has no ARN.
        region: where it is; empty for where the gateway is.
        account: whose it is, twelve digits; empty for the gateway's own.
        qualifier: its alias or version; empty for what is deployed last.
    """

    name: str
    arn: str = ""
    region: str = ""
    account: str = ""
    qualifier: str = ""

    @property
    def unqualified(self) -> str:
        """Return what the Invoke API calls it, without alias or version."""
        return self.arn + self.name

    def __str__(self) -> str:
        return f"{self.unqualified}:{self.qualifier}" if self.qualifier else self.unqualified


def parsed(text: str) -> FunctionName | None:
    """Return the function that *text* names; None if it is no name of one."""
    form = _FORM.fullmatch(text)
    return FunctionName(**form.groupdict(default="")) if form else None


def is_function(address: str | None) -> bool:
    """Say whether *address*, a route's upstream, is a function."""
    return bool(address) and str(address).startswith(SCHEME)


def parted(url: str) -> tuple[FunctionName, str, str]:
    """Return the function, the path and the query of *url*, `lambda://name:alias/path?query`.

    Raises:
        ValueError: it names no function.
    """
    authority, _, target = url.removeprefix(SCHEME).partition("/")
    function = parsed(authority)
    if function is None or not url.startswith(SCHEME):
        raise ValueError("no function's address")
    path, _, query = target.partition("?")
    return function, f"/{path}", query
