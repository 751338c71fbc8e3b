"""Nobody but the gateway tells an upstream who is calling, whatever the spelling."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatehouse.errors import InvalidRequestError
from gatehouse.headers import Headers, Pair
from gatehouse.hygiene import HOP_BY_HOP, check_request, inward, outward, spelling

IDENTITY = [
    "authorization", "x-user-id", "x-organization-id", "x-internal-key", "x-internal-anything", "x-gateway-route",
    "x-gateway-project", "x-gateway-jti", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-prefix", "x-forwarded-user", "forwarded", "x-real-ip", "client-ip", "true-client-ip",
    "cf-connecting-ip", "x-client-ip", "x-cluster-client-ip", "fastly-client-ip", "x-original-url", "x-rewrite-url",
    "x-scheme", "x-url-scheme", "x-script-name", "x-http-path-override", "front-end-https", "cf-aig-authorization",
    "x-request-id", "x-envoy-original-path", "host", "content-length", "transfer-encoding", "connection",
    "proxy-authorization", "te", "upgrade", "keep-alive",
]  # fmt: skip
OURS: tuple[Pair, ...] = (
    ("x-forwarded-for", "192.0.2.7"),
    ("x-request-id", "ours"),
    ("x-gateway-route", "BUILD"),
    ("X-Custom_Identity.Of-Ours", "ours"),
)


def respelled(name: str, seed: int) -> str:
    """*name* in another case, with its dashes as underscores or dots: other servers read the same name."""
    dice = random.Random(seed)
    return "".join(dice.choice("-_.") if char == "-" else dice.choice((char, char.upper())) for char in name)


smuggled = st.builds(respelled, st.sampled_from(IDENTITY), st.integers(0, 2**32))
harmless = st.sampled_from(["accept", "content-type", "x-api-version", "traceparent", "user-agent", "cookie"])
fields = st.lists(st.tuples(st.one_of(smuggled, harmless), st.sampled_from(["evil", "1", ""])), max_size=12)


@given(fields, st.lists(st.one_of(smuggled, harmless, st.just("x-custom_identity-of.ours")), max_size=4))
def test_no_spelling_of_an_identity_header_survives_and_ours_always_arrive_once(
    sent: list[Pair], nominated: list[str]
) -> None:
    # The edge makes names lower-case; here they come as they are, which is harder.
    headers = Headers((*sent, ("connection", ", ".join(nominated)), ("X-Custom-Identity_Of-Ours", "evil")))
    arrived = inward(headers, OURS)
    for pair in OURS:
        assert arrived.count(pair) == 1
    theirs = [(name, value) for name, value in arrived if (name, value) not in OURS]
    forbidden = {*IDENTITY, *(spelling(name) for name, _ in OURS)}
    assert not [name for name, _ in theirs if spelling(name) in forbidden]


@given(st.lists(st.sampled_from(["x-forwarded-for", "x-gateway-route", "X_Request.Id", "close"]), min_size=1))
def test_connection_cannot_nominate_our_headers_away(nominated: list[str]) -> None:
    arrived = inward(Headers((("connection", ",".join(nominated)),)), OURS)
    assert arrived == list(OURS)


@pytest.mark.parametrize("option", ["x-api-version", "X-API-Version", " x_api_version ", "close,x-api.version"])
def test_what_connection_names_stays_at_the_gateway(option: str) -> None:
    headers = Headers((("connection", option), ("x-api-version", "2"), ("accept", "*/*")))
    assert inward(headers, ()) == [("accept", "*/*")]


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_pass_in_neither_direction(name: str) -> None:
    headers = Headers(((name, "x"), ("etag", "1")))
    assert inward(headers, ()) == [("etag", "1")]
    assert outward(headers).pairs == (("etag", "1"),)


def test_repeated_fields_of_an_answer_stay_repeated_and_in_order() -> None:
    headers = Headers((("set-cookie", "a=1"), ("connection", "x-hop"), ("x-hop", "1"), ("set-cookie", "b=2")))
    assert outward(headers).pairs == (("set-cookie", "a=1"), ("set-cookie", "b=2"))


def test_what_may_pass_goes_inward_in_its_order_with_its_repetitions() -> None:
    kept = (("accept", "a"), ("traceparent", "00-1-2-01"), ("x-tag", "1"), ("x-tag", "2"), ("cookie", "theme=dark"))
    assert inward(Headers(kept), ()) == list(kept)


@pytest.mark.parametrize("name", ["authorization", "content-type", "host", "content-length"])
def test_a_field_that_decides_something_is_taken_once(name: str) -> None:
    check_request(Headers(((name, "1"), (name, "1"))))
    with pytest.raises(InvalidRequestError, match=name):
        check_request(Headers(((name, "1"), ("accept", "*/*"), (name, "2"))))


@pytest.mark.parametrize(
    "value", ["a\r\nx-user-id: 1", "a\nb", "a\rb", "a\x00b", "a\x7fb", "\x1b[2J", "\xff", "\xc3", "é"]
)
def test_a_value_that_no_header_can_hold_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_request(Headers((("x-note", value),)))


@pytest.mark.parametrize("value", ["", "plain", "a\tb", "naïve €".encode().decode("latin-1")])
def test_a_value_of_printable_utf8_is_taken(value: str) -> None:
    check_request(Headers((("x-note", value),)))


@pytest.mark.parametrize("name", ["", " ", "a b", "x-note:", "a\r\nb", "a\x00", "(x)", "é", "x-note "])
def test_a_name_that_is_not_a_token_is_refused(name: str) -> None:
    """An empty name once hid what came after it (CVE-2023-25725)."""
    with pytest.raises(InvalidRequestError):
        check_request(Headers(((name, "1"),)))


@given(st.lists(st.tuples(st.text(max_size=5), st.text(st.characters(max_codepoint=255), max_size=8)), max_size=5))
def test_any_fields_are_taken_or_refused_as_an_invalid_request(sent: list[Pair]) -> None:
    try:
        check_request(Headers(tuple(sent)))
    except InvalidRequestError:
        return
    for _, value in inward(Headers(tuple(sent)), ()):
        assert not set(value) & set("\r\n\0")


@pytest.mark.parametrize(("length", "passes"), [(256, True), (257, False), (60_000, False)])
def test_a_name_that_is_too_long_to_be_remembered_is_refused(length: int, passes: bool):
    headers = Headers((("x" * length, "1"),))
    if passes:
        check_request(headers)
    else:
        with pytest.raises(InvalidRequestError, match="send a shorter one"):
            check_request(headers)
