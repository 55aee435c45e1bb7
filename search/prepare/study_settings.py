"""The settings of a study's jobs, resolved once from its configuration and its data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from archfront.search.config.schema import Config, LimitsConfig
from archfront.search.config.settings import (
    measure_settings,
    needed_values,
    plan_of,
    train_settings,
)
from archfront.search.engine.jobs import Job
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.lookup import DeviceCosts, Table
from archfront.search.latency.tiled import tiles_of
from archfront.search.records.plan import Plan
from archfront.trainers.dataset_summary import DatasetSummary
from archfront.trainers.spec import Precision, TrainSettings

# Ends the message of a measurement or training that took too long.
TRIAL_TIMEOUT_TEXT = (
    "the most that budget.trial_minutes allows. Raise it, or leave candidates this slow out of "
    "the space."
)


@dataclass(frozen=True)
class StudySettings:
    """The settings of a study's jobs and of their limits.

    Attributes:
        plan: How trainings are cut to the budget.
        measure: Settings of a measurement.
        train: Settings of a full training, in fp32 where the precision is still to be probed.
        precision: The precision that was asked for; ``auto`` for the faster one.
        needed: Names of the values that a measurement must have: objectives and limits.
        limits: Limits of the costs.
        trial_timeout_s: Seconds after which a measurement or training is ended; None for never.
    """

    plan: Plan
    measure: MeasureSettings
    train: TrainSettings
    precision: Precision | Literal["auto"]
    needed: tuple[str, ...]
    limits: LimitsConfig
    trial_timeout_s: float | None

    @property
    def rungs(self) -> tuple[int, ...]:
        """Return the epochs of each rung; the last ones are those of a full training."""
        return self.plan.rungs

    def training(self, until: int, full: int, precision: Precision) -> TrainSettings:
        """Return the settings of a training.

        Args:
            until: Epochs after which it ends.
            full: Epochs of a full training of the candidate.
            precision: Numeric precision of the training.
        """
        return replace(self.train, until_epoch=until, horizon=full, precision=precision)

    def limited(self, job: Job) -> Job:
        """Return a job that ends after the time limit of a trial."""
        if self.trial_timeout_s is None:
            return job
        return replace(job, timeout_s=self.trial_timeout_s, timeout_text=TRIAL_TIMEOUT_TEXT)

    def device_costs(self, table: Table) -> DeviceCosts:
        """Return the costs that are known of this device, from its table of latencies."""
        return DeviceCosts(table, self.measure, self.needed, latency_ms_max=self.limits.latency_ms)


def resolve(
    config: Config, dataset: DatasetSummary | None = None, plan: Plan | None = None
) -> StudySettings:
    """Return the settings of a configuration's jobs.

    Args:
        config: The configuration of the study.
        dataset: Summary of its dataset, for the weights of the classes; None where nothing is
            trained.
        plan: How trainings are cut to the budget; the one that needs no measurement when None.
    """
    plan = plan or plan_of(config)
    counts = [] if dataset is None else dataset.class_counts("train")
    sizes = () if dataset is None else dataset.class_sizes("train")
    asked, minutes = config.engine.precision, config.budget.trial_minutes
    return StudySettings(
        plan=plan,
        measure=replace(measure_settings(config), tiles=tiles_of(dataset)),
        train=train_settings(
            config, "fp32" if asked == "auto" else asked, counts, class_sizes=sizes, plan=plan
        ),
        precision=asked,
        needed=needed_values(config),
        limits=config.hardware.limits,
        trial_timeout_s=None if minutes is None else minutes * 60,
    )
