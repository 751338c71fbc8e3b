"""What is taken out of what somebody else wrote before the log repeats it, however it was written."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.redaction import REDACTED, redacted, redacted_path

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"/reset/{TOKEN}/now", f"/reset/{REDACTED}/now"),
        (f"/reset/{TOKEN.replace('.', '%2E')}/now", f"/reset/{REDACTED}/now"),
        (f"/reset/{TOKEN.replace('.', '%2e', 1)}", f"/reset/{REDACTED}"),
        (f"/reset/%65yJ{TOKEN[3:]}", f"/reset/{REDACTED}"),
        (f"/{TOKEN}/{TOKEN}", f"/{REDACTED}/{REDACTED}"),
        ("/build/x%3Ftoken=s3cret", f"/build/x%3F{REDACTED}"),
        ("/build/x%3fa=1%3Fb=2", f"/build/x%3F{REDACTED}"),
    ],
)
def test_tokens_and_queries_in_a_path_are_not_repeated(path: str, said: str) -> None:
    assert redacted_path(path) == said


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/build/hello",
        "/a%20b/%C3%A9",
        "/a%2Fb",
        "/\udcff",
        "/heyJude.mp3",
        f"/blobs/{'0' * 64}",
        "/%",
        "/%zz",
    ],
)
def test_other_paths_are_repeated_as_they_came(path: str) -> None:
    assert redacted_path(path) == path


@given(st.text(alphabet="eyJ.%2Ea-", max_size=60), st.text(alphabet="/ab%", max_size=10))
def test_no_token_is_left_of_any_path(before: str, after: str) -> None:
    assert TOKEN.rpartition(".")[2] not in redacted_path(f"/{before}/{TOKEN}{after}")


@pytest.mark.parametrize("piece", ["eyJ", "eyJ.", "eyJ-", "$argon2", "0" * 63 + "/", "%65yJ", "%3F", "%"])
def test_nobody_makes_it_take_long(piece: str) -> None:
    """It is done on the event loop, for everybody who asks; two times as much takes about two times as long."""
    text = piece * (16_384 // len(piece))
    started = time.process_time()
    for _ in range(5):
        redacted(text)
        redacted_path(text)
    assert time.process_time() - started < 1.0  # a quadratic one takes 5 s and more
