"""The two values that travel through the gateway, and the two shapes of code that handle them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from gatehouse.headers import Headers


class RequestBody(Protocol):
    """The client's body, read when somebody asks for it and not before."""

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            PayloadTooLargeError: the body is longer than the gateway takes.
        """
        ...

    async def gone(self) -> None:
        """Return when the client has hung up; where nobody can tell, never."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is calling, as one credential proved it.

    `token` is what may go upstream; `token_id` is what one of our own tokens is revoked by.
    """

    kind: str
    subject: str
    user: str = ""
    organization: str = ""
    email: str = ""
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    token_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a limit said of a request.

    Attributes:
        limit: its name.
        allowed: whether there was one left.
        remaining: how many more there are.
        more_after_s: in how many seconds there is one more than that.
        waited_s: how long the request waited to hear it.
        shadow: whether nobody outside is to hear of it.
    """

    limit: str
    allowed: bool
    remaining: int
    more_after_s: float
    waited_s: float = 0.0
    shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way inward. A stage that wants it changed passes on a changed copy.

    `path` and `query` are raw (percent-encoded); `deadline` is on the clock of `time.monotonic`, in
    seconds; `notes` is what the stages want said in the access log; `counts` is what limits said so far.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: RequestBody
    client_ip: str
    scheme: str
    request_id: str
    route: str
    deadline: float | None = None
    identity: Identity | None = None
    notes: dict[str, object] = field(default_factory=dict)
    counts: list[Count] = field(default_factory=list)


Body: TypeAlias = bytes | AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One response on its way outward. `body` is bytes, or a stream that only the edge may read.

    `until` is when a stream is cut, on the clock of `time.monotonic`, in seconds: also if its client does not read.
    """

    status: int
    headers: Headers
    body: Body = b""
    until: float | None = None

    @property
    def whole(self) -> bytes:
        """The body, of a reply that is known not to be a stream."""
        if not isinstance(self.body, bytes):
            raise TypeError("this reply is a stream")
        return self.body

    def with_headers(self, headers: Headers) -> Reply:
        """Return this reply with *headers* in place of its own (`dataclasses.replace` takes three times as long)."""
        return Reply(status=self.status, headers=headers, body=self.body, until=self.until)


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]
Stage: TypeAlias = Callable[[Call, Handler], Awaitable[Reply]]


def pipeline(*stages: Stage, end: Handler) -> Handler:
    """Chain *stages* around *end*; the first stage listed is the outermost."""
    handler = end
    for stage in reversed(stages):
        handler = _around(stage, handler)
    return handler


def _around(stage: Stage, forward: Handler) -> Handler:
    def handle(call: Call) -> Awaitable[Reply]:
        return stage(call, forward)

    return handle
