"""From a composed mapping to one plain, checked ``Config``, or every problem at once.

The dataclasses below are the schema: a field's type, its bounds and its help stand in one place,
and the check, the messages and ``docs/options.md`` are made from them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from search.config_check import Problems, UnreadError, check, option_paths
from search.engine import ENGINES
from search.errors import ConfigError, unknown
from search.latency.runtimes import RUNTIMES
from search.samplers import SAMPLERS
from trainers.data.readers import READERS
from trainers.tasks import TASKS


def _option(
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    known: Iterable[str] | None = None,
    is_path: bool = False,
    may_be_empty: bool = False,
) -> Any:
    """Return a dataclass field with its help, its bounds (both allowed) and its known names."""
    known = tuple(known) if known is not None else None
    metadata = {"help": text, "low": low, "high": high, "known": known, "is_path": is_path}
    return field(metadata={**metadata, "may_be_empty": may_be_empty})


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What is learned, how it is judged and how long one proxy training is."""

    name: str = _option("the task", known=TASKS)
    metric: str = _option("the metric to maximize, on the validation split")
    epochs: int = _option("epochs of one proxy training", low=1, high=10_000)
    label_smoothing: float = _option("share of the target given to other classes", low=0, high=0.5)
    schedule: Literal["one_cycle", "cosine"] = _option("schedule of the learning rate")


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
    on_error: Literal["stop", "skip"] = _option("what a broken image does")
    memory_mb: float = _option("decoded images are kept in memory up to this, in MB", low=0)


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """What a candidate may cost; null for no limit."""

    latency_ms: float | None = _option("p50 of one prediction, in ms", low=0)
    params_m: float | None = _option("parameters, in millions", low=0)
    macs_g: float | None = _option("multiply-accumulates of one image, in billions", low=0)
    size_mb: float | None = _option("size of the exported file, in MB", low=0)


# File systems end at 255 bytes, of which a letter can take four.
NAME_LENGTH = 60
LIMITS = tuple(item.name for item in fields(LimitsConfig))


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """The device, the runtime and the clock."""

    runtime: str = _option("what runs the exported model", known=RUNTIMES)
    threads: int = _option("threads of one prediction", low=1, high=1024)
    batch_size: int = _option("images of one prediction", low=1, high=4096)
    warmup: int = _option("predictions before the clock starts", low=1, high=10_000)
    repeats: int = _option("timed predictions", low=5, high=100_000)
    limits: LimitsConfig


@dataclass(frozen=True, kw_only=True)
class RecipeConfig:
    """Grids of the training recipe; one value fixes an axis."""

    lr: tuple[float, ...] = _option("peak learning rates of AdamW", low=1e-8, high=10)
    weight_decay: tuple[float, ...] = _option("weight decays of AdamW", low=0, high=10)
    batch_size: tuple[int, ...] = _option("images per step", low=1, high=65_536)
    augment: tuple[Literal["none", "light", "strong"], ...] = _option("augmentation strengths")
    dropout: tuple[float, ...] = _option("dropout before the classifier", low=0, high=0.9)
    freeze: tuple[bool, ...] = _option("train the head only (with weights)")


@dataclass(frozen=True, kw_only=True)
class SpaceConfig:
    """Which candidates there are."""

    backbones: tuple[str, ...] = _option("timm names or patterns, as resnet*")
    exclude: tuple[str, ...] = _option("names or patterns to leave out", may_be_empty=True)
    params_m_max: float | None = _option("largest backbone, in 10^6 parameters", low=0)
    heads: tuple[str, ...] = _option("heads of the task")
    input_sizes: tuple[int, ...] = _option("sides of the square input, in px", low=4, high=4096)
    weights: str = _option("none, pretrained, or a folder with files of timm's names")
    weights_missing: Literal["stop", "drop"] = _option("what a backbone without weights does")
    recipe: RecipeConfig


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """Who proposes the next candidate."""

    name: str = _option("the sampler", known=SAMPLERS)
    startup: int = _option("random proposals before the sampler's own", low=1, high=10_000)


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """When the study ends; may change when a study is resumed."""

    trials: int | None = _option("candidates to train; null: no such limit", low=1)
    minutes: float | None = _option("wall minutes of the study; null: no such limit", low=0)
    trial_minutes: float | None = _option("wall minutes of one job, then it is ended", low=0)
    max_rejections: int = _option("rejections in a row that end the study", low=1)
    max_failures: int = _option("failures in a row that end the study with an error", low=1)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where jobs run; may change when a study is resumed."""

    name: str = _option("the engine", known=ENGINES)
    workers: int = _option("trainings at a time", low=1, high=256)
    threads: int | None = _option("threads of one training; null: cores / workers", low=1)
    precision: Literal["fp32", "bf16", "auto"] = _option("auto: bf16 where measured to be faster")


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
    objectives: tuple[str, ...] = _option("what to minimize beside the metric", known=LIMITS)
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


def build(content: dict[str, Any], *, texts: frozenset[str] = frozenset()) -> Config:
    """Return the checked configuration.

    Args:
        content: Nested mapping, as Hydra composes it.
        texts: Dotted paths whose value came as text from a command line and is read by the
            type of its option.

    Raises:
        ConfigError: With every problem that was found, none twice.
    """
    problems = Problems()
    config: Config | None = check(Config, content, texts=texts, problems=problems)
    if config is None:
        raise ConfigError(*problems)
    for rule in RULES:
        with contextlib.suppress(UnreadError):
            problems.extend(rule(config))
    if problems:
        raise ConfigError(*problems)
    return config


def options() -> list[tuple[str, str, str]]:
    """Return (dotted path, type, help) of every option, in order."""
    return option_paths(Config)


def differences(old: dict[str, Any], new: dict[str, Any], path: str = "") -> list[str]:
    """Return one line for each leaf that differs between two nested mappings."""
    lines = []
    for key in sorted({*old, *new}):
        here = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, here)
        elif before != after:
            lines.append(f"{here}: {before!r} in the study, {after!r} now")
    return lines


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _study_name(config: Config) -> list[str]:
    name = config.study
    is_plain = name[0].isalnum() and all(c.isalnum() or c in "._-" for c in name)
    if is_plain and len(name) <= NAME_LENGTH:
        return []
    return [
        "study: a study's name starts with a letter or digit and has only letters, digits, "
        f"'.', '_' and '-', {NAME_LENGTH} at most, since it names a folder; got {name!r}."
    ]


def _data_source(config: Config) -> list[str]:
    data = config.data
    problems = []
    if data.reader == "folder" and data.root is None:
        problems.append(
            "data.root: data=folder needs the folder with one folder of images per class; "
            "got nothing. Give data.root=FOLDER."
        )
    if data.reader == "torchvision" and data.name is None:
        problems.append(
            "data.name: data=torchvision needs the name of a dataset; got nothing. "
            "Give data.name=NAME, as FashionMNIST."
        )
    if data.reader == "torchvision" and data.root is None:
        problems.append(
            "data.root: data=torchvision needs the folder where the dataset lies or is "
            "downloaded to; got nothing. Give data.root=FOLDER."
        )
    return problems


def _split(config: Config) -> list[str]:
    data = config.data
    parts = {"data.train": data.train, "data.val": data.val, "data.test": data.test}
    problems = [
        f"{path}: every split but test needs images; got 0. Give a share below 1 or a number."
        for path, value in list(parts.items())[:2]
        if value == 0
    ]
    problems += [
        f"{path}: a number of images is whole; got {value:g}. Shares lie below 1."
        for path, value in parts.items()
        if value > 1 and value != int(value)
    ]
    shares = [value for value in parts.values() if value < 1]
    if sum(shares) > 1 + 1e-9:
        problems.append(
            "data.train, data.val, data.test: the shares add up to at most 1; "
            f"got {' + '.join(f'{v:g}' for v in shares)} = {sum(shares):g}."
        )
    return problems


def _freeze(config: Config) -> list[str]:
    if config.space.weights == "none" and True in config.space.recipe.freeze:
        return [
            "space.recipe.freeze: a frozen backbone needs weights; got freeze true with "
            "space.weights=none. Use space.weights=pretrained or a folder, or freeze=[false]."
        ]
    return []


def _budget(config: Config) -> list[str]:
    if config.budget.trials is None and config.budget.minutes is None:
        return ["budget: a study needs an end; got neither. Give budget.trials or budget.minutes."]
    return []


def _zero_limits(config: Config) -> list[str]:
    values = {f"hardware.limits.{name}": getattr(config.hardware.limits, name) for name in LIMITS}
    values["space.params_m_max"] = config.space.params_m_max
    values["budget.minutes"] = config.budget.minutes
    values["budget.trial_minutes"] = config.budget.trial_minutes
    return [
        f"{path}: nothing costs 0; got 0. Give a number above 0, or null for no limit."
        for path, value in values.items()
        if value == 0
    ]


def _task_names(config: Config) -> list[str]:
    task = TASKS[config.task.name]
    problems = []
    if config.task.metric not in task.metrics:
        problems.append(f"task.metric: {unknown('metric', config.task.metric, task.metrics)}")
    problems += [
        f"space.heads: {unknown('head', head, task.heads)}"
        for head in config.space.heads
        if head not in task.heads
    ]
    return problems


def _torchvision_name(config: Config) -> list[str]:
    from trainers.data.named import DATASETS

    name = config.data.name
    if config.data.reader != "torchvision" or name is None or name in DATASETS:
        return []
    return [f"data.name: {unknown('torchvision dataset', name, DATASETS)}"]


def _inline_workers(config: Config) -> list[str]:
    if config.engine.name == "inline" and config.engine.workers != 1:
        return [
            "engine.workers: engine=inline runs one job at a time in this process; got "
            f"{config.engine.workers}. Use engine.workers=1 or engine=processes."
        ]
    return []


def _hidden_password(config: Config) -> list[str]:
    tracking = config.tracking
    urls = {"mlflow_uri": tracking.mlflow_uri, "storage_url": tracking.storage_url}
    return [
        f"tracking.{name}: a stored configuration hides passwords; got {url!r}. Give "
        f"tracking.{name}=URL with the real one."
        for name, url in urls.items()
        if url is not None and ":***@" in url
    ]


RULES: tuple[Callable[[Config], list[str]], ...] = (
    _study_name,
    _data_source,
    _split,
    _freeze,
    _budget,
    _zero_limits,
    _task_names,
    _torchvision_name,
    _inline_workers,
    _hidden_password,
)
