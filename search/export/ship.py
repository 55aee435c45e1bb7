"""One trained member to one folder: every format written, compared, scored, timed, described."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any

from archfront.search.errors import ArchfrontError, ArtifactError
from archfront.search.export import card, snippets
from archfront.search.export.export_request import ExportRequest, check_batch, check_folder
from archfront.search.export.judged import Clocked, score_session, time_session
from archfront.search.export.rendering import program_name
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
from archfront.search.results.select_members import Member
from archfront.trainers.data.images import read_pixels
from archfront.trainers.tasks import task_named
from archfront.trainers.tasks.judges.weighted import THRESHOLD

if TYPE_CHECKING:
    from archfront.search.predict.predictor import Predictor
    from archfront.trainers.data import Dataset

# A file in float32 computes the same: 0.1 point is what a few images on the border may change.
FP32_LOSS = 0.001
# From which score on an object is shown; the metric itself counts all of them.
SCORE_MIN = 0.3
DECODE = {
    "classification": "probabilities (N, classes): the largest one is the label",
    "multilabel": "probabilities (N, classes): an image shows every class above the threshold",
    "semantic": "logits (N, classes, S, S): the largest one is the class of a pixel; cut off the "
    "padding and resize them to the image before, as the metric does",
    "detection": "detections (N, 100, 6): x1, y1, x2, y2 in pixels of the input, score, label, "
    "the best first, rows of score 0 are none; non-maximum suppression is inside the graph; "
    "boxes and scores are what it chose from",
    "instance": "detections (N, 100, 6) as x1, y1, x2, y2 in pixels of the input, score, label, "
    "the best first, rows of score 0 are none; masks (N, 100, S/4, S/4) of them, set from 0.5 on; "
    "non-maximum suppression and masks are inside the graph",
}


def export_member(
    study: Study,
    member: Member,
    order: ExportRequest,
    folder: Path,
    tell: Callable[[str], None] = lambda line: None,
) -> Manifest:
    """Write a member in every format that was asked for, and return what came of it.

    The folder appears when all is there, and not before. A format that cannot be made does not
    keep the others from it: its reason is in the manifest.

    Args:
        study: What it was found in.
        member: What is exported.
        order: What is asked for.
        folder: Where to; it must not be there, or be empty.
        tell: Takes a line for people now and then.

    Raises:
        StudyError: If the dataset is no longer that of the study.
        ConfigError: If any number of images is asked of a network that cannot take it.
        ArtifactError: If the folder holds something else.
        DataError: If the data cannot be read.
    """
    folder = folder.expanduser().absolute()
    check_batch(member, order.graph)
    check_folder(folder, order)
    dataset = dataset_of(study, consequence=WORTHLESS)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        manifest = _Shipment(study, member, order, dataset, part, tell).made()
        _replace(folder, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


class _Shipment:
    """An export on its way."""

    def __init__(
        self,
        study: Study,
        member: Member,
        order: ExportRequest,
        dataset: Dataset,
        folder: Path,
        tell: Callable[[str], None],
    ) -> None:
        self._study, self._member, self._order = study, member, order
        self._dataset, self._folder, self._tell = dataset, folder, tell
        self._candidate = member.evaluation.candidate
        self._source = self._loaded(order.graph)

    def made(self) -> Manifest:
        """Return the manifest of everything that was written."""
        manifest = self._begun()
        for entry in self._order.formats:
            folder = self._folder / entry.name
            try:
                artifact = self._artifact(manifest, entry)
            except ArchfrontError as error:
                shutil.rmtree(folder, ignore_errors=True)
                manifest = replace(
                    manifest, failed={**manifest.failed, entry.name: str(error).strip()}
                )
                self._tell(f"{entry.name}: failed. {error}")
                continue
            artifacts = {**manifest.artifacts, entry.name: artifact}
            manifest = replace(manifest, artifacts=artifacts)
            self._tell(_told(artifact, manifest.metric))
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

    def _loaded(self, graph: Graph) -> Source:
        return load_source(
            self._candidate.architecture,
            self._candidate.weights,
            self._member.weights,
            self._dataset,
            graph,
        )

    def _begun(self) -> Manifest:
        """Return the manifest before anything is written."""
        from archfront.search.export.licences import licence_words

        candidate, config = self._candidate, self._study.config
        task = task_named(candidate.architecture.task)
        metrics = score_session(
            _Eager(self._source), task, self._dataset, self._source.preprocess
        ).metrics
        self._tell(f"checkpoint: {config.task.metric} {metrics[config.task.metric]:.4f}")
        splits = self._dataset.splits
        return Manifest(
            study=config.study,
            trial=self._member.evaluation.trial,
            candidate_id=candidate.id,
            # Where this machine keeps the first weights concerns nobody else.
            candidate=replace(candidate, weights=replace(candidate.weights, path=None)).as_dict(),
            task=candidate.architecture.task,
            class_names=self._dataset.class_names,
            preprocess=self._source.preprocess,
            output_names=task.output_names,
            decode=DECODE[candidate.architecture.task],
            thresholds={"score": _threshold(candidate.architecture.task)},
            metric=config.task.metric,
            metrics=metrics,
            weights={**self._member.origin, "sha256": sha256_of(self._member.weights)},
            data={
                "fingerprint": self._dataset.fingerprint,
                "division": self._dataset.division,
                "images": {name: len(split.samples) for name, split in splits.items()},
            },
            licence=licence_words(candidate.architecture.backbone, candidate.weights),
            versions=_versions(self._order.formats),
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )

    def _artifact(self, manifest: Manifest, entry: Format) -> Artifact:
        """Write a format and return what it is worth.

        Raises:
            ArtifactError: If the candidate cannot go to it.
            ExportError: If it cannot be made.
        """
        reason = entry.refuses(self._candidate.architecture)
        if reason is not None:
            raise ArtifactError(
                f"{self._candidate.label} cannot go to {entry.name}: {reason}. "
                f"space.exportable=[{entry.name}] keeps a study to those that can."
            )
        source = self._loaded(Graph(batch=None)) if entry.is_plain else self._source
        folder = self._folder / entry.name
        folder.mkdir()
        if entry.packs is None:
            entry.write(source, folder)
        elif entry.packs not in manifest.artifacts:
            raise ArtifactError(f"It carries the format {entry.packs}, which could not be made.")
        else:
            from archfront.search.export.packed import pack

            image = read_pixels(self._dataset.splits["val"].samples[0].source)
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
        return self._judged(manifest, artifact, source)

    def _judged(self, manifest: Manifest, artifact: Artifact, source: Source) -> Artifact:
        """Return the artifact with its parity, metrics, latency and marks."""
        from archfront.search.latency.device import pinned
        from archfront.search.predict.predictor import opened_artifact

        settings = self._study.settings.measure
        with (
            pinned(settings.affinity) as cores,
            opened_artifact(self._folder, manifest, artifact, settings.threads) as predictor,
        ):
            parity = source.difference(predictor.opened)
            if not math.isfinite(parity):
                raise ArtifactError("Its outputs are not finite where the network's are.")
            metrics = score_session(
                predictor, source.task, self._dataset, source.preprocess
            ).metrics
            latency = None
            if self._order.is_timed:
                latency = asdict(time_session(predictor, self._clocked(predictor, source, cores)))
        before, after = manifest.metrics[manifest.metric], metrics[manifest.metric]
        lost = (before - after) / before if before else 0.0
        is_reduced = artifact.precision != "fp32"
        allowed = self._order.max_loss if is_reduced else FP32_LOSS
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

    def _clocked(
        self, predictor: Predictor, source: Source, cores: tuple[int, ...] | None
    ) -> Clocked:
        settings = self._study.settings.measure
        n = source.input.batch or settings.batch_size
        images = source.compared[:1].repeat(n, 1, 1, 1).numpy()
        return Clocked(
            settings, images, predictor.artifact.runtime.split()[-1], "archfront", cores
        )


class _Eager:
    """The checkpoint in PyTorch, as the artifacts are judged."""

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


def _threshold(task: str) -> float:
    return {"multilabel": THRESHOLD, "detection": SCORE_MIN, "instance": SCORE_MIN}.get(task, 0.0)


def _versions(formats: tuple[Format, ...]) -> dict[str, str]:
    names = dict.fromkeys([*LIBRARIES, *(name for f in formats for name in f.libraries)])
    found = {"python": python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _told(artifact: Artifact, metric: str) -> str:
    """Return a line on an artifact for people."""
    words = [f"{metric} {artifact.metrics[metric]:.4f}", f"parity {artifact.parity:.1e}"]
    if artifact.latency is not None:
        words.append(f"p50 {artifact.latency['p50_ms']:.3g} ms")
    words.append(f"{artifact.size_mb:.2f} MB")
    marks = f"  MARKED: {'; '.join(artifact.marks)}" if artifact.marks else ""
    return f"{artifact.format}: {', '.join(words)}{marks}"
