"""The trained members of a study on every device that remembers them, with a front of each.

A metric belongs to a network and a latency to a device. So what was trained once has a front on
each device on which it was measured: by a study, by an import, or as a variant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from heapq import nsmallest
from typing import Any

from pydantic import Field

from archfront.search.front.members import losses_of
from archfront.search.front.pareto import front_mask
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.tiled import of_image
from archfront.search.records.candidate import short_hash
from archfront.search.records.evaluation import (
    Evaluation,
    Latency,
    Measurement,
    trained_outcome,
)
from archfront.search.records.objectives import MEASURED
from archfront.search.records.variant_records import Scored, read
from archfront.search.results.results import Results
from archfront.search.results.variant_results import as_evaluation
from archfront.search.service.bodies import Body
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.study_parts import FrontPart
from archfront.search.service.trial_answers import number

# Trained candidates that are looked up at most, the ones with the best metric.
MOST = 500


class DeviceMember(Body):
    """A trained candidate on a device."""

    trial: int
    label: str
    metric: float
    metric_low: float
    metric_high: float
    latency_ms: float
    p95_ms: float | None
    is_stable: bool
    is_variant: bool = Field(description="its file was scored in this runtime and precision")
    is_on_front: bool = Field(description="no other one of this device dominates it")
    is_member: bool = Field(description="it is on the front of the study")


class DeviceFront(Body):
    """What is known of the trained candidates of a study on one device."""

    device: str
    words: str = Field(description="what people call the device")
    runtime: str
    runtime_version: str
    threads: int
    batch_size: int
    precision: str
    is_own: bool = Field(description="the study searched for this device, runtime and precision")
    n_measured: int = Field(description="trained candidates whose latency is known here")
    members: list[DeviceMember] = Field(
        description="those of this front and those of the study's front, fastest first"
    )


class DevicesAnswer(Body):
    """The fronts of the trained candidates of a study, one for each device."""

    study: str
    metric: str
    n_trained: int
    devices: list[DeviceFront] = Field(description="the study's own one first")


@dataclass(frozen=True)
class _Place:
    """How a latency was measured; of several versions of a runtime the latest one counts."""

    device: str
    runtime: str
    threads: int
    batch_size: int
    precision: str


# What a key of the table says of a latency.
_OF_KEY = (*(field.name for field in fields(_Place)), "runtime_version")


@dataclass(frozen=True, eq=False)
class _Measured:
    """A trained candidate with its measurement at one place."""

    evaluation: Evaluation
    is_variant: bool

    @property
    def measurement(self) -> Measurement:
        assert self.evaluation.measurement is not None
        return self.evaluation.measurement

    @property
    def key(self) -> tuple[int, int]:
        """Return the trial and the input size."""
        return self.evaluation.trial, self.evaluation.candidate.architecture.input_size


def devices_answer(study: ReadStudy, table: LatencyTable) -> DevicesAnswer:
    """Return the trained candidates of a study on every device that remembers them.

    Args:
        study: Its records.
        table: What is remembered of devices.

    Raises:
        StudyError: If nothing is recorded yet.
        ConfigError: If the table of latencies cannot be used.
    """
    results = study.results
    header = results.begun()
    final = study.part(FrontPart).growing.final.values()
    trained = nsmallest(MOST, final, key=lambda e: (-trained_outcome(e).metric, e.trial))
    own, found = _own(trained), dict[_Place, dict[tuple[int, int], _Measured]]()
    for measured in (*_remembered(trained, table), *_variants(results, trained)):
        place = _place(measured.measurement.latency)
        found.setdefault(place, {})[measured.key] = measured
    for place, some in own.items():
        found[place] = {**found.get(place, {}), **some}
    words = {name: device.words for name, device in table.devices().items()}
    words[header.environment.device_id] = header.environment.device
    members = {member.trial for member in study.front}
    # As people call the device; then as its runtime is called.
    order = sorted(found, key=lambda p: (p not in own, words.get(p.device, ""), str(p)))
    return DevicesAnswer(
        study=results.paths.study,
        metric=header.metric,
        n_trained=len(trained),
        devices=[
            DeviceFront(
                words=words.get(place.device, place.device),
                is_own=place in own,
                **_front(place, list(found[place].values()), results, members),
            )
            for place in order
        ],
    )


def _place(latency: Latency) -> _Place:
    return _Place(
        latency.device,
        latency.runtime,
        latency.threads,
        latency.batch_size,
        latency.precision,
    )


def _own(trained: list[Evaluation]) -> dict[_Place, dict[tuple[int, int], _Measured]]:
    """Return the candidates as the study itself measured them."""
    own: dict[_Place, dict[tuple[int, int], _Measured]] = {}
    for evaluation in trained:
        if evaluation.measurement is not None:
            measured = _Measured(evaluation, is_variant=False)
            place = _place(evaluation.measurement.latency)
            own.setdefault(place, {})[measured.key] = measured
    return own


def _remembered(trained: list[Evaluation], table: LatencyTable) -> Iterator[_Measured]:
    """Yield the candidates as devices remember their architectures, the oldest first."""
    by_id: dict[str, list[Evaluation]] = {}
    for evaluation in trained:
        architecture = evaluation.candidate.architecture
        by_id.setdefault(short_hash(architecture.as_dict()), []).append(evaluation)
    for entry in table.entries(list(by_id)) if by_id else ():
        key = entry.key
        # An imported one says no more of its device than its key does.
        latency = replace(
            entry.measurement.latency,
            **{name: getattr(key, name) for name in _OF_KEY},
        )
        for evaluation in by_id[key.architecture_id]:
            own = evaluation.measurement
            tiles = None if own is None else own.latency.tiles
            measured = of_image(replace(entry.measurement, latency=latency), tiles)
            yield _Measured(replace(evaluation, measurement=measured), is_variant=False)


def _variants(results: Results, trained: list[Evaluation]) -> Iterator[_Measured]:
    """Yield the variants of the candidates, with the metrics of their own files."""
    by_trial = {evaluation.trial: evaluation for evaluation in trained}
    for variant in read(results.paths):
        evaluation = by_trial.get(variant.trial)
        if evaluation is None or evaluation.candidate.id != variant.candidate_id:
            continue
        if isinstance(variant.outcome, Scored):
            yield _Measured(as_evaluation(evaluation, variant), is_variant=True)


def _front(
    place: _Place, found: list[_Measured], results: Results, members: set[int]
) -> dict[str, Any]:
    """Return what is known of a place, but for the words of its device."""
    objectives = [results.objectives[0], MEASURED["latency_ms"]]
    mask = front_mask(losses_of([one.evaluation for one in found], objectives))
    shown = [
        _member(one, is_on_front=bool(is_front), is_member=one.evaluation.trial in members)
        for one, is_front in zip(found, mask, strict=True)
    ]
    latest = found[-1].measurement.latency
    return {
        **asdict(place),
        "runtime_version": latest.runtime_version,
        "n_measured": len(found),
        "members": sorted(
            (member for member in shown if member.is_on_front or member.is_member),
            key=lambda member: (member.latency_ms, -member.metric),
        ),
    }


def _member(measured: _Measured, *, is_on_front: bool, is_member: bool) -> DeviceMember:
    outcome, latency = trained_outcome(measured.evaluation), measured.measurement.latency
    return DeviceMember(
        trial=measured.evaluation.trial,
        label=measured.evaluation.candidate.label,
        metric=outcome.metric,
        metric_low=outcome.metric_low,
        metric_high=outcome.metric_high,
        latency_ms=latency.p50_ms,
        p95_ms=number(latency.p95_ms),
        is_stable=latency.is_stable,
        is_variant=measured.is_variant,
        is_on_front=is_on_front,
        is_member=is_member,
    )
