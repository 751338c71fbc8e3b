"""The watch over the log sees what it is there to see: each kind of secret, each kind of bad line, and no more."""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatehouse import edge, jose, keys, logs, passwords, templates
from gatehouse.call import Identity
from gatehouse.stores.admins import AdminRecord
from tests.log_lines import problems, wrong
from tests.log_watch import Watch, on_purpose, others_heard
from tests.secret_points import watching
from tests.secret_search import LEAST, leaks, pieces
from tests.unit.fakes import ROOT, key, ring
from tests.unit.private_keys import ED25519
from tests.unit.serving import scope

ON_PURPOSE = "the watch is shown what it is to find"
REQUEST: dict[str, Any] = {
    "level": "INFO",
    "timestamp": "2026-11-22T12:00:00.000+00:00",
    "message": "request",
    "service": "gatehouse",
    "requestId": "r1",
    "method": "GET",
    "path": "/x",
    "ip": "192.0.2.7",
    "auth": "anonymous",
    "status": 200,
    "bytes": 0,
    "ms": 0.1,
    "gatewayMs": 0.1,
}
OTHER: dict[str, Any] = {**{name: REQUEST[name] for name in ("level", "timestamp", "service")}, "message": "it"}


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch of its own, in place of the suite's."""
    watch = Watch()
    with on_purpose(ON_PURPOSE), watching(watch):
        yield watch


def fresh() -> str:
    return secrets.token_urlsafe(24)


# --------------------------------------------------------------------------------------------------- where secrets pass


def of_a_header(name: str, value: str) -> None:
    async def receive() -> Any:
        raise AssertionError

    edge.read(scope("/x", "GET", (name, value)), receive, 10)


def minted() -> str:
    return jose.compact({"sub": fresh()}, key())


def of_another_issuer() -> str:
    return jwt.encode({"sub": fresh()}, "k" * 40, "HS256")


def of_a_key() -> str:
    return key(secret=fresh()).secret.decode()


def of_a_ring() -> str:
    named = fresh()
    return keys.KeyRing(ring().current, ring().keys, {"NAME": named}).secrets["NAME"]


def of_a_document() -> str:
    own = fresh()
    keys.parse(json.dumps({"current": "k", "keys": {"k": {"alg": "HS256", "from": "made"}}, "made": own * 2}))
    return own * 2


def of_a_private_key() -> str:
    keys.parse(json.dumps({"current": "k", "keys": {"k": {"alg": "EdDSA", "private": ED25519}}}))
    return ED25519.splitlines()[1]


def of_a_project_file() -> str:
    return templates._secret("NAME", {"NAME": fresh()})


def of_a_record() -> str:
    return AdminRecord(username="ada", role="admin", hash=fresh()).hash


def of_an_identity() -> str:
    return Identity(kind="session", subject="ada", token=fresh()).token


def a_password() -> str:
    password = f'{fresh()} "quoted" é'
    passwords.spend(password)
    return password


def a_wrong_password() -> str:
    password = "tea for two, two for tea"
    passwords.verify(password, "an old hash", "an old salt")
    return password


def a_hash() -> str:
    return passwords.hashed(fresh())


def presented(name: str, form: str = "{}") -> str:
    secret = fresh()
    of_a_header(name, form.format(secret))
    return secret


MADE = [
    minted, of_another_issuer, of_a_key, of_a_ring, of_a_document, of_a_private_key, of_a_project_file, of_a_record,
    of_an_identity, a_password, a_wrong_password, a_hash,
]  # fmt: skip
PRESENTED = [
    ("Authorization", "Bearer {}"), ("authorization", "{}"), ("Authorization", "ApiKey {}"), ("X-API-Key", "{}"),
    ("apikey", "{}"), ("cf-access-token", "{}"), ("Cookie", "a=1; better-auth.session_token={}; b=2"),
    ("Cookie", "CF_Authorization={}"),
]  # fmt: skip


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_whatever_opens_a_door_is_found_in_a_line(watch: Watch, make: Any) -> None:
    secret = make()
    for line in (f"before {secret} after", secret, f"x={secret}&y", f"\n{secret}\t"):
        logs.info("it", said=line)
    logs.info("it", said="nothing of it")
    assert len(watch.verdict()) >= 4
    assert not [found for found in watch.verdict() if "nothing of it" in found]


@pytest.mark.parametrize(("name", "form"), PRESENTED, ids=[f"{name} {form}" for name, form in PRESENTED])
def test_what_clients_present_is_found_in_a_line(watch: Watch, name: str, form: str) -> None:
    secret = presented(name, form)
    logs.info("request", path=f"/x/{secret}")
    assert [found for found in watch.verdict() if f"has the value of {name.lower()}" in found]


def test_who_leaks_and_what_is_said(watch: Watch) -> None:
    logs.info("it", said=minted())
    found = " ".join(watch.verdict())
    assert "test_log_watch.py::test_who_leaks_and_what_is_said: has the signature of token" in found
    assert "has the claims of token" in found


def test_what_is_no_secret_is_not_found(watch: Watch) -> None:
    token = minted()
    of_a_header("Accept", "a-value-of-another-header")
    of_a_header("Cookie", "a=short; b=1")
    of_a_header("Authorization", "Bearer short")
    logs.info("it", header=token.partition(".")[0], other="a-value-of-another-header", short="Bearer short a=short")
    assert watch.verdict() == []


def test_what_the_gateways_source_says_is_no_secret(watch: Watch) -> None:
    word = fresh()
    named = "_instead(record, error)"  # of logs.py
    for one in (word, named):
        of_a_header("Authorization", one)
        logs.info("it", said=one)
    assert ["has the value of authorization" in found and word in found for found in watch.verdict()] == [True]


def test_what_is_one_letter_over_and_over_is_no_secret(watch: Watch) -> None:
    for one in ("a" * 40, "abcde" * 10):
        of_a_header("Authorization", f"Bearer {one}")
        logs.info("it", said=one)
    assert watch.verdict() == []


@given(st.sampled_from(["a-word-that-tests-say"]))
@settings(max_examples=1)
def test_what_hypothesis_makes_up_is_no_secret_unless_it_is_a_token(word: str) -> None:
    watch = Watch()
    with on_purpose(ON_PURPOSE), watching(watch):
        of_a_header("Authorization", word)
        keys.KeyRing(ring().current, ring().keys, {"NAME": word})
        logs.info("it", said=word)
        assert watch.verdict() == []
        logs.info("it", said=minted())
        assert len(watch.verdict()) == 2


def test_a_line_of_a_process_counts_and_so_does_the_rest_that_it_says(watch: Watch) -> None:
    first, second = minted(), minted()
    said = {**OTHER, "said": f'"{first}"'}
    watch.hear(f"starting\n{json.dumps(said, separators=(',', ':'))}\nTraceback: {second}\n")
    watch.hear('{"level":"INFO"}')
    found = watch.verdict()
    assert len([one for one in found if "signature of token" in one]) == 2
    assert len([one for one in found if "is a required property" in one]) >= 1


@pytest.mark.parametrize("logger", ["asyncio", "aiohttp.client", "uvicorn.error"])
def test_what_other_loggers_say_counts_and_so_do_their_tracebacks(watch: Watch, logger: str) -> None:
    first, second = minted(), minted()
    with others_heard(watch):
        logging.getLogger(logger).warning("not sent: %s", first)
        try:
            int(second, 2)
        except ValueError:
            logging.getLogger(logger).exception("it crashed")
    logging.getLogger(logger).warning("heard no more: %s", minted())
    assert len([one for one in watch.verdict() if "signature of token" in one]) == 2


def test_what_is_logged_on_purpose_is_not_looked_at() -> None:
    watch = Watch()
    with on_purpose(ON_PURPOSE), watching(watch):
        with watch.on_purpose("a test of this"):
            logs.info("request", said=minted())
            watch.hear(minted())
        logs.info("it", said="nothing")
    assert watch.verdict() == []


def test_a_reason_must_be_given_for_what_is_logged_on_purpose() -> None:
    with pytest.raises(AssertionError), on_purpose(""):
        pass


# --------------------------------------------------------------------------------------------------------- the search


@pytest.mark.parametrize("user", ["", "a:", "ad:", "ada:"])
def test_a_password_is_found_as_base64_has_it_wherever_it_begins(user: str) -> None:
    password = "a Passw0rd with words"
    encoded = base64.b64encode(f"{user}{password}!".encode()).decode()
    assert {leak.what for leak in leaks([f"Basic {encoded}"], [(password, "password")])} == {"password in base64"}
    assert leaks([f"Basic {encoded}"], [("another Passw0rd", "password")]) == []


def test_a_token_is_found_by_either_of_its_parts_and_not_by_its_header() -> None:
    token = jwt.encode({"sub": "ada"}, "k" * 40, "HS256")
    head, claims, signature = token.split(".")
    found = {part: [leak.what for leak in leaks([f"(…{part}…)"], [(token, "t")])] for part in (head, claims, signature)}
    assert found == {head: [], claims: ["claims of t"], signature: ["signature of t"]}
    assert leaks([signature[: len(signature) // 2]], [(token, "t")]) == []


@pytest.mark.parametrize("before", ["", "x", "7", "_", "-", "/", "é"])
@pytest.mark.parametrize("secret", ["abcdefgh-ijklmnop", "a-b-c-d-e-f-g-h", "0123456789ab", "é" * 12, "a b c d e f g"])
def test_a_secret_is_found_whatever_stands_beside_it(secret: str, before: str) -> None:
    text = f"{before}{secret}{before}"
    assert [leak.text for leak in leaks(["", text, secret[1:]], [(secret, "s")])] == [text]


def test_what_is_short_is_left_out() -> None:
    assert [*pieces("x" * (LEAST - 1), "s")] == []
    assert ("x" * LEAST, "s") in [*pieces("x" * LEAST, "s")]
    assert leaks(["a.b.c"], [("a.b.c", "token")]) == []


class Looked(str):
    """A text that counts how often something is looked for in it."""

    __slots__ = ()
    times: ClassVar[int] = 0

    def __contains__(self, part: object) -> bool:
        Looked.times += 1
        return super().__contains__(part)  # type: ignore[operator]  # as str has it


def test_of_thousands_of_lines_only_those_with_a_part_of_a_secret_are_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Looked, "times", 0)
    many = 5_000
    known = [(f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEi{fresh()}.{fresh()}", "token") for _ in range(many)]
    lines = [json.dumps({**REQUEST, "requestId": secrets.token_hex(16)}) for _ in range(many)]
    lines[many // 2] += known[-1][0].rpartition(".")[2]
    (leak,) = leaks(map(Looked, lines), known)
    assert (leak.text, leak.what) == (lines[many // 2], "signature of token")
    assert Looked.times < 10


# ---------------------------------------------------------------------------------------------------------- the schema


def test_lines_that_are_good_are_good() -> None:
    assert problems(REQUEST) == problems(OTHER) == []


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (REQUEST, {"query": "a=b"}),
        (REQUEST, {"path": "/x?a=b"}),
        (REQUEST, {"path": "x" * 2049}),
        (REQUEST, {"level": "DEBUG"}),
        (REQUEST, {"level": "ERROR"}),
        (REQUEST, {"service": "another"}),
        (REQUEST, {"timestamp": "2026-11-22T12:00:00Z"}),
        (REQUEST, {"auth": "maybe"}),
        (REQUEST, {"method": "BREW"}),
        (REQUEST, {"status": "200"}),
        (REQUEST, {"ms": -1}),
        (REQUEST, {"bytes": 1.5}),
        (REQUEST, {"cut": False}),
        (REQUEST, {"credential": "password"}),
        (REQUEST, {"subject": "nobody said how that is known"}),
        (REQUEST, {"traceId": "abc"}),
        (REQUEST, {"_aws": {"Timestamp": 1_800_000_000_000, "CloudWatchMetrics": []}}),
        (OTHER, {"fields": {"a": 1}}),
        (OTHER, {"where": ["/a/path/x.py:1 f"]}),
        (OTHER, {"message": ""}),
        (OTHER, {"message": 7}),
        (OTHER, {"message": "audit"}),
        (OTHER, {"message": "audit", "action": "login", "who": "ada", "result": "perhaps"}),
        (OTHER, {"message": "model call"}),
        (OTHER, {"many": [["a"]]}),
    ],
    ids=str,
)  # fmt: skip
def test_a_line_that_is_not_by_the_schema_is_found(line: dict[str, Any], changes: dict[str, Any]) -> None:
    ((_, problem),) = [*wrong([json.dumps({**line, **changes})])][:1]
    assert problem.startswith("$")


@pytest.mark.parametrize("name", sorted(REQUEST.keys() - {"message"}))
def test_a_line_of_a_request_that_lacks_something_is_found(name: str) -> None:
    assert [*wrong([json.dumps({key: value for key, value in REQUEST.items() if key != name})])]


@pytest.mark.parametrize(
    "line", ["", "request", '{"level":', "{}{}", "[]", "null", json.dumps({**OTHER, "n": float("nan")})]
)
def test_what_is_no_object_of_json_is_found(line: str) -> None:
    assert [*wrong([line])]


def directive(**changes: Any) -> dict[str, Any]:
    said = {"Namespace": "N", "Dimensions": [["store"]], "Metrics": [{"Name": "Failed", "Unit": "Count"}], **changes}
    return {"_aws": {"Timestamp": 1_800_000_000_000, "CloudWatchMetrics": [said]}, "store": "s", "Failed": 1}


@pytest.mark.parametrize(
    "changes",
    [
        {"Failed": "1"}, {"Failed": True}, {"Failed": None}, {"store": ""}, {"store": " "}, {"store": 7},
        {"store": "é"}, {"store": "s" * 1025},
        directive(Dimensions=[["store", "other"]]), directive(Dimensions=["store"]), directive(Dimensions=[[]]),
        directive(Dimensions=[[str(number) for number in range(31)]]),
        directive(Metrics=[{"Name": "Failed", "Unit": "Count"}] * 101), directive(Metrics=[{"Name": "Other"}]),
        directive(Metrics=[{"Name": "Other", "Unit": "Count"}]),
        directive(Metrics=[{"Name": "Failed", "Unit": "Tons"}]),
        directive(Namespace=""), directive(Namespace="a b"), directive(More=1),
        {"_aws": {"Timestamp": 1.8e9, "CloudWatchMetrics": directive()["_aws"]["CloudWatchMetrics"]}},
        {"_aws": directive()["_aws"]["CloudWatchMetrics"]},
    ],
    ids=str,
)  # fmt: skip
def test_metrics_that_cloudwatch_would_not_find_are_found(changes: dict[str, Any]) -> None:
    assert [*wrong([json.dumps({**OTHER, **directive()})])] == []
    assert [*wrong([json.dumps({**OTHER, **directive(), **changes})])]


def test_a_shape_is_looked_at_once_and_another_one_too() -> None:
    good = json.dumps(REQUEST)
    bad = [json.dumps({**REQUEST, "auth": value}) for value in ("maybe", "maybe", "perhaps")]
    assert [line for line, _ in wrong([good, *bad, good])] == [bad[0], bad[2]]


# ------------------------------------------------------------------------------------------------------ in a whole run

LEAKING = """
import io
from gatehouse import jose, logs
from tests.log_watch import on_purpose
from tests.unit.fakes import key

TOKEN = jose.compact({"sub": "somebody"}, key())  # as tests are read

def test_that_is_fine():
    logs.info("it", said="nothing")

def test_that_leaks():
    logs.info("it", said=TOKEN)

def test_that_leaks_elsewhere():
    with logs.written_to(io.StringIO()):
        logs.info("it", said=f"x{TOKEN.rpartition('.')[2]}")

def test_that_leaks_on_purpose():
    with on_purpose("it is what this test is about"):
        logs.info("it", said=TOKEN)
"""


def test_a_run_with_a_leak_fails_and_names_the_tests(tmp_path: Path) -> None:
    """A worker of pytest-xdist, which has to say by itself what it saw."""
    (tmp_path / "test_them.py").write_text(LEAKING)
    path = os.pathsep.join((str(ROOT / "layers/gatehouse"), str(ROOT)))
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    options = ["-q", "-n1", "-p", "no:cacheprovider", "-p", "tests.log_watch"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "."],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "4 passed, 1 error" in done.stdout
    assert "test_them.py::test_that_leaks: has the signature of token" in done.stdout
    assert "test_them.py::test_that_leaks_elsewhere: has the signature of token" in done.stdout
    assert "fine" not in done.stdout
    assert "on_purpose: has" not in done.stdout
