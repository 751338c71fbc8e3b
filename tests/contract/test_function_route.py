"""A route whose upstream is a Lambda function, through the whole gateway as the function of the template runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatehouse import edge
from gatehouse.build import gateway
from gatehouse.kit import Kit
from gatehouse.lambda_http import event_loop, lambda_function
from gatehouse.settings import read
from tests.contract.echo_app import handler as echo
from tests.contract.lambda_service import KEY, SECRET, LambdaService, serving
from tests.contract.rest_event import Context, rest_event
from tests.unit.fakes import write
from tests.unit.project_files import a_file, said

PROJECT = """
project: functions
routes:
  - {name: named, path: /named, upstream: "lambda:echo", auth: none, set_headers: {X-Told: "by the gateway"}}
  - {name: alias, path: /alias, upstream: "lambda:echo:live", auth: none}
  - {name: unset, path: /unset, upstream: "${ECHO_FUNCTION}", auth: none}
  - {name: away,  path: /away,  upstream: "lambda:away", auth: none}
"""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[LambdaService]:
    made = LambdaService({"echo": echo, "live": echo})
    with serving(made) as url:
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL_LAMBDA": url, "UPSTREAM_CLIENT": "buffered",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        yield made


@pytest.fixture
def ask(service: LambdaService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    write(tmp_path, PROJECT)
    monkeypatch.setenv("PROJECTS_DIR", str(tmp_path))
    kit = Kit(read(os.environ))
    handler = lambda_function(edge.application(gateway(kit.projects, kit), most_bytes=4096, close=kit.close))

    def asked(target: str, method: str = "GET", body: bytes = b"") -> dict[str, Any]:
        headers = [("Host", "gateway.example"), ("Content-Type", "text/plain")]
        return handler(rest_event(method, target, headers, body), Context())

    yield asked
    event_loop().run_until_complete(kit.close())


def test_the_function_gets_the_canonical_path_and_what_an_http_upstream_would_be_told(ask: Any, service: LambdaService):
    answer = ask("/named/a%20b?x=1&x=2", "POST", b"hello")
    assert answer["statusCode"] == 200
    (_, _, event), *rest = service.invoked
    assert not rest
    assert (event["httpMethod"], event["path"], event["body"]) == ("POST", "/a%20b", "hello")
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert event["multiValueHeaders"]["x-told"] == ["by the gateway"]
    assert event["multiValueHeaders"]["x-gateway-route"] == ["named"]
    assert json.loads(answer["body"])["method"] == "POST"


def test_an_alias_is_the_qualifier_of_the_invocation(ask: Any, service: LambdaService):
    ask("/alias/x")
    assert service.invoked[0][0].endswith("/functions/echo/invocations?Qualifier=live")


@pytest.mark.parametrize(("path", "status", "code"), [
    ("/unset/x", 502, "MISSING_TARGET"), ("/away/x", 502, "UPSTREAM_UNREACHABLE"),
])  # fmt: skip
def test_a_function_that_is_not_there_is_502_in_the_gateways_words(ask: Any, path: str, status: int, code: str):
    answer = ask(path)
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (status, code)


def test_what_a_function_cannot_do_is_refused_in_the_project_file(tmp_path: Path):
    found = said(tmp_path, a_file(route={"upstream": "lambda:echo", "streaming": True}))
    assert "a function's answer comes whole" in found
