"""What can be set, asked for or answered is documented, and what the README shows is so."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from gatehouse import errors, settings
from gatehouse.projects import model, schema
from local.__main__ import CUT, GUEST
from local.template import ROOT, load
from tests.docs.pages import anchors

DOCS = ROOT / "docs"
VARIABLES = {"secret_arn": "GATEWAY_SECRET_ARN"}


def subclasses(kind: type[errors.GatewayError]) -> set[type[errors.GatewayError]]:
    return {kind, *(deeper for one in kind.__subclasses__() for deeper in subclasses(one))}


def rows(page: str) -> list[list[str]]:
    lines = (DOCS / page).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def test_every_error_code_is_documented_with_its_status():
    documented = {(row[0].strip("`"), int(status)) for row in rows("errors.md") for status in row[1].split(", ")}
    kinds = [one for one in subclasses(errors.GatewayError) if one.__module__.startswith("gatehouse")]
    assert documented == {(one.code, one.status) for one in kinds}


def test_every_error_says_what_happened():
    for one in subclasses(errors.GatewayError):
        assert one.message.endswith(".")
        assert len(one.message) > 20


def test_every_setting_is_documented():
    documented = {row[0].strip("`") for row in rows("settings.md")}
    names = {VARIABLES.get(one.name, one.name.upper()) for one in fields(settings.Settings)}
    assert names <= documented


MODELS = [
    model.Project, model.Cors, model.Tokens, model.Route, model.Limit, model.Organization, model.Cache, model.Streaming,
    model.Budget, model.Ai, *model.PROVIDERS.values(),
]  # fmt: skip


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_key_of_a_project_file_is_documented(kind: type):
    page = (DOCS / "projects.md").read_text()
    for name in schema.keys_of(kind):
        assert f"`{name}`" in page or f"`type: {name}" in page or name == "type", f"{kind.__name__}.{name}"


def test_the_readme_shows_the_commands_that_make_run_prints():
    readme = (ROOT / "README.md").read_text()
    printed = GUEST.format(url="http://127.0.0.1:3000", path="/build", cut=CUT)
    for line in filter(None, (line.strip() for line in printed.splitlines())):
        assert line in readme


def test_every_variable_of_a_project_file_is_declared_in_the_template():
    declared = set(load().variables())
    for file in (ROOT / "layers/config/projects").glob("*.yaml"):
        named = set(re.findall(r"\$\{([A-Z0-9_]+)\}", file.read_text()))
        assert named <= declared


def test_links_between_pages_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    for page in pages:
        for target, _, anchor in (
            one.partition("#") for one in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text())
        ):
            there = page.parent / target if target else page
            assert there.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(there.read_text()), f"{page.name}: {target}#{anchor}"
