"""The bodies of requests and answers, as the description of the API shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$"
Name = Annotated[str, Field(min_length=1, max_length=60, pattern=NAME)]


class Body(BaseModel):
    """A body without unknown fields."""

    model_config = ConfigDict(extra="forbid")


class Health(Body):
    """The state of the server."""

    status: Literal["ok"]


class Version(Body):
    """The versions of archfront and of what it trains and measures with."""

    archfront: str
    api: int
    libraries: dict[str, str]


class TokenRequest(Body):
    """A token to make."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"name": "laptop", "scope": "read"}]}
    )

    name: Name
    scope: Literal["read", "full"] = "read"


class Token(Body):
    """A token, without what is secret of it; times are seconds since the epoch."""

    id: str
    name: str
    scope: Literal["read", "full"]
    created: float
    last_used: float | None = None


class NewToken(Body):
    """A token that was made; its secret is shown this once."""

    name: str
    scope: Literal["read", "full"]
    token: str


class ErrorProblem(Body):
    """One thing that is wrong, with the option it is about."""

    option: str | None
    message: str


class ErrorDetail(Body):
    """An error."""

    code: str
    message: str
    problems: list[ErrorProblem]


class Error(Body):
    """The body of every answer that is an error."""

    error: ErrorDetail


# What every route may answer besides its own.
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Error, "description": "The request is refused."},
    "5XX": {"model": Error, "description": "The service cannot answer."},
}
