"""Make the template's bucket, tables and secret at an AWS endpoint; what is there already stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.template import STACK, Template

TABLE_SETTINGS = (
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "ProvisionedThroughput",
    "StreamSpecification",
)
THERE_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists", "ResourceInUseException", "ResourceExistsException"}


def create(template: Template, session: boto3.Session, endpoint: str, secret: str) -> None:
    """Create every store of *template* at *endpoint*, and note their ids in it. *secret* is the secret's text."""
    for name in template.resources("AWS::S3::Bucket"):
        _bucket(template, name, session.client("s3", endpoint_url=endpoint))
    for name, properties in template.resources("AWS::DynamoDB::Table").items():
        _table(template, name, properties, session.client("dynamodb", endpoint_url=endpoint))
    for name in template.resources("AWS::SecretsManager::Secret"):
        _secret(template, name, session.client("secretsmanager", endpoint_url=endpoint), secret)


def _physical(logical: str) -> str:
    """Return a name as CloudFormation would make one up."""
    return f"{STACK}-{logical}"


def _bucket(template: Template, name: str, s3: Any) -> None:
    bucket = _physical(name).lower()
    _unless_there(lambda: s3.create_bucket(Bucket=bucket))
    versioning = template.resources("AWS::S3::Bucket")[name].get("VersioningConfiguration")
    if versioning:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
    template.made[name] = {"Ref": bucket, "Arn": f"arn:aws:s3:::{bucket}"}


def _table(template: Template, name: str, properties: Mapping[str, Any], dynamodb: Any) -> None:
    table = _physical(name)
    settings = {key: template.resolve(properties[key]) for key in TABLE_SETTINGS if key in properties}
    created = _unless_there(lambda: dynamodb.create_table(TableName=table, **settings))
    expiry = properties.get("TimeToLiveSpecification")
    if created and expiry:
        dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=template.resolve(expiry))
    arn = dynamodb.describe_table(TableName=table)["Table"]["TableArn"]
    template.made[name] = {"Ref": table, "Arn": arn}


def _secret(template: Template, name: str, secretsmanager: Any, text: str) -> None:
    secret = _physical(name)
    _unless_there(lambda: secretsmanager.create_secret(Name=secret, SecretString=text))
    secretsmanager.put_secret_value(SecretId=secret, SecretString=text)
    arn = secretsmanager.describe_secret(SecretId=secret)["ARN"]
    template.made[name] = {"Ref": arn, "Id": arn}


def _unless_there(create: Any) -> bool:
    try:
        create()
    except ClientError as error:
        if error.response["Error"]["Code"] in THERE_ALREADY:
            return False
        raise
    return True
