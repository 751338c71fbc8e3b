"""The gateway's own name, and the firewall before it."""

from __future__ import annotations

import json

import pytest
import yaml

from gatehouse.stages.model_calls import WITHHELD

NAME = {
    "DomainName": "api.example.com",
    "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/0-1",
}
ZONE = {"HostedZoneId": "Z123"}
ACL = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/ours/0-1"
STAGE = "arn:aws:apigateway:eu-west-1::/restapis/<Api>/stages/<ApiStage>"


def extension(made):
    """Give what the API's description says of its own address."""
    (server,) = made["Api"]["Body"]["servers"]
    return server["x-amazon-apigateway-endpoint-configuration"]


def test_without_a_name_the_gateway_has_the_address_that_aws_gives_it(stack):
    made = stack()
    assert made.outputs["ApiUrl"] == "https://<Api>.execute-api.eu-west-1.amazonaws.com/v1"
    assert not {"Domain", "DomainMapping", "DomainRecord"} & set(made.resources)
    assert "DomainTarget" not in made.outputs


def test_a_name_leads_to_the_stage_without_its_name_in_the_path(stack):
    made = stack(**NAME)
    assert made["DomainMapping"] == {"DomainName": "<Domain>", "RestApiId": "<Api>", "Stage": "<ApiStage>"}
    assert made.outputs["ApiUrl"] == "https://api.example.com"
    assert made.outputs["DomainTarget"] == "<Domain.RegionalDomainName>"


def test_a_name_is_regional_as_the_api_is_and_takes_no_old_tls(stack):
    domain = stack(**NAME)["Domain"]
    assert domain["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert (domain["DomainName"], domain["SecurityPolicy"]) == (NAME["DomainName"], "TLS_1_2")
    assert domain["RegionalCertificateArn"] == NAME["CertificateArn"]


def test_a_zone_gets_a_record_for_the_name_and_without_one_none_is_made(stack):
    assert "DomainRecord" not in stack(**NAME).resources
    assert stack(**NAME, **ZONE)["DomainRecord"] == {
        "Name": "api.example.com",
        "Type": "A",
        "HostedZoneId": "Z123",
        "AliasTarget": {"DNSName": "<Domain.RegionalDomainName>", "HostedZoneId": "<Domain.RegionalHostedZoneId>"},
    }


def test_the_address_that_aws_gives_is_closed_only_if_a_deploy_says_so(stack):
    assert extension(stack(**NAME)) == {"disableExecuteApiEndpoint": False}
    assert extension(stack(**NAME, ExecuteApi="off")) == {"disableExecuteApiEndpoint": True}


@pytest.mark.parametrize(
    ("parameters", "refusal"),
    [
        ({"DomainName": NAME["DomainName"]}, "DomainName needs CertificateArn"),
        (ZONE, "HostedZoneId needs DomainName"),
        ({"ExecuteApi": "off"}, "leave ExecuteApi on"),
        ({"Waf": "on", "WebAclArn": ACL}, "An API has one web ACL"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(stack, parameters, refusal):
    (said,) = stack(**parameters).refusals
    assert refusal in said


@pytest.mark.parametrize("parameters", [{}, {**NAME, **ZONE, "ExecuteApi": "off"}, {"Waf": "on"}, {"WebAclArn": ACL}])
def test_what_can_work_is_not_refused(stack, parameters):
    assert stack(**parameters).refusals == []


def test_no_firewall_is_paid_unless_a_deploy_says_so(stack):
    assert not [name for name, one in stack().resources.items() if one["Type"].startswith("AWS::WAFv2")]
    assert "WebAclLogs" not in stack().resources


def test_a_web_acl_of_the_teams_own_is_before_the_stage(stack):
    made = stack(WebAclArn=ACL)
    associations = made.of_type("AWS::WAFv2::WebACLAssociation")
    assert list(associations.values()) == [{"ResourceArn": STAGE, "WebACLArn": ACL}]
    assert not made.of_type("AWS::WAFv2::WebACL")


@pytest.fixture(scope="module")
def fenced(stack):
    return stack(Waf="on", WafRatePerAddress="5000")


def test_the_stacks_own_web_acl_is_before_the_stage_and_lets_through_what_no_rule_names(fenced):
    associations = fenced.of_type("AWS::WAFv2::WebACLAssociation")
    assert list(associations.values()) == [{"ResourceArn": STAGE, "WebACLArn": "<WebAcl.Arn>"}]
    assert fenced["WebAcl"]["DefaultAction"] == {"Allow": {}}
    assert fenced["WebAcl"]["Scope"] == "REGIONAL"


def test_its_rules_are_those_that_no_honest_request_meets(fenced):
    """AWS's common rule set blocks bodies above 8 KB and clients without a user agent."""
    rules = {one["Name"]: one["Statement"] for one in fenced["WebAcl"]["Rules"]}
    flood = rules.pop("flood")["RateBasedStatement"]
    assert flood == {"Limit": "5000", "EvaluationWindowSec": 300, "AggregateKeyType": "IP"}
    assert {one["ManagedRuleGroupStatement"]["Name"] for one in rules.values()} == {
        "AWSManagedRulesAmazonIpReputationList",
        "AWSManagedRulesKnownBadInputsRuleSet",
    }


def test_its_log_has_what_was_blocked_and_nothing_that_opens_a_door(fenced):
    logging = fenced["WebAclLogging"]
    # Without the `:*` that a log group's own ARN ends with.
    assert logging["LogDestinationConfigs"] == ["arn:aws:logs:eu-west-1:123456789012:log-group:<WebAclLogs>"]
    assert fenced["WebAclLogs"]["LogGroupName"].startswith("aws-waf-logs-")
    assert logging["LoggingFilter"]["DefaultBehavior"] == "DROP"
    assert {"QueryString": {}} in logging["RedactedFields"]
    assert {"UriPath": {}} in logging["RedactedFields"]


def fields(value, name):
    """Give what stands under *name*, anywhere in a project file."""
    if isinstance(value, list):
        return [found for one in value for found in fields(one, name)]
    if not isinstance(value, dict):
        return []
    own = [value[name]] if name in value else []
    return own + [found for one in value.values() for found in fields(one, name)]


def test_its_log_has_no_header_that_a_project_or_a_model_knows_a_caller_by(fenced, root):
    """Also not those that we say to upstreams: a client that knows one would say it too."""
    hidden = {one["SingleHeader"]["Name"] for one in fenced["WebAclLogging"]["RedactedFields"] if "SingleHeader" in one}
    projects = [yaml.safe_load(one.read_text()) for one in (root / "layers/config/projects").glob("*.yaml")]
    proving = {name for names in fields([one.get("providers") for one in projects], "headers") for name in names}
    said = [pair for one in fields(projects, "set_headers") for pair in one.items()]
    saying = {name for name, value in said if "${secret:" in value}
    assert {"cf-access-jwt-assertion", "apikey"} <= proving
    assert {"X-Internal-Key", "Authorization"} <= saying
    assert hidden == {one.lower() for one in hidden}
    assert hidden >= {one.lower() for one in proving | saying | WITHHELD}
    assert hidden >= {"authorization", "proxy-authorization", "cookie", "cf-aig-authorization"}


def test_no_rule_keeps_samples_since_these_have_tokens_in_them(fenced):
    acl = fenced["WebAcl"]
    seen = [one["VisibilityConfig"] for one in [acl, *acl["Rules"]]]
    assert {one["SampledRequestsEnabled"] for one in seen} == {False}
    assert json.dumps(acl).count("MetricName") == 4
