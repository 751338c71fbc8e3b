"""Errors for clients of language models: a form that OpenAI's clients read, and Anthropic's too."""

from __future__ import annotations

from typing import Any

import pytest

from gatehouse import errors
from gatehouse.errors import BudgetExceededError, GatewayError, MissingTokenError, RateLimitedError
from gatehouse.openai_errors import SERVER, TYPES, render
from tests.unit.fakes import a_call, body_of


def every_error() -> list[type[GatewayError]]:
    kinds = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, GatewayError)]
    return sorted(kinds, key=lambda kind: kind.__name__)


def rendered(error: GatewayError, **changes: Any) -> Any:
    return body_of(render(error, a_call(**changes)))


def test_a_refusal_has_what_openais_clients_read():
    said = rendered(errors.ForbiddenError("That model is not for you."))["error"]
    assert said == {
        "message": "That model is not for you.",
        "type": "permission_error",
        "param": None,
        "code": "forbidden",
    }


def test_a_refusal_has_what_anthropics_clients_read():
    said = rendered(errors.ForbiddenError("That model is not for you."), request_id="r-1")
    assert (said["type"], said["request_id"]) == ("error", "r-1")
    assert (said["error"]["type"], said["error"]["message"]) == ("permission_error", "That model is not for you.")


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_failure_has_a_status_a_type_a_code_and_a_message(kind: type[GatewayError]):
    reply = render(kind(), a_call())
    said = body_of(reply)["error"]
    assert reply.status == kind.status
    assert said["message"] == kind.message
    assert said["code"] == kind.code.lower()
    assert (said["type"] == SERVER) is (kind.status >= 500)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_refusal_that_is_the_clients_doing_has_a_type_of_its_own(kind: type[GatewayError]):
    assert kind.status >= 500 or kind.status in TYPES


@pytest.mark.parametrize("kind", [RateLimitedError, BudgetExceededError])
@pytest.mark.parametrize(("after_s", "said"), [(0, "1"), (1, "1"), (1.2, "2"), (86_400, "86400")])
def test_who_is_to_come_again_is_told_when(kind: type[Any], after_s: float, said: str):
    assert render(kind(retry_after_s=after_s), a_call()).headers.get("retry-after") == said


def test_what_a_failure_says_in_headers_is_said_here_too():
    headers = render(MissingTokenError(headers=(("x-more", "1"),)), a_call()).headers
    assert headers.get("www-authenticate").startswith("Bearer")
    assert headers.get("x-more") == "1"
    assert headers.get_all("content-type") == ("application/json",)
    assert headers.get("cache-control") == "no-store"


def test_a_client_that_would_take_a_problem_document_gets_this_form_all_the_same():
    call = a_call("/ai", "POST", ("accept", "application/problem+json"))
    assert body_of(render(MissingTokenError(), call))["error"]["code"] == "missing_token"
