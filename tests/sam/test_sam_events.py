"""Every event in `events/`, through the built function in its container: as in the contract tests, so here."""

from __future__ import annotations

import json

import pytest

from local import events
from tests.contract.test_events import EXPECTED, fillings
from tests.sam.conftest import JWT_SECRET

pytestmark = pytest.mark.container


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_event_is_answered_as_expected(invoke, admin, access_token, name):
    function, status, code = EXPECTED[name]
    answer = invoke(function, events.load(name, fillings(JWT_SECRET, admin["password"], access_token)))
    assert answer["statusCode"] == status, answer
    if code:
        assert json.loads(answer["body"])["code"] == code


def test_sam_local_invoke_fills_an_event_with_what_the_function_believes(local_sam, root):
    ended = local_sam("invoke", "ProxyFunction", str(root / "events" / "ai-access.json"))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["statusCode"] == 200, ended.stdout


def test_sam_local_invoke_answers_an_event_file(local_sam, root):
    ended = local_sam("invoke", "GuestFunction", str(root / "events" / "guest.json"))
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["success"] is True
