"""Secrets Manager, read without blocking the event loop."""

from __future__ import annotations

import asyncio

from gatehouse.stores.clients import client


async def secret_value(arn: str) -> str:
    """Return the current text of the secret *arn*; any failure raises botocore's own exception."""
    return await asyncio.to_thread(_value, arn)


def _value(arn: str) -> str:
    answer = client("secretsmanager").get_secret_value(SecretId=arn)
    text: str = answer["SecretString"]
    return text
