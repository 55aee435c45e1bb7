"""From a configuration to everything a study needs before its first proposal."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from platform import python_version
from typing import Any, Literal

from archfront.search.config.hidden_urls import without_passwords
from archfront.search.config.option_types import AUTO, OFF
from archfront.search.config.schema import Config
from archfront.search.config.settings import plan_of, with_metric
from archfront.search.engine.jobs import Engine
from archfront.search.errors import ConfigChangedError
from archfront.search.latency.database import KnownDevice
from archfront.search.latency.device import fingerprint
from archfront.search.latency.key import MeasuringDevice
from archfront.search.latency.tiled import measured_merge_ms
from archfront.search.prepare.batch_sizes import check_single_images
from archfront.search.prepare.build_space import build_space
from archfront.search.prepare.data_reference import data_ref
from archfront.search.prepare.first_weights import first_weights
from archfront.search.prepare.fit_space import fit_space
from archfront.search.prepare.rules.facts import Facts
from archfront.search.prepare.rules.folds import FOLDS
from archfront.search.prepare.rules.rule_table import Ruled, apply_rules, space_values
from archfront.search.prepare.select_backbones import select
from archfront.search.prepare.study_settings import StudySettings, resolve
from archfront.search.records.applied_rule import AppliedRule
from archfront.search.records.candidate import short_hash
from archfront.search.records.header import (
    Chosen,
    Environment,
    SpaceFacts,
    StudyHeader,
)
from archfront.search.records.objectives import Objective, Reference, objectives_for
from archfront.search.records.plan import Plan
from archfront.search.runtimes import installed_version, runtime_named
from archfront.search.space.space import Space
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.samples import Dataset
from archfront.trainers.data.symmetry import symmetries_of
from archfront.trainers.dataset_summary import DatasetSummary
from archfront.trainers.networks.hf.names import is_hub
from archfront.trainers.spec import Architecture, Precision
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.protocol import Task

Progress = Callable[[int, int], None]

# The libraries whose version can change a result.
LIBRARIES = (
    "archfront",
    "mlflow",
    "numpy",
    "onnxruntime",
    "optuna",
    "pytorch-lightning",
    "timm",
    "torch",
    "torchvision",
)


@dataclass(frozen=True)
class Prepared:
    """Everything that a study needs to begin.

    Attributes:
        config: The configuration.
        task: The task.
        data: The reference by which a worker loads the data.
        dataset: The summary of the dataset.
        space: The candidates.
        objectives: The metric first.
        chance: The metric of the best answer that does not look at the images.
        unavailable: Architectures of the space that no candidate may have: their latency is not
            known and cannot be measured.
        device: The device that is not at hand; None for this machine.
        measuring: The device of the cluster's nodes that measure; None for this machine.
        plan: How its trainings are cut to the budget; the one that needs no measurement when None.
        chosen: What the options of the space were set to that were ``auto``.
        notes: What was chosen for the data and why, a line each.
        rules: The rules that had something to say of the data.
    """

    config: Config
    task: Task
    data: DataRef
    dataset: DatasetSummary
    space: Space
    objectives: list[Objective]
    chance: float
    unavailable: frozenset[Architecture] = frozenset()
    device: KnownDevice | None = None
    measuring: MeasuringDevice | None = None
    plan: Plan | None = None
    chosen: Chosen = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rules: tuple[AppliedRule, ...] = ()

    @cached_property
    def settings(self) -> StudySettings:
        """Return the settings of the study's jobs, resolved once."""
        settings = resolve(self.config, self.dataset, self.plan)
        return replace(settings, measure=replace(settings.measure, device=self.measuring))

    @property
    def n_candidates(self) -> int:
        """Return the number of candidates that may be proposed."""
        return self.space.size - len(self.unavailable) * len(self.space.recipes)

    @property
    def n_folds(self) -> int:
        """Return the folds of train and val that the final front is judged on; 0 for none."""
        given = self.config.budget.folds
        if not isinstance(given, str):
            return given
        chosen = [
            value for rule in self.rules for name, value in rule.values.items() if name == FOLDS
        ]
        return next((value for value in chosen if isinstance(value, int)), 0)

    @property
    def fingerprint(self) -> str:
        """Return a hash of the space and its unavailable architectures."""
        if not self.unavailable:
            return self.space.fingerprint
        return short_hash(
            [self.space.fingerprint, sorted(short_hash(a.as_dict()) for a in self.unavailable)]
        )

    def stored_config(self) -> dict[str, Any]:
        """Return the configuration as it is stored: without passwords."""
        return without_passwords(self.config.as_dict())

    def header(self, *, started: float, reference: Reference, precision: Precision) -> StudyHeader:
        """Return what is stored of the study when it starts.

        Args:
            started: Seconds since the epoch.
            reference: The point that hypervolumes are measured from.
            precision: Numeric precision of its trainings.
        """
        return StudyHeader(
            id=uuid.uuid4().hex,
            started=started,
            config=self.stored_config(),
            identity=self.config.identity(),
            dataset=self.dataset,
            space=SpaceFacts(
                size=self.n_candidates,
                architectures=len(self.space.architectures) - len(self.unavailable),
                recipes=len(self.space.recipes),
                fingerprint=self.fingerprint,
                dropped=tuple(self.space.dropped),
                chosen=self.chosen,
                weights={n: (w.tag, w.sha256) for n, w in self.space.weights.items() if w.sha256},
                notes=self.notes,
                rules=self.rules,
            ),
            objectives=tuple(self.objectives),
            rungs=self.settings.rungs,
            environment=self._environment(),
            reference=reference,
            precision=precision,
            plan=self.settings.plan,
        )

    def _environment(self) -> Environment:
        """Return the versions that can change a result, and what the latencies are of."""
        versions = {name: installed_version(name) for name in self._libraries()}
        versions = {"python": python_version(), **versions}
        if self.device is not None:
            words = f"{self.device.words} (imported latencies)"
            return Environment(versions, words, self.device.id)
        if self.measuring is not None:
            return Environment(versions, self.measuring.words, self.measuring.id)
        here = fingerprint()
        return Environment(versions, str(here), here.id)

    def _libraries(self) -> tuple[str, ...]:
        """Return the libraries whose version can change a result of this study."""
        is_hf = any(is_hub(axes.backbone.name) for axes in self.space.axes)
        return (*LIBRARIES, "transformers") if is_hf else LIBRARIES


def objectives(config: Config) -> list[Objective]:
    """Return the objectives: the metric first, then the costs."""
    return list(objectives_for(with_metric(config).task.metric, config.objectives))


def prepare(
    config: Config,
    progress: Progress | None = None,
    *,
    begun: StudyHeader | None = None,
    engine: Engine | None = None,
) -> Prepared:
    """See that the runtime can run here, load the data, check the weights and build the space.

    Args:
        config: The study.
        progress: Called with the images decoded and in total while the data loads.
        begun: What the study began with, whose weights it keeps; None for a new study.
        engine: Where weights are compared with their networks; this process when None.

    Raises:
        DataError: If the images cannot be used.
        WeightsError: If weights that were asked for are not there.
        ConfigError: If the runtime cannot run on this machine, or nothing is left of the space.
    """
    from archfront.trainers.data import load

    if (hardware := config.hardware).device is None:
        runtime_named(hardware.runtime).check(hardware.precision)
    backbones = select(config.space, Path(config.tracking.root))
    dataset = load(data := data_ref(config), progress)
    summary = _with_symmetries(_with_merging(dataset.summary(), begun), dataset, config, begun)
    first = first_weights(
        config.space,
        [backbone.name for backbone in backbones],
        channels=dataset.channels,
        begun=None if begun is None else begun.space.weights,
        engine=engine,
    )
    ruled = _ruled(config, Facts.of_summary(summary, has_own_val=dataset.has_own_val), begun)
    fitted = fit_space(ruled.config.space, config.task.name, summary.seen)
    space = build_space(
        fitted.config,
        [b for b in backbones if b.name in first.weights],
        first.weights,
        task=config.task.name,
        classes=len(dataset.class_names),
        channels=dataset.channels,
        dropped=first.dropped,
        small_object=_object_side(summary.seen, "p10"),
    )
    if begun is None:
        _check_batches(config, space, summary.seen)
    return Prepared(
        config=replace(config, task=ruled.config.task),
        task=TASKS[config.task.name],
        data=data,
        dataset=summary,
        space=replace(space, object_share=_object_side(summary.seen, "median")),
        objectives=objectives(ruled.config),
        chance=_chance(ruled.config, summary),
        chosen={**space_values(ruled.applied), **fitted.chosen},
        notes=(*first.notes, *ruled.lines, *fitted.notes),
        rules=ruled.applied,
    )


def _with_merging(summary: DatasetSummary, begun: StudyHeader | None) -> DatasetSummary:
    """Return a summary with the time in which tiles are put together, measured once a study."""
    tiles = summary.tiles
    if tiles is None:
        return summary
    before = None if begun is None else begun.dataset.tiles
    merge_ms = measured_merge_ms(summary) if before is None else before.merge_ms
    return replace(summary, tiles=replace(tiles, merge_ms=merge_ms))


def _with_symmetries(
    summary: DatasetSummary, dataset: Dataset, config: Config, begun: StudyHeader | None
) -> DatasetSummary:
    """Return a summary with how well flips are told, measured once a study where a rule asks."""
    if begun is not None:
        images, objects = begun.dataset.symmetries, begun.dataset.object_symmetries
        return replace(summary, symmetries=images, object_symmetries=objects)
    recipe, rule = config.space.recipe, config.space.rules.symmetry
    if rule == OFF or recipe.flips != AUTO or set(recipe.augment) == {"none"}:
        return summary
    samples = dataset.splits["train"].samples
    images, objects = symmetries_of(samples, dataset.class_names)
    return replace(summary, symmetries=images, object_symmetries=objects)


def _ruled(config: Config, facts: Facts, begun: StudyHeader | None) -> Ruled:
    """Return the configuration after the rules; what a study began with stays."""
    if begun is not None:
        return Ruled(with_metric(config, begun.metric), begun.space.rules)
    return apply_rules(config, facts)


def _check_batches(config: Config, space: Space, summary: DatasetSummary) -> None:
    """Check that no batch norm is to learn from single images."""
    n_train, norms = summary.splits["train"].images, plan_of(config).norms
    check_single_images(space, TASKS[config.task.name], n_train=n_train, norms=norms)


def _chance(config: Config, summary: DatasetSummary) -> float:
    """Return the metric of answers by chance on the validation split."""
    n_val = summary.splits["val"].images
    task, metric = TASKS[config.task.name], config.task.metric
    return task.chance(metric, summary.class_counts("val"), n_val)


def _object_side(summary: DatasetSummary, which: Literal["p10", "median"]) -> float | None:
    """Return the side of an object as a share of its image's; None without objects."""
    share = None if summary.objects is None else getattr(summary.objects.side_share, which)
    return share or None  # without any object all shares are 0


def check_same(header: StudyHeader, prepared: Prepared) -> None:
    """Check that data and space are still those that the study began with.

    Raises:
        ConfigChangedError: If one of them is not.
    """
    name = prepared.config.study
    pairs = {
        "dataset": (header.dataset.fingerprint, prepared.dataset.fingerprint),
        "search space": (header.space.fingerprint, prepared.fingerprint),
    }
    for what, (before, now) in pairs.items():
        if before != now:
            raise ConfigChangedError(
                f"The {what} of the study {name!r} changed since it began (fingerprint {before}, "
                f"now {now}): files, weights or timm differ. Restore them, or start another "
                "study with study=NAME."
            )
