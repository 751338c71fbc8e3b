"""The template as it is written, and as CloudFormation gets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from tests.template.cloudformation import Worked

ROOT = Path(__file__).resolve().parents[2]
# Translator asks IAM for these; the names that our functions can get are enough.
MANAGED_POLICIES = {
    name: f"arn:aws:iam::aws:policy/{name}"
    for name in ("service-role/AWSLambdaBasicExecutionRole", "AWSXRayDaemonWriteAccess", "AWSXrayWriteOnlyAccess")
}


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    """template.yaml, with its short tags written out (!Ref X is {"Ref": "X"})."""
    return yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    """The resources of the template, before SAM."""
    return template["Resources"]


class Transform(Protocol):
    """What SAM makes of the template with some parameters set, and with some of what was built changed."""

    def __call__(self, *, built: dict[str, str] | None = None, **parameters: str) -> dict[str, Any]: ...


@pytest.fixture(scope="session")
def transform(template: dict[str, Any]) -> Transform:
    """The template as `sam deploy` would send it; *built* names other archives than `built.zip` by logical ids."""

    def transformed(*, built: dict[str, str] | None = None, **parameters: str) -> dict[str, Any]:
        # As JSON, which knows no anchors: what stands twice in YAML is two things to CloudFormation.
        source = json.loads(json.dumps(template))
        for logical_id, resource in source["Resources"].items():
            for name in ("CodeUri", "ContentUri"):
                if name in resource["Properties"]:
                    archive = (built or {}).get(logical_id, "built.zip")
                    resource["Properties"][name] = f"s3://bucket/{archive}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
            result = Translator(MANAGED_POLICIES, Parser()).translate(source, dict(parameters))
        # The translator's own kind of dict does not compare like one.
        body: dict[str, Any] = json.loads(json.dumps(result))
        return body

    return transformed


@pytest.fixture(scope="session")
def deployed(transform: Transform) -> dict[str, Any]:
    """The resources that SAM makes of the template, as `sam deploy` would send them."""
    resources: dict[str, Any] = transform()["Resources"]
    return resources


@pytest.fixture(scope="session")
def stack(transform: Transform) -> Callable[..., Worked]:
    """What CloudFormation makes of the template with some parameters set; the same answer to the same question."""
    known: dict[str, Worked] = {}

    def worked(**parameters: str) -> Worked:
        key = json.dumps(parameters, sort_keys=True)
        if key not in known:
            known[key] = Worked(transform(**parameters), parameters)
        return known[key]

    return worked


@pytest.fixture(scope="session")
def of_type(deployed: dict[str, Any]) -> Any:
    """Give the deployed resources of one type, by logical id."""
    return lambda kind: {name: one for name, one in deployed.items() if one["Type"] == kind}
