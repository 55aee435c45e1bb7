"""The reproduction of a trial: trained again from its record alone, and compared with it.

On the same CPU, with the same versions, threads and data, every number comes out the same to the
last bit; if one does not, the differences between then and now are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from archfront.search.errors import ConfigError, StudyError
from archfront.search.latency.device import fingerprint
from archfront.search.prepare.recorded import Study, dataset_of
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.header import DEVICE, DEVICE_ID
from archfront.search.results.results import Results
from archfront.search.runtimes.installed import installed_version
from archfront.trainers.sums import loaded_arrays

if TYPE_CHECKING:
    from archfront.trainers.spec import EpochRow, TrainResult, TrainSettings

PYTHON = "python"
# What of every epoch must come out the same. Its metrics are those of the last one: in between a
# network may have been judged otherwise, where it competed there.
COMPARED = ("epoch", "train_loss", "lr")


@dataclass(frozen=True)
class Reproduction:
    """A trial then and now.

    Attributes:
        trial: Its number.
        metrics: ``{name: (then, now)}``.
        is_same: Whether all that was compared is the same to the last bit.
        compared: The compared results, in words.
        differing: Those of them that are not the same, in words.
        changed: The changes since then, in words: versions, device, data.
        seconds: Seconds of the training now.
    """

    trial: int
    metrics: dict[str, tuple[float, float]]
    is_same: bool
    compared: tuple[str, ...]
    differing: tuple[str, ...]
    changed: tuple[str, ...]
    seconds: float


def reproduce(
    results: Results,
    study: Study,
    trial: int,
    on_epoch: Callable[[EpochRow], None] | None = None,
) -> Reproduction:
    """Return the comparison of a trial with its training now.

    Args:
        results: The study's records.
        study: The recorded study.
        trial: Its number.
        on_epoch: Called after every epoch.

    Raises:
        StudyError: If there is no such trial, it was not trained, or the data is another one.
        WeightsError: If its first weights are not there any more, or others.
        DataError: If the data cannot be read.
    """
    from archfront.trainers.training import proxy

    evaluation = _recorded(results, trial)
    recorded = evaluation.outcome
    assert isinstance(recorded, Trained)
    dataset_of(
        study,
        change="is another one than it was",
        consequence=", so that nothing can be compared: images, labels or their split differ",
    )
    settings, candidate = _settings_of(study, evaluation, recorded), evaluation.candidate
    with TemporaryDirectory(prefix="archfront-") as folder:
        found = proxy.train(
            candidate.architecture,
            candidate.weights,
            candidate.recipe,
            study.data,
            settings,
            folder=Path(folder),
            on_epoch=on_epoch,
        )
        compared, differing = _compared(results.paths.folder, recorded, found)
    return Reproduction(
        trial=trial,
        metrics={
            name: (recorded.metrics[name], found.metrics[name])
            for name in recorded.metrics
            if name in found.metrics
        },
        is_same=not differing,
        compared=compared,
        differing=differing,
        changed=changes(study.header.environment.as_dict()),
        seconds=found.seconds,
    )


def _settings_of(study: Study, evaluation: Evaluation, recorded: Trained) -> TrainSettings:
    """Return the settings that a training had."""
    settings, fidelity = study.train_settings, recorded.fidelity
    return replace(
        settings,
        seed=evaluation.seed,
        until_epoch=recorded.curve[-1]["epoch"],
        horizon=settings.horizon if fidelity is None else fidelity.horizon,
    )


def changes(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the differences of this environment from a recorded one, in words."""
    found = []
    for name, then in environment.items():
        if name == DEVICE:
            continue
        now = _now(name)
        if now != then:
            if name == DEVICE_ID:
                found.append(f"device: {environment.get(DEVICE, then)} then, {fingerprint()} now")
            else:
                found.append(f"{name}: {then} then, {now or 'not installed'} now")
    return tuple(found)


def _now(name: str) -> str | None:
    if name == DEVICE_ID:
        return fingerprint().id
    if name == PYTHON:
        return python_version()
    try:
        return installed_version(name)
    except ConfigError:
        return None


def _recorded(results: Results, trial: int) -> Evaluation:
    """Return the evaluation of a trial's highest trained rung.

    Raises:
        StudyError: If there is none, or it was not trained.
    """
    mine = [e for e in results.evaluations if e.trial == trial]
    trained = [e for e in mine if e.kind == "trained"]
    if trained:
        return max(trained, key=lambda e: (e.rung, e.attempt))
    numbers = sorted({e.trial for e in results.evaluations if e.kind == "trained"})
    what = f"was {mine[-1].kind}, not trained" if mine else "is not there"
    known = ", ".join(map(str, numbers)) or "none"
    raise StudyError(
        f"The trial {trial} of the study {results.paths.study!r} {what}. Trained trials: {known}."
    )


def _compared(
    folder: Path, recorded: Trained, found: TrainResult
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the compared results, and of those that are not the same."""
    then = [{name: row[name] for name in COMPARED} for row in recorded.curve]
    now = [{name: asdict(row)[name] for name in COMPARED} for row in found.curve]
    same = {
        "metrics": dict(recorded.metrics) == found.metrics,
        "learning curve": then == now,
    }
    kept = folder / recorded.predictions
    if kept.is_file():
        same["predictions"] = _same_arrays(kept, found.predictions)
    weights = folder / recorded.weights
    if weights.is_file():
        same["weights"] = weights.read_bytes() == found.weights.read_bytes()
    differing = [name for name, is_same in same.items() if not is_same]
    if "learning curve" in differing:
        pairs = zip(then, now, strict=False)
        first = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), len(now))
        differing[differing.index("learning curve")] = f"learning curve, from epoch {first} on"
    return tuple(same), tuple(differing)


def _same_arrays(first: Path, second: Path) -> bool:
    with loaded_arrays(first) as one, loaded_arrays(second) as other:
        return set(one) == set(other) and all(
            one[name].dtype == other[name].dtype and np.array_equal(one[name], other[name])
            for name in one
        )
