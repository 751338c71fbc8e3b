"""The key ring's secret as operators change it: compare and set, so that no change of somebody else is lost.

Secrets Manager has no conditional write of a value. It has labels, though: a new version is written under a label of
its own, and then AWSCURRENT is moved to it from the version that was read, which fails if it is elsewhere by now.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import uuid4

from gatehouse.stores.clients import client

CURRENT = "AWSCURRENT"


class KeyRingSecret:
    """The secret *arn*. Every method blocks.

    Who uses it may do `secretsmanager:GetSecretValue`, `PutSecretValue` and `UpdateSecretVersionStage` on the secret.
    All methods raise botocore.exceptions.BotoCoreError or ClientError where Secrets Manager does not do as it is asked.
    """

    def __init__(self, arn: str) -> None:
        self._arn = arn

    def read(self) -> tuple[str, str]:
        """Return the secret's current text, and the id of the version it is from. A binary secret's text is empty."""
        answer = client("secretsmanager").get_secret_value(SecretId=self._arn, VersionStage=CURRENT)
        return answer.get("SecretString", ""), answer["VersionId"]

    def replace(self, text: str, version_id: str) -> bool:
        """Make *text* the current one if *version_id* still is; return False, and change nothing, if it is not."""
        fresh = str(uuid4())
        label = f"gatehouse-{fresh}"
        secretsmanager = client("secretsmanager")
        secretsmanager.put_secret_value(
            SecretId=self._arn, ClientRequestToken=fresh, SecretString=text, VersionStages=[label]
        )
        try:
            return self._moved(secretsmanager, fresh, version_id)
        finally:
            self._unlabel(secretsmanager, fresh, label)

    def _moved(self, secretsmanager: Any, fresh: str, version_id: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            secretsmanager.update_secret_version_stage(
                SecretId=self._arn, VersionStage=CURRENT, MoveToVersionId=fresh, RemoveFromVersionId=version_id
            )
        except ClientError:
            # Not the error's name says what happened: it is one of many mistakes', and a request that the client sent
            # again because the first answer was lost fails the same way.
            _, current = self.read()
            if current == version_id:
                raise
            return current == fresh
        return True

    def _unlabel(self, secretsmanager: Any, fresh: str, label: str) -> None:
        """Take the label away: a version without any is removed in time. One that stays does no harm."""
        from botocore.exceptions import BotoCoreError, ClientError

        with suppress(BotoCoreError, ClientError):
            secretsmanager.update_secret_version_stage(
                SecretId=self._arn, VersionStage=label, RemoveFromVersionId=fresh
            )
