"""The OpenAPI 3.1 document of the gateway's own addresses, made from the models that they use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gatehouse import token_ids
from gatehouse.api import answers, forms
from gatehouse.errors import REALM
from gatehouse.projects import Projects

VERSION = "1.0.0"
REF = "#/components/schemas/{model}"
JSON, JWKS, PROBLEM = "application/json", "application/jwk-set+json", "application/problem+json"
ALWAYS = (400, 405, 413, 500)
TOKEN = (401, 403, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address.

    Attributes:
        says: what it does, in one sentence.
        answer: the model of its answer, or several.
        takes: the model of its body, and whether there must be one.
        asks: the model of its query.
        refuses: the statuses of its failures.
        open: whether it needs no token.
    """

    method: str
    path: str
    says: str
    answer: tuple[type[BaseModel], ...]
    status: int = 200
    takes: type[BaseModel] | None = None
    needs_body: bool = False
    asks: type[BaseModel] | None = None
    refuses: tuple[int, ...] = TOKEN
    open: bool = False
    media: str = JSON


OPERATIONS = (
    Operation(method="post", path="/auth/login", says="Log in with a username and a password.",
              answer=(answers.LoggedIn,), takes=forms.Login, needs_body=True, refuses=(401, 429, 503), open=True),
    Operation(method="post", path="/auth/guest", says="Get a token for a route that guests may have.",
              answer=(answers.LetIn,), takes=forms.Guest, refuses=(503,), open=True),
    Operation(method="get", path="/auth/session", says="Who is calling, and until when.", answer=(answers.Session,)),
    Operation(method="post", path="/auth/refresh", says="Get a new token for a live one, which ends a little later.",
              answer=(answers.Refreshed,), takes=forms.Nothing, refuses=(*TOKEN, 429)),
    Operation(method="post", path="/auth/logout", says="Revoke the token that this is called with.",
              answer=(answers.Done,), takes=forms.Nothing, refuses=(*TOKEN, 429)),
    Operation(method="post", path="/auth/tokens", says="Issue a service token. Administrators only.", status=201,
              answer=(answers.IssuedToken,), takes=forms.TokenOrder, needs_body=True),
    Operation(method="get", path="/auth/tokens", says="List service tokens, newest first. Administrators only.",
              answer=(answers.TokenPage,), asks=forms.Page),
    Operation(method="delete", path="/auth/tokens",
              says="Revoke what a subject or project was issued before a moment. Administrators only.",
              answer=(answers.RevokedMany,), takes=forms.Reason, asks=forms.RevokeMany),
    Operation(method="get", path="/auth/tokens/{jti}", says="Show a service token's record. Administrators only.",
              answer=(answers.TokenRecord,), refuses=(*TOKEN, 404)),
    Operation(method="delete", path="/auth/tokens/{jti}",
              says="Revoke a service token, or end the session of a login or guest. Administrators only.",
              answer=(answers.TokenRecord, answers.RevokedSession), takes=forms.Reason, asks=forms.Revoke,
              refuses=(*TOKEN, 404)),
    Operation(method="delete", path="/auth/cache",
              says="Throw away answers that are kept in the cache. Administrators only.",
              answer=(answers.Purged,), takes=forms.Nothing, asks=forms.Purge),
    Operation(method="get", path="/.well-known/jwks.json", says="The public keys of this gateway's tokens (RFC 7517).",
              answer=(answers.PublicKeys,), refuses=(503,), open=True, media=JWKS),
    Operation(method="get", path="/auth/openapi.json", says="This document.", answer=(answers.Described,), refuses=(),
              open=True),
)  # fmt: skip


def document(projects: Projects) -> dict[str, Any]:
    """Return the document; names of *projects* are the values that requests may have."""
    models: dict[type[BaseModel], None] = {answers.Failure: None}
    for one in OPERATIONS:
        models.update(dict.fromkeys([*one.answer, *filter(None, (one.takes, one.asks))]))
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    definitions = _with_projects(schemas["$defs"], projects)
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one, definitions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gatehouse",
            "version": VERSION,
            "description": "Logins, tokens, keys, purges of the gateway.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: one for name, one in definitions.items() if name not in _queries()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(one: Operation, schemas: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "summary": one.says,
        "operationId": f"{one.method}_{one.path.strip('/').translate(_WORDS)}",
        "parameters": [*_in_path(one), *_in_query(one, schemas)],
        "responses": {str(one.status): {"description": "Done.", "content": _content(one)}, **_failures(one)},
        "security": [] if one.open else [{"token": []}],
    }
    if one.takes:
        content = {JSON: {"schema": _ref(one.takes)}}
        made["requestBody"] = {"required": one.needs_body, "content": content}
    return made


_WORDS = str.maketrans({"/": "_", ".": "_", "-": "_", "{": None, "}": None})


def _in_path(one: Operation) -> list[dict[str, Any]]:
    if "{jti}" not in one.path:
        return []
    schema = {"type": "string", "pattern": f"^{token_ids.FORM}$"}
    return [{"name": "jti", "in": "path", "required": True, "description": "The token's id.", "schema": schema}]


def _in_query(one: Operation, schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    if one.asks is None:
        return []
    asked = schemas[one.asks.__name__]
    needed = asked.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": _sayable(schema)}
        for name, schema in asked["properties"].items()
    ]


def _sayable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return *schema* without null, which a query cannot say."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return {key: value for key, value in {**schema, **kinds[0]}.items() if key not in {"anyOf", "default", "title"}}


def _content(one: Operation) -> dict[str, Any]:
    refs = [_ref(model) for model in one.answer]
    return {one.media: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}


def _failures(one: Operation) -> dict[str, Any]:
    statuses = sorted({*ALWAYS, *one.refuses})
    return {str(status): _failure(status) for status in statuses}


def _failure(status: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "description": "Refused; `code` and `message` say why.",
        "content": {JSON: {"schema": _ref(answers.Failure)}, PROBLEM: {"schema": {"type": "object"}}},
    }
    if status == 401:  # noqa: PLR2004
        made["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": f"{REALM} …"}}
    return made


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _queries() -> set[str]:
    return {one.asks.__name__ for one in OPERATIONS if one.asks}


def _with_projects(schemas: Mapping[str, Any], projects: Projects) -> Mapping[str, Any]:
    """Return *schemas* with the names of projects that there are, for whoever reads the document."""
    every = [one.project for one in projects.all]
    issuing = [one.project for one in projects.all if one.tokens]
    keeping = [one.project for one in projects.all if any(route.cache for route in one.routes)]
    named = {"TokenOrder": every, "RevokeMany": every, "Purge": keeping or every, "Login": issuing, "Guest": issuing}
    return {**schemas, **{name: _with_enum(schemas[name], names) for name, names in named.items()}}


def _with_enum(schema: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    project = schema["properties"]["project"]
    optional = [{"type": "null"}] if "anyOf" in project else []
    said = {key: value for key, value in project.items() if key in {"title", "description"}}
    enum = {"type": "string", "enum": names}
    project = {**said, "anyOf": [enum, *optional]} if optional else {**said, **enum}
    return {**schema, "properties": {**schema["properties"], "project": project}}
