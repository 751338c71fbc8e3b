"""Logging in and being a guest, as clients see it."""

import base64
import hashlib
import json
import time

import boto3
import jwt
import pytest

from gatehouse.stores.admins import PREFIX
from local.house import House
from tests.contract.conftest import PASSWORD, SECRET, Answer, Send, bearer, check_error


def login(send: Send, **fields: object) -> Answer:
    return send("POST", "/auth/login", {"Content-Type": "application/json"}, json.dumps(fields).encode())


@pytest.fixture
def bucket(house: House) -> tuple[object, str]:
    endpoint = house.environment()["AWS_ENDPOINT_URL"]
    return boto3.client("s3", endpoint_url=endpoint), house.template.made["AdminsBucket"]["Ref"]


def put_original(bucket: tuple[object, str], username: str, password: str) -> None:
    """Keep an admin as the original system kept one."""
    s3, name = bucket
    salt = "s4lt"
    digest = base64.b64encode(hashlib.sha256((salt + password).encode()).digest()).decode()
    record = {"username": username, "salt": salt, "hash": digest, "role": "editor"}
    s3.put_object(Bucket=name, Key=f"{PREFIX}{username}.json", Body=json.dumps(record).encode())


def stored(bucket: tuple[object, str], username: str) -> dict[str, str]:
    s3, name = bucket
    kept: dict[str, str] = json.loads(s3.get_object(Bucket=name, Key=f"{PREFIX}{username}.json")["Body"].read())
    return kept


def test_a_login_is_answered_as_the_original_did(send: Send):
    answer = login(send, username="ada", password=PASSWORD)
    assert answer.status == 200
    assert set(answer.json) == {"success", "token", "user"}
    assert answer.json["success"] is True
    assert answer.json["user"] == {"username": "ada", "role": "admin"}
    assert answer.get("content-type") == "application/json"
    claims = jwt.decode(answer.json["token"], SECRET, algorithms=["HS256"], audience="metacogna-clients")
    assert claims["iss"] == claims["issuedBy"] == "gateway.metacogna.ai"
    assert claims["sub"] == claims["projectId"] == "ada"
    assert (claims["route"], claims["environment"], claims["scopes"]) == ("AUTH", "production", ["admin"])
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["jti"]
    header = jwt.get_unverified_header(answer.json["token"])
    assert (header["alg"], header["typ"], header["kid"]) == ("HS256", "JWT", "local")


def test_a_wrong_password_and_an_unknown_user_read_the_same(send: Send):
    answers = [login(send, username=name, password="wrong") for name in ("ada", "nobody", "x")]
    for answer in answers:
        check_error(answer, 401, "INVALID_CREDENTIALS", "AUTH")
    assert len({answer.json["message"] for answer in answers}) == 1


@pytest.mark.parametrize("username", ["a", "al", "bob"])
def test_a_short_username_logs_in_like_any_other(send: Send, bucket: tuple[object, str], username: str):
    put_original(bucket, username, "pass")
    assert login(send, username=username, password="pass").json["user"] == {"username": username, "role": "editor"}


def test_an_old_hash_logs_in_and_is_replaced(send: Send, bucket: tuple[object, str]):
    put_original(bucket, "grace", "old password")
    check_error(login(send, username="grace", password="Old password"), 401, "INVALID_CREDENTIALS")
    assert not stored(bucket, "grace")["hash"].startswith("$argon2id$")
    assert login(send, username="grace", password="old password").status == 200
    kept = stored(bucket, "grace")
    assert kept["hash"].startswith("$argon2id$")
    assert (kept["username"], kept["role"]) == ("grace", "editor")
    assert login(send, username="grace", password="old password").status == 200
    check_error(login(send, username="grace", password="wrong"), 401, "INVALID_CREDENTIALS")
    assert stored(bucket, "grace") == kept


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"null", b"[]", b'"ada"', b"{}", b'{"username":"ada"}', b'{"password":"x"}',
        b'{"username":"ada","password":7}', b'{"username":["ada"],"password":"x"}', b'{"username":"","password":"x"}',
        b'{"username":"ada","password":""}', b'{"username":"ada","password":null}',
        b'{"username":"ada","password":"x","admin":true}', b'{"username":"../../x","password":"x"}',
        b'{"username":"Ada","password":"x"}', b'{"username":"a/b","password":"x"}', b"\xff\xfe", b"\x00" * 50,
        b'{"username":"ada","password":"\\ud800"}', b'{"username":"ada\\n","password":"x"}',
        b'{"username":"ada","password":"' + b"x" * 2000 + b'"}',
        b"[" * 10_000, b'{"username":"ada","password":"x","project":"nobody"}',
    ],
    ids=lambda body: repr(body[:40]),
)  # fmt: skip
def test_a_body_that_is_not_a_login_is_a_clear_400(send: Send, body: bytes):
    answer = send("POST", "/auth/login", {"Content-Type": "application/json"}, body)
    check_error(answer, 400, "INVALID_REQUEST", "AUTH")
    assert len(answer.json["message"]) > 20


@pytest.mark.parametrize("path", ["/auth/login", "/auth/guest", "/auth/tokens"])
def test_a_body_of_a_megabyte_is_too_large(send: Send, path: str):
    check_error(send("POST", path, body=b"x" * 1_000_000), 413, "PAYLOAD_TOO_LARGE", "AUTH")


def test_a_password_is_never_repeated_in_an_answer(send: Send):
    answer = send("POST", "/auth/login", body=b'{"username":"ada","password":["hunter2-secret"]}')
    assert b"hunter2" not in answer.body


def test_a_login_may_name_its_project(send: Send):
    assert login(send, username="ada", password=PASSWORD, project="metacogna").status == 200


def test_a_login_takes_any_content_type(send: Send):
    body = json.dumps({"username": "ada", "password": PASSWORD}).encode()
    assert send("POST", "/auth/login", {"Content-Type": "text/plain"}, body).status == 200
    assert send("POST", "/auth/login", (), body).status == 200


@pytest.mark.parametrize("path", ["/auth/login", "/auth/guest"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_refused_with_our_body(send: Send, path: str, method: str):
    answer = send(method, path)
    check_error(answer, 405, "METHOD_NOT_ALLOWED", "AUTH")
    assert answer.get("allow") == "POST"


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"route":null}', b'{"route":"NOSUCH"}', b'{"route":"BUILD"}', b'{"route":"build"}', b'{"route":""}'],
)
def test_a_guest_who_asks_for_nothing_known_gets_build(send: Send, body: bytes):
    answer = send("POST", "/auth/guest", body=body)
    assert (answer.status, answer.json["success"], answer.json["route"]) == (200, True, "BUILD")
    assert set(answer.json) == {"success", "token", "route"}
    claims = jwt.decode(answer.json["token"], SECRET, algorithms=["HS256"], audience="metacogna-clients")
    assert (claims["route"], claims["scopes"], claims["environment"]) == ("BUILD", ["guest"], "staging")
    assert claims["sub"] == claims["projectId"] == "guest"


def test_a_guest_may_ask_for_kv(send: Send):
    answer = send("POST", "/auth/guest", body=b'{"route":"KV"}')
    assert answer.json["route"] == "KV"
    assert send("GET", "/kv/get", bearer(answer.json["token"])).status == 200


@pytest.mark.parametrize("route", ["AUTH", "CORE", "auth", "Core"])
def test_a_guest_cannot_ask_for_an_elevated_route(send: Send, route: str):
    answer = send("POST", "/auth/guest", body=json.dumps({"route": route}).encode())
    check_error(answer, 400, "INVALID_ROUTE", "AUTH")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"route":7}', b'{"rout":"KV"}', b'{"route":["KV"]}'])
def test_a_body_that_is_not_a_guests_is_a_clear_400(send: Send, body: bytes):
    check_error(send("POST", "/auth/guest", body=body), 400, "INVALID_REQUEST", "AUTH")


def test_a_lost_secret_of_another_user_is_not_read(send: Send, bucket: tuple[object, str]):
    s3, name = bucket
    s3.put_object(Bucket=name, Key=f"{PREFIX}mallory.json", Body=json.dumps(stored(bucket, "ada")).encode())
    check_error(login(send, username="mallory", password=PASSWORD), 503, "AUTH_UNAVAILABLE", "AUTH")


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b'{"username":"broken"}', b'{"username":"broken","hash":1,"role":"x"}']
)
def test_a_broken_record_lets_nobody_in(send: Send, bucket: tuple[object, str], record: bytes):
    s3, name = bucket
    s3.put_object(Bucket=name, Key=f"{PREFIX}broken.json", Body=record)
    check_error(login(send, username="broken", password="x"), 503, "AUTH_UNAVAILABLE", "AUTH")
