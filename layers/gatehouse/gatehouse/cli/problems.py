"""What goes wrong for an operator, in one line that says what to do. No tracebacks, whatever AWS answers."""

from __future__ import annotations

import http.client
import sys
import traceback
from collections.abc import Callable, Mapping

import typer

from gatehouse import logs
from gatehouse.errors import GatewayError
from gatehouse.keys import KeyRingError
from gatehouse.projects import ProjectFileError
from gatehouse.rotation import RotationError
from gatehouse.settings import SettingsError
from gatehouse.stores.admins import RecordError
from gatehouse.stores.aws_json import AwsError

OK, REFUSED, MISUSED = 0, 1, 2
"""Exit codes: done; refused or failed; not a command that there is."""


class RefusedError(Exception):
    """What was asked for is not done; the message says why and what to do."""


class HalfDoneError(Exception):
    """A part of what was asked for is done; the message says which, and how to do the rest."""


class MisuseError(Exception):
    """The command was not said right; the message says how to say it."""


_OURS = (RefusedError, HalfDoneError, MisuseError, GatewayError, KeyRingError, RotationError, SettingsError)
_CREDENTIALS = (
    "give this shell some (aws configure, aws sso login, AWS_PROFILE), or say --local for what 'make run' has"
)
_UNREACHABLE = "AWS does not answer; see to the network, --region and AWS_ENDPOINT_URL, and try again"
_LOGGED_OUT = "the login to AWS is over: aws sso login"
_OF_BOTOCORE: Mapping[str, str] = {
    "NoCredentialsError": f"there are no AWS credentials here; {_CREDENTIALS}",
    "PartialCredentialsError": f"the AWS credentials are not complete; {_CREDENTIALS}",
    "CredentialRetrievalError": f"the AWS credentials cannot be had; {_CREDENTIALS}",
    "SSOTokenLoadError": _LOGGED_OUT,
    "UnauthorizedSSOTokenError": _LOGGED_OUT,
    "TokenRetrievalError": _LOGGED_OUT,
    "ProfileNotFound": "there is no such AWS profile; see AWS_PROFILE and 'aws configure list-profiles'",
    "NoRegionError": "in which AWS region? Say --region, or set AWS_REGION",
    "InvalidRegionError": "that is not the name of an AWS region; see --region and AWS_REGION",
    "EndpointConnectionError": _UNREACHABLE,
    "ConnectTimeoutError": _UNREACHABLE,
    "ReadTimeoutError": _UNREACHABLE,
    "ConnectionClosedError": _UNREACHABLE,
    "ProxyConnectionError": _UNREACHABLE,
    "SSLError": _UNREACHABLE,
}
"""What botocore's own exceptions mean, by their names: it is not imported for them."""
_DENIED = "these credentials may not do that; ask whoever looks after the account."
_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "the credentials have expired; log in again (aws sso login)": (
        "ExpiredToken", "ExpiredTokenException", "RequestExpired",
    ),
    f"it does not know these credentials; {_CREDENTIALS}": (
        "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
        "UnrecognizedClientException", "IncompleteSignature", "AuthFailure",
    ),
    "this machine's clock is wrong; set it": ("RequestTimeTooSkewed", "RequestInTheFuture"),
    "it is not there; is this the right --stack, --region and account?": (
        "ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "404",
    ),
    "it is busy; try again in a moment": (
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "SlowDown", "ThrottlingException",
        "Throttling", "ServiceUnavailable", "InternalServerError", "InternalFailure", "InternalError",
        "InternalServiceError",
    ),
}  # fmt: skip
"""What a refusal of AWS means, and the codes that mean it."""


def run(command: Callable[[], object]) -> int:
    """Call *command*, which takes nothing; return the exit code, after one line for what went wrong."""
    try:
        code = command()
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message(), err=True)
        else:
            complain(_usage(error))
        return error.exit_code
    except typer.Abort:
        complain("stopped; nothing was changed (without a terminal to ask at, say --yes, --stdin or --password-stdin)")
        return REFUSED
    except MisuseError as error:
        complain(str(error))
        return MISUSED
    except Exception as error:  # noqa: BLE001  # an operator gets a sentence, whatever it was
        complain(words(error) or _unexpected(error))
        return REFUSED
    return code if isinstance(code, int) else OK


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    typer.echo(f"gatehouse: {message}", err=True)


def words(error: BaseException) -> str:
    """Return what *error* means and what to do about it; empty if nobody expected it."""
    return _ours(error) or _of_aws(error) or _of_the_network(error)


def _ours(error: BaseException) -> str:
    if isinstance(error, RecordError):
        return f"{error}; 'admin remove' takes it away, 'admin add' makes a new one"
    if isinstance(error, ProjectFileError):
        return f"the project files have mistakes:\n{error}"
    return str(error) if isinstance(error, _OURS) else ""


def _of_aws(error: BaseException) -> str:
    if isinstance(error, AwsError):
        return _refusal(str(error), "", "")
    said = getattr(error, "response", None)
    if isinstance(said, Mapping) and "Error" in said:
        fields = said["Error"]
        return _refusal(fields.get("Code", ""), getattr(error, "operation_name", ""), fields.get("Message", ""))
    return ""


def _of_the_network(error: BaseException) -> str:
    if isinstance(error, http.client.HTTPException | ConnectionError | TimeoutError):
        return _UNREACHABLE
    if not type(error).__module__.startswith("botocore"):
        return ""
    name = type(error).__name__
    return _OF_BOTOCORE.get(
        name, f"the AWS client gives up ({name}); see to the credentials, --region and AWS_ENDPOINT_URL"
    )


def _refusal(code: str, operation: str, message: str) -> str:
    """Return what it means that AWS refused *operation* with *code*."""
    what = f"AWS refuses {operation or 'this'} ({code})"
    for meaning, codes in _MEANINGS.items():
        if code in codes:
            return f"{what}: {meaning}"
    if code.startswith("AccessDenied") or code in {"403", "Forbidden"}:
        return f"{what}: {_DENIED} {_printable(message)}".rstrip()
    return f"{what}: {_printable(message)}".rstrip(": ")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    return f"{message}\nsee: {context.command_path} --help" if context else message


def _unexpected(error: BaseException) -> str:
    """Return where a defect of ours showed itself, and not what it said: that can quote what was being worked on."""
    logs.crash("unexpected failure", error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else sys.argv[0]
    return f"a defect of this command: {type(error).__name__} at {where}. Please report it with the line above."
