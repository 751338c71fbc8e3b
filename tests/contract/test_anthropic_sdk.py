"""Anthropic's own client for Python in front of the gateway: what it can do without a gateway it can do with one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, ToolParam

from tests.contract.callers import INTERNAL_KEY
from tests.contract.model_gate import EMAIL, Models, models
from tests.contract.model_server import GIVEN, MADE, TOKENS, TOOL

TEXT = "".join(TOKENS)
MODEL = "claude-of-the-tests"
PROMPT: list[MessageParam] = [{"role": "user", "content": "Say hello."}]
TOOLS: list[ToolParam] = [{"name": TOOL, "input_schema": {"type": "object", "properties": {}}}]
SOON_S = 1.0


@pytest.fixture(scope="module")
def serving(ministack: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    with models(tmp_path_factory.mktemp("models"), ministack) as made:
        yield made


@pytest.fixture
def ai(serving: Models) -> Models:
    serving.rest()
    return serving


def options(ai: Models, route: str = "own", **more: Any) -> dict[str, Any]:
    return {"base_url": ai.at(route), "auth_token": ai.token(), "max_retries": 0, "timeout": 15, **more}


@pytest.fixture
def client(ai: Models) -> Iterator[Anthropic]:
    with Anthropic(**options(ai)) as client:
        yield client


def say(client: Anthropic, **more: Any) -> Any:
    return client.messages.create(model=MODEL, max_tokens=100, messages=PROMPT, **more)


# ------------------------------------------------------------------------------------------------- what one can ask


def test_a_whole_answer_arrives(client: Anthropic, ai: Models):
    answer = say(client)
    assert answer.content[0].text == TEXT
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (GIVEN, MADE)
    assert (ai.server.only.path, len(ai.server.only.all("anthropic-version"))) == ("/v1/messages", 1)


def test_a_streamed_answer_arrives_with_what_it_took(client: Anthropic):
    with client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT) as stream:
        assert "".join(stream.text_stream) == TEXT
        usage = stream.get_final_message().usage
    assert (usage.input_tokens, usage.output_tokens) == (GIVEN, MADE)


def test_the_first_token_is_there_before_the_model_has_made_its_second(client: Anthropic, ai: Models):
    with ai.server.pausing(), client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT) as stream:
        assert (next(stream.text_stream), ai.server.went_on.is_set()) == (TOKENS[0], False)
        ai.server.go_on()
        assert "".join(stream.text_stream) == "".join(TOKENS[1:])


def test_signs_of_life_are_no_tokens(client: Anthropic, ai: Models):
    with ai.server.pausing(), client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT) as stream:
        first = next(stream.text_stream)
        assert not ai.server.left.wait(1.2)  # longer than the gateway is silent
        ai.server.go_on()
        assert first + "".join(stream.text_stream) == TEXT


def test_a_tool_is_called(client: Anthropic):
    assert say(client, tools=TOOLS).content[0].input == {"city": "Paris"}


def test_a_tool_is_called_in_a_stream(client: Anthropic):
    with client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT, tools=TOOLS) as stream:
        (block,) = stream.get_final_message().content
    assert (block.type, getattr(block, "input", None)) == ("tool_use", {"city": "Paris"})


def test_many_ask_at_once(ai: Models):
    async def one(client: AsyncAnthropic) -> str:
        async with client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT) as stream:
            return "".join([text async for text in stream.text_stream])

    async def work() -> list[str]:
        async with AsyncAnthropic(**options(ai)) as client:
            return await asyncio.gather(*(one(client) for _ in range(20)))

    assert asyncio.run(work()) == [TEXT] * 20


# ---------------------------------------------------------------------------------------------- who leaves, and when


def test_a_client_that_leaves_in_the_middle_ends_the_models_work(client: Anthropic, ai: Models):
    with ai.server.pausing():
        with client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT) as stream:
            next(stream.text_stream)
        assert ai.server.left.wait(SOON_S)


def test_a_task_that_is_cancelled_in_the_middle_ends_the_models_work(ai: Models):
    async def read(client: AsyncAnthropic, begun: asyncio.Event) -> None:
        async with client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT) as stream:
            async for _ in stream.text_stream:
                begun.set()

    async def work() -> bool:
        begun = asyncio.Event()
        async with AsyncAnthropic(**options(ai)) as client:
            reading = asyncio.create_task(read(client, begun))
            await asyncio.wait_for(begun.wait(), 10)
            reading.cancel()
            await asyncio.wait({reading})
            return await asyncio.to_thread(ai.server.left.wait, SOON_S)

    with ai.server.pausing():
        assert asyncio.run(work())


def test_a_model_that_breaks_off_does_not_look_like_one_that_has_finished(client: Anthropic, ai: Models):
    ai.server.breaks_off = True
    with (
        ai.server.pausing(),
        client.messages.stream(model=MODEL, max_tokens=100, messages=PROMPT) as stream,
    ):
        assert next(stream.text_stream) == TOKENS[0]
        ai.server.go_on()
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete"):
            list(stream.text_stream)


# ------------------------------------------------------------------------------------------------- who is told what


def test_the_model_is_told_our_key_and_who_is_asking_whatever_the_client_says(ai: Models):
    forged = {
        "cf-access-token": ai.access_token,
        "cf-aig-metadata": '{"user_id": "eve@example.com"}',
        "cf-aig-authorization": "Bearer of-eve",
    }
    with Anthropic(**options(ai, "ai", auth_token=None, api_key="of-eve", default_headers=forged)) as client:
        say(client)
    asked = ai.server.only
    assert [json.loads(value) for value in asked.all("cf-aig-metadata")] == [{"user_id": EMAIL}]
    assert asked.all("x-api-key") == [INTERNAL_KEY]
    assert not [pair for pair in asked.headers if "eve" in pair[1]]


# ------------------------------------------------------------------------------------------------------- refusals


def refused(ai: Models, kind: type[anthropic.APIStatusError], route: str = "own", **more: Any) -> Any:
    """Ask, and be refused; give the error that the client raises."""
    with Anthropic(**options(ai, route, **more)) as client:
        for stream in (False, True):  # an application may have asked for a stream: errors are not streams
            with pytest.raises(kind) as caught:
                say(client, stream=stream)
    error: Any = caught.value
    assert error.body["type"] == "error"
    return error


def test_somebody_without_a_token_is_told_that_one_is_missing(ai: Models):
    error = refused(ai, anthropic.AuthenticationError, "ai")
    assert error.body["error"]["type"] == "authentication_error"
    assert "token" in error.message
    assert error.body["request_id"]


def test_a_token_that_is_none_is_refused(ai: Models):
    error = refused(ai, anthropic.PermissionDeniedError, auth_token="not.a.token")
    assert error.body["error"]["type"] == "permission_error"


def test_too_many_requests_are_told_when_to_come_again(ai: Models):
    with Anthropic(**options(ai, "few")) as client:
        say(client)
    error = refused(ai, anthropic.RateLimitError, "few")
    assert error.body["error"]["type"] == "rate_limit_error"
    assert int(error.response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("gone", anthropic.InternalServerError),
        ("none", anthropic.InternalServerError),
        ("slow", anthropic.InternalServerError),
    ],
)
def test_a_model_server_that_does_not_answer_is_a_server_error(
    ai: Models, route: str, kind: type[anthropic.APIStatusError]
):
    with ai.server.pausing(first=True):
        error = refused(ai, kind, route)
    assert error.body["error"]["type"] == "api_error"


def test_a_request_that_is_too_large_says_so(ai: Models):
    with Anthropic(**options(ai)) as client, pytest.raises(anthropic.ContentTooLargeError) as caught:
        client.messages.create(model=MODEL, max_tokens=1, messages=[{"role": "user", "content": "x" * 1_100_000}])
    error: Any = caught.value
    assert error.body["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
def test_the_models_own_refusals_arrive_as_they_are(ai: Models, status: int, kind: type[anthropic.APIStatusError]):
    ai.server.failing = status
    error = refused(ai, kind)
    assert error.status_code == status
    assert "model" in error.body["error"]["message"]


def test_what_may_not_be_asked_is_refused_in_words(ai: Models):
    with Anthropic(**options(ai, "judged")) as client:
        assert say(client).content[0].text == TEXT
        with pytest.raises(anthropic.BadRequestError, match="200"):
            client.messages.create(model=MODEL, max_tokens=201, messages=PROMPT)
        with pytest.raises(anthropic.PermissionDeniedError, match="not allowed"):
            client.messages.create(model="another", max_tokens=1, messages=PROMPT)


def test_a_stream_counts_against_a_budget_and_what_was_not_used_returns(ai: Models):
    with Anthropic(**options(ai, "budget", auth_token=ai.token(subject="claude"))) as client:
        for _ in range(15):  # each holds 200 of 2000, and uses 15
            with client.messages.stream(model=MODEL, max_tokens=200, messages=PROMPT) as stream:
                assert "".join(stream.text_stream) == TEXT


def test_a_budget_that_is_held_is_refused(ai: Models):
    async def hold(client: AsyncAnthropic) -> None:
        await client.messages.create(model=MODEL, max_tokens=200, messages=PROMPT)

    async def work() -> anthropic.RateLimitError:
        async with AsyncAnthropic(**options(ai, "budget", auth_token=ai.token(subject="holds-claude"))) as client:
            holding = [asyncio.create_task(hold(client)) for _ in range(10)]
            done, _ = await asyncio.wait(holding, return_when=asyncio.FIRST_COMPLETED)
            ai.server.go_on()
            await asyncio.wait(holding)
            refused = [task.exception() for task in done]
            assert [task.exception() for task in holding].count(None) == 9
            (error,) = refused
            assert isinstance(error, anthropic.RateLimitError)
            return error

    with ai.server.pausing(first=True):
        error: Any = asyncio.run(work())
    assert error.body["error"]["code"] == "budget_exceeded"
    assert int(error.response.headers["retry-after"]) > 0
