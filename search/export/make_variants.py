"""Trained members at other sizes, runtimes and precisions: written, measured, scored."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from archfront.search.catalog import catalog
from archfront.search.config.settings import latency_table
from archfront.search.errors import ExportError, StudyError, WeightsError
from archfront.search.export.scoring import score_outputs
from archfront.search.export.variant_request import VariantRequest, sizes_around
from archfront.search.formats.formats import Format
from archfront.search.formats.graphs import APART
from archfront.search.formats.source import Graph, Source, load_source
from archfront.search.front.intervals import kept_interval
from archfront.search.latency.device import fingerprint, pinned
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.lookup import DeviceCosts
from archfront.search.latency.measure import measure_architecture
from archfront.search.latency.tiled import of_image
from archfront.search.predict.manifest import sha256_of
from archfront.search.predict.openers import open_file
from archfront.search.predict.opening import Opening
from archfront.search.prepare.gate import exceeded
from archfront.search.prepare.recorded import WORTHLESS, Study, dataset_of
from archfront.search.records.evaluation import Failed, Measurement
from archfront.search.records.variant_records import RECORD, Scored, Setting, Variant, read, write
from archfront.search.results.results import Results
from archfront.search.results.select_members import Member
from archfront.search.results.variant_results import resized, setting_of
from archfront.search.runtimes.protocol import LoadedModel
from archfront.trainers.spec import Architecture
from archfront.trainers.training.saving import save_predictions

if TYPE_CHECKING:
    from archfront.trainers.data import Dataset


def make_variants(
    results: Results, study: Study, members: Sequence[Member], request: VariantRequest
) -> Iterator[tuple[Variant, bool]]:
    """Yield every requested variant, and whether it was recorded before.

    Each new variant is recorded before it is yielded, with the reason if it could not be made, so
    that an interrupted run continues where it stopped.

    Args:
        results: The study's results.
        study: The study's configuration and header.
        members: Members of the study's front, with their weights.
        request: Which variants to make.

    Raises:
        StudyError: If the study ran on another device, or its dataset changed.
        DataError: If the data cannot be read.
    """
    _check_device(study, members)
    records = {variant.identity: variant for variant in read(results.paths)}
    context = _Context(results, study)
    for member in members:
        digest = sha256_of(member.weights)
        architecture = member.evaluation.candidate.architecture
        for size in request.sizes or sizes_around(architecture):
            sized = _SizedMember(context, member, size)
            for (runtime, precision), entry in request.formats.items():
                setting = Setting(runtime, precision, size)
                if setting == setting_of(member.evaluation):
                    continue  # the trained member itself
                started = time.perf_counter()
                blank = Variant(
                    trial=member.evaluation.trial,
                    candidate_id=member.evaluation.candidate.id,
                    weights=digest,
                    setting=setting,
                    runtime_version=entry.version(),
                    outcome=Failed("crash", "not tried"),
                    seconds=0.0,
                )
                held = records.get(blank.identity)
                if held is not None and held.is_lasting and not request.again:
                    yield held, True
                    continue
                outcome = sized.outcome(setting, entry)
                variant = replace(blank, outcome=outcome, seconds=time.perf_counter() - started)
                records[variant.identity] = variant
                write(results.paths, list(records.values()))
                yield variant, False


def _check_device(study: Study, members: Sequence[Member]) -> None:
    """Raise a StudyError unless this is the device that the members were measured on."""
    here = fingerprint().id
    for member in members:
        assert member.evaluation.measurement is not None, "what was trained was measured before"
        latency = member.evaluation.measurement.latency
        if latency.device != here:
            raise StudyError(
                f"The latencies of the study {study.config.study!r} are of the device "
                f"{latency.device}; this one is {here}. Its variants can only be measured there."
            )


class _Context:
    """What all variants of a study share: dataset, configuration, the device's latencies."""

    def __init__(self, results: Results, study: Study) -> None:
        self.config, self.folder = study.config, results.paths.folder
        self.table = latency_table(study.config)
        self._study = study

    @cached_property
    def dataset(self) -> Dataset:
        """Return the dataset, which must still be that of the study."""
        return dataset_of(self._study, consequence=WORTHLESS)

    def settings(self, setting: Setting) -> MeasureSettings:
        """Return how a variant is measured: like the study's candidates."""
        return replace(
            self._study.settings.measure, runtime=setting.runtime, precision=setting.precision
        )

    def measurement(self, architecture: Architecture, setting: Setting) -> Measurement | Failed:
        """Return the measurement, from the device's table or made now and written to it.

        It is made on random weights, like that of a member, so that the two can be compared.
        """
        from archfront.search.engine.failures import broken

        settings, needed = self.settings(setting), self._study.settings.needed
        known = DeviceCosts(self.table, settings, needed)
        found = known.lookup(architecture)
        if isinstance(found, Measurement | Failed):
            return found
        result: Measurement | Failed
        try:
            with TemporaryDirectory(dir=self.folder) as temporary:
                one = measure_architecture(architecture, settings, folder=Path(temporary))
                result = of_image(one, settings.tiles)
        # A library may refuse a size by any error, which becomes the record of this variant.
        except Exception as error:
            reason = broken(error)
            result = Failed(reason.kind, reason.message)
        known.learn(architecture, result)
        if isinstance(result, Measurement) and not result.has(needed):
            lacking = ", ".join(name for name in needed if not result.has([name]))
            return Failed("export", f"{setting}: {lacking} could not be measured.")
        return result


class _SizedMember:
    """A trained member at one input size."""

    def __init__(self, context: _Context, member: Member, size: int) -> None:
        self._context, self._member, self._size = context, member, size
        self._candidate = resized(member.evaluation.candidate, size)

    def outcome(self, setting: Setting, entry: Format) -> Scored | Failed:
        """Return the metrics and costs of a variant, or why it could not be made."""
        from archfront.search.engine.failures import broken

        _ = self._context.dataset  # a dataset that changed or is gone ends the whole run
        try:
            source = self._source
            measurement = self._context.measurement(self._candidate.architecture, setting)
            if isinstance(measurement, Failed):
                return measurement
            return self._scored(source, measurement, setting, entry)
        # As above: no error of one variant stops the others.
        except Exception as error:
            one = broken(error)
            return Failed(one.kind, one.message)

    @cached_property
    def _source(self) -> Source:
        """Return the trained network at this size.

        Raises:
            BuildError: If the network cannot be built at this size.
            WeightsError: If its weights only fit the size that they were trained at.
        """
        architecture = self._candidate.architecture
        backbone = catalog().get(architecture.backbone)
        if backbone is not None and not backbone.takes(self._size):
            raise ExportError(
                f"{architecture.backbone} takes {backbone.size_rule}, not {self._size} px."
            )
        graph = Graph(batch=self._context.config.hardware.batch_size)
        try:
            return load_source(
                architecture,
                self._candidate.weights,
                self._member.weights,
                self._context.dataset,
                graph,
            )
        except WeightsError as error:
            own = self._member.evaluation.candidate.architecture.input_size
            if own == self._size:
                raise
            raise WeightsError(
                f"The trained weights of {architecture.backbone} are bound to {own} px and do not "
                f"fit a network for {self._size} px."
            ) from error

    def _scored(
        self, source: Source, measurement: Measurement, setting: Setting, entry: Format
    ) -> Scored:
        """Write the file, compare it, score it in its runtime and save its predictions."""
        context, config = self._context, self._context.config
        settings = context.settings(setting)
        with TemporaryDirectory(dir=context.folder) as temporary, pinned(settings.affinity):
            folder = Path(temporary)
            entry.write(source, folder)
            opening = Opening(
                path=folder / entry.file,
                output_names=source.task.output_names,
                threads=settings.threads,
                precision=setting.precision,
                task=source.architecture.task,
                is_trusted=True,
            )
            with open_file(entry.opener, opening) as opened:
                parity = source.difference(opened)
                if not parity <= (APART if setting.precision == "fp32" else np.inf):
                    raise ExportError(
                        f"The file differs from PyTorch by {parity:.2g} of the outputs' spread; "
                        f"allowed is {APART:g}."
                    )
                session = _Session(source, opened)
                found = score_outputs(
                    session.outputs,
                    source.task,
                    context.dataset,
                    source.preprocess,
                    batch=session.batch,
                )
        metric, value = config.task.metric, found.metrics[config.task.metric]
        if not np.isfinite(value):
            raise ExportError(f"{metric} of {setting} is {value}, which is not finite.")
        file = self._predictions(setting)
        file.parent.mkdir(exist_ok=True)
        save_predictions(file, found.predictions)
        rng = np.random.default_rng([config.seed, int(self._candidate.id, 16)])
        low, high = kept_interval(source.task, metric, file, value=value, rng=rng)
        return Scored(
            metric=value,
            metric_low=low,
            metric_high=high,
            metrics=found.metrics,
            measurement=measurement,
            parity=parity,
            exceeded=exceeded(measurement, config.hardware.limits),
            predictions=str(file.relative_to(context.folder)),
        )

    def _predictions(self, setting: Setting) -> Path:
        name = f"{self._member.evaluation.trial:05d}-{setting.runtime}-{setting.precision}"
        folder = self._context.folder / RECORD.removesuffix(".json")
        return folder / f"{name}-{setting.input_size}.npz"


class _Session:
    """An open file as a session, in batches of the size that the file was made for."""

    def __init__(self, source: Source, opened: LoadedModel) -> None:
        self._source, self._opened = source, opened

    @property
    def batch(self) -> int:
        return self._source.input.batch or 1

    def outputs(self, images: Any) -> dict[str, Any]:
        import torch

        n = len(images)
        found = self._opened.outputs(self._source.given(torch.from_numpy(images)).numpy())
        return {name: output[:n] for name, output in found.items()}
