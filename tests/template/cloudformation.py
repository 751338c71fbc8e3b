"""What CloudFormation works out of a template with its parameters: what is made, and of what.

A reference to another resource stays a word, `<Name>` or `<Name.Attribute>`, and one to a resource that is not made is
an error, as it is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "gatehouse-prod",
    "AWS::URLSuffix": "amazonaws.com",
}
NOTHING = object()
"""What `AWS::NoValue` is."""


class Worked:
    """A template, worked out.

    Attributes:
        parameters: the values of all parameters.
        refusals: what the template's rules say against these parameters; if anything, nothing is made.
        resources: what is made, by logical ids.
        outputs: the values of the outputs that there are.
    """

    def __init__(self, body: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._body = body
        declared = {name: one.get("Default") for name, one in body["Parameters"].items()}
        assert set(parameters) <= set(declared)
        self.parameters = {**declared, **parameters}
        self.refusals = [
            assertion["AssertDescription"]
            for rule in body["Rules"].values()
            if self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]
        wanted = {} if self.refusals else body["Resources"]
        made = {name: one for name, one in wanted.items() if self._is_made(one)}
        self._made = set(made)
        self.resources: dict[str, Any] = {name: self._work(one) for name, one in made.items()}
        given = {name: one for name, one in body["Outputs"].items() if made and self._is_made(one)}
        self.outputs = {name: self._work(one["Value"]) for name, one in given.items()}

    def of_type(self, kind: str) -> dict[str, Any]:
        """Return the properties of what is made of type *kind*, by logical ids."""
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == kind}

    def __getitem__(self, name: str) -> Any:
        """Return the properties of the resource *name*."""
        return self.resources[name]["Properties"]

    def _is_made(self, one: Mapping[str, Any]) -> bool:
        return "Condition" not in one or self._holds({"Condition": one["Condition"]})

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        (name, argument), *_ = condition.items()
        if name == "Condition":
            return self._holds(self._body["Conditions"][argument])
        if name == "Fn::Not":
            return not self._holds(argument[0])
        if name == "Fn::Or":
            return any(self._holds(one) for one in argument)
        one, other = (self._work(side) for side in argument)
        assert name == "Fn::Equals"
        return str(one) == str(other)

    def _work(self, value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(self._work, value) if one is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name, argument)
        worked = {key: self._work(one) for key, one in value.items() if key != "Condition" or not isinstance(one, str)}
        return {key: one for key, one in worked.items() if one is not NOTHING}

    def _function(self, name: str, argument: Any) -> Any:
        if name == "Ref":
            return self._ref(argument)
        if name == "Fn::If":
            return self._work(argument[1 if self._holds({"Condition": argument[0]}) else 2])
        if name == "Fn::Sub":
            return self._sub(argument)
        worked = self._work(argument)
        if name == "Fn::Join":
            return worked[0].join(str(one) for one in worked[1])
        if name == "Fn::Select":
            return worked[1][int(worked[0])]
        assert name == "Fn::GetAtt", name
        return self._of_resource(*(worked if isinstance(worked, list) else worked.split(".", 1)))

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        return self.parameters[name] if name in self.parameters else self._of_resource(name)

    def _of_resource(self, name: str, attribute: str = "") -> str:
        assert name in self._made, f"{name} is not made"
        return f"<{name}.{attribute}>" if attribute else f"<{name}>"

    def _sub(self, argument: Any) -> str:
        text, names = (argument, {}) if isinstance(argument, str) else argument
        given = self._work(names)

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in given:
                return str(given[name])
            return self._of_resource(*name.split(".", 1)) if "." in name else str(self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", fill, text)
