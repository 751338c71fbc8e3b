"""Judge calls of language models before they are made, and keep account of what they take."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from gatehouse.call import Call, Handler, Reply, RequestBody, Stage
from gatehouse.errors import (
    AuthUnavailableError,
    ForbiddenError,
    InvalidRequestError,
    MissingTargetError,
    PayloadTooLargeError,
)
from gatehouse.headers import Headers
from gatehouse.hygiene import spelling
from gatehouse.models.budgets import TokenBudget
from gatehouse.models.metered import Terms
from gatehouse.models.requests import ModelRequest, RequestRules, check_path, judged
from gatehouse.projects.model import Ai, Project, Route
from gatehouse.routes import below, split
from gatehouse.upstreams import UnansweredError

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""What asks no model for anything, unless it has a body all the same."""
NEVER_HEARD = (UnansweredError, MissingTargetError, ForbiddenError, PayloadTooLargeError, AuthUnavailableError)
"""What ends a call before the model has had the request."""
WITHHELD = frozenset({"api-key", "openai-organization", "openai-project", "x-api-key", "x-goog-api-key"})
"""Fields by which clients would choose who pays a model; project files may say them."""
OF_THE_BODY = ("content-digest", "content-md5", "digest", "repr-digest")
"""What is no longer right of a body that we have changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCalls:
    """How calls of models are taken on a route.

    Attributes:
        rules: what may be asked for.
        terms: how it is metered.
        above: how many segments of the path are the route's own.
    """

    rules: RequestRules
    terms: Terms
    above: int


def policy_of(project: Project, route: Route, path: str) -> ModelCalls:
    """Return how calls of models are taken on *route* of *project* under *path*, one of its patterns."""
    said, budget = route.ai or Ai(), route.budget
    depends = said.models or said.max_tokens or said.include_usage or budget
    rules = RequestRules(
        paths=said.paths,
        models=said.models,
        max_tokens=said.max_tokens,
        max_body=said.max_body,
        include_usage=said.include_usage or budget is not None,
        bounded=bool(said.max_tokens or budget),
        strictly=bool(depends),
    )
    tokens = None
    if budget:
        about = {"project": project.project, "route": route.name, "by": budget.by}
        tokens = TokenBudget(**about, tokens=budget.tokens, per_s=int(budget.per))
    longest_s = route.stream.total if route.stream else route.timeout
    terms = Terms(project=project.project, route=route.name, budget=tokens, longest_s=longest_s)
    return ModelCalls(rules=rules, terms=terms, above=len(split(path)))


class Account(Protocol):
    """What keeps account of one call; `models.metered.Metered` is it."""

    def answered(self, reply: Reply) -> None:
        """Take the head of the answer."""
        ...

    def saw(self, chunk: bytes) -> None:
        """Take the next bytes of the answer. Never raises."""
        ...

    async def end(self, *, failed: bool = False, heard: bool = True) -> None:
        """Close the account; only the first time counts. *heard* is whether the model may have had the request."""
        ...


class Meter(Protocol):
    """What opens accounts; `models.metering.Meter` is it."""

    async def begin(self, terms: Terms, request: ModelRequest, call: Call) -> Account:
        """Hold what *request* may take, and return what keeps account of it.

        Raises:
            BudgetExceededError: there is not enough left.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Changed:
    """A body that is sent in place of the client's."""

    data: bytes
    client: RequestBody

    async def read(self) -> bytes:
        """See `RequestBody.read`."""
        return self.data

    async def gone(self) -> None:
        """See `RequestBody.gone`."""
        await self.client.gone()


def model_calls(policy: ModelCalls, meter: Meter) -> Stage:
    """Return the stage that lets calls of models through by *policy*, and has *meter* keep account of them.

    A request without a body, such as one for the list of models, is judged by its path alone, and costs nothing.
    """

    async def model_calls(call: Call, forward: Handler) -> Reply:
        path = below(call.path, policy.above)
        check_path(policy.rules, path)
        body = await call.body.read()
        if not body and call.method in BODILESS:
            return await forward(call)
        if policy.rules.strictly:
            _check_fields(call)
        request = judged(policy.rules, path, call.headers.get("content-type"), body)
        account = await meter.begin(policy.terms, request, call)
        try:
            reply = await forward(_sent(call, request))
            account.answered(reply)
        except BaseException as error:
            await account.end(failed=True, heard=not isinstance(error, NEVER_HEARD))
            raise
        if isinstance(reply.body, bytes):
            account.saw(reply.body)
            await account.end()
            return reply
        metered = _metered(reply.body, account)
        await anext(metered)  # begun, so that closing it closes what it reads from, and the account, if nobody reads it
        return replace(reply, body=metered)

    return model_calls


def _sent(call: Call, request: ModelRequest) -> Call:
    """Return *call* as it goes to the model: without what chooses another's account, key or price there.

    Its answer may not be coded, or nobody could read what it took.
    """
    dropped = {"accept-encoding", *WITHHELD, *(OF_THE_BODY if request.changed else ())}
    kept = (pair for pair in call.headers if not _is_dropped(spelling(pair[0]), dropped))
    headers = Headers(tuple(kept))
    return replace(call, headers=headers, body=_Changed(request.body, call.body) if request.changed else call.body)


def _is_dropped(name: str, dropped: AbstractSet[str]) -> bool:
    return name in dropped or name.startswith("cf-aig-")


def _check_fields(call: Call) -> None:
    """Refuse fields of the request that make its body another one to an upstream than to us."""
    for name, value in call.headers:
        known = spelling(name)
        if known == "content-encoding" and value.strip().lower() not in {"", "identity"}:
            raise InvalidRequestError("Send the body as it is, without Content-Encoding.")
        if known == "content-type" and name != known:
            raise InvalidRequestError(f"Write Content-Type, and not '{name}'.")


async def _metered(body: AsyncGenerator[bytes, None], account: Account) -> AsyncGenerator[bytes, None]:
    """Hand *body* on, and let *account* see it: every byte after it has left, also the last that a client waits for."""
    failed = False
    try:
        async with aclosing(body):
            yield b""
            async for chunk in body:
                try:
                    yield chunk
                finally:
                    account.saw(chunk)
    except Exception:
        failed = True
        raise
    finally:
        await account.end(failed=failed)
