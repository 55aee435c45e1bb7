"""A sweep: the architectures of a space are measured on this device one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from archfront.search.config.schema import Config
from archfront.search.engine.interrupts import deferred
from archfront.search.engine.jobs import Done, Engine, Job
from archfront.search.engine.second_try import result_of
from archfront.search.errors import ConfigError
from archfront.search.jobs.perform import MeasureRequest
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.key import latency_key
from archfront.search.latency.lookup import DeviceCosts
from archfront.search.prepare.build_space import build_space
from archfront.search.prepare.fit_space import fit_space
from archfront.search.prepare.select_backbones import select
from archfront.search.prepare.study_settings import StudySettings
from archfront.search.records.evaluation import Failed, Measurement
from archfront.search.records.failure_kinds import LASTING, FailureKind
from archfront.search.space.space import Space
from archfront.trainers.spec import Architecture, Weights

# A crash may have another cause than the network, but not tried again it costs nothing.
KINDS: tuple[FailureKind, ...] = (*LASTING, "timeout", "crash")


@dataclass(frozen=True)
class SweepPlan:
    """The plan of a sweep.

    Attributes:
        todo: The architectures to measure now, in this order.
        n_all: Number of the architectures that were asked for.
        n_known: Number of them whose measurement is remembered.
        n_failed: Number of them whose failure is remembered.
    """

    todo: tuple[Architecture, ...]
    n_all: int
    n_known: int
    n_failed: int


def sweep_costs(settings: StudySettings, table: LatencyTable) -> DeviceCosts:
    """Return the costs that are known of this device, with every kind of failure remembered."""
    return DeviceCosts(table, settings.measure, settings.needed, KINDS)


def space_of(config: Config, *, classes: int, channels: int) -> Space:
    """Return the space of a configuration without data, and so with random weights.

    Raises:
        ConfigError: If this is not about this machine, or nothing is left of the space.
    """
    if config.hardware.device is not None:
        raise ConfigError(
            f"hardware.device={config.hardware.device}: only this machine can be measured. Leave "
            "it null here; archfront latency import brings another device's latencies in."
        )
    backbones = select(config.space, Path(config.tracking.root))
    return build_space(
        fit_space(config.space, config.task.name).config,
        backbones,
        {backbone.name: Weights() for backbone in backbones},
        task=config.task.name,
        classes=classes,
        channels=channels,
    )


def plan(
    architectures: Sequence[Architecture],
    known: DeviceCosts,
    *,
    again: bool = False,
    retry_failed: bool = False,
    sample: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> SweepPlan:
    """Return the plan of a sweep over architectures.

    Args:
        architectures: The architectures that were asked for.
        known: The look-up of their costs.
        again: Whether remembered architectures are measured again.
        retry_failed: Whether architectures that failed are tried again.
        sample: Number of architectures to draw by the seed, whatever is remembered; None for all.
        limit: Number of architectures to measure at most; None for no limit.
        seed: Seed of the sample.
    """
    chosen = list(architectures)
    if sample is not None and sample < len(chosen):
        drawn = np.random.default_rng(seed).permutation(len(chosen))[:sample]
        chosen = [chosen[i] for i in drawn]
    answers = [known.lookup(architecture) for architecture in chosen]
    todo = [
        architecture
        for architecture, answer in zip(chosen, answers, strict=True)
        if answer is None
        or (again and isinstance(answer, Measurement))
        or (retry_failed and isinstance(answer, Failed))
    ]
    return SweepPlan(
        todo=tuple(todo[:limit]),
        n_all=len(chosen),
        n_known=sum(isinstance(answer, Measurement) for answer in answers),
        n_failed=sum(isinstance(answer, Failed) for answer in answers),
    )


class LatencySweep:
    """A sweep, which measures architectures and remembers each result at once.

    Args:
        settings: How architectures are measured.
        known: Remembers the results.
        engine: Measures them.
        folder: For files in between.
    """

    def __init__(
        self, settings: StudySettings, known: DeviceCosts, engine: Engine, folder: Path
    ) -> None:
        self._settings, self._known = settings, known
        self._engine, self._folder = engine, folder

    def measure(self, architecture: Architecture) -> Measurement | Failed:
        """Return the result of measuring one architecture, which is remembered.

        Raises:
            StudyStoppedError: If the machine failed twice.
        """
        request = MeasureRequest(architecture, self._settings.measure, self._folder)
        job = self._settings.limited(Job("measure", request, is_exclusive=True))
        result = result_of(self._engine, job)
        found = result.value if isinstance(result, Done) else Failed(result.kind, result.message)
        with deferred():
            self._known.learn(architecture, found)
        assert isinstance(found, Measurement | Failed)
        return found


def expected_seconds(
    settings: StudySettings, table: LatencyTable, like: Architecture
) -> float | None:
    """Return the median seconds of the remembered measurements; None if there are none."""
    key = latency_key(like, settings.measure)
    seconds = [
        entry.measurement.seconds
        for entry in table.entries()
        if (entry.key.device, entry.key.runtime) == (key.device, key.runtime)
        and entry.measurement.latency.source != "imported"
    ]
    return median(seconds) if seconds else None
