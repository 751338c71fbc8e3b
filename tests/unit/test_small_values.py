"""Durations, settings and headers: small things that everything else relies on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.durations import seconds
from gatehouse.headers import Headers, from_raw, to_raw
from gatehouse.settings import MOST_REQUEST_BYTES, Settings, SettingsError, read

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}

# ------------------------------------------------------------------------------------------------------ durations


@pytest.mark.parametrize(
    ("text", "length_s"),
    [
        ("500ms", 0.5),
        ("1ms", 0.001),
        ("1s", 1),
        ("60s", 60),
        ("15m", 900),
        ("24h", 86_400),
        ("90d", 7_776_000),
        ("999999999d", 999_999_999 * 86_400),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, length_s: float) -> None:
    assert seconds(text) == length_s


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5",
        "0s",
        "-1s",
        "+1s",
        "1.5h",
        "1 h",
        " 1h",
        "1h ",
        "1h\n",
        "1H",
        "1w",
        "01s",
        "1h30m",
        "1e3s",
        "\u0661s",
        "1000000000s",
        "ms",
        "one hour",
        "1_000s",
    ],
)
def test_anything_else_is_not_a_duration_and_the_refusal_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="500ms, 60s, 24h or 90d"):
        seconds(text)


@given(st.integers(1, 999_999_999), st.sampled_from(sorted(UNITS)))
def test_every_number_below_a_milliard_counts_in_every_unit(number: int, unit: str) -> None:
    assert seconds(f"{number}{unit}") == number * UNITS[unit]


@given(st.text(alphabet="0123456789.+-msdh ", max_size=8))
def test_any_text_is_a_duration_above_zero_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert seconds(text) > 0


# ------------------------------------------------------------------------------------------------------- settings


def test_an_empty_environment_gets_the_safe_defaults() -> None:
    assert read({}) == Settings()
    assert Settings().environment == "prod"
    assert Settings().projects_dir == Path("/opt/projects")


def test_an_empty_variable_counts_as_unset() -> None:
    names = (
        "ENVIRONMENT",
        "PROJECTS_DIR",
        "GATEWAY_SECRET_ARN",
        "ADMINS_BUCKET",
        "UPSTREAM_CLIENT",
        "MAX_REQUEST_BYTES",
    )
    assert read(dict.fromkeys(names, "")) == Settings()


def test_every_variable_is_read() -> None:
    settings = read(
        {
            "ENVIRONMENT": "dev",
            "PROJECTS_DIR": "/p",
            "GATEWAY_SECRET_ARN": "arn",
            "ADMINS_BUCKET": "b",
            "UPSTREAM_CLIENT": "buffered",
            "MAX_REQUEST_BYTES": "7",
        }
    )
    assert settings == Settings(
        environment="dev",
        projects_dir=Path("/p"),
        secret_arn="arn",
        admins_bucket="b",
        upstream_client="buffered",
        max_request_bytes=7,
    )


def test_all_that_is_wrong_with_the_environment_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read({"ENVIRONMENT": "production", "UPSTREAM_CLIENT": "curl", "MAX_REQUEST_BYTES": "many"})
    for said in (
        "ENVIRONMENT is 'production'",
        "UPSTREAM_CLIENT is 'curl'",
        "MAX_REQUEST_BYTES is 'many'",
        "local, dev, staging, prod",
    ):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "good"),
    [("1", True), ("0", False), ("-1", False), (str(MOST_REQUEST_BYTES), True), (str(MOST_REQUEST_BYTES + 1), False),
        ("1.5", False),
     ("1e6", False), ("²", False), ("\u0661", False), (" 1", False), ("0x10", False), ("9" * 5000, False)],
)  # fmt: skip
def test_a_size_is_a_number_of_bytes_within_bounds(text: str, good: bool) -> None:
    if good:
        assert read({"MAX_REQUEST_BYTES": text}).max_request_bytes == int(text)
    else:
        with pytest.raises(SettingsError, match="MAX_REQUEST_BYTES"):
            read({"MAX_REQUEST_BYTES": text})


# -------------------------------------------------------------------------------------------------------- headers

FIELDS = Headers((("a", "1"), ("b", "2"), ("a", "3")))


def test_fields_keep_their_order_and_their_repetitions() -> None:
    assert list(FIELDS) == [("a", "1"), ("b", "2"), ("a", "3")]
    assert FIELDS.get("a") == "1"
    assert FIELDS.get_all("a") == ("1", "3")
    assert FIELDS.get("z") == ""
    assert FIELDS.get("z", "none") == "none"
    assert FIELDS.get_all("z") == ()
    assert "b" in FIELDS
    assert "z" not in FIELDS


def test_a_change_is_another_value_and_leaves_the_first_alone() -> None:
    assert FIELDS.without("a").pairs == (("b", "2"),)
    assert FIELDS.adding([("a", "4")]).get_all("a") == ("1", "3", "4")
    assert FIELDS.replacing([("a", "4"), ("c", "5")]).pairs == (("b", "2"), ("a", "4"), ("c", "5"))
    assert FIELDS.defaulting([("a", "4"), ("c", "5")]).pairs == (*FIELDS.pairs, ("c", "5"))
    assert len(FIELDS.pairs) == 3


@given(st.lists(st.tuples(st.from_regex(rb"[a-z-]{1,5}", fullmatch=True), st.binary(max_size=6))))
def test_bytes_on_the_wire_come_out_as_they_went_in(raw: list[tuple[bytes, bytes]]) -> None:
    assert to_raw(from_raw(raw)) == raw


def test_names_are_lower_case() -> None:
    assert from_raw([(b"X-Tag", b"A")]).pairs == (("x-tag", "A"),)
