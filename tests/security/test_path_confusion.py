"""There is one reading of a path, it is what is matched and forwarded, and prefixes end at slashes."""

from __future__ import annotations

from urllib.parse import unquote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatehouse.build import gateway
from gatehouse.errors import BadPathError
from gatehouse.paths import MOST_LAYERS, canonical, check_query
from tests.unit.fakes import FakeKit, FakeUpstream, a_call, body_of, metacogna, run

NASTY = ["/", "\\", "%", ".", "..", "%2e", "%2E", "%25", "%2f", "%5c", "%00", ";", "?", "#", "é", " ", "a", "\x00",
    "%ff",
         "%c3", "%a9", "%", "2e", "25", "\udcc3", "\udca9", "build"]  # fmt: skip
paths = st.one_of(
    st.lists(st.sampled_from(NASTY), max_size=10).map(lambda parts: "/" + "".join(parts)),
    st.text(max_size=30),
    st.binary(max_size=30).map(lambda raw: "/" + raw.decode("utf-8", "surrogateescape")),
)


def accepted(raw: str) -> str | None:
    try:
        return canonical(raw)
    except BadPathError:
        return None


def encoded(text: str, layers: int) -> str:
    for _ in range(layers):
        text = "".join(f"%{byte:02x}" for byte in text.encode()) if "%" not in text else text.replace("%", "%25")
    return text


@given(paths)
@example("/build/%C3\udca9")
@example("/\udcc3\udca9")
@example("/\ud800")
def test_a_path_is_canonical_or_refused_as_a_bad_path_and_nothing_else(raw: str) -> None:
    accepted(raw)


@given(paths)
def test_the_canonical_form_of_a_canonical_path_is_itself(raw: str) -> None:
    once = accepted(raw)
    if once is not None:
        assert canonical(once) == once


@given(paths)
def test_no_depth_of_decoding_finds_a_dot_segment_or_a_separator_in_a_canonical_path(raw: str) -> None:
    once = accepted(raw)
    if once is None:
        return
    segments = [segment.encode() for segment in once[1:].split("/")]
    for _ in range(MOST_LAYERS + 2):
        for segment in segments:
            assert segment.split(b";")[0] not in {b".", b".."}
            assert not set(segment) & {*range(0x20), 0x7F, *b"/\\?#"}
        segments = [unquote_to_bytes(segment) for segment in segments]


@given(paths)
def test_a_canonical_path_is_plain_ascii_with_whole_escapes_and_no_empty_segment_inside(raw: str) -> None:
    once = accepted(raw)
    if once is None:
        return
    assert once.startswith("/")
    assert once.isascii()
    assert "//" not in once
    assert unquote(once, errors="strict").encode()


@given(paths)
def test_percent_escapes_come_out_byte_for_byte_as_they_came_in(raw: str) -> None:
    once = accepted(raw)
    if once is not None:
        escapes = [raw[at : at + 3] for at in range(len(raw)) if raw[at] == "%"]
        rest = once
        for escape in escapes:
            assert escape in rest
            rest = rest[rest.index(escape) + 3 :]


@given(st.lists(st.from_regex(r"[A-Za-z0-9_~-][A-Za-z0-9._~:@!$&'()*+,=-]{0,8}", fullmatch=True), max_size=6))
def test_plain_paths_are_untouched(segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    assert canonical(path) == path


@given(st.binary(max_size=40))
def test_a_query_is_refused_or_forwarded_in_plain_ascii(raw: bytes) -> None:
    try:
        query = check_query(raw.decode("utf-8", "surrogateescape"))
    except BadPathError:
        assert set(raw) & {*range(0x21), 0x7F, ord("#")}
        return
    assert query.isascii()
    assert unquote_to_bytes(query) == unquote_to_bytes(raw)
    if raw.isascii():
        assert query == raw.decode()


@pytest.mark.parametrize("layers", range(1, MOST_LAYERS + 2))
@pytest.mark.parametrize("bad", ["..", ".", "/", "\\", "\x00", "\n", "\x7f", "?", "#", "a/b", "..;x", ".;"])
def test_what_could_be_misread_is_refused_in_every_depth_of_encoding(bad: str, layers: int) -> None:
    assert accepted(f"/build/{encoded(bad, layers)}/x") is None


@pytest.mark.parametrize(
    "path",
    [
        "/..", "/build/..", "/build/../core", "/build/%2e%2E/core", "/build/.%2e/core", "/build/%2e./core",
        "/build/.", "/build/./x", "/core/..;/build", "/core/..;v=1/build", "/core/%2e%2e%3b/build",
        "/core%2fbuild", "/core%2Fbuild", "/core%5cbuild", "/core\\build", "/core/a%00b", "/core/a%0d%0ab",
        "/core/%7f", "/core%3fx", "/core%23x", "/core#x", "//build", "/build//x", "/build%252e%252e/x%252fy",
        "/core/%c0%ae%c0%ae/build", "/core/%ff", "/core/%ed%a0%80", "/core/%u002e", "/core/%", "/core/%2", "/core/%zz",
        "build", "", "http://evil.test/build", "*", "/build/%25252525252525252541",
    ],
)  # fmt: skip
def test_the_known_tricks_are_refused(path: str) -> None:
    assert accepted(path) is None


@pytest.mark.parametrize(
    ("path", "forwarded"),
    [
        ("/", "/"),
        ("/build/", "/build/"),
        ("/build/a%20b", "/build/a%20b"),
        ("/build/%e2%82%ac", "/build/%e2%82%ac"),
        ("/build/%E2%82%AC", "/build/%E2%82%AC"),
        ("/build/€", "/build/%E2%82%AC"),
        ("/build/a b", "/build/a%20b"),
        ("/build/100%25", "/build/100%25"),
        ("/build/%2541", "/build/%2541"),
        ("/build/a;b=1", "/build/a;b=1"),
        ("/build/...", "/build/..."),
        ("/build/.well-known", "/build/.well-known"),
        ("/build/a..b", "/build/a..b"),
        ('/build/"<>^`{|}', "/build/%22%3C%3E%5E%60%7B%7C%7D"),
    ],
)
def test_what_can_be_read_in_one_way_goes_through(path: str, forwarded: str) -> None:
    assert canonical(path) == forwarded


def test_a_path_under_eight_layers_of_encoding_is_more_than_anybody_can_mean() -> None:
    assert accepted("/a" + "%25" * 1 + "41") is not None
    assert accepted("/%" + "25" * (MOST_LAYERS - 2) + "41") is not None
    assert accepted("/%" + "25" * (MOST_LAYERS + 1) + "41") is None


@pytest.mark.parametrize("query", ["a=b c", "a=\n", "a#b", "a=\x7f", "\x00"])
def test_a_query_with_a_space_a_fragment_or_a_control_character_is_refused(query: str) -> None:
    with pytest.raises(BadPathError):
        check_query(query)


@pytest.mark.parametrize(
    ("query", "forwarded"),
    [
        ("", ""),
        ("a=1&a=2&b", "a=1&a=2&b"),
        ("x=%2e%2e%2f&y=%5C", "x=%2e%2e%2f&y=%5C"),
        ("q=é", "q=%C3%A9"),
        ("a[]=1|2", "a[]=1|2"),
        ("%zz", "%zz"),
    ],
)
def test_a_query_keeps_its_bytes_and_its_order(query: str, forwarded: str) -> None:
    assert check_query(query) == forwarded


# ------------------------------------------------------------------------------------- the same, seen from outside


@pytest.mark.parametrize("path", ["/buildings", "/build-x", "/buildx/y", "/BUILD", "/Build/x", "/build%78", "/%62uild"])
def test_buildings_is_not_build(path: str) -> None:
    """A prefix ends where its segment ends, and case and encoding count: `/buildings` opened `/build` once."""
    kit = FakeKit()
    reply = run(gateway(metacogna(), kit)(a_call(path)))
    assert (reply.status, body_of(reply)["code"]) == (404, "NOT_FOUND")
    assert kit.upstream.sent == []


@pytest.mark.parametrize(
    "path", ["/kv/../core", "/kv/%2e%2e/core", "/kv/..%2fcore", "/kv/%252e%252e/core", "/kv\\..\\core", "/kv/%C3\udca9"]
)
def test_a_path_that_leads_elsewhere_never_reaches_an_upstream(path: str) -> None:
    kit = FakeKit()
    reply = run(gateway(metacogna(), kit)(a_call(path)))
    assert (reply.status, body_of(reply)["code"]) == (400, "BAD_PATH")
    assert kit.upstream.sent == []


@given(paths)
def test_what_reaches_an_upstream_is_what_was_matched(raw: str) -> None:
    upstream = FakeUpstream()
    reply = run(gateway(metacogna(), FakeKit(upstream))(a_call("/kv" + raw)))
    assert reply.status in {200, 400, 404}
    for outbound in upstream.sent:
        assert outbound.url.startswith("http://kv.test/base/")
        assert "/kv" + outbound.url.removeprefix("http://kv.test/base").removesuffix("/") in {
            canonical("/kv" + raw),
            canonical("/kv" + raw).removesuffix("/"),
        }
