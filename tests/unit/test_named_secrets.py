"""What services are told besides the question: fields of the project file, filled with named secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gatehouse.errors import AuthUnavailableError
from gatehouse.named_secrets import no_secrets, told
from tests.unit.fakes import run

GOOD = "a-fine-and-unlikely-value"


class Secrets:
    """The secrets of a deployment, and how often they were asked for."""

    def __init__(self, **values: str) -> None:
        self.values: dict[str, str] | Exception = values
        self.times = 0

    async def __call__(self) -> Mapping[str, str]:
        self.times += 1
        if isinstance(self.values, Exception):
            raise self.values
        return self.values


def fields(set_headers: Mapping[str, Any], secrets: Secrets | None = None) -> tuple[tuple[str, str], ...]:
    return run(told(set_headers, secrets or Secrets())())  # type: ignore[arg-type]  # it is a coroutine


@pytest.mark.parametrize(
    ("set_headers", "said"),
    [
        ({}, ()),
        ({"X-Client": "gatehouse"}, (("x-client", "gatehouse"),)),
        ({"Authorization": "Bearer ${secret:A}"}, (("authorization", f"Bearer {GOOD}"),)),
        ({"X-B": "${secret:B}", "X-A": "${secret:A}"}, (("x-b", "é".encode().decode("latin-1")), ("x-a", GOOD))),
        ({"X-Meta": {"key": "${secret:A}", "n": 1}}, (("x-meta", f'{{"key":"{GOOD}","n":1}}'),)),
    ],
)
def test_the_fields_are_filled_in_the_order_of_the_file(
    set_headers: dict[str, Any], said: tuple[tuple[str, str], ...]
) -> None:
    assert fields(set_headers, Secrets(A=GOOD, B="é")) == said


def test_where_no_secret_is_named_none_is_asked_for() -> None:
    secrets = Secrets()
    secrets.values = AuthUnavailableError()
    assert fields({"X-Client": "gatehouse", "X-Meta": {"n": 1}}, secrets) == (
        ("x-client", "gatehouse"),
        ("x-meta", '{"n":1}'),
    )
    assert secrets.times == 0


def test_secrets_are_looked_up_for_each_question_and_once_for_all_fields() -> None:
    secrets = Secrets(A="first-good-value")
    say = told({"X-A": "${secret:A}", "X-Too": "${secret:A}"}, secrets)
    assert run(say()) == (("x-a", "first-good-value"), ("x-too", "first-good-value"))  # type: ignore[arg-type]
    secrets.values = {"A": "second-good-value"}
    assert run(say()) == (("x-a", "second-good-value"), ("x-too", "second-good-value"))  # type: ignore[arg-type]
    assert secrets.times == 2


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "is missing"), ({"A": ""}, "is missing"), ({"A": "changeme-now-please"}, "is a placeholder"),
        ({"A": f"{GOOD}\n"}, "holds a line break"),
    ],
)  # fmt: skip
def test_a_question_with_a_secret_that_has_gone_is_not_asked(
    capsys: pytest.CaptureFixture[str], values: dict[str, str], reason: str
) -> None:
    with pytest.raises(AuthUnavailableError) as caught:
        fields({"X-Client": "gatehouse", "X-A": "Bearer ${secret:A}"}, Secrets(**values))
    written = capsys.readouterr().out
    assert '"name":"A"' in written
    assert reason in written
    for value in filter(None, values.values()):
        assert value.strip() not in written + str(caught.value)


def test_where_the_secrets_cannot_be_had_nothing_is_asked() -> None:
    secrets = Secrets()
    secrets.values = AuthUnavailableError()
    with pytest.raises(AuthUnavailableError):
        fields({"X-A": "${secret:A}"}, secrets)


def test_there_may_be_none_at_all() -> None:
    assert run(no_secrets()) == {}
