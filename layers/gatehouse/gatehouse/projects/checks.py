"""The kinds of value that project files hold, each with the sentence that says what was expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

import voluptuous as vol

from gatehouse.durations import seconds
from gatehouse.function_names import PREFIX, SCHEME, parsed
from gatehouse.projects.schema import listing, mapping, matching, text
from gatehouse.templates import UNSAYABLE

MOST_DAYS = 365
NAME = r"[A-Za-z0-9_-]{1,64}"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
RESERVED = frozenset({"auth", ".well-known", "ping", "ready", "metrics"})
"""First segments of the paths that belong to the gateway's other functions."""

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+")
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+")
"""RFC 3986 section 3.3."""
_PLACE = re.compile(r"\{(?:organization|user)\}")
name = matching(NAME, "a name of letters, digits, '_' and '-' (at most 64)")
header = matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", "the name of a header")
cookie = matching(
    r"(?!__Secure-)[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}",
    "the name of a cookie, without __Secure- (its twin of that name counts as well)",
)
token_cookie = matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", "the name of a cookie")
prefix = matching(r"[A-Za-z0-9._~-]{1,64}", "the beginning of keys, like crow_: letters, digits and . _ ~ -")
path = matching(
    r"/|(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~-]|\{version\})+)+",
    "a path like /build or /api/v{version}/products: letters, digits, . _ ~ - and {version}, with no slash at its end",
)
origin = matching(
    r"\*|https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?",
    "an origin like https://app.example.com (lower-case, with no path), or *",
)
health = matching(
    r"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+/?",
    "a path of the upstream like /api/health: letters, digits, . _ ~ and -, with no query",
)
_PUBLIC = matching(
    rf"(?:{'|'.join(METHODS)}) /(?:(?!\.{{1,2}}(?:/|\Z))[A-Za-z0-9._~-]+(?:/(?!\.{{1,2}}(?:/|\Z))[A-Za-z0-9._~-]+)*)?",
    "a method and one exact path below the route, like 'GET /health'; there are no patterns here",
)
_LOCAL = re.compile(r"(https?://(?:localhost|127\.0\.0\.1|\[::1\])):(?:\[([0-9]{1,5})-([0-9]{1,5})\]|([0-9]{1,5}))")
MOST_LOCAL_PORTS = 1000
MOST_BODY = 10 * 1024 * 1024
_MODEL = matching(r"[!-)+-~]{1,127}\*?|\*", "the name of a model, or its beginning and a '*'")
_MODEL_PATH = matching(
    r"/|(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~:-]+)+(?:/\*)?",
    "a path below the route, like /v1/chat/completions or /v1/*",
)


def public(value: Any) -> tuple[str, str]:
    """Take a request that needs no credential, as its method and its path below the route."""
    method, _, below = _PUBLIC(value).partition(" ")
    return method, below


def local_origins(value: Any) -> tuple[str, ...]:
    """Take origins on this machine, with ports one by one or in ranges, as every single origin."""
    made = [one for item in listing(text)(value) for one in _local(item)]
    if len(made) > MOST_LOCAL_PORTS:
        raise vol.Invalid(f"expected at most {MOST_LOCAL_PORTS} ports in all")
    return tuple(dict.fromkeys(made))


def _local(item: str) -> Iterator[str]:
    form = _LOCAL.fullmatch(item)
    if form is None:
        raise vol.Invalid(
            f"'{item}' is not an origin on this machine, like http://localhost:3000 or http://localhost:[3000-3002]"
        )
    first, last = int(form[2] or form[4]), int(form[3] or form[4])
    if not 0 < first <= last < 65_536:  # noqa: PLR2004  # the highest port is 65535
        raise vol.Invalid(f"'{item}' has no ports from the lower to the higher one")
    if last - first >= MOST_LOCAL_PORTS:
        raise vol.Invalid(f"expected at most {MOST_LOCAL_PORTS} ports in all")
    return (f"{form[1]}:{port}" for port in range(first, last + 1))


def duration(value: Any) -> float:
    """Take a duration, as seconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise vol.Invalid(f"a duration needs a unit: write {value}s, or another of ms, s, m, h, d")
    try:
        return seconds(text(value))
    except ValueError as error:
        raise vol.Invalid(str(error)) from error


def lifetime(value: Any) -> float:
    """Take a duration of at least a second and at most a year, as seconds."""
    length = duration(value)
    if not 1 <= length <= MOST_DAYS * 86_400:
        raise vol.Invalid(f"expected a duration between 1s and {MOST_DAYS}d")
    return length


def one_or_more(item: Any) -> Any:
    """Take one *item* or a list of them, as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(vol.Schema([item])(values))

    return check


def upstream(value: Any) -> str | None:
    """Take an address to forward to, or a Lambda function; None where the variable that holds it is not set."""
    if value is None:
        return None
    address = text(value)
    return _function(address) if address.startswith(PREFIX) else _address(address)


def _function(address: str) -> str:
    """Take `lambda:<name>`, as `lambda://<name>`."""
    named = parsed(address.removeprefix(PREFIX))
    if named is None:
        raise vol.Invalid(
            f"'{address}' is not a Lambda function: write lambda:name, with :alias or :version behind it if need be, "
            "or lambda: and the function's ARN"
        )
    return f"{SCHEME}{named}"


def _address(address: str) -> str:
    """Take an address on the web.

    It is configuration alone that says where requests go, so it may hold no credentials, query or fragment.
    """
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "") and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not address.isascii() or any(char.isspace() for char in address):
        raise vol.Invalid(
            f"'{address}' is not an address: write http://host:port or https://host, with a path if need be"
        )
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in address or "#" in address:
        raise vol.Invalid(f"'{parts.scheme}://{parts.hostname}' may have no credentials, query or fragment here")
    return address.rstrip("/")


def service(value: Any) -> str | None:
    """Take the address of a service that is asked about callers; None where the variable that holds it is not set."""
    if value is None:
        return None
    address = _joined(text(value))
    _service(address)
    return address


def service_with(name: str) -> Any:
    """Return the check of such an address with the place *name* in it, like `/users/{user}`, never in its host."""

    def check(value: Any) -> str | None:
        if value is None:
            return None
        address = _joined(text(value))
        host, path = _parted(address)
        if f"{{{name}}}" not in path:
            raise vol.Invalid(f"expected an address with {{{name}}} in its path or query")
        _service(host + _PLACE.sub("x", path))
        return address

    return check


def _joined(address: str) -> str:
    """Return *address* with one slash where a variable that ends with one meets a path that begins with one."""
    where, mark, query = address.partition("?")
    host, path = _parted(where)
    return host + re.sub("/{2,}", "/", path) + mark + query


def _parted(address: str) -> tuple[str, str]:
    """Return what *address* says of the host, and the rest, from its first slash on."""
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host, slash + path


def _service(address: str) -> None:
    where, mark, query = address.partition("?")
    _address(where)
    path = _parted(where)[1]
    if not path:
        raise vol.Invalid(f"'{where}' has no path: write the whole address that is asked")
    if not _PATH.fullmatch(path):
        raise vol.Invalid(f"'{where}' has a path that no address can have; percent-encode what is special in it")
    if mark and not re.fullmatch(r"[A-Za-z0-9._~=&%-]*", query):
        raise vol.Invalid("the query of an address that is asked may hold letters, digits and . _ ~ = & % -")


def variable(value: Any) -> str | None:
    """Take a text; None where the variable that holds it is not set."""
    return None if value is None else text(value)


def audiences(value: Any) -> tuple[str, ...] | None:
    """Take an audience or a list of them, as a tuple; None where the variable that holds one of them is not set."""
    if value is None or (isinstance(value, list) and None in value):
        return None
    return tuple(listing(text, least=1)(value if isinstance(value, list) else [text(value)]))


def keeping(value: Any) -> float:
    """Take for how long an answer is kept: at most an hour, as seconds; `0s` for not at all."""
    return 0.0 if value == "0s" else _between(value, 0, 3600, "1h")


def fresh(value: Any) -> float:
    """Take for how long an answer counts as fresh: at most a week, as seconds; `0s` for only if it says so itself."""
    return 0.0 if value == "0s" else _between(value, 0, 7 * 86_400, "7d")


def model(value: Any) -> str:
    """Take the name of a model, or the beginning of names with a `*` after it."""
    return str(_MODEL(value))


def model_path(value: Any) -> str:
    """Take a path below a route; `/*` at its end is everything below it."""
    return str(_MODEL_PATH(value))


def most_body(value: Any) -> int:
    """Take how long a body may be, in bytes."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_BODY:
        raise vol.Invalid(f"expected a number of bytes from 1 to {MOST_BODY}")
    return value


def budget_time(value: Any) -> float:
    """Take the time of a budget: whole seconds, up to 31 days."""
    length = _between(value, 1, 31 * 86_400, "31d")
    if length != int(length):
        raise vol.Invalid("expected whole seconds")
    return length


def signs(value: Any) -> float:
    """Take how often a silent stream shows that it lives: a second to half a minute, as seconds."""
    return _between(value, 1, 30, "30s")


def stream(value: Any) -> float:
    """Take how long a stream may be silent or last: a second to a quarter of an hour, as seconds."""
    return _between(value, 1, 900, "15m")


def stale(value: Any) -> float:
    """Take for how long an answer may be given that is not fresh any more: at most a day, as seconds."""
    return 0.0 if value == "0s" else _between(value, 0, 86_400, "24h")


def keys_fresh(value: Any) -> float:
    """Take for how long the keys of an issuer count as fresh: five minutes to a day, as seconds."""
    return _between(value, 300, 86_400, "24h")


def visit(value: Any) -> float:
    """Take how long a visitor's token is good: a minute to a day, as seconds."""
    return _between(value, 60, 86_400, "24h")


def _between(value: Any, least_s: float, most_s: float, most: str) -> float:
    length = duration(value)
    if not least_s <= length <= most_s:
        raise vol.Invalid(f"expected a duration from {least_s:.0f}s to {most}")
    return length


def allowed(value: Any) -> tuple[str, ...]:
    """Take what a claim may be: a text, or a list of them."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) and one for one in values):
        raise vol.Invalid("expected a text or a list of texts; quote what YAML takes for a number, true or false")
    if len(set(values)) < len(values):
        raise vol.Invalid("expected no item twice")
    return tuple(values)


def set_header(value: Any) -> Any:
    """Take the value of a header to set: a text, or a mapping that is sent as JSON."""
    if isinstance(value, dict):
        return mapping(_json_value)(value)
    value = text(value)
    if any(char in value for char in "\r\n\0"):
        raise vol.Invalid("a header cannot hold a line break")
    if UNSAYABLE.search(value):
        raise vol.Invalid("a header cannot hold a control character")
    return value


def _json_value(value: Any) -> Any:
    if isinstance(value, str | int) or (isinstance(value, float) and isfinite(value)):
        return value
    raise vol.Invalid("expected a text, a number, true or false")
