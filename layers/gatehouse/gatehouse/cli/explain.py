"""`explain`: what the gateway would do with a request, and why. It needs no AWS, and sends nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from gatehouse.cli.explanation import explained, request
from gatehouse.cli.options import Folder, anywhere
from gatehouse.cli.output import Said, facts
from gatehouse.cli.place import environment, projects_folder, running
from gatehouse.cli.problems import MisuseError
from gatehouse.headers import Headers, Pair
from gatehouse.projects import load
from gatehouse.settings import REVOCATION_REFRESH_S

STAGED = re.compile(r"\.execute-api\.[a-z0-9-]+\.amazonaws\.com(\.cn)?(:\d+)?")
STDIN = "-"
OURS = frozenset({"login", "guest", "service"})
"""The kinds of callers that the gateway's own tokens name; the others are asked about elsewhere."""
ORGANIZATIONS = {
    "required": "who names none, or one that is not confirmed, is refused",
    "optional": "who names none passes without one; who names one that is not confirmed is refused",
    "none": "nobody is asked, and none is named to the upstream",
}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Method = Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, …")]
Url = Annotated[
    str, typer.Argument(metavar="URL", help="A path like /build/x?y=1, or a whole URL: its host is left out.")
]
Header = Annotated[
    list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header, as for curl.")
]
Token = Annotated[
    str, typer.Option("--token", metavar="TOKEN", help="A bearer token; '-' takes it from standard input.")
]
Local = Annotated[
    bool, typer.Option("--local", help="With the folder and the upstreams of what 'make run' has running.")
]


@anywhere
def explain(
    method: Method,
    url: Url,
    header: Header = None,
    token: Token = "",
    projects: Folder = None,
    local: Local = False,
) -> Said:
    """Say what the gateway would do with a request: which route and why, who may call, what goes upstream.

    Nothing is sent, and no signature or revocation is looked at: a token is taken at its word.
    """
    verb = _method(method)
    place = running(os.environ) if local else None
    folder = projects or (place.settings.projects_dir if place else projects_folder(None, os.environ))
    if not Path(folder).is_dir():
        raise MisuseError(f"there is no folder {folder}; say --projects DIR: the folder with the project files")
    with environment(place.environ if place else {}):
        loaded = load(folder, os.environ)
    scheme, host, path, query, stage = _parts(url, "http" if place else "https")
    fields = _headers(header or [], token, host)
    call = request(verb, path, query, fields, scheme=scheme)
    document = {"host": host or None, "stage": stage or None, **explained(loaded, call)}
    return Said(document=document, text=facts(_lines(document)))


def _method(method: str) -> str:
    if not _TOKEN.fullmatch(method):
        raise MisuseError("the method comes first, then the URL: explain GET /build/x")
    return method.upper()


def _parts(url: str, scheme: str) -> tuple[str, str, str, str, str]:
    """Return scheme, host, path, query and stage of *url*, as a client would send them: byte for byte.

    A path alone is asked for by *scheme*.
    """
    bare = url.partition("#")[0]
    whole = re.match(r"(https?)://([^/?]*)(.*)", bare, re.IGNORECASE | re.DOTALL)
    scheme, host, rest = (whole[1].lower(), whole[2], whole[3]) if whole else (scheme, "", bare)
    path, _, query = rest.partition("?")
    if not whole and not path.startswith("/"):
        raise MisuseError("a URL begins with / or with https://")
    stage = ""
    if STAGED.search(host):  # the stage is part of the address there, and not of the path that functions see
        stage, _, path = path.lstrip("/").partition("/")
        path = f"/{path}"
    return scheme, host.rpartition("@")[2], path or "/", query, stage


def _headers(given: list[str], token: str, host: str) -> Headers:
    pairs = [*_pairs(given)]
    names = {name for name, _ in pairs}
    if token and "authorization" in names:
        raise MisuseError("--token and an Authorization header are two credentials: say one of them")
    if token:
        text = sys.stdin.readline().strip() if token == STDIN else token
        pairs.append(("authorization", f"Bearer {text}".encode("utf-8", "replace").decode("latin-1")))
    if host and "host" not in names:
        pairs.insert(0, ("host", host))
    return Headers(tuple(pairs))


def _pairs(given: list[str]) -> Iterator[Pair]:
    for one in given:
        name, colon, value = one.partition(":")
        if not colon or not _TOKEN.fullmatch(name.strip()):
            raise MisuseError("a header is written as 'Name: value'")
        yield name.strip().lower(), value.strip().encode("utf-8", "surrogateescape").decode("latin-1")


def _lines(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    query = f"?{document['query']}" if document["query"] else ""
    yield "request", f"{document['method']} {document['path']}{query}"
    if document["host"]:
        stage = f" and the stage '{document['stage']}'" if document["stage"] else ""
        yield "", f"(left out: the host {document['host']}{stage})"
    if document["canonical"] not in {None, document["path"]}:
        yield "path", f"{document['canonical']} is matched and forwarded"
    if document["route"]:
        yield from _route(document["route"])
        yield from _callers(document["callers"])
        yield from (("limit", _limit(one)) for one in document["limits"])
    yield "outcome", _outcome(document["outcome"])
    if document["route"]:
        if document["outcome"]["kind"] != "forwarded":
            yield "", "if it were let through, this would be sent:"
        yield from _upstream(document["upstream"])
    for miss in document["near"]:
        yield "near", f"{miss['path']} ({miss['route']} of {miss['project']}) {miss['why']}"


def _route(route: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "route", f"{route['name']} of {route['project']}, by {route['path']}: the longest path that matches"
    for other in route["others"]:
        yield "", f"{other['path']} ({other['name']} of {other['project']}) matches too, and comes after it"
    yield "methods", ", ".join(route["methods"])


def _callers(callers: dict[str, Any]) -> Iterator[tuple[str, str]]:
    meanings = {
        "required": "required: without a credential nobody gets through",
        "optional": "optional: without a credential anybody gets through, a bad one is refused",
        "none": "none: nobody is asked who they are",
    }
    if callers["public"]:
        yield "auth", "public: this method and path need no credential, and nobody looks at one"
        return
    yield "auth", meanings[callers["auth"]]
    for number, one in enumerate(callers["accept"], 1):
        where = f": {one['header']} …, of {one['issuer']} for {one['audience']}" if "header" in one else ""
        where = where or (f": {one['what']}" if "what" in one else "")
        sent = {True: "; this request has one", False: "; this request has none"}.get(one.get("sent"), "")
        yield "credential", f"{number}. {one['name']}{where}{sent}"
    identity = callers["identity"]
    if identity:
        scopes = ", ".join(identity["scopes"]) or "none"
        until = f"until {identity['expiresAt']}, " if identity["expiresAt"] else ""
        good = "if the signature is good" if identity["kind"] in OURS else "if the credential is good"
        yield "caller", f"{identity['subject']} ({identity['kind']}; scopes: {scopes}), {until}{good}"
    met = {True: "so it is", False: "it is not", None: ""}
    for claim in callers["claims"]:
        state = met[claim["met"]]
        yield "claims", f"{claim['name']} must be {' or '.join(claim['allowed'])}{f': {state}' if state else ''}"
    if callers["organization"]:
        yield "organization", f"{callers['organization']}: {ORGANIZATIONS[callers['organization']]}"
    if callers["revocation"]:
        late = (
            "asked for every request"
            if callers["revocation"] == "strict"
            else f"at most {REVOCATION_REFRESH_S:g} s late, or as REVOCATION_REFRESH_S says"
        )
        yield "revocation", f"{callers['revocation']}: {late}"


def _limit(limit: dict[str, Any]) -> str:
    shadow = "; in the shadow: it counts, and refuses nothing" if limit["shadow"] else ""
    often = f"{limit['requests']} in {limit['perSeconds']:g} s, {limit['burst']} at once"
    return f"{limit['name']}: {often}, counted by {limit['by']}{shadow}"


def _upstream(upstream: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "upstream", upstream["url"] or f"{upstream['path']}, of a service whose address (a variable) is not set here"
    for field in upstream["kept"]:
        yield "kept", f"{field['name']}: {field['value']}"
    for field in upstream["removed"]:
        yield "removed", f"{field['name']}: {field['why']}"
    for field in upstream["added"]:
        yield "added", f"{field['name']}: {field['value']}"
    for field in upstream["unfilled"]:
        yield "not added", f"{field['name']}: {field['value']} (there is nothing to fill it with)"


def _outcome(outcome: dict[str, Any]) -> str:
    if outcome["kind"] == "forwarded":
        return f"forwarded{outcome['if']}; the upstream answers"
    if outcome["kind"] == "own":
        return str(outcome["message"])
    if outcome["kind"] == "answered":
        return f"{outcome['status']}, by the gateway itself (a preflight, RFC 9110 section 9.3.7)"
    allow = f" Allow: {outcome['allow']}" if outcome["allow"] else ""
    return f"{outcome['status']} {outcome['code']}: {outcome['message']}{allow}"
