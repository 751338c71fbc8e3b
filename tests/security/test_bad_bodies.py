"""A body that is not what an address takes is the caller's mistake, and is never repeated to anybody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from gatehouse import web
from gatehouse.accounts import USERNAME
from gatehouse.lambda_http import lambda_function
from tests.unit.fakes import metacogna


class Asked(web.Form):
    username: str = Field(pattern=f"^{USERNAME}$")
    password: str = Field(min_length=1, max_length=1024)


_routes, _app = web.create_app("test", metacogna().cors)


@_routes.post("/auth/test")
async def take(request: Request) -> dict[str, str]:
    return {"username": (await web.form(request, Asked)).username}


HANDLER = lambda_function(_app)


def post(body: str) -> dict[str, Any]:
    event = {"httpMethod": "POST", "path": "/auth/test", "requestContext": {}, "multiValueHeaders": {}, "body": body}
    return HANDLER(event, None)


def code(answer: dict[str, Any]) -> tuple[int, str]:
    assert answer["multiValueHeaders"]["access-control-allow-origin"] == ["*"]
    return answer["statusCode"], json.loads(answer["body"])["code"]


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "{", "nonsense", "null", "[]", '"x"', "5", "{}", '{"username": "ada"}', '{"password": "x"}',
        '{"username": "ada", "password": ""}', '{"username": "", "password": "x"}', '{"username": 5, "password": "x"}',
        '{"username": "ada", "password": null}', '{"username": ["ada"], "password": "x"}',
        '{"username": "ada", "password": "x", "role": "admin"}', '{"username": "Ada", "password": "x"}',
        '{"username": "../ada", "password": "x"}', '{"username": "ada\\n", "password": "x"}',
        '{"username": "ada", "password": "\\ud800"}', '{"username": "ada", "password": "' + "x" * 1025 + '"}',
        "[" * 10_000, "\x00", "{'username': 'ada'}", "username=ada&password=x",
        '{"username": "ada", "password": "x"} trailing', "x" * (web.MOST_BODY_BYTES + 1),
    ],
)  # fmt: skip
def test_a_bad_json_body_is_an_invalid_request_and_no_crash(body: str) -> None:
    """It answered 500, and a username shorter than four letters did, too."""
    status, said = code(post(body))
    assert (status, said) in {(400, "INVALID_REQUEST"), (413, "PAYLOAD_TOO_LARGE")}


@pytest.mark.parametrize("username", ["a", "ab", "abc", "a" * 64])
def test_a_short_username_is_taken(username: str) -> None:
    answer = post(json.dumps({"username": username, "password": "x"}))
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"username": username})


def test_a_refused_body_is_not_repeated_in_the_answer_or_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    for body in (
        '{"username": "Ada!", "password": "s3cret-one"}',
        '{"user": "ada", "password": "s3cret-one"}',
        '{"s3cret-one',
    ):
        answer = post(body)
        assert answer["statusCode"] == 400
        assert "s3cret-one" not in answer["body"] + capsys.readouterr().out


@given(st.text(max_size=40) | st.recursive(st.none() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
       | st.dictionaries(st.sampled_from(["username", "password", "x"]), inner)).map(json.dumps))  # fmt: skip
def test_any_body_at_all_is_taken_or_is_an_invalid_request(body: str) -> None:
    answer = post(body)
    assert answer["statusCode"] == 200 or code(answer) == (400, "INVALID_REQUEST")
