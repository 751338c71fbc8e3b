"""The audit trail says who did what, from where and with which result, and nothing that opens a door."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import jwt
import pytest

from gatehouse import audit, passwords
from gatehouse.audit import NOT_A_USERNAME, audited
from gatehouse.errors import (
    AuthUnavailableError,
    GatewayError,
    InternalError,
    InvalidCredentialsError,
    InvalidRequestError,
    InvalidTokenError,
    RateLimitedError,
)
from gatehouse.redaction import REDACTED


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    record: dict[str, Any] = json.loads(line)
    return record


def test_an_event_is_one_line_with_who_what_from_where_and_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    audit.audit("login", who="ada", source_ip="192.0.2.7", result="ok", request_id="r1", project="metacogna", jti="j1")
    record = said(capsys)
    assert datetime.fromisoformat(record.pop("timestamp")) > datetime(2026, 1, 1, tzinfo=UTC)
    assert record == {
        "level": "INFO",
        "message": "audit",
        "service": "gatehouse",
        "action": "login",
        "who": "ada",
        "from": "192.0.2.7",
        "result": "ok",
        "project": "metacogna",
        "jti": "j1",
        "requestId": "r1",
    }


def test_what_is_not_known_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    audit.audit("key promote", who="ada", result="ok")
    assert set(said(capsys)) == {"level", "timestamp", "message", "service", "action", "who", "result"}


@pytest.mark.parametrize("result", ["ok", "refused", "limited", "failed", "unavailable"])
def test_no_result_lowers_or_raises_the_level(result: Any, capsys: pytest.CaptureFixture[str]) -> None:
    audit.audit("login", who="ada", result=result)
    assert (record := said(capsys))["level"] == "INFO"
    assert record["result"] == result


@pytest.mark.parametrize(
    "who", ["", "Ada", "hunter2 is my password", "../x", "ada\n", "a" * 65, "adä", '{"a":1}', ".a", "a b"]
)
def test_what_is_not_a_username_is_not_repeated(who: str, capsys: pytest.CaptureFixture[str]) -> None:
    audit.audit("login", who=who, result="refused")
    assert said(capsys)["who"] == NOT_A_USERNAME


def test_an_operator_is_called_as_their_machine_calls_them(capsys: pytest.CaptureFixture[str]) -> None:
    audit.audit("key promote", who=audit.Operator("arn:aws:iam::123456789012:user/Ada"), result="ok")
    assert said(capsys)["who"] == "arn:aws:iam::123456789012:user/Ada"


TOKEN = jwt.encode({"sub": "ada"}, "an0ther-Fine/Secret+0f-48-Bytes=that-nobody-knows", algorithm="HS256")
DIGEST = sha256(b"x")


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        TOKEN.rpartition(".")[0] + ".",
        passwords.hashed("hunter2"),
        DIGEST.hexdigest(),
        DIGEST.hexdigest().upper(),
        base64.b64encode(DIGEST.digest()).decode(),
    ],
    ids=["token", "unsigned", "argon2id", "hex", "HEX", "base64"],
)
def test_a_token_or_a_hash_in_a_field_is_cut_out_of_it(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    audit.audit("token revoke", who="ada", result="ok", reason=f"found {secret} in a chat", many=[secret])
    line = capsys.readouterr().out
    record = json.loads(line)
    assert record["reason"] == f"found {REDACTED} in a chat"
    assert record["many"] == f"['{REDACTED}']"
    assert secret not in line


@pytest.mark.parametrize(
    "value", ["0123456789abcdef" * 2, "metacogna", "BUILD", 7, 1.5, True, None, "v1.2.3", "gateway.metacogna.ai"]
)
def test_what_is_no_secret_is_said_as_it_is(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    audit.audit("login", who="ada", result="ok", thing=value)
    assert said(capsys)["thing"] == value


def test_what_ends_well_is_said_with_what_came_out_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    with audited("guest", who="guest", source_ip="192.0.2.7", request_id="r1") as about:
        about["jti"] = "j1"
    record = said(capsys)
    assert (record["action"], record["result"], record["jti"], record["who"]) == ("guest", "ok", "j1", "guest")
    assert (record["from"], record["requestId"]) == ("192.0.2.7", "r1")
    assert "code" not in record


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (InvalidRequestError("hunter2"), "refused"),
        (InvalidCredentialsError("hunter2"), "refused"),
        (InvalidTokenError("hunter2"), "refused"),
        (RateLimitedError("hunter2", retry_after_s=3), "limited"),
        (AuthUnavailableError("hunter2"), "unavailable"),
        (InternalError("hunter2"), "failed"),
        (ValueError("hunter2"), "failed"),
        (KeyboardInterrupt("hunter2"), "failed"),
    ],
)
def test_what_ends_in_an_error_is_said_with_its_code_and_without_its_words(
    error: BaseException, result: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)), audited("login", who="ada"):
        raise error
    record = said(capsys)
    assert record["result"] == result
    assert record["code"] == (error.code if isinstance(error, GatewayError) else "INTERNAL")
    assert "hunter2" not in json.dumps(record)
