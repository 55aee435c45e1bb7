"""What the streams of events say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from archfront.search.service.answers import FrontAnswer, TrialRow
from archfront.search.service.bodies import Body, Study


class RunningTrial(Body):
    """A trial that is measured or trained now."""

    trial: int
    label: str
    stage: Literal["measuring", "fetching", "training"] = Field(
        description="fetching: it waits for first weights"
    )
    rung: int
    since: float = Field(description="when it was proposed, or promoted to this rung")
    changed: float = Field(description="when something was last heard of it")
    epoch: int | None = None
    epoch_s: float | None = Field(default=None, description="seconds of the last epoch")
    metrics: dict[str, float | None] = Field(default_factory=dict)
    latency_ms: float | None = None
    fetched_mb: float | None = None
    of_mb: float | None = None


class Notice(Body):
    """Something that a person should know of a study."""

    time: float
    message: str


class StudySnapshot(Body):
    """The event ``snapshot``: a study as it is now; the changes after it follow."""

    study: Study
    front: FrontAnswer | None = Field(description="null before anything is recorded")
    running: list[RunningTrial]
    notices: list[Notice]


class StudyChange(Body):
    """The event ``change``: something that happened in a study.

    Applying one twice does no harm: rows, the study and the front are given whole.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "time": 1800000014.0,
                    "event": "EpochFinished",
                    "fields": {"trial": 3, "epoch": 2, "metrics": {"accuracy": 0.91}},
                    "row": None,
                    "study": None,
                    "front": None,
                }
            ]
        },
    )

    time: float
    event: str = Field(
        description="DataRead, FilesSent, StudyStarted, TrialProposed, TrialMeasured, "
        "WeightsFetched, EpochFinished, RungFinished, TrialPromoted, TrialsStopped, "
        "TrialFinished, TrialRemeasured, Noticed or StudyFinished"
    )
    fields: dict[str, Any]
    row: TrialRow | None = Field(description="the trial, where something of it was recorded")
    study: Study | None = Field(description="the study, where something was recorded")
    front: FrontAnswer | None = Field(description="the front, where it may have changed")


class StudyGone(Body):
    """The event ``removed``: a study was deleted; nothing follows in a stream of its own."""

    name: str
