"""Which header fields may pass, inward to an upstream and outward to a client.

Names are compared in one spelling (lower-case, `_` and `.` as `-`): many servers treat those spellings
as one, and that is how identity headers have been smuggled past gateways (CVE-2025-64484).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from gatehouse.errors import InvalidRequestError
from gatehouse.headers import Headers, Pair

HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "trailers", "transfer-encoding", "upgrade",
})  # fmt: skip
"""RFC 9110 section 7.6.1, and the ones that never became part of it."""

OURS_TO_SAY = frozenset({
    "authorization", "cf-aig-authorization", "cf-connecting-ip", "cf-connecting-ipv6", "client-ip", "content-length",
    "expect",
    "fastly-client-ip", "forwarded", "front-end-https", "host", "proxy", "true-client-ip", "x-amzn-lambda-context",
    "x-amzn-request-context", "x-client-ip", "x-cluster-client-ip", "x-forwarded", "x-host", "x-http-method",
    "x-http-method-override", "x-method-override", "x-middleware-subrequest", "x-organization-id",
    "x-original-host", "x-original-method", "x-original-uri", "x-original-url", "x-originating-ip",
    "x-http-path-override", "x-proxyuser-ip", "x-real-ip", "x-remote-addr", "x-remote-ip", "x-request-id",
    "x-rewrite-url", "x-scheme", "x-script-name", "x-url-scheme", "x-user-id",
})  # fmt: skip
"""Fields that only the gateway may tell an upstream, and credentials, which end here."""

OURS_BY_PREFIX = (
    "x-forwarded-", "x-gateway-", "x-internal-", "x-envoy-", "x-auth-request-", "x-amzn-oidc-",
    "x-goog-authenticated-user-", "x-azure-clientip", "x-azure-socketip", "cf-access-", "cf-pseudo-",
)  # fmt: skip
OURS_BY_SUFFIX = ("-client-ip", "-forwarded-for", "-forward-for", "-user-ip", "-remote-addr", "remote-user")

NEVER_SET = frozenset({
    "content-length", "cookie2", "expect", "forwarded", "host", "http2-settings", "set-cookie", "set-cookie2",
    "x-forwarded", "x-gateway-route", "x-http-method", "x-http-method-override", "x-method-override",
    "x-original-method", "x-original-url", "x-request-id", "x-rewrite-url",
})  # fmt: skip
"""What no project file may have an upstream told: how the request is framed, which one it is, what we say anyway."""

SINGLE = frozenset({"authorization", "content-length", "content-type", "host"})
"""Fields that decide something, and so may be said only once (RFC 9110 section 5.3)."""

MOST_NAME_BYTES = 256
LEAST_STATUS, MOST_STATUS = 200, 599
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]*)(?::[0-9]{0,5})?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.6.2."""


@lru_cache(maxsize=4096)
def spelling(name: str) -> str:
    """Return the one spelling of *name* that names are compared in."""
    return name.lower().replace("_", "-").replace(".", "-")


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def barred(name: str) -> str:
    """Return why no client's field called *name* passes to an upstream; empty if one may."""
    known = spelling(name)
    if known in HOP_BY_HOP:
        return "is for the next hop alone"
    if known in OURS_TO_SAY or known.startswith(OURS_BY_PREFIX) or known.endswith(OURS_BY_SUFFIX):
        return "is for the gateway to say"
    return ""


def spelled(headers: Headers, names: Iterable[str]) -> list[str]:
    """Return every value under *names* in *headers*, in whatever spelling: what some server reads as one is one."""
    wanted = {spelling(name) for name in names}
    return [value for name, value in headers.pairs if spelling(name) in wanted]


def may_be_set(name: str) -> bool:
    """Say whether a project file may set the field called *name* for an upstream.

    It may not say what frames or addresses the request, and not what the gateway says on every route.
    """
    known = spelling(name)
    return not (known in HOP_BY_HOP or known in NEVER_SET or known.startswith("x-forwarded-"))


def nominated(headers: Headers) -> frozenset[str]:
    """Return the names that `Connection` makes hop-by-hop, in their one spelling."""
    return frozenset(spelling(option.strip()) for value in headers.get_all("connection") for option in value.split(","))


def inward(headers: Headers, ours: tuple[Pair, ...], withheld: frozenset[str] = frozenset()) -> list[Pair]:
    """Return what an upstream is sent: the client's fields that may pass, then *ours*.

    Whatever *ours* names is removed from the client's fields first, in every spelling, and so is what
    *withheld* names (in the one spelling): the gateway may have nothing to say there, but nobody else has.
    *ours* is added after the hop-by-hop fields are gone, so `Connection` cannot nominate it away (CVE-2024-45410).
    """
    dropped = nominated(headers) | withheld | {spelling(name) for name, _ in ours}
    kept = [pair for pair in headers.pairs if not barred(pair[0]) and spelling(pair[0]) not in dropped]
    kept.extend(ours)
    return kept


def removed(
    headers: Headers, said: frozenset[str], credentials: frozenset[str] = frozenset()
) -> tuple[tuple[str, str], ...]:
    """Return the client's fields that `inward` leaves out, each name with the reason in words.

    *said* is what the gateway says itself, or would if it had something to say; *credentials* is where callers prove
    who they are: both in the one spelling.
    """
    options = nominated(headers)

    def why(name: str) -> str:
        if spelling(name) in said:
            return "is set by the gateway on this route"
        if spelling(name) in credentials:
            return "may be a credential, and stays at the gateway"
        return barred(name) or ("is named by Connection" if spelling(name) in options else "")

    return tuple((name, why(name)) for name, _ in headers if why(name))


def outward(headers: Headers) -> Headers:
    """Return what a client is sent of an upstream's fields; repeated ones stay repeated."""
    dropped = HOP_BY_HOP | nominated(headers)
    return Headers(tuple(pair for pair in headers.pairs if spelling(pair[0]) not in dropped))


def sayable(status: int, headers: Headers) -> bool:
    """Say whether an upstream's answer can be said again: a server refuses it when it is too late for our error."""
    return LEAST_STATUS <= status <= MOST_STATUS and not any(
        _CONTROL.search(value) or not _is_name(name) for name, value in headers.pairs
    )


def check_request(headers: Headers) -> None:
    """Refuse fields that two servers could read in two ways.

    Raises:
        InvalidRequestError: a field that decides something was said twice, differently, a name is no
            token, or a value is not UTF-8 or holds a control character (RFC 9110 section 5.5).
    """
    said: dict[str, str] = {}
    for name, value in headers.pairs:
        if len(name) > MOST_NAME_BYTES:  # before it is remembered in any spelling
            raise InvalidRequestError(f"A header has a name of more than {MOST_NAME_BYTES} bytes; send a shorter one.")
        if spelling(name) in SINGLE and said.setdefault(spelling(name), value) != value:
            raise InvalidRequestError(f"The header '{name}' was sent more than once; send it once.")
        if not _is_name(name):
            raise InvalidRequestError("A header has a name that is none (RFC 9110 section 5.6.2).")
        if value.isascii() and value.isprintable():
            continue
        if _CONTROL.search(value) or not _is_utf8(value):
            raise InvalidRequestError(f"The header '{name}' holds bytes that a header cannot hold; use UTF-8.")
    if not _HOST.fullmatch(headers.get("host")):
        raise InvalidRequestError("The Host header is not a host name, with a port if need be.")


def _is_utf8(value: str) -> bool:
    try:
        value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return False
    return True
