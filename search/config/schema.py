"""From a composed mapping to one plain, checked ``Config``, or every problem at once.

The dataclasses below are the schema: a field's type, its bounds and its help stand in one place,
and the check, the messages and ``docs/options.md`` are made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from archfront.search.engine import ENGINES
from archfront.search.formats.formats import FORMATS
from archfront.search.runtimes import PRECISIONS, RUNTIMES
from archfront.search.samplers import SAMPLERS
from archfront.trainers.data.readers import READERS
from archfront.trainers.data.readers.shapes import KINDS
from archfront.trainers.tasks import NECKS, TASKS


def _option(
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    known: Iterable[str] | None = None,
    is_path: bool = False,
    may_be_empty: bool = False,
    may_repeat: bool = False,
) -> Any:
    """Return a dataclass field with its help, its bounds (both allowed) and its known names."""
    known = tuple(known) if known is not None else None
    metadata = {"help": text, "low": low, "high": high, "known": known, "is_path": is_path}
    lists = {"may_be_empty": may_be_empty, "may_repeat": may_repeat}
    return field(metadata={**metadata, **lists})


def _names(known: Iterable[str]) -> str:
    return f"{', '.join(known)}; any that an imported device has"


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What is learned, how it is judged and how long one proxy training is."""

    name: str = _option("the task", known=TASKS)
    metric: str = _option("the metric to maximize, on the validation split")
    epochs: int = _option("epochs of one proxy training", low=1, high=10_000)
    loss: str = _option("the loss to minimize")
    class_weights: Literal["none", "balanced"] = _option(
        "balanced: classes that are rare in the training split weigh more in the loss"
    )
    label_smoothing: float = _option("share of the target given to other classes", low=0, high=0.5)
    schedule: Literal["one_cycle", "cosine"] = _option("schedule of the learning rate")


@dataclass(frozen=True, kw_only=True)
class ShapesConfig:
    """What is drawn for data=shapes."""

    images: int = _option("images to draw", low=1, high=1_000_000)
    side: int = _option("side of an image, in px", low=8, high=4096)
    classes: int = _option(f"kinds of shapes: the first of {', '.join(KINDS)}", low=1, high=6)
    objects_min: int = _option("fewest shapes in an image", low=0, high=100)
    objects_max: int = _option("most shapes in an image", low=1, high=100)
    share_min: float = _option("smallest diameter, over the side", low=0.02, high=1)
    share_max: float = _option("largest diameter, over the side", low=0.02, high=1)
    imbalance: float = _option(
        "how often the first class is drawn for each time that the last is", low=1, high=1000
    )
    overlap: bool = _option("whether a shape may hide up to half of another")
    seed: int = _option("seed of everything that is drawn", low=0)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the images are and how they are split."""

    reader: str = _option("format of the dataset", known=READERS)
    root: str | None = _option("folder of the dataset", is_path=True)
    name: str | None = _option("name of a torchvision dataset, as FashionMNIST")
    download: bool = _option("whether a torchvision dataset may be downloaded")
    train: float = _option("share (below 1) or number of images to train on", low=0)
    val: float = _option("share or number of images to judge candidates on", low=0)
    test: float = _option("share or number of images kept for the final scores; 0: none", low=0)
    split_seed: int = _option("seed of the split", low=0)
    channels: Literal[1, 3] | None = _option("channels of the images; null: as in the files")
    on_error: Literal["stop", "skip"] = _option("what a broken image or annotation does")
    memory_mb: float = _option("decoded images are kept in memory up to this, in MB", low=0)
    annotations: str | None = _option(
        "file of the annotations, where the format does not say it: json, csv or data.yaml",
        is_path=True,
    )
    classes: tuple[str, ...] | None = _option(
        "class names in the order of their numbers, for masks and YOLO that have none"
    )
    palette: Mapping[str, tuple[int, ...]] = _option(
        "classes of masks, each with its value or its color; ignored: what does not count",
        low=0,
        high=255,
        may_repeat=True,
    )
    ignore_index: int | None = _option(
        "value of the pixels in a mask that do not count, beside 255", low=0, high=255
    )
    delimiter: Literal["|", ";", ",", "space"] = _option(
        "between the labels of an image in a table"
    )
    shapes: ShapesConfig


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """What a candidate may cost; null for no limit."""

    latency_ms: float | None = _option("p50 of one prediction, in ms", low=0)
    params_m: float | None = _option("parameters, in millions", low=0)
    macs_g: float | None = _option("multiply-accumulates of one image, in billions", low=0)
    size_mb: float | None = _option("size of the exported file, in MB", low=0)
    memory_mb: float | None = _option("peak memory of loading and predicting, in MB", low=0)
    energy_mj: float | None = _option("energy of one image, in mJ", low=0)


LIMITS = tuple(item.name for item in fields(LimitsConfig))
# What is known before training: all that has a limit, and images per second.
OBJECTIVES = (*LIMITS, "throughput_ips")


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """The device, the runtime and the clock."""

    device: str | None = _option("null: this machine; else one that was imported, by id or words")
    runtime: str = _option(f"what runs the exported model: {_names(RUNTIMES)}")
    precision: str = _option(f"numeric precision of the exported model: {_names(PRECISIONS)}")
    threads: int = _option("threads of one prediction", low=1, high=1024)
    affinity: tuple[int, ...] | None = _option("logical cores to run on; null: any", low=0)
    batch_size: int = _option("images of one prediction", low=1, high=4096)
    warmup: int = _option("predictions before the clock starts, at least", low=1, high=10_000)
    repeats: int = _option("timed predictions, at least", low=5, high=100_000)
    interval: float = _option(
        "half the confidence interval of the median, over the median, to reach", low=0.001, high=1
    )
    max_seconds: float = _option("seconds of timing one architecture, at most", low=0.1)
    throughput_batch: int | None = _option(
        "images at a time for throughput_ips; null: not measured", low=1, high=65_536
    )
    limits: LimitsConfig


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """Grids of the training recipe; one value fixes an axis."""

    lr: tuple[float, ...] = _option("peak learning rates of AdamW", low=1e-8, high=10)
    weight_decay: tuple[float, ...] = _option("weight decays of AdamW", low=0, high=10)
    batch_size: tuple[int, ...] = _option("images per step", low=1, high=65_536)
    augment: tuple[Literal["none", "light", "strong"], ...] = _option("augmentation strengths")
    dropout: tuple[float, ...] = _option("dropout before the classifier", low=0, high=0.9)
    freeze: tuple[bool, ...] = _option(
        "train the head only (with weights); without augmentation on features computed once"
    )


@dataclass(frozen=True, kw_only=True)
class SpaceConfig:
    """Which candidates there are."""

    backbones: tuple[str, ...] = _option("timm names or patterns, as resnet*")
    exclude: tuple[str, ...] = _option("names or patterns to leave out", may_be_empty=True)
    families: tuple[str, ...] = _option("timm modules or patterns, as resnet or mobilenet*")
    params_m_max: float | None = _option("largest backbone, in 10^6 parameters", low=0)
    macs_g_max: float | None = _option(
        "most multiply-accumulates of a backbone at an input size, in 10^9", low=0
    )
    licences: tuple[str, ...] = _option(
        "licences or patterns, as mit or apache*, that the weights to use may have"
    )
    heads: tuple[str, ...] = _option("heads of the task")
    necks: tuple[str, ...] = _option("what may mix the feature maps before a head", known=NECKS)
    widths: tuple[int, ...] = _option("channels of decoders and heads", low=4, high=2048)
    depths: tuple[int, ...] = _option("stages of decoders, convolutions of heads", low=1, high=8)
    input_sizes: tuple[int, ...] = _option("sides of the square input, in px", low=4, high=4096)
    weights: str = _option("none, pretrained, or a folder with files of timm's names")
    exportable: tuple[str, ...] = _option(
        "formats of archfront export that every candidate must be able to go to, as hf",
        known=FORMATS,
        may_be_empty=True,
    )
    weights_missing: Literal["stop", "drop"] = _option("what a backbone without weights does")
    recipe: RecipeConfig


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """Who proposes the next candidate."""

    name: str = _option("the sampler", known=SAMPLERS)
    startup: int = _option(
        "proposals before the sampler's own: random, or spread by front", low=1, high=10_000
    )


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """When the study ends; may change when a study is resumed."""

    trials: int | None = _option("full trainings to spend; null: no such limit", low=1)
    minutes: float | None = _option("wall minutes of the study; null: no such limit", low=0)
    trial_minutes: float | None = _option("wall minutes of one job, then it is ended", low=0)
    rungs: tuple[int, ...] | None = _option(
        "epochs at which candidates compete, up to task.epochs; []: full trainings only; null: "
        "by thirds of task.epochs; cannot change on resume",
        low=1,
        high=10_000,
        may_be_empty=True,
    )
    max_rejections: int = _option("rejections in a row that end the study", low=1)
    max_failures: int = _option("failures in a row that end the study with an error", low=1)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where jobs run; may change when a study is resumed."""

    name: str = _option("the engine", known=ENGINES)
    workers: int = _option("trainings at a time", low=1, high=256)
    threads: int | None = _option("threads of one training; null: cores / workers", low=1)
    precision: Literal["fp32", "bf16", "auto"] = _option("auto: bf16 where measured to be faster")
    shared_mb: float = _option(
        "decoded images shared by all workers and studies of this machine, in MB; 0: none", low=0
    )


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Where records go; may change when a study is resumed."""

    root: str = _option("folder of all studies and of MLflow", is_path=True)
    mlflow_uri: str | None = _option("SQLAlchemy or http URL of MLflow; null: mlflow.db in root")
    storage_url: str | None = _option("SQLAlchemy URL for Optuna; null: a journal per study")
    experiment: str = _option("MLflow experiment of the studies")
    device_db: str = _option("latencies remembered on this device", is_path=True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """One study: everything it needs to know, checked."""

    study: str = _option("name of the study; the same name again resumes it")
    seed: int = _option("seed of the study", low=0, high=2**31)
    objectives: tuple[str, ...] = _option(
        "what to minimize beside the metric; throughput_ips is maximized", known=OBJECTIVES
    )
    task: TaskConfig
    data: DataConfig
    hardware: HardwareConfig
    space: SpaceConfig
    sampler: SamplerConfig
    budget: BudgetConfig
    engine: EngineConfig
    tracking: TrackingConfig

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested content, tuples as lists; ``build`` gives the equal config back."""
        content: dict[str, Any] = _plain(asdict(self))
        return content

    def question(self) -> dict[str, Any]:
        """Return what defines the study: all but the parts that may change on resume."""
        content = self.as_dict()
        for part in ("budget", "engine", "tracking"):
            del content[part]
        return content


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
