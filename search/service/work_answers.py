"""The requests for work that takes minutes to hours, and the answers about it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from archfront.search.config.option_types import OneOf
from archfront.search.formats.formats import FORMATS
from archfront.search.runtimes import PRECISIONS
from archfront.search.service.bodies import MEMBER, Body
from archfront.search.service.task_rows import Kind, TaskRow, TaskState

Member = Annotated[str, Field(pattern=MEMBER)]
FormatName = Annotated[str, OneOf(tuple(FORMATS))]


EXAMPLE: dict[str, Any] = {
    "id": "0123456789abcdef",
    "kind": "export",
    "subject": "flowers",
    "state": "running",
    "message": "",
    "created": 1800000000.0,
    "created_by": "laptop",
    "started": 1800000001.0,
    "ended": None,
}


class TaskAnswer(Body):
    """A task: a command that runs in a process of its own."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    id: str
    kind: Kind
    subject: str = Field(description="name of the study or the dataset")
    state: TaskState
    message: str = Field(description="why it has failed, or its last words")
    created: float
    created_by: str
    started: float | None
    ended: float | None

    @classmethod
    def of(cls, row: TaskRow) -> TaskAnswer:
        """Return the answer about a task's row."""
        return cls(**{name: getattr(row, name) for name in TaskAnswer.model_fields})


class TaskDetail(TaskAnswer):
    """A task with the last lines that it printed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{**EXAMPLE, "lines": ["onnx: accuracy 0.93"]}]},
    )

    lines: list[str]


class RefitRequest(Body):
    """Full trainings to make, as ``archfront refit`` does."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"members": ["knee"], "epochs": 60}]}
    )

    members: list[Member] = Field(default=["all"], min_length=1, max_length=100)
    epochs: int | None = Field(default=None, ge=1, le=10_000)
    seeds: int = Field(default=3, ge=1, le=100)
    ema: float = Field(default=0.998, ge=0, lt=1)
    patience: int | None = Field(default=None, ge=1, le=10_000)
    distill: bool = False
    teaching: float = Field(default=0.5, gt=0, le=1)

    def words(self, study: str) -> list[str]:
        """Return the words of the command."""
        words = ["refit", study, "--members", ",".join(self.members)]
        words += ["--seeds", str(self.seeds), "--ema", str(self.ema)]
        words += ["--teaching", str(self.teaching), *(["--distill"] if self.distill else [])]
        for name in ("epochs", "patience"):
            value = getattr(self, name)
            words += [] if value is None else [f"--{name}", str(value)]
        return words


class VariantsRequest(Body):
    """Variants to make, as ``archfront variants`` does."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"members": ["knee"], "precisions": ["fp32", "int8"]}]},
    )

    members: list[Member] = Field(default=["all"], min_length=1, max_length=100)
    runtimes: list[Literal["onnxruntime", "openvino"]] | None = None
    precisions: list[Annotated[str, OneOf(tuple(PRECISIONS))]] = Field(
        default=["fp32", "int8"], min_length=1
    )
    sizes: list[Annotated[int, Field(ge=4, le=4096)]] | None = Field(
        default=None, min_length=1, max_length=20, description="null: by each member's own"
    )
    again: bool = False

    def words(self, study: str) -> list[str]:
        """Return the words of the command."""
        words = ["variants", study, "--members", ",".join(self.members)]
        words += ["--precisions", ",".join(self.precisions)]
        words += [] if self.runtimes is None else ["--runtimes", ",".join(self.runtimes)]
        words += [] if self.sizes is None else ["--sizes", ",".join(map(str, self.sizes))]
        return [*words, *(["--again"] if self.again else [])]


class ExportRequest(Body):
    """A member to write as files to deploy, as ``archfront export`` does."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"member": "knee", "formats": ["onnx", "onnx-int8"]}]},
    )

    member: Member = "knee"
    formats: list[FormatName] = Field(default=["onnx"], min_length=1, max_length=len(FORMATS))
    proxy: bool = Field(
        default=False,
        description="the weights of the search, of a member without a refit the only",
    )
    batch: int | None = Field(default=None, ge=1, le=4096)
    dynamic_batch: bool = False
    normalize_inside: bool = False
    max_loss: float = Field(default=0.02, ge=0, le=1)
    calibration: int = Field(default=128, ge=1, le=100_000)
    no_latency: bool = False

    def words(self, study: str, folder: str) -> list[str]:
        """Return the words of the command."""
        words = ["export", study, "--member", self.member, "--out", folder]
        words += ["--format", ",".join(self.formats), "--max-loss", str(self.max_loss)]
        words += ["--calibration", str(self.calibration)]
        words += [] if self.batch is None else ["--batch", str(self.batch)]
        for name in ("proxy", "dynamic_batch", "normalize_inside", "no_latency"):
            words += [f"--{name.replace('_', '-')}"] if getattr(self, name) else []
        return words


class ArtifactAnswer(Body):
    """An artifact of a study's members, whoever exported it."""

    trial: int
    label: str
    format: str
    kind: str = Field(description="of its weights: proxy or refit")
    created: str
    metric: float | None
    lost: float | None = Field(description="share of the metric that was lost")
    parity: float | None
    latency_ms: float | None
    size_mb: float | None
    is_on_front: bool
    verdict: str
    export: str | None = Field(description="id of the export that can be downloaded, if any")


class ExportsAnswer(Body):
    """The exports of a study: what was asked for here, and all artifacts that are recorded."""

    tasks: list[TaskAnswer] = Field(description="those that are finished can be downloaded")
    artifacts: list[ArtifactAnswer] = Field(description="the fastest first")
    notes: list[str]


class RefitsAnswer(Body):
    """What full trainings say of the members of a front; null before the first one."""

    summary: dict[str, Any] | None
    notes: list[str]
    tasks: list[TaskAnswer]


class VariantsAnswer(Body):
    """What variants of members say; null before the first one."""

    summary: dict[str, Any] | None
    notes: list[str]
    tasks: list[TaskAnswer]
