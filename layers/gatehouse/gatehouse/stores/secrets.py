"""Secrets Manager: one secret, read without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
import re

from gatehouse.stores.aws_json import Service, address, call

_REGION_OF_ARN = re.compile(r"arn:[a-z0-9-]+:secretsmanager:([a-z0-9-]+):")


async def secret_value(arn: str) -> str:
    """Return the current text of the secret *arn*; see `read` for what it raises."""
    return await asyncio.to_thread(read, arn)


def at_hand(arn: str) -> bool:
    """Say whether the secret *arn* can be read without boto3."""
    named = _REGION_OF_ARN.match(arn)
    return named is not None and address("secretsmanager", named[1], os.environ) is not None


def read(arn: str) -> str:
    """Return the current text of the secret *arn*. Blocks.

    Raises:
        AwsError, OSError, http.client.HTTPException, ValueError, KeyError: it cannot be had.
        botocore.exceptions.BotoCoreError, ClientError: the same, where boto3 had to ask.
    """
    named = _REGION_OF_ARN.match(arn)
    service = Service(name="secretsmanager", target="secretsmanager", json="1.1", region=named[1] if named else "")
    # Which version is the default on AWS, too; the label makes it so for emulators.
    text: str = call(service, "GetSecretValue", {"SecretId": arn, "VersionStage": "AWSCURRENT"})["SecretString"]
    return text
