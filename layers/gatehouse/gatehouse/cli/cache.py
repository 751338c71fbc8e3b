"""`cache …`: the answers that the gateway keeps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from gatehouse.caching import purging
from gatehouse.caching.purges import BELOW
from gatehouse.caching.purging import PurgeOrder
from gatehouse.cli.gate import Gate
from gatehouse.cli.options import at_a_gateway, examples
from gatehouse.cli.output import Said, plain
from gatehouse.cli.problems import RefusedError
from gatehouse.stores.limits import ContentionError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The cache: throw away answers that are kept.")

Project = Annotated[str, typer.Option("--project", metavar="NAME", help="The project whose answers are to go.")]
Route = Annotated[str | None, typer.Option("--route", metavar="NAME", help="Only those of this route.")]
Path = Annotated[
    str | None,
    typer.Option("--path", metavar="PATH", help="Only those of this path; ending in '/*', all below it."),
]
Organization = Annotated[
    str | None,
    typer.Option("--organization", metavar="ID", help="Only those that are kept for this organization."),
]


@app.command(
    epilog=examples(
        "cache purge --project crow --stack gatehouse-prod",
        "cache purge --project crow --path '/api/v1/products/*' --organization 7c9e… --local",
    )
)
@at_a_gateway
def purge(
    gate: Gate, project: Project, route: Route = None, path: Path = None, organization: Organization = None
) -> Said:
    """Throw away answers that are kept: all of a project, or those that meet everything that is said."""
    log = gate.purge_log
    order = purging.order(gate.projects.all, project=project, route=route, path=path, organization=organization)
    fields = asdict(order)
    with gate.audited("cache purge", **{name: value for name, value in fields.items() if value}) as said:
        try:
            said["generation"] = generation = log.add(**fields)
        except ContentionError as error:
            raise RefusedError(f"somebody else is purging {project} all the time; try again in a moment") from error
    return Said(document=order.view(generation), text=_done(order, gate.place.name))


def _done(order: PurgeOrder, place: str) -> str:
    said = (
        order.route and f"route {order.route}",
        order.path and _paths(order.path),
        order.organization and f"organization {plain(order.organization)}",
    )
    which = ", ".join(filter(None, said))
    what = f"{order.project} ({which})" if which else order.project
    within = f"in {purging.EFFECTIVE_WITHIN_S} seconds nobody is answered with it any more"
    return f"what is kept of {what} is purged at {place}: {within}"


def _paths(path: str) -> str:
    top = path.removesuffix(BELOW)
    if top == path:
        return path
    return f"{top} and all below it" if top else "all paths"
