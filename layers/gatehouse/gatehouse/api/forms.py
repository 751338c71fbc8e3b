"""What the gateway's own addresses take: bodies and queries. The OpenAPI document is made from the same models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from gatehouse.caching.purging import MOST_ORGANIZATION, MOST_PATH
from gatehouse.logins import LONGEST_PASSWORD, USERNAME
from gatehouse.projects.checks import MOST_DAYS, NAME
from gatehouse.registry import MOST_METADATA_BYTES, MOST_TEXT, metadata_fits
from gatehouse.web import Form

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Query(BaseModel):
    """The query of a request: exactly these names, each at most once."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _small(metadata: dict[str, Any]) -> dict[str, Any]:
    if not metadata_fits(metadata):
        raise ValueError(f"metadata may have {MOST_METADATA_BYTES} bytes as JSON, without NaN and Infinity")
    return metadata


def _whole(number: Any) -> Any:
    """Take 7.0 for 7: in JSON they are the same number."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _digits(text: Any) -> Any:
    if isinstance(text, str) and not (text.isascii() and text.isdigit()):
        raise ValueError("expected a whole number")
    return text


def _zoned(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time needs its offset, like 2026-11-22T10:00:00Z")
    if moment < _EPOCH:
        raise ValueError("there were no tokens before 1970")
    return moment


class Login(Form):
    """What a login sends. `project` is needed only where several projects issue tokens."""

    username: str = Field(pattern=f"^{USERNAME}$")
    password: str = Field(min_length=1, max_length=LONGEST_PASSWORD)
    project: str | None = None


class Guest(Form):
    """What a guest sends: nothing, or the route that the token is for."""

    route: str | None = Field(default=None, max_length=64)
    project: str | None = None


class TokenOrder(Form):
    """What a service token is asked for with."""

    project: str = Field(pattern=f"^{NAME}$", description="The project that the token is for.")
    service: str = Field(pattern=f"^{NAME}$", description="The service that will carry it.")
    expiresInDays: Annotated[int, Field(ge=1, le=MOST_DAYS), BeforeValidator(_whole)] | None = Field(  # noqa: N815
        default=None, description="90 if it is left out."
    )
    description: str | None = Field(default=None, max_length=MOST_TEXT)
    backend: str | None = Field(default=None, max_length=MOST_TEXT)
    createdBy: str | None = Field(default=None, max_length=MOST_TEXT, description="For whom; yourself if left out.")  # noqa: N815
    metadata: Annotated[dict[str, Any], AfterValidator(_small)] | None = Field(
        default=None, description=f"Kept with the token; at most {MOST_METADATA_BYTES} bytes as JSON."
    )


class Page(Query):
    """Which of the service tokens are asked for."""

    project: str | None = Field(default=None, pattern=f"^{NAME}$")
    service: str | None = Field(default=None, pattern=f"^{NAME}$")
    active: Literal["true", "false"] | None = Field(default=None, description="Only live ones, or only dead ones.")
    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_digits)] = 50
    cursor: str | None = Field(default=None, max_length=512, description="From the answer before.")


class Reason(Form):
    """Why something is revoked. May be said in the body or in the query."""

    reason: str | None = Field(default=None, max_length=MOST_TEXT)


class Revoke(Query):
    """How one token is revoked."""

    reason: str | None = Field(default=None, max_length=MOST_TEXT)
    unregistered: Literal["true", "false"] = Field(
        default="false", description="true: revoke an id that this gateway did not issue, too."
    )


class RevokeMany(Query):
    """Whose tokens are revoked: a subject's, a project's, or a subject's of a project."""

    project: str | None = Field(default=None, pattern=f"^{NAME}$")
    subject: str | None = Field(default=None, min_length=1, max_length=256)
    before: Annotated[datetime, AfterValidator(_zoned)] | None = Field(
        default=None, description="Tokens issued before this moment; now, if it is left out."
    )
    reason: str | None = Field(default=None, max_length=MOST_TEXT)


class Purge(Query):
    """Which kept answers are thrown away: those that meet all that is said. `purging.order` says what is wrong."""

    model_config = ConfigDict(json_schema_extra={"required": ["project"]})

    project: str | None = Field(default=None, description="The project whose answers are to go.")
    route: str | None = Field(
        default=None,
        description="Only those of this route.",
        json_schema_extra={"pattern": f"^{NAME}$"},
    )
    path: str | None = Field(
        default=None,
        description="Only those of this path, whatever the query; those below it, too, if it ends in `/*`.",
        json_schema_extra={"pattern": "^/", "maxLength": MOST_PATH},
    )
    organization: str | None = Field(
        default=None,
        description="Only those that are kept for the organization with this id.",
        json_schema_extra={"minLength": 1, "maxLength": MOST_ORGANIZATION},
    )


class Nothing(Form):
    """No keys at all."""
