"""What `template.yaml` says, read so that nothing in it has to be written a second time for local use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatehouse.cli.rest_api import Endpoint, endpoints, read

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "template.yaml"
STACK = "gatehouse-local"
FOR_LAMBDA = ("AWS_LAMBDA_", "AWS_LWA_")
INTRINSIC = ("Ref", "Fn::GetAtt", "Fn::Sub", "Fn::If")
PSEUDO = {
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::StackName": STACK,
    "AWS::URLSuffix": "amazonaws.com",
}


@dataclass(frozen=True)
class Template:
    """The template, with the physical ids of the resources that were made."""

    body: Mapping[str, Any]
    made: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def resources(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the properties of every resource of type *kind*, by logical id."""
        found = self.body["Resources"].items()
        return {name: one.get("Properties", {}) for name, one in found if one["Type"] == kind}

    def endpoints(self) -> list[Endpoint]:
        """Return every path that the API routes, and the folder of the function it goes to."""
        return endpoints(self.body)

    def variables(self) -> dict[str, Any]:
        """Return the variables that the functions have, as the template writes their values.

        Where one has two values (the functions that buffer and stream have two clients), it is the first.
        """
        blocks = [self.body.get("Globals", {}).get("Function", {})]
        blocks += self.resources("AWS::Serverless::Function").values()
        declared = [block.get("Environment", {}).get("Variables", {}) for block in blocks]
        return {name: value for variables in reversed(declared) for name, value in variables.items()}

    def environment(self) -> dict[str, str]:
        """Return the variables of all functions, resolved; less those without a value, and those for Lambda."""
        resolved = {
            name: self.resolve(value) for name, value in self.variables().items() if not name.startswith(FOR_LAMBDA)
        }
        return {name: str(value) for name, value in resolved.items() if value not in {None, ""}}

    def resolve(self, value: Any) -> Any:
        """Return *value* with its references resolved, parameters at their defaults."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name in INTRINSIC:
                return self._intrinsic(name, argument)
        return {key: self.resolve(item) for key, item in value.items()}

    def _intrinsic(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._ref(argument)
        if name == "Fn::GetAtt":
            return self._get_att(argument)
        return self._sub(argument) if name == "Fn::Sub" else self._if(argument)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return None
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.made:
            return self.made[name]["Ref"]
        return self.body.get("Parameters", {}).get(name, {}).get("Default", "")

    def _get_att(self, argument: Any) -> str:
        name, _, attribute = argument.partition(".") if isinstance(argument, str) else (argument[0], "", argument[1])
        return self.made.get(name, {}).get(attribute, "")

    def _sub(self, argument: Any) -> str:
        text = argument if isinstance(argument, str) else argument[0]

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            return str(self._get_att(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}]+)\}", fill, text)

    def _if(self, argument: list[Any]) -> Any:
        condition, yes, no = argument
        return self.resolve(yes if self._holds(self.body["Conditions"][condition]) else no)

    def _holds(self, condition: Any) -> bool:
        (name, argument), *_ = condition.items()
        if name == "Fn::Not":
            return not self._holds(argument[0])
        if name == "Fn::Equals":
            one, other = (self.resolve(side) for side in argument)
            return bool(one == other)
        raise ValueError(f"the local reader of the template does not know {name}")


def load(path: Path = TEMPLATE) -> Template:
    """Read the template at *path*."""
    return Template(read(path))
