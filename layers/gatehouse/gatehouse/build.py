"""From project files to pipelines: the one place that knows the order of the stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from gatehouse.call import Call, Handler, Reply, Stage, pipeline
from gatehouse.credentials import Credential
from gatehouse.credentials.gateway import gateway as gateway_tokens
from gatehouse.errors import BadPathError, GatewayError, MissingTargetError, NotFoundError
from gatehouse.grants import issuer_of
from gatehouse.hygiene import check_request
from gatehouse.paths import canonical, check_query, loosely
from gatehouse.projects import Project, Projects, Route
from gatehouse.routes import RouteTable, pattern, split
from gatehouse.stages.authenticate import authenticate
from gatehouse.stages.authorize import authorize
from gatehouse.stages.cors import cors, cors_of_any
from gatehouse.stages.forward import Target, forward
from gatehouse.stages.methods import methods
from gatehouse.stages.recover import recover
from gatehouse.stages.security_headers import security_headers
from gatehouse.tokens import Issuer, TokenVerifier
from gatehouse.upstreams import Upstream


class Collaborators(Protocol):
    """What pipelines need that lives as long as the process; `kit.Kit` is it."""

    @property
    def upstream(self) -> Upstream:
        """Return the client that requests leave by."""
        ...

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        """Return what believes the tokens of *issuer*."""
        ...


def gateway(projects: Projects, kit: Collaborators) -> Handler:
    """Return the handler of the whole gateway: it reads the path once and picks the route's pipeline."""
    routes = [(project, route, path) for project in projects.all for route in project.routes for path in route.patterns]
    table = RouteTable((pattern(path), (one, route, build(one, route, path, kit))) for one, route, path in routes)
    # By project and name: a name is one route's only within its project.
    loose_table = RouteTable((pattern(path.lower()), (one.project, route.name)) for one, route, path in routes)

    def refusing(error: Callable[[], GatewayError]) -> Handler:
        return pipeline(*outermost(cors_of_any(projects.cors)), end=_raising(error))

    not_found = refusing(NotFoundError)
    ambiguous = refusing(lambda: BadPathError("An upstream could read the path as that of another route."))

    async def gateway(call: Call) -> Reply:
        try:
            path, query = canonical(call.path), check_query(call.query)
            check_request(call.headers)
        except GatewayError as error:
            refused = error
            return await refusing(lambda: refused)(call)
        found = table.find(path)
        if found is None:
            return await not_found(replace(call, path=path, query=query))
        project, route, handler = found
        loose = loosely(path)
        if loose != path and loose_table.find(loose) != (project.project, route.name):
            return await ambiguous(call)
        call.notes["route"] = route.name
        return await handler(replace(call, path=path, query=query, route=route.name))

    return gateway


def outermost(*cors_stage: Stage) -> tuple[Stage, ...]:
    """Return the stages around everything: what they add is on every answer, failures included."""
    return (security_headers, *cors_stage, recover)


def build(project: Project, route: Route, path: str, kit: Collaborators) -> Handler:
    """Return the pipeline of *route*, for requests under *path*, one of its patterns.

    The order: security headers, CORS, failures, methods, who is calling, whether they may, forward.
    """
    stages = [*outermost(*([cors(project.cors)] if project.cors else [])), methods(route.methods)]
    if route.auth != "none":
        stages.append(authenticate(_credentials(project, route, kit), required=route.auth == "required"))
    if route.auth != "none" and project.tokens:
        stages.append(authorize(route.name, project.tokens))
    return pipeline(*stages, end=_end(route, path, kit))


def _credentials(project: Project, route: Route, kit: Collaborators) -> tuple[Credential, ...]:
    """Return what *route* accepts, in its order; the loader has made sure that all of it exists."""
    tokens = project.tokens
    if "gateway" not in route.accept or tokens is None:
        return ()
    return (gateway_tokens(kit.verifier(issuer_of(tokens))),)


def _end(route: Route, path: str, kit: Collaborators) -> Handler:
    if route.upstream is None:
        return _raising(MissingTargetError)
    stripped = len(split(path)) if route.strip_prefix else 0
    target = Target(route=route.name, address=route.upstream, stripped=stripped, timeout_s=route.timeout)
    return forward(kit.upstream, target)


def _raising(error: Callable[[], GatewayError]) -> Handler:
    async def refuse(_: Call) -> Reply:
        raise error()

    return refuse
