"""The schema of a configuration: frozen dataclasses whose annotations pydantic checks.

The type, the bounds and the meaning of an option stand in one place; the check, the messages and
``docs/options.md`` are made from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from archfront.search.config.engine_options import EngineConfig
from archfront.search.config.option_types import (
    READ_NUMBER,
    AbsolutePath,
    Automatic,
    Bounds,
    Color,
    ExperimentName,
    Flag,
    Limit,
    Named,
    Nullable,
    OneOf,
    Range,
    Text,
    TileSide,
    Values,
    ValuesOrEmpty,
    WordOrPath,
    option,
)
from archfront.search.config.space_options import RecipeConfig, RulesConfig
from archfront.search.formats.formats import FORMATS
from archfront.search.runtimes import PRECISIONS, RUNTIMES
from archfront.search.samplers import SAMPLERS
from archfront.trainers.data.image_files import MOST_PIXELS
from archfront.trainers.data.readers import READERS
from archfront.trainers.data.readers.shapes import KINDS
from archfront.trainers.tasks import NECKS, TASKS


def _names(known: Iterable[str]) -> str:
    return f"{', '.join(known)}; any that an imported device has"


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The task, its metric and loss, and the length of a proxy training."""

    name: Annotated[str, OneOf(TASKS)] = option("the task")
    metric: Text = option(
        "the metric to maximize, on the validation split; auto: the first one of the task, or for "
        "unequal classes one in which they count alike"
    )
    epochs: Automatic[Annotated[int, Bounds(1, 10_000)]] = option(
        "epochs of one proxy training; auto: planned from budget.minutes and measured steps"
    )
    loss: Text = option("the loss to minimize")
    class_weights: Literal["none", "balanced"] = option(
        "balanced: classes that are rare in the training split weigh more in the loss"
    )
    label_smoothing: Annotated[float, Bounds(0, 0.5)] = option(
        "share of the target given to other classes"
    )
    schedule: Literal["auto", "one_cycle", "cosine"] = option(
        "schedule of the learning rate; auto: cosine"
    )
    init: Literal["auto", "random", "probe"] = option(
        "what a head begins with; probe: solved on the frozen backbone's features; auto: probe "
        "with weights, for labels of images"
    )
    norms: Literal["auto", "train", "frozen"] = option(
        "whether batch norm's statistics are trained; auto: frozen where init is probe"
    )
    ema: Automatic[Annotated[float, Bounds(0, 0.9999)]] = option(
        "decay of the averaged weights that are judged; 0: none; auto: 0.95"
    )


@dataclass(frozen=True, kw_only=True)
class ShapesConfig:
    """The images that data=shapes draws."""

    images: Annotated[int, Bounds(1, 1_000_000)] = option("images to draw")
    side: Annotated[int, Bounds(8, 4096)] = option("side of an image, in px")
    classes: Annotated[int, Bounds(1, 6)] = option(
        f"kinds of shapes: the first of {', '.join(KINDS)}"
    )
    objects_min: Annotated[int, Bounds(0, 100)] = option("fewest shapes in an image")
    objects_max: Annotated[int, Bounds(1, 100)] = option("most shapes in an image")
    share_min: Annotated[float, Bounds(0.02, 1)] = option("smallest diameter, over the side")
    share_max: Annotated[float, Bounds(0.02, 1)] = option("largest diameter, over the side")
    imbalance: Annotated[float, Bounds(1, 1000)] = option("draws of the first class per last one")
    overlap: Flag = option("whether a shape may hide up to half of another")
    seed: Annotated[int, Bounds(0)] = option("seed of everything that is drawn")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The dataset and its split."""

    reader: Annotated[str, OneOf(READERS)] = option("format of the dataset")
    root: Nullable[AbsolutePath] = option("folder of the dataset")
    name: Nullable[Text] = option("name of a torchvision dataset, like FashionMNIST")
    download: Flag = option("whether a torchvision dataset may be downloaded")
    train: Annotated[float, Bounds(0)] = option("share (below 1) or number of images to train on")
    val: Annotated[float, Bounds(0)] = option("share or number of images to judge candidates on")
    test: Annotated[float, Bounds(0)] = option(
        "share or number of images kept for the final scores; 0: none"
    )
    split_seed: Annotated[int, Bounds(0)] = option("seed of the split")
    group: Nullable[Text] = option(
        "stem, prefix, folder, column:NAME or a pattern: what stays in one split"
    )
    channels: Nullable[Annotated[Literal[1, 3], READ_NUMBER]] = option(
        "channels of the images; null: as in the files"
    )
    on_error: Literal["stop", "skip"] = option("what a broken image or annotation does")
    memory_mb: Annotated[float, Bounds(0)] = option("decoded images kept in memory, in MB")
    annotations: Nullable[AbsolutePath] = option(
        "file of the annotations, where the format does not name it: json, csv or data.yaml"
    )
    classes: Nullable[Values[Text]] = option(
        "class names in the order of their numbers, for masks and YOLO that have none"
    )
    palette: Named[Color] = option(
        "classes of masks, each with its value or its color; ignored: what does not count"
    )
    ignore_index: Nullable[Annotated[int, Bounds(0, 255)]] = option(
        "value of the pixels in a mask that do not count, besides 255"
    )
    delimiter: Literal["|", ";", ",", "space"] = option("between labels of an image in a table")
    outside_root: Literal["forbid", "allow"] = option(
        "whether images that annotations name may lie outside of data.root, through links too"
    )
    max_pixels: Annotated[int, Bounds(1, MOST_PIXELS)] = option(
        "width times height of the largest image that is read; larger ones are broken images"
    )
    tiles: TileSide = option(
        "side in px of the tiles of an image; auto: by its objects; null: none"
    )
    tile_overlap: Annotated[float, Bounds(0, 0.75)] = option("share that tiles have in common")
    value_range: Automatic[Range] = option("of 16 bits a pixel, what becomes black and white")
    shapes: ShapesConfig

    @property
    def title(self) -> str:
        """Return a name of the data for people: its folder, its name, else its format."""
        return self.root or self.name or self.reader


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """The limits of a candidate; null for no limit."""

    latency_ms: Nullable[Limit] = option("p50 of one prediction, in ms")
    params_m: Nullable[Limit] = option("parameters, in millions")
    macs_g: Nullable[Limit] = option("multiply-accumulates of one image, in billions")
    size_mb: Nullable[Limit] = option("size of the exported file, in MB")
    memory_mb: Nullable[Limit] = option("peak memory of loading and predicting, in MB")
    energy_mj: Nullable[Limit] = option("energy of one image, in mJ")


LIMITS = tuple(item.name for item in fields(LimitsConfig))
# The values known before training: each that has a limit, and images per second.
OBJECTIVES = (*LIMITS, "throughput_ips")


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """The device, the runtime and how latency is measured."""

    device: Nullable[Text] = option(
        "null: this machine; else an imported device, by its id or its name"
    )
    runtime: Text = option(f"what runs the exported model: {_names(RUNTIMES)}")
    precision: Text = option(f"numeric precision of the exported model: {_names(PRECISIONS)}")
    threads: Annotated[int, Bounds(1, 1024)] = option("threads of one prediction")
    affinity: Nullable[Values[Annotated[int, Bounds(0)]]] = option(
        "logical cores to run on; null: any"
    )
    batch_size: Annotated[int, Bounds(1, 4096)] = option("images of one prediction")
    warmup: Annotated[int, Bounds(1, 10_000)] = option(
        "predictions before the clock starts, at least"
    )
    repeats: Annotated[int, Bounds(5, 100_000)] = option("timed predictions, at least")
    interval: Annotated[float, Bounds(0.001, 1)] = option(
        "half the confidence interval of the median, over the median, to reach"
    )
    max_seconds: Annotated[float, Bounds(0.1)] = option(
        "seconds of timing one architecture, at most; with budget.minutes 0.6 % of them, at most"
    )
    throughput_batch: Nullable[Annotated[int, Bounds(1, 65_536)]] = option(
        "images at a time for throughput_ips; null: not measured"
    )
    limits: LimitsConfig


@dataclass(frozen=True, kw_only=True)
class SpaceConfig:
    """The candidates that there are."""

    backbones: Values[Text] = option("timm names or patterns, like resnet*")
    exclude: ValuesOrEmpty[Text] = option("names or patterns to leave out")
    families: Values[Text] = option("timm modules or patterns, like resnet or mobilenet*")
    params_m_max: Nullable[Limit] = option("largest backbone, in 10^6 parameters")
    macs_g_max: Nullable[Limit] = option(
        "most multiply-accumulates of a backbone at an input size, in 10^9"
    )
    licences: Values[Text] = option(
        "licenses that the weights may have, or patterns, like mit or apache*"
    )
    heads: Values[Text] = option("heads of the task")
    necks: Values[Annotated[str, OneOf(NECKS)]] = option(
        "what may mix the feature maps before a head"
    )
    widths: Values[Annotated[int, Bounds(4, 2048)]] = option("channels of decoders and heads")
    depths: Values[Annotated[int, Bounds(1, 8)]] = option(
        "stages of decoders, convolutions of heads"
    )
    input_sizes: Automatic[Values[Annotated[int, Bounds(4, 4096)]]] = option(
        "sides of the square input, in px; auto: by the sides of the images and their objects"
    )
    detections: Automatic[Annotated[int, Bounds(1, 1000)]] = option(
        "objects of an image that a detector finds at most, and that its metric counts; auto: "
        "100, or more for crowded images"
    )
    weights: WordOrPath = option("none, pretrained, or a folder with files of timm's names")
    exportable: ValuesOrEmpty[Annotated[str, OneOf(FORMATS)]] = option(
        "formats of archfront export that every candidate must support, like hf"
    )
    weights_missing: Literal["fetch", "drop", "stop"] = option(
        "a backbone without weights on this machine: fetch them when a training needs them, where "
        "there is a connection; drop: it leaves the space; stop: nothing begins"
    )
    recipe: RecipeConfig
    rules: RulesConfig


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """The sampler, which proposes candidates."""

    name: Annotated[str, OneOf(SAMPLERS)] = option("the sampler")
    startup: Annotated[int, Bounds(1, 10_000)] = option(
        "proposals before the sampler's own: random, or spread by front"
    )


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """The end of the study; may change when a study is resumed."""

    trials: Nullable[Annotated[int, Bounds(1)]] = option(
        "full trainings to spend; null: no such limit"
    )
    minutes: Nullable[Limit] = option("wall minutes of the study; null: no such limit")
    trial_minutes: Nullable[Limit] = option(
        "wall minutes after which a job is ended; null: no limit"
    )
    rungs: Nullable[ValuesOrEmpty[Annotated[int, Bounds(1, 10_000)]]] = option(
        "epochs at which candidates compete, up to task.epochs; []: full trainings only; null: "
        "by thirds of task.epochs; cannot change on resume"
    )
    max_rejections: Annotated[int, Bounds(1)] = option("rejections in a row that end the study")
    max_failures: Annotated[int, Bounds(1)] = option(
        "failures in a row that stop the study, which the same command resumes"
    )
    folds: Automatic[Annotated[int, Bounds(0, 20)]] = option(
        "folds of train and val on which the final front is judged; 0: none; auto: none, or 5 "
        "where validation images are few"
    )


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """The stores of records; may change when a study is resumed."""

    root: AbsolutePath = option("folder of all studies and of MLflow")
    mlflow_uri: Nullable[Text] = option(
        "SQLAlchemy or http URL of MLflow; null: mlflow.db in root"
    )
    storage_url: Nullable[Text] = option(
        "database of the records, as postgresql+pg8000://...; null: a journal per study"
    )
    latency_url: Nullable[Text] = option(
        "PostgreSQL that remembers latencies; null: the file device_db"
    )
    experiment: ExperimentName = option("MLflow experiment of the studies")
    device_db: AbsolutePath = option("latencies remembered on this device")


@dataclass(frozen=True, kw_only=True)
class Config:
    """The checked configuration of one study."""

    study: Text = option("name of the study; the same name again resumes it")
    seed: Annotated[int, Bounds(0, 2**31)] = option("seed of the study")
    objectives: Values[Annotated[str, OneOf(OBJECTIVES)]] = option(
        "values to optimize besides the metric: throughput_ips is maximized, the others minimized"
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
        """Return nested dicts and lists, from which ``build`` makes the equal configuration."""
        content: dict[str, Any] = _plain(asdict(self))
        return content

    def identity(self) -> dict[str, Any]:
        """Return the options that define the study: all groups but those free on resume."""
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
