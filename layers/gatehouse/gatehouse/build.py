"""From project files to pipelines: the one place that knows the order of the stages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gatehouse import openai_errors
from gatehouse.call import Call, Handler, Reply, Stage, pipeline
from gatehouse.counting import IP, KEY, ORGANIZATION, SUBJECT, limits_of
from gatehouse.credentials import Credential
from gatehouse.credentials.gateway import Revocations
from gatehouse.credentials.gateway import gateway as gateway_tokens
from gatehouse.credentials_of import credential_cookies, wanted
from gatehouse.errors import BadPathError, GatewayError, MissingTargetError, NotFoundError
from gatehouse.function_names import is_function
from gatehouse.grants import issuer_of
from gatehouse.hygiene import check_request
from gatehouse.paths import canonical, check_query, loosely
from gatehouse.projects import Project, Projects, Route
from gatehouse.projects.model import GATEWAY, AnonymousProvider
from gatehouse.routes import RouteTable, below, pattern, split
from gatehouse.stages.authenticate import authenticate, within
from gatehouse.stages.authorize import authorize
from gatehouse.stages.claims import claims
from gatehouse.stages.cors import cors, cors_of_any
from gatehouse.stages.forward import forward, target_of
from gatehouse.stages.limit import Limits, limit, rate_fields
from gatehouse.stages.methods import methods
from gatehouse.stages.note_use import note_use
from gatehouse.stages.organization import organization
from gatehouse.stages.own_pages import own_pages
from gatehouse.stages.recover import recover, recovering
from gatehouse.stages.security_headers import security_headers
from gatehouse.stages.streaming import pace_of, streaming
from gatehouse.tokens import Issuer, TokenVerifier
from gatehouse.upstreams import Upstream
from gatehouse.usage import LastUse

if TYPE_CHECKING:
    from gatehouse.organizations import Organizations  # with all that asking takes, where a route asks


class Collaborators(Protocol):
    """What pipelines need that lives as long as the process; `kit.Kit` is it."""

    @property
    def upstream(self) -> Upstream:
        """Return the client that requests leave by."""
        ...

    @property
    def functions(self) -> Upstream:
        """Return what invokes functions."""
        ...

    @property
    def revocations(self) -> Revocations:
        """Return what knows which tokens were taken back."""
        ...

    @property
    def last_use(self) -> LastUse:
        """Return what notes when service tokens are used."""
        ...

    @property
    def limits(self) -> Limits:
        """Return what counts requests."""
        ...

    def verifier(self, issuer: Issuer) -> TokenVerifier:
        """Return what believes the tokens of *issuer*."""
        ...

    def credential(self, project: Project, name: str) -> Credential:
        """Return the way to prove who is calling that *project* calls *name* under `providers`."""
        ...

    def organizations(self, project: Project) -> Organizations:
        """Return what confirms organisations as *project* says."""
        ...

    def cache(self, project: Project, route: Route, path: str, *, keeps: bool) -> Stage:
        """Return the stage that keeps answers of *route* of *project* under *path*, or does not (*keeps* is False)."""
        ...

    def model_calls(self, project: Project, route: Route, path: str) -> Stage:
        """Return the stage that judges and meters calls of models on *route* of *project* under *path*."""
        ...

    async def secrets(self) -> Mapping[str, str]:
        """Return the named secrets."""
        ...


def gateway(projects: Projects, kit: Collaborators) -> Handler:
    """Return the handler of the whole gateway: it reads the path once and picks the route's pipeline."""
    routes = entries(projects)
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
        call.notes.update(project=project.project, route=route.name)
        return await handler(replace(call, path=path, query=query, route=route.name))

    return gateway


def entries(projects: Projects) -> list[tuple[Project, Route, str]]:
    """Return every path of every route, with what it belongs to."""
    return [(project, route, path) for project in projects.all for route in project.routes for path in route.patterns]


def outermost(*stages: Stage, errors: str = "gatehouse") -> tuple[Stage, ...]:
    """Return the stages around everything: what they and *stages* add is on every answer, failures included.

    *errors* is the form of the failures: `gatehouse` or `openai`.
    """
    return (security_headers, *stages, recovering(openai_errors.render) if errors == "openai" else recover)


def build(project: Project, route: Route, path: str, kit: Collaborators) -> Handler:
    """Return the pipeline of *route*, for requests under *path*, one of its patterns.

    The order: security headers, CORS, what is left of limits, failures, limits by address, methods, whose page sent the
    cookies, who is calling, whether they may, whether their credential says what it must, limits by caller, for which
    organisation, limits by organisation, note that it was used, calls of models, cache, forward. What the route has
    `public` goes from the methods to the end: nobody looks at who is calling, nothing is kept, and no model is called.
    """
    end = _end(route, path, project, kit)
    handler = pipeline(
        *_around(project, route, kit, IP, SUBJECT, KEY, ORGANIZATION), *_callers(project, route, kit), end=end
    )
    if not route.public:
        return handler
    unkept = _end(route, path, project, kit, keeps=False)
    return _publicly(route, path, pipeline(*_around(project, route, kit, IP), end=unkept), handler)


def _around(project: Project, route: Route, kit: Collaborators, *by: str) -> tuple[Stage, ...]:
    """Return the stages before anybody looks at who is calling, of requests that may meet limits that count by *by*."""
    fields = [rate_fields(limits_of(route, project, *by))] if _limited(project, route, kit, *by) else []
    around = outermost(*([cors(project.cors)] if project.cors else []), *fields, errors=route.errors)
    return (*around, *_limited(project, route, kit, IP), methods(route.methods))


def _limited(project: Project, route: Route, kit: Collaborators, *by: str) -> tuple[Stage, ...]:
    """Return the stage that keeps the limits of *route* that count by one of *by*, if it has any.

    Without an upstream there is nothing to keep requests from.
    """
    limits = limits_of(route, project, *by) if route.upstream else ()
    return (limit(limits, kit.limits),) if limits else ()


def _callers(project: Project, route: Route, kit: Collaborators) -> tuple[Stage, ...]:
    """Return the stages that are about who is calling."""
    if route.auth == "none" or (route.upstream is None and set(route.accept) != {GATEWAY}):
        return ()  # without an upstream all end at MISSING_TARGET; what its credentials ask may have no address, either
    stages = [*_authentication(project, route, kit)]
    if GATEWAY in route.accept:
        stages.append(authorize(route, project))
    if route.claims:
        stages.append(claims(route.claims))
    stages += _limited(project, route, kit, SUBJECT, KEY)
    if set(route.accept) != {GATEWAY}:  # also where nobody confirms any: what a credential names goes nowhere then
        stages.append(organization(route.organization, kit.organizations(project) if project.organization else None))
    stages += _limited(project, route, kit, ORGANIZATION)
    if GATEWAY in route.accept:
        stages.append(note_use(kit.last_use))
    return tuple(stages)


def _authentication(project: Project, route: Route, kit: Collaborators) -> tuple[Stage, ...]:
    """Return the stages that find out who is calling; the loader has made sure that all that is accepted exists."""
    credentials: list[Credential] = []
    visitors = None
    for name in route.accept:
        if name == GATEWAY:
            credentials.append(_gateway(project, route, kit))
        elif isinstance(project.providers[name], AnonymousProvider):
            visitors = kit.credential(project, name)
        else:
            credentials.append(kit.credential(project, name))
    required, missing = route.auth == "required", wanted(route, project)
    stage = authenticate(tuple(credentials), required=required, visitors=visitors, missing=missing)
    if set(route.accept) == {GATEWAY}:
        return (stage,)
    cookies = credential_cookies(route, project)
    guards = (own_pages(cookies, project.cors),) if cookies else ()
    return (*guards, within(route.timeout), stage)


def _gateway(project: Project, route: Route, kit: Collaborators) -> Credential:
    verifier = kit.verifier(issuer_of(project, route))
    return gateway_tokens(verifier, kit.revocations, project.project, strict=route.revocation == "strict")


def _publicly(route: Route, path: str, public: Handler, private: Handler) -> Handler:
    """Return what sends exactly the requests that *route* has `public` to *public*, and all others to *private*."""
    open_to_all, above = frozenset(route.public), len(split(path))

    def publicly(call: Call) -> Awaitable[Reply]:
        return (public if (call.method, below(call.path, above)) in open_to_all else private)(call)

    return publicly


def _end(route: Route, path: str, project: Project, kit: Collaborators, *, keeps: bool = True) -> Handler:
    if route.upstream is None:
        return _raising(MissingTargetError)
    upstream = kit.functions if is_function(route.upstream) else kit.upstream
    end = forward(upstream, target_of(route, path, project), secrets=kit.secrets)
    stages = [kit.model_calls(project, route, path)] if (route.ai or route.budget) and keeps else []
    stages += [kit.cache(project, route, path, keeps=keeps)] if route.cache else []
    stages += [streaming(pace_of(route.stream), time.monotonic)] if route.stream else []
    return pipeline(*stages, end=end)


def _raising(error: Callable[[], GatewayError]) -> Handler:
    async def refuse(_: Call) -> Reply:
        raise error()

    return refuse
