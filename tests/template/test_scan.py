"""What `make scan` does not ask of the template is not asked for a reason."""

from __future__ import annotations

import re

import pytest
import yaml

CHECK = re.compile(r"CKV2?_AWS_\d+")


@pytest.fixture(scope="module")
def text(root):
    return (root / ".checkov.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def config(text):
    return yaml.safe_load(text)


def test_it_looks_at_the_template_and_asks_nobody(config):
    assert config["file"] == ["template.yaml"]
    assert config["skip-download"] is True
    assert "soft-fail" not in config


def test_a_check_that_is_left_out_everywhere_has_its_reason_above_it(text, config):
    for check in config["skip-check"]:
        before, _, _ = text.partition(f"- {check}")
        reason = re.search(r"((?:  # .+\n)+)  $", before)
        assert CHECK.fullmatch(check)
        assert reason, check
        assert len(reason[1]) > 60


def test_a_check_that_is_left_out_for_a_resource_has_its_reason_with_it(resources):
    skipped = [
        (name, one)
        for name, resource in resources.items()
        for one in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]
    assert skipped
    for name, one in skipped:
        assert set(one) == {"id", "comment"}, name
        assert CHECK.fullmatch(one["id"])
        assert len(one["comment"].split()) > 8, name


def test_no_check_is_left_out_in_any_other_way(root):
    assert "checkov:skip=" not in (root / "template.yaml").read_text(encoding="utf-8")
    assert "skip-check" not in (root / "Makefile").read_text(encoding="utf-8")


def test_the_scanner_is_locked_by_hashes_and_names_no_index(root):
    locked = (root / "requirements" / "scan.txt").read_text(encoding="utf-8")
    assert re.search(r"^checkov==\S+ \\\n    --hash=sha256:", locked, re.MULTILINE)
    assert "index-url" not in locked
    assert "requirements/scan.in" in (root / "requirements" / "lock").read_text(encoding="utf-8")
