"""One trained member to one folder: every format written, compared, scored, timed, described."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from archfront.search.errors import ArchfrontError, ArtifactError, ConfigError
from archfront.search.export import card, snippets
from archfront.search.export.export_request import ExportRequest, check_batch, check_folder
from archfront.search.export.rendering import program_name
from archfront.search.export.scoring import TimingSetup, score_outputs, time_session
from archfront.search.formats.formats import Format
from archfront.search.formats.source import Graph, Source, load_source
from archfront.search.predict.manifest import (
    Artifact,
    Manifest,
    hashed,
    sha256_of,
    write_manifest,
)
from archfront.search.prepare.prepare import LIBRARIES
from archfront.search.prepare.recorded import WORTHLESS, Study, dataset_of
from archfront.search.records.codec import encode
from archfront.search.results.select_members import Member
from archfront.search.runtimes.installed import installed_version
from archfront.trainers.files import plain_path
from archfront.trainers.tasks import task_named

if TYPE_CHECKING:
    from archfront.search.predict.predictor import Predictor
    from archfront.trainers.data import Dataset

# A float32 file computes what the checkpoint does: rounding may turn a few undecided images over,
# which is at most 0.1 point.
FP32_LOSS = 0.001
DECODE = {
    "classification": "probabilities (N, classes): the largest one is the label",
    "multilabel": "probabilities (N, classes): an image shows every class above the threshold",
    "semantic": "logits (N, classes, S, S): the largest one is the class of a pixel; cut off the "
    "padding and resize them to the image before, as the metric does",
    "detection": "detections (N, {n}, 6): x1, y1, x2, y2 in pixels of the input, score, label, "
    "the best first, rows of score 0 are none; non-maximum suppression is inside the graph; "
    "boxes and scores are what it chose from",
    "instance": "detections (N, {n}, 6) as x1, y1, x2, y2 in pixels of the input, score, label, "
    "the best first, rows of score 0 are none; masks (N, {n}, S/4, S/4) of them, set from 0.5 on; "
    "non-maximum suppression and masks are inside the graph",
}


def export_member(
    study: Study,
    member: Member,
    request: ExportRequest,
    folder: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Write a member in every requested format, and return the manifest of the export.

    The folder appears when the export is complete, and not before. A format that cannot be made
    does not stop the others: the manifest says why it failed.

    Args:
        study: The study that found the member.
        member: The trained candidate to export.
        request: The formats and how they are made.
        folder: Target; it must be missing, empty, or an export that the request replaces.
        progress: Called with one line of text for each format that is done.

    Raises:
        StudyError: If the dataset is no longer that of the study.
        ConfigError: If a dynamic batch is requested of a network that has a fixed one.
        ArtifactError: If the folder holds other files.
        DataError: If the data cannot be read.
    """
    folder = plain_path(folder)
    check_batch(member, request.graph)
    check_folder(folder, request)
    dataset = dataset_of(study, consequence=WORTHLESS)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        manifest = _Export(study, member, request, dataset, part, progress).run()
        _replace(folder, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


class _Export:
    """One export while it is made."""

    def __init__(
        self,
        study: Study,
        member: Member,
        request: ExportRequest,
        dataset: Dataset,
        folder: Path,
        progress: Callable[[str], None],
    ) -> None:
        self._study, self._member, self._request = study, member, request
        self._dataset, self._folder, self._progress = dataset, folder, progress
        self._candidate = member.evaluation.candidate
        self._source = self._load_source(request.graph)

    def run(self) -> Manifest:
        """Write every format and the texts beside them, and return the manifest."""
        manifest = self._empty_manifest()
        for entry in self._request.formats:
            folder = self._folder / entry.name
            try:
                artifact = self._artifact(manifest, entry)
            except ArchfrontError as error:
                shutil.rmtree(folder, ignore_errors=True)
                manifest = replace(
                    manifest, failed={**manifest.failed, entry.name: str(error).strip()}
                )
                self._progress(f"{entry.name}: failed. {error}")
                continue
            artifacts = {**manifest.artifacts, entry.name: artifact}
            manifest = replace(manifest, artifacts=artifacts)
            if entry.name == "onnx":  # other formats are made from its file
                self._source = replace(self._source, onnx=self._folder / artifact.file)
            self._progress(_summary_line(artifact, manifest.metric))
        for name, artifact in manifest.artifacts.items():
            program = self._folder / program_name(name)
            program.write_text(snippets.snippet(manifest, artifact), encoding="utf-8")
        (self._folder / "README.md").write_text(
            card.model_card(manifest, self._member.evaluation, self._study.config),
            encoding="utf-8",
        )
        (self._folder / "LICENSES.md").write_text(card.licence_note(manifest), encoding="utf-8")
        write_manifest(manifest, self._folder)
        return manifest

    def _load_source(self, graph: Graph) -> Source:
        return load_source(
            self._candidate.architecture,
            self._candidate.weights,
            self._member.weights,
            self._dataset,
            graph,
        )

    def _empty_manifest(self) -> Manifest:
        """Return the manifest before any format is written, with the checkpoint's metrics."""
        from archfront.search.export.licences import licence_text

        candidate, config = self._candidate, self._study.config
        task = task_named(candidate.architecture.task)
        eager, preprocess = _Eager(self._source), self._source.preprocess
        scored = score_outputs(eager.outputs, task, self._dataset, preprocess, batch=eager.batch)
        metrics, class_names = scored.metrics, self._dataset.class_names
        self._progress(f"checkpoint: {config.task.metric} {metrics[config.task.metric]:.4f}")
        splits = self._dataset.splits
        return Manifest(
            study=config.study,
            trial=self._member.evaluation.trial,
            candidate_id=candidate.id,
            # The path of the first weights on this machine is of no use elsewhere.
            candidate=replace(candidate, weights=replace(candidate.weights, path=None)).as_dict(),
            task=candidate.architecture.task,
            class_names=class_names,
            preprocess=self._source.preprocess,
            output_names=task.output_names,
            decode=DECODE[candidate.architecture.task].format(n=candidate.architecture.detections),
            thresholds={"score": scored.least_score},
            metric=config.task.metric,
            metrics=metrics,
            weights={**self._member.origin, "sha256": sha256_of(self._member.weights)},
            data={
                "fingerprint": self._dataset.fingerprint,
                "division": self._dataset.division,
                "images": {name: len(split.samples) for name, split in splits.items()},
            },
            licence=licence_text(candidate.architecture.backbone, candidate.weights),
            versions=_versions(self._request.formats),
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    def _artifact(self, manifest: Manifest, entry: Format) -> Artifact:
        """Write a format and return its artifact with parity, metrics and latency.

        Raises:
            ArtifactError: If the format does not take the candidate.
            ExportError: If the format cannot be made.
        """
        architecture = self._candidate.architecture
        reason = entry.refuses(architecture)
        if reason is not None:
            heads = task_named(architecture.task).heads
            is_of_head = any(entry.refuses(replace(architecture, head=h)) is None for h in heads)
            advice = f" space.exportable='[{entry.name}]' keeps a study to those that can."
            raise ArtifactError(
                f"{self._candidate.label} cannot go to {entry.name}: {reason}."
                f"{advice if is_of_head else ''}"
            )
        source = self._load_source(Graph(batch=None)) if entry.is_plain else self._source
        folder = self._folder / entry.name
        folder.mkdir()
        if entry.packs is None:
            entry.write(source, folder)
        elif entry.packs not in manifest.artifacts:
            raise ArtifactError(f"It carries the format {entry.packs}, which could not be made.")
        else:
            from archfront.search.export.packed import pack

            image = self._dataset.splits["val"].samples[0].pixels()
            pack(self._folder, manifest, entry.packs, folder, image)
        written = hashed(self._folder, folder)
        artifact = Artifact(
            format=entry.name,
            opener=entry.opener,
            input=source.input,
            file=(Path(entry.name) / entry.file).as_posix(),
            files=written,
            precision=entry.precision,
            runtime=entry.version(),
            size_mb=sum((self._folder / name).stat().st_size for name in written) / 1e6,
            parity=0.0,
            metrics={},
            lost=0.0,
        )
        return self._evaluated(manifest, artifact, source)

    def _evaluated(self, manifest: Manifest, artifact: Artifact, source: Source) -> Artifact:
        """Return the artifact with its parity, metrics, latency and marks."""
        from archfront.search.latency.device import pinned
        from archfront.search.predict.predictor import opened_artifact

        settings = self._study.settings.measure
        with (
            pinned(settings.affinity) as cores,
            opened_artifact(
                self._folder, manifest, artifact, threads=settings.threads, is_trusted=True
            ) as predictor,
        ):
            parity = source.difference(predictor.opened)
            if not math.isfinite(parity):
                raise ArtifactError("Its outputs are not finite where the network's are.")
            metrics = score_outputs(
                predictor.outputs,
                source.task,
                self._dataset,
                source.preprocess,
                batch=predictor.batch,
            ).metrics
            latency = None
            if self._request.is_timed:
                setup = self._timing_setup(predictor, source, cores)
                latency = encode(time_session(predictor, setup))
        before, after = manifest.metrics[manifest.metric], metrics[manifest.metric]
        lost = (before - after) / before if before else 0.0
        is_reduced = artifact.precision != "fp32"
        allowed = self._request.max_loss if is_reduced else FP32_LOSS
        marks = []
        if lost > allowed:
            marks.append(
                f"loses {lost:.2%} of its {manifest.metric} ({before:.4f} to {after:.4f}); "
                f"{allowed:.2%} is allowed"
            )
        return replace(
            artifact,
            parity=parity,
            metrics=metrics,
            lost=lost,
            latency=latency,
            marks=tuple(marks),
        )

    def _timing_setup(
        self, predictor: Predictor, source: Source, cores: tuple[int, ...] | None
    ) -> TimingSetup:
        settings = self._study.settings.measure
        n = source.input.batch or settings.batch_size
        images = source.compared[:1].repeat(n, 1, 1, 1).numpy()
        return TimingSetup(
            settings, images, predictor.artifact.runtime.split()[-1], "archfront", cores
        )


class _Eager:
    """The checkpoint in PyTorch as a session, so that it is scored like the artifacts."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def batch(self) -> int:
        return self._source.input.batch or 16

    def outputs(self, images: Any) -> dict[str, Any]:
        import torch

        n = len(images)
        with torch.inference_mode():
            found = self._source.module(self._source.given(torch.from_numpy(images)))
        names = self._source.task.output_names
        return {name: out[:n].float().numpy() for name, out in zip(names, found, strict=True)}


def _replace(folder: Path, part: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    part.rename(folder)


def _versions(formats: tuple[Format, ...]) -> dict[str, str]:
    names = dict.fromkeys([*LIBRARIES, *(name for f in formats for name in f.libraries)])
    found = {"python": python_version()}
    for name in names:
        with suppress(ConfigError):  # it is not installed
            found[name] = installed_version(name)
    return found


def _summary_line(artifact: Artifact, metric: str) -> str:
    """Return the figures of an artifact as one line of text."""
    figures = [f"{metric} {artifact.metrics[metric]:.4f}", f"parity {artifact.parity:.1e}"]
    if artifact.latency is not None:
        figures.append(f"p50 {artifact.latency['p50_ms']:.3g} ms")
    figures.append(f"{artifact.size_mb:.2f} MB")
    marks = f"  MARKED: {'; '.join(artifact.remarks)}" if artifact.remarks else ""
    return f"{artifact.format}: {', '.join(figures)}{marks}"
