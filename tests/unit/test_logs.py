"""Lines of the log: one JSON object each, whatever is said, wherever it goes, and never at a request's cost."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse import edge, logs
from gatehouse.call import Call, Reply
from tests.log_lines import problems
from tests.unit.fakes import ok, run
from tests.unit.serving import Answered, answered

TRACE = "1-6553f100-0123456789abcdef01234567"
AGAIN = "1-6553f100-ffffffffffffffffffffffff"


@pytest.fixture
def taken() -> Iterator[list[str]]:
    lines: list[str] = []
    with logs.also_to(lines.append):
        yield lines


def only(lines: list[str]) -> dict[str, Any]:
    (line,) = lines
    record: dict[str, Any] = json.loads(line)
    return record


# ---------------------------------------------------------------------------------------------------------- its form


@pytest.mark.parametrize(("write", "level"), [(logs.info, "INFO"), (logs.error, "ERROR")])
def test_an_event_is_one_line_of_json(
    write: Callable[..., None], level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("it happened", path="/a\r\nb\u2028", odd=Path("/x"))
    output = capsys.readouterr().out
    assert output.endswith("}\n")
    (line,) = output.splitlines()
    record = json.loads(line)
    assert datetime.fromisoformat(record.pop("timestamp")) > datetime(2026, 1, 1, tzinfo=UTC)
    assert list(record.items()) == [
        ("level", level),
        ("message", "it happened"),
        ("service", "gatehouse"),
        ("path", "/a\r\nb\u2028"),
        ("odd", "/x"),
    ]


TEXTS = st.text(st.characters(codec=None, categories=None), max_size=20)


@given(TEXTS, TEXTS)
def test_whatever_clients_write_is_one_line_of_ascii_and_comes_back_as_it_was(message: str, text: str) -> None:
    lines: list[str] = []
    with logs.written_to(io.StringIO()), logs.also_to(lines.append):
        logs.info(message or "it", path=text)
    assert lines[0].isascii()
    assert not set(lines[0]) & {"\n", "\r", "\x00", "\x1b"}
    assert (only(lines)["message"], only(lines)["path"]) == (message or "it", text)


def test_half_a_character_is_no_reason_not_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    logs.info("it", path="/\udcff\ud800", **{"na\udcffme": 1})
    record = json.loads(capsys.readouterr().out)
    assert (record["path"], record["na\udcffme"]) == ("/\udcff\ud800", 1)


@pytest.mark.parametrize("message", ["100% of %s", '{"a": 1}', "{}", "%(x)s"])
def test_a_message_is_never_read_as_something_else(message: str, taken: list[str]) -> None:
    logs.info(message)
    assert only(taken)["message"] == message


@pytest.mark.parametrize(
    ("number", "text"), [(float("nan"), "NaN"), (float("inf"), "Infinity"), (float("-inf"), "-Infinity")]
)
def test_what_json_has_no_number_for_is_a_text(number: float, text: str, taken: list[str]) -> None:
    logs.info("it", number=number, many=[1.5, number], path=Path("/x"))
    record = json.loads(taken[0], parse_constant=lambda _: pytest.fail("no number of JSON's"))
    assert (record["number"], record["many"], record["path"]) == (text, [1.5, text], "/x")


def test_a_crash_is_logged_with_its_place_and_without_its_words(taken: list[str]) -> None:
    try:
        int("Bearer s3cret")
    except ValueError as error:
        logs.crash("unexpected", error, requestId="r1")
    record = only(taken)
    assert (record["exception"], record["requestId"], record["level"]) == ("ValueError", "r1", "ERROR")
    assert record["where"][-1].startswith("test_logs.py:")
    assert problems(record) == []
    assert "s3cret" not in taken[0]


def test_a_crash_deep_down_is_logged_with_its_last_frames(taken: list[str]) -> None:
    def down(depth: int) -> None:
        if not depth:
            raise LookupError
        down(depth - 1)

    try:
        down(20)
    except LookupError as error:
        logs.crash("unexpected", error)
    assert [where.rpartition(" ")[2] for where in only(taken)["where"]] == ["down"] * 8


def test_a_line_has_the_trace_of_the_invocation_unless_it_says_another(
    taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=0")
    logs.info("it")
    logs.info("it", traceId=AGAIN)
    monkeypatch.delenv("_X_AMZN_TRACE_ID")
    logs.info("it")
    assert [json.loads(line).get("traceId") for line in taken] == [TRACE, AGAIN, None]


def test_keys_of_powertools_stay_until_they_are_taken_away(taken: list[str]) -> None:
    """Its Logger's own ways to say more, as `inject_lambda_context` has them, work on our lines too."""
    logger = logs._logger
    logger.append_keys(function="proxy", memory=512)
    logs.info("it", memory=1)
    logger.remove_keys(["function", "never there"])
    logs.info("it")
    logger.append_keys(function="proxy")
    logger.registered_formatter.clear_state()
    logs.info("it")
    said = [{name: json.loads(line).get(name) for name in ("function", "memory", "service")} for line in taken]
    assert said == [
        {"function": "proxy", "memory": 1, "service": "gatehouse"},
        {"function": None, "memory": 512, "service": "gatehouse"},
        {"function": None, "memory": None, "service": "gatehouse"},
    ]


# -------------------------------------------------------------------------------------------------------- where it goes


class Broken(io.StringIO):
    """A standard output on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def closed() -> io.StringIO:
    out = io.StringIO()
    out.close()
    return out


class Narrow(io.TextIOWrapper):
    """A standard output that takes ASCII alone."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="ascii", errors="strict")


async def served(path: str) -> Answered:
    async def handle(call: Call) -> Reply:
        return ok(b"hello")

    return await answered(edge.application(handle, most_bytes=10), path)


@pytest.mark.parametrize("out", [Broken, closed, Narrow], ids=["full disk", "closed pipe", "ascii"])
@pytest.mark.parametrize("errors", [io.StringIO, Broken, closed], ids=["stderr", "full stderr", "closed stderr"])
def test_a_request_is_answered_whatever_becomes_of_its_line(
    out: Callable[[], Any], errors: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", out())
    monkeypatch.setattr(sys, "stderr", errors())
    assert run(served("/é\udcff")) == Answered(200, b"hello")


class Unsayable:
    def __str__(self) -> str:
        raise LookupError("s3cret")


def test_what_keeps_a_line_from_being_written_is_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    path = f"/the/path/{1 + 1}"  # the traceback quotes this file
    with logs.written_to(Broken()):
        logs.info("it", path=path)
    said = capsys.readouterr()
    record = json.loads(said.err)
    assert (record["message"], record["about"], record["reason"]) == ("line not written", "it", "OSError")
    assert path not in said.err + said.out


@pytest.mark.parametrize("field", [10**5000, {("a", "tuple"): 1}, Unsayable()], ids=["number", "key", "text"])
def test_what_json_cannot_say_is_told_of_without_it(field: object, capsys: pytest.CaptureFixture[str]) -> None:
    logs.info("it", field=field)
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert (record["message"], record["about"], said.err) == ("line not written", "it", "")


def test_a_line_goes_to_what_standard_output_is_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        logs.info("it")
        assert out.getvalue().count("\n") == 1


def test_a_line_is_flushed() -> None:
    raw = io.BytesIO()
    with logs.written_to(io.TextIOWrapper(raw, encoding="utf-8")):
        logs.info("it")
        assert json.loads(raw.getvalue())["message"] == "it"


def test_whoever_listens_gets_every_line_without_its_end_until_they_stop() -> None:
    first: list[str] = []
    second: list[str] = []
    with logs.also_to(first.append):
        logs.info("one")
        with logs.also_to(second.append):
            logs.error("two")
        thread = threading.Thread(target=logs.info, args=("three",))
        thread.start()
        thread.join()
    logs.info("four")
    assert [json.loads(line)["message"] for line in first] == ["one", "two", "three"]
    assert [json.loads(line)["message"] for line in second] == ["two"]
    assert not [line for line in first if line.endswith("\n")]


def test_what_is_written_elsewhere_still_goes_to_whoever_listens(taken: list[str]) -> None:
    with logs.written_to(io.StringIO()):
        logs.info("it")
    assert only(taken)["message"] == "it"


def test_a_listener_that_fails_does_not_fail_a_request() -> None:
    def fail(_: str) -> None:
        raise RuntimeError

    with logs.also_to(fail):
        assert run(served("/x")).status == 200


def messages(out: io.StringIO) -> list[str]:
    return [json.loads(line)["message"] for line in out.getvalue().splitlines()]


def test_elsewhere_is_a_matter_of_one_task_and_of_the_threads_it_starts(capsys: pytest.CaptureFixture[str]) -> None:
    outs = {name: io.StringIO() for name in "ab"}

    async def one(name: str, turn: asyncio.Barrier) -> None:
        with logs.written_to(outs[name]):
            await turn.wait()
            logs.info(name)
            await asyncio.to_thread(logs.info, f"thread of {name}")
            await asyncio.create_task(said(f"task of {name}"))
            await turn.wait()
        logs.info(f"after {name}")

    async def said(message: str) -> None:
        logs.info(message)

    async def work() -> None:
        turn = asyncio.Barrier(3)
        tasks = [asyncio.create_task(one(name, turn)) for name in outs]
        await turn.wait()
        logs.info("beside them")
        await turn.wait()
        await asyncio.gather(*tasks)

    run(work())
    assert {name: messages(out) for name, out in outs.items()} == {
        name: [name, f"thread of {name}", f"task of {name}"] for name in outs
    }
    said_here = [json.loads(line)["message"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(said_here) == ["after a", "after b", "beside them"]


def test_a_thread_that_nobody_of_the_task_started_writes_where_it_always_did(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = io.StringIO()
    with logs.written_to(out):
        thread = threading.Thread(target=logs.info, args=("beside",))
        thread.start()
        thread.join()
    assert messages(out) == []
    assert json.loads(capsys.readouterr().out)["message"] == "beside"


def test_elsewhere_ends_also_where_it_ends_badly(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), logs.written_to(io.StringIO()), logs.written_to(io.StringIO()):
        raise KeyError
    logs.info("it")
    assert json.loads(capsys.readouterr().out)["message"] == "it"


def test_lines_of_many_threads_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    def write(number: int) -> None:
        for _ in range(50):
            logs.info("it", number=number, long="x" * 2000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(line["number"] for line in said) == sorted([*range(8)] * 50)
