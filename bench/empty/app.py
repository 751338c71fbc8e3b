"""The function that does nothing: what a first and a warm invocation cost before any gateway."""

from __future__ import annotations

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Answer, and that is all."""
    return {"statusCode": 200, "body": "x" * 1024}
