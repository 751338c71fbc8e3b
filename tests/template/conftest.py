"""The template as it is written, and as CloudFormation gets it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

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


@pytest.fixture(scope="session")
def deployed(template: dict[str, Any]) -> dict[str, Any]:
    """The resources that SAM makes of the template, as `sam deploy` would send them."""
    source = copy.deepcopy(template)
    for resource in source["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if name in resource["Properties"]:
                resource["Properties"][name] = "s3://bucket/built.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        result = Translator(MANAGED_POLICIES, Parser()).translate(source, {})
    # The translator's own kind of dict does not compare like one.
    return json.loads(json.dumps(result["Resources"]))


@pytest.fixture(scope="session")
def of_type(deployed: dict[str, Any]) -> Any:
    """Give the deployed resources of one type, by logical id."""
    return lambda kind: {name: one for name, one in deployed.items() if one["Type"] == kind}
