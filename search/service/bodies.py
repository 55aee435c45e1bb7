"""The bodies of requests and answers, as the description of the API shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$"
# A member of a front: knee, fastest, best, all, trained, a trial, or an id or its beginning.
MEMBER = r"^[A-Za-z0-9]{1,40}$"
# What each pattern asks for, in words.
PATTERNS = {
    NAME: "a name starts with a letter from A to Z or a digit, and has only those, spaces, '.', "
    "'_' and '-', 60 at most",
    MEMBER: "a member is knee, fastest, best, all, trained, the number of a trial, or an id or "
    "its beginning, of letters and digits alone",
}
# The field of a request with the name of a study, whose option 'study' a request does not set.
NAME_FIELD = "name"
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


class Option(Body):
    """An option of a study."""

    name: str
    kind: str = Field(description="what values it takes, in words")
    meaning: str
    default: Any = Field(description="its value where neither a request nor a chosen file sets it")
    schema_: dict[str, Any] = Field(
        alias="schema",
        description="JSON schema of its values: bounds and names; with 'auto': true the data may "
        "decide",
    )
    refused: str | None = Field(description="why no request may set it; null where one may")


class Choice(Body):
    """A yaml file of a group, with values for its options."""

    name: str
    meaning: str
    is_default: bool


class Options(Body):
    """All that a study can be made of."""

    options: list[Option]
    groups: dict[str, list[Choice]]


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


class StudyChoices(Body):
    """What a study is made of: names of yaml files by group, and values by option."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "flowers",
                    "choices": {"task": "classification", "data": "auto"},
                    "options": {
                        "data.root": "/data/flowers",
                        "hardware.limits.latency_ms": 20,
                        "budget.minutes": 60,
                    },
                }
            ]
        },
    )

    name: str
    choices: dict[str, str] = {}
    options: dict[str, Any] = {}


class StudyRequest(StudyChoices):
    """A study to make."""

    start: bool = True


class CloneRequest(Body):
    """A study to make with the configuration of another one, of which options may be changed."""

    name: str
    options: dict[str, Any] = {}
    start: bool = True


class BudgetRequest(Body):
    """A larger budget: new totals, with what is spent; null: no such limit.

    What is left out stays as it is.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"minutes": 120}]})

    minutes: float | None = Field(
        default=None, gt=0, description="minutes of the study in all, more than it has now"
    )
    trials: int | None = Field(
        default=None, ge=1, description="trials of the study in all, more than it has now"
    )


class CheckedStudy(Body):
    """A configuration that is right."""

    command: str = Field(description="the equal command line")
    notes: list[str] = Field(description="what was chosen where nothing was given")
    config: dict[str, Any]


class Study(Body):
    """A study in short; times are seconds since the epoch."""

    name: str
    state: str = Field(
        description="waiting, running, pausing, cancelling, paused, cancelled, finished, stopped "
        "(the machine failed), failed or deleting; in lists also reading: the server has not read "
        "its records yet"
    )
    reason: str = Field(description="why it ended, or what happened to it")
    wanted: Literal["run", "pause", "cancel"] | None = Field(
        description="what was asked for last; null where a person started it in a terminal"
    )
    created: float | None
    created_by: str = Field(description="name of the token, or 'command line'")
    task: str | None = None
    metric: str | None = None
    best: float | None = Field(default=None, description="the best metric of a trained candidate")
    counts: dict[str, int] = Field(default={}, description="trials by outcome")
    started: float | None = None
    seconds: dict[str, float] = Field(default={}, description="wall seconds by what took them")


class WholeStudy(Study):
    """A study with its configuration."""

    config: dict[str, Any]
    command: str | None = Field(description="the equal command line, where there is one")


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
# The same for routes whose own answers are no JSON, of which FastAPI would describe errors alike.
JSON_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": error["description"],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    for status, error in ERRORS.items()
}
