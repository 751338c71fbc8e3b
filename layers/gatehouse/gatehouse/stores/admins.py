"""Admin records: one S3 object per administrator, `auth/admins/{username}.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatehouse.stores.clients import client

PREFIX = "auth/admins/"
SUFFIX = ".json"


class RecordError(Exception):
    """A record is there and is not one: nobody can log in by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRecord:
    """What is kept of an administrator. `etag` is the version that was read, `others` what else stood in it."""

    username: str
    role: str
    hash: str = field(repr=False)
    salt: str = field(default="", repr=False)
    etag: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)


class AdminRecords:
    """The records in one bucket. Every method blocks; call it from a thread."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def get(self, username: str) -> AdminRecord | None:
        """Return the record of *username*, which must be a valid one; None if there is none.

        Raises:
            RecordError: the record is broken.
            botocore.exceptions.BotoCoreError, ClientError: S3 did not answer as it should.
        """
        s3 = client("s3")
        try:
            answer = s3.get_object(Bucket=self._bucket, Key=_key(username))
        except s3.exceptions.NoSuchKey:
            return None
        return _record(username, answer["Body"].read(64 * 1024), answer["ETag"])

    def names(self) -> list[str]:
        """Return the usernames that have a record, in order."""
        pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return [key.removeprefix(PREFIX).removesuffix(SUFFIX) for key in keys if key.endswith(SUFFIX)]

    def create(self, record: AdminRecord) -> bool:
        """Write *record*, which is new; False if there is one of that name."""
        return self._put(record, IfNoneMatch="*")

    def remove(self, username: str) -> None:
        """Delete the record of *username*. Where the bucket keeps versions it can be brought back."""
        client("s3").delete_object(Bucket=self._bucket, Key=_key(username))

    def replace(self, record: AdminRecord) -> bool:
        """Write *record* over the version it was read from; False if somebody was faster."""
        return self._put(record, IfMatch=record.etag)

    def _put(self, record: AdminRecord, **condition: str) -> bool:
        s3 = client("s3")
        try:
            s3.put_object(
                Bucket=self._bucket,
                Key=_key(record.username),
                Body=document(record),
                ContentType="application/json",
                **condition,
            )
        except s3.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in {409, 412}:
                return False
            raise
        return True


def document(record: AdminRecord) -> bytes:
    """Return *record* as its object holds it."""
    fields = {"username": record.username, "salt": record.salt, "hash": record.hash, "role": record.role}
    return json.dumps({**record.others, **fields}).encode()


def _key(username: str) -> str:
    return f"{PREFIX}{username}{SUFFIX}"


def _record(username: str, data: bytes, etag: str) -> AdminRecord:
    try:
        fields: Any = json.loads(data)
        record = AdminRecord(
            username=_text(fields["username"]),
            role=_text(fields["role"]),
            hash=_text(fields["hash"]),
            salt=str(fields.get("salt") or ""),
            etag=etag,
            others=fields,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"the record {_key(username)} is not an admin record") from error
    if record.username != username:
        raise RecordError(f"the record {_key(username)} is somebody else's")
    return record


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text")
    return value
