"""What the local runner takes from the template where two functions are one."""

from __future__ import annotations

import pytest

from local import router, template


@pytest.fixture(scope="module")
def loaded() -> template.Template:
    return template.load()


def test_the_functions_of_this_machine_are_told_nothing_that_is_for_lambda(loaded: template.Template) -> None:
    told = loaded.environment()
    assert not [name for name in told if name.startswith(("AWS_LAMBDA_", "AWS_LWA_"))]


def test_the_proxys_client_is_not_the_stream_functions(loaded: template.Template) -> None:
    assert loaded.environment()["UPSTREAM_CLIENT"] == "buffered"


def test_sam_local_is_told_what_the_stream_function_declares_too(loaded: template.Template) -> None:
    assert "AWS_LWA_PORT" in loaded.variables()


@pytest.mark.parametrize("path", ["/ai", "/ai/v1/chat/completions", "/build", "/"])
def test_a_streaming_path_is_served_by_the_same_proxy_as_all_others(loaded: template.Template, path: str) -> None:
    ways = router.in_order(loaded.endpoints())
    first = next(way for way in ways if router.reaches(way, "POST", path))
    assert first.function == "functions/proxy"
    assert first.streams is path.startswith("/ai")
