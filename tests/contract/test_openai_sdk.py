"""OpenAI's own client for Python in front of the gateway: what it can do without a gateway it can do with one."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionToolParam

from gatehouse.models.requests import RequestRules, judged
from tests.contract.model_gate import BUDGET, EMAIL, UPSTREAM_KEY, Models, models
from tests.contract.model_server import ARGUMENTS, GIVEN, MADE, TOKENS, TOOL

TEXT = "".join(TOKENS)
PROMPT: list[Any] = [{"role": "user", "content": "Say hello."}]
TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": TOOL, "parameters": {"type": "object", "properties": {}}}}
]
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
    return {"base_url": f"{ai.at(route)}/v1", "api_key": ai.token(), "max_retries": 0, "timeout": 15, **more}


@pytest.fixture
def client(ai: Models) -> Iterator[OpenAI]:
    with OpenAI(**options(ai)) as client:
        yield client


def say(client: OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o", messages=PROMPT, **more)


def tokens_of(chunk: ChatCompletionChunk) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


# ------------------------------------------------------------------------------------------------- what one can ask


def test_a_whole_answer_arrives(client: OpenAI, ai: Models):
    answer = say(client)
    assert answer.choices[0].message.content == TEXT
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (GIVEN, MADE)
    assert (ai.server.only.path, ai.server.only.json["messages"]) == ("/v1/chat/completions", PROMPT)


def test_a_streamed_answer_arrives_with_what_it_took(client: OpenAI):
    with say(client, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    assert "".join(map(tokens_of, chunks)) == TEXT
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [GIVEN + MADE]


def test_the_first_token_is_there_before_the_model_has_made_its_second(client: OpenAI, ai: Models):
    with ai.server.pausing(), say(client, stream=True) as stream:
        first = next(token for token in map(tokens_of, stream) if token)
        assert (first, ai.server.went_on.is_set()) == (TOKENS[0], False)
        ai.server.go_on()
        assert "".join(map(tokens_of, stream)) == "".join(TOKENS[1:])


def test_signs_of_life_are_no_tokens(client: OpenAI, ai: Models):
    with (
        ai.server.pausing(),
        client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=PROMPT, stream=True) as raw,
    ):
        lines = raw.iter_lines()
        assert any(line.startswith(":") for line in lines)  # the model is silent until after the comment
        ai.server.go_on()
        assert list(lines)  # to its end: a client that leaves would be noticed while the next one is served
    with ai.server.pausing(), say(client, stream=True) as stream:
        said = map(tokens_of, stream)
        first = next(token for token in said if token)
        assert not ai.server.left.wait(1.2)  # longer than the gateway is silent
        ai.server.go_on()
        assert first + "".join(said) == TEXT


def test_a_tool_is_called(client: OpenAI):
    (call,) = say(client, tools=TOOLS).choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (TOOL, {"city": "Paris"})


def test_a_tool_is_called_in_a_stream(client: OpenAI):
    with client.chat.completions.stream(model="gpt-4o", messages=PROMPT, tools=TOOLS) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or ()
    assert call.function.arguments == "".join(ARGUMENTS)


def test_responses_arrive_whole_and_streamed(client: OpenAI):
    assert client.responses.create(model="gpt-4o", input="Say hello.").output_text == TEXT
    with client.responses.stream(model="gpt-4o", input="Say hello.") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert deltas == list(TOKENS)


def test_the_models_are_listed(client: OpenAI):
    assert [model.id for model in client.models.list()] == ["gpt-4o"]


def test_many_ask_at_once(ai: Models):
    async def one(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="gpt-4o", messages=PROMPT, stream=True)
        return "".join([tokens_of(chunk) async for chunk in stream])

    async def work() -> list[str]:
        async with AsyncOpenAI(**options(ai)) as client:
            return await asyncio.gather(*(one(client) for _ in range(20)))

    assert asyncio.run(work()) == [TEXT] * 20


def test_an_asynchronous_client_gets_a_whole_answer(ai: Models):
    async def work() -> Any:
        async with AsyncOpenAI(**options(ai)) as client:
            return await client.chat.completions.create(model="gpt-4o", messages=PROMPT)

    assert asyncio.run(work()).choices[0].message.content == TEXT


# ---------------------------------------------------------------------------------------------- who leaves, and when


def test_a_client_that_leaves_in_the_middle_ends_the_models_work(client: OpenAI, ai: Models):
    with ai.server.pausing():
        with say(client, stream=True) as stream:
            next(token for token in map(tokens_of, stream) if token)
        assert ai.server.left.wait(SOON_S)


def test_a_task_that_is_cancelled_in_the_middle_ends_the_models_work(ai: Models):
    async def read(client: AsyncOpenAI, begun: asyncio.Event) -> None:
        async with await client.chat.completions.create(model="gpt-4o", messages=PROMPT, stream=True) as stream:
            async for chunk in stream:
                begun.set() if tokens_of(chunk) else None

    async def work() -> bool:
        begun = asyncio.Event()
        async with AsyncOpenAI(**options(ai)) as client:
            reading = asyncio.create_task(read(client, begun))
            await asyncio.wait_for(begun.wait(), 10)
            reading.cancel()
            await asyncio.wait({reading})
            return await asyncio.to_thread(ai.server.left.wait, SOON_S)

    with ai.server.pausing():
        assert asyncio.run(work())


def test_a_model_that_breaks_off_does_not_look_like_one_that_has_finished(client: OpenAI, ai: Models):
    ai.server.breaks_off = True
    with ai.server.pausing(), say(client, stream=True) as stream:
        assert next(token for token in map(tokens_of, stream) if token) == TOKENS[0]
        ai.server.go_on()
        with pytest.raises(openai.APIConnectionError):
            list(stream)


# ------------------------------------------------------------------------------------------------- who is told what


def test_the_model_is_told_our_key_and_who_is_asking_whatever_the_client_says(ai: Models):
    forged = {
        "cf-access-token": ai.access_token,
        "cf-aig-metadata": '{"user_id": "eve@example.com"}',
        "CF_AIG_Metadata": '{"user_id": "eve@example.com"}',
        "cf-aig-authorization": "Bearer of-eve",
        "Cf-Aig_Authorization": "Bearer of-eve",
    }
    with OpenAI(**options(ai, "ai", api_key="of-eve", default_headers=forged)) as client:
        say(client)
    asked = ai.server.only
    assert [json.loads(value) for value in asked.all("cf-aig-metadata")] == [{"user_id": EMAIL}]
    assert asked.all("authorization") == [UPSTREAM_KEY]
    assert not [pair for pair in asked.headers if "eve" in pair[1] or ai.access_token in pair[1]]


def test_our_token_stays_at_the_gateway(client: OpenAI, ai: Models):
    say(client)
    assert not [pair for pair in ai.server.only.headers if client.api_key in pair[1]]


# ------------------------------------------------------------------------------------------------------- refusals


def refused(ai: Models, kind: type[openai.APIStatusError], route: str = "own", **more: Any) -> Any:
    """Ask, and be refused; give the error that the client raises."""
    with OpenAI(**options(ai, route, **more)) as client:
        for stream in (False, True):  # an application may have asked for a stream: errors are not streams
            with pytest.raises(kind) as caught:
                say(client, stream=stream)
    return caught.value


def test_nobody_is_told_that_a_token_is_missing(ai: Models):
    error = refused(ai, openai.AuthenticationError, "ai")
    assert (error.code, error.type) == ("missing_token", "authentication_error")
    assert "token" in error.message
    assert ai.server.asked == []


def test_a_token_that_is_none_is_refused(ai: Models):
    error = refused(ai, openai.PermissionDeniedError, api_key="not.a.token")
    assert (error.code, error.type) == ("invalid_token", "permission_error")
    assert "token" in error.message


def test_a_token_for_another_route_is_refused(ai: Models):
    assert "does not open" in refused(ai, openai.PermissionDeniedError, api_key=ai.token("FEW")).message


def test_an_address_that_is_none_is_not_found(ai: Models):
    assert "No route" in refused(ai, openai.NotFoundError, "nowhere").message


def test_too_many_requests_are_told_when_to_come_again(ai: Models):
    with OpenAI(**options(ai, "few")) as client:
        say(client)
    error = refused(ai, openai.RateLimitError, "few")
    assert (error.code, error.type) == ("rate_limited", "rate_limit_error")
    assert int(error.response.headers["retry-after"]) > 0
    assert len(ai.server.asked) == 1


@pytest.mark.parametrize(
    ("route", "code"), [("gone", "upstream_unreachable"), ("none", "missing_target"), ("slow", "upstream_timeout")]
)
def test_a_model_server_that_does_not_answer_is_a_server_error(ai: Models, route: str, code: str):
    with ai.server.pausing(first=True):
        error = refused(ai, openai.InternalServerError, route)
    assert (error.code, error.type) == (code, "api_error")
    assert error.message


def test_a_request_that_is_too_large_says_so(ai: Models):
    with OpenAI(**options(ai)) as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x" * 1_100_000}])
    error: Any = caught.value
    assert (error.status_code, error.code, error.type) == (413, "payload_too_large", "request_too_large")
    assert "1000000 bytes" in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_the_models_own_refusals_arrive_as_they_are(ai: Models, status: int, kind: type[openai.APIStatusError]):
    ai.server.failing = status
    error = refused(ai, kind)
    assert (error.status_code, error.body["message"]) == (status, error.body["message"])
    assert "the model" in error.message or "no such model" in error.message


def test_the_client_asks_again_where_it_is_told_that_this_may_help(ai: Models):
    ai.server.failing = 500
    with OpenAI(**options(ai, max_retries=1)) as client, pytest.raises(openai.InternalServerError):
        say(client)
    assert len(ai.server.asked) == 2


# ------------------------------------------------------------------------------ what may be asked, and what it took


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"model": "gpt-5"}, openai.PermissionDeniedError, "gpt-5"),
        ({"max_tokens": 201}, openai.BadRequestError, "200"),
        ({"max_completion_tokens": 201}, openai.BadRequestError, "200"),
        ({"messages": [{"role": "user", "content": "x" * 2000}]}, openai.APIStatusError, "2000 bytes"),
    ],
    ids=["model", "max_tokens", "max_completion_tokens", "body"],
)
def test_what_may_not_be_asked_is_refused_in_words(
    ai: Models, more: dict[str, Any], kind: type[openai.APIStatusError], said: str
):
    with OpenAI(**options(ai, "judged")) as client, pytest.raises(kind, match=said):
        client.chat.completions.create(**{"model": "gpt-4o", "messages": PROMPT, **more})
    assert ai.server.asked == []


def test_a_path_that_is_not_listed_is_refused(ai: Models):
    with OpenAI(**options(ai, "judged")) as client:
        with pytest.raises(openai.PermissionDeniedError, match="/v1/chat/completions"):
            client.embeddings.create(model="gpt-4o", input="x")
        assert [model.id for model in client.models.list()] == ["gpt-4o"]


def test_a_stream_is_made_to_say_what_it_took_and_the_log_has_it(ai: Models, capsys: pytest.CaptureFixture[str]):
    with OpenAI(**options(ai, "judged")) as client, say(client, stream=True) as stream:
        assert "".join(map(tokens_of, stream)) == TEXT
    assert ai.server.only.json["stream_options"] == {"include_usage": True}
    line = model_call(capsys)
    assert (line["model"], line["promptTokens"], line["completionTokens"]) == ("gpt-4o", GIVEN, MADE)
    assert line["firstByteMs"] <= line["durationMs"]


def model_call(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Wait for the line about the last call: the client may know before that all is over."""
    said, until = "", time.monotonic() + 5
    while time.monotonic() < until:
        said += capsys.readouterr().out
        found = [line for line in map(json.loads, said.splitlines()) if line["message"] == "model call"]
        if found:
            return found[-1]
        threading.Event().wait(0.01)
    raise AssertionError(f"no call was metered: {said!r}")


def budgeted(ai: Models, subject: str, **more: Any) -> dict[str, Any]:
    return options(ai, "budget", api_key=ai.token(subject=subject), **more)


def test_a_budget_that_is_held_is_refused_and_what_was_not_used_returns(ai: Models):
    asked = {"max_tokens": 200, "n": 9}  # most of the budget, and the model uses 15
    with OpenAI(**budgeted(ai, "holds")) as client, ai.server.pausing():
        with say(client, stream=True, **asked) as stream:
            first = next(token for token in map(tokens_of, stream) if token)
            with pytest.raises(openai.RateLimitError, match="left") as caught:
                say(client, **asked)
            ai.server.go_on()
            assert first + "".join(map(tokens_of, stream)) == TEXT
        error: Any = caught.value
        assert (error.code, error.type) == ("budget_exceeded", "rate_limit_error")
        assert 0 < int(error.response.headers["retry-after"]) <= 86_400
        assert eventually(lambda: say(client, **asked)).usage.total_tokens == GIVEN + MADE


def test_what_a_client_that_leaves_has_held_returns(ai: Models):
    asked = {"max_tokens": 200, "n": 9}
    with OpenAI(**budgeted(ai, "leaves")) as client:
        with ai.server.pausing():
            with say(client, stream=True, **asked) as stream:
                next(token for token in map(tokens_of, stream) if token)
            assert ai.server.left.wait(SOON_S)
        assert eventually(lambda: say(client, **asked))


def test_what_no_budget_has_room_for_is_refused_with_what_to_do(ai: Models):
    with OpenAI(**budgeted(ai, "greedy")) as client, pytest.raises(openai.RateLimitError, match="max_tokens"):
        say(client, max_tokens=200, n=11)
    assert ai.server.asked == []


def test_fifty_at_once_against_a_budget_for_twenty(ai: Models):
    with OpenAI(**options(ai)) as client:
        say(client, max_tokens=10)
    given = judged(RequestRules(), "/v1/chat/completions", "application/json", ai.server.only.body).given
    each = BUDGET // 20
    ai.server.asked.clear()
    refused: list[openai.RateLimitError] = []

    async def one(client: AsyncOpenAI) -> bool:
        try:
            await client.chat.completions.create(model="gpt-4o", messages=PROMPT, max_tokens=each - given)
        except openai.RateLimitError as error:
            refused.append(error)
            ai.server.go_on() if len(refused) == 30 else None
            return False
        return True

    async def work() -> list[bool]:
        async with AsyncOpenAI(**budgeted(ai, "crowd")) as client:
            return await asyncio.gather(*(one(client) for _ in range(50)))

    with ai.server.pausing(first=True):
        assert sum(asyncio.run(work())) == 20
    assert len(ai.server.asked) == 20


def eventually(work: Callable[[], Any]) -> Any:
    """Do *work*, again if what others held has not returned yet."""
    until = time.monotonic() + 5
    while True:
        try:
            return work()
        except openai.RateLimitError:
            if time.monotonic() > until:
                raise
            threading.Event().wait(0.05)
