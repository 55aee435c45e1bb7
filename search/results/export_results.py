"""Which exported artifacts can ship: the front of the files, without those that lose too much.

A front of candidates is of PyTorch's metrics; what people run is a file in a runtime. So the final
front compares files: each with its own metric on the validation split and its own latency.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from archfront.search.formats.formats import FORMATS
from archfront.search.front.members import final_evaluations
from archfront.search.front.pareto import front_mask
from archfront.search.predict.manifest import Manifest, sha256_of
from archfront.search.records.difference import difference_note
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.export_records import Export, ExportSummary, Shipped, read
from archfront.search.records.objectives import Objective
from archfront.search.records.refit_records import RefitSummary
from archfront.search.results.refit_results import shipped_refits
from archfront.search.results.results import Results
from archfront.trainers.files import plain_path


def exports_of(manifest: Manifest, folder: Path) -> list[Export]:
    """Return the records of an export, of what could not be made too."""
    one = Export(
        trial=manifest.trial,
        candidate_id=manifest.candidate_id,
        weights=manifest.weights["sha256"],
        kind=manifest.weights["kind"],
        format="",
        created=manifest.created,
        folder=str(plain_path(folder)),
    )
    made = [
        replace(
            one,
            format=name,
            metric=artifact.metrics[manifest.metric],
            lost=artifact.lost,
            parity=artifact.parity,
            latency=None if artifact.latency is None else dict(artifact.latency),
            size_mb=artifact.size_mb,
            marks=artifact.marks,
        )
        for name, artifact in manifest.artifacts.items()
    ]
    failed = [replace(one, format=name, reason=why) for name, why in manifest.failed.items()]
    return [*made, *failed]


def summary(results: Results, refit: RefitSummary | None) -> ExportSummary | None:
    """Return what the artifacts of a study say together; None before the first one.

    Args:
        results: The study.
        refit: What its full trainings say; None before the first one.

    Raises:
        StudyError: If the record of the artifacts cannot be used.
    """
    trained = {e.trial: e for e in final_evaluations(results.evaluations)}
    exports = [
        export
        for export in read(results.paths)
        if export.trial in trained and trained[export.trial].candidate.id == export.candidate_id
    ]
    if not exports:
        return None
    digests = _digests(results)
    why_not = {
        e.identity: _why_not(e, trained[e.trial], digests.get(e.trial), results) for e in exports
    }
    rivals = [export for export in exports if why_not[export.identity] is None]
    dominating = _dominating(rivals, trained, results.objectives)
    artifacts = []
    for export in exports:
        reason = why_not[export.identity]
        better = dominating.get(export.identity)
        verdict = reason or (f"dominated by {better}" if better else "on the final front")
        verdict = "; ".join(filter(None, [verdict, difference_note(export.parity)]))
        label = trained[export.trial].candidate.label
        artifacts.append(Shipped(export, label, reason is None and better is None, verdict))
    artifacts.sort(key=lambda s: (s.latency_ms is None, s.latency_ms or 0.0, s.name))
    front = [m.trial for m in results.front()]
    if refit is not None:
        front = [member.trial for member in refit.members if member.is_on_front]
    made = {export.trial for export in exports if export.reason is None}
    lacking = tuple(trial for trial in front if trial not in made)
    return ExportSummary(results.objectives[0].name, tuple(artifacts), lacking)


def _digests(results: Results) -> dict[int, str]:
    """Return the SHA-256 of the weights of full trainings that would be exported now."""
    files = {
        trial: results.paths.folder / refit.weights
        for trial, refit in shipped_refits(results).items()
    }
    return {trial: sha256_of(file) for trial, file in files.items() if file.is_file()}


def _why_not(
    export: Export, evaluation: Evaluation, digest: str | None, results: Results
) -> str | None:
    """Return why an artifact is not compared with the others; None where it is.

    Args:
        export: The artifact.
        evaluation: Of its trial.
        digest: Of the weights of its full training; None where there is none.
        results: The study.
    """
    if export.reason is not None:
        return f"not made: {export.reason}"
    if export.marks:
        return f"left out: {'; '.join(export.marks)}"
    if digest is not None and digest != export.weights:
        earlier = (
            "the search's short training" if export.kind == "proxy" else "an earlier full training"
        )
        return f"left out: its weights are of {earlier}; the trial was trained in full since"
    if export.latency is None:
        return "left out: it was not measured"
    packed = FORMATS[export.format].packs if export.format in FORMATS else None
    if packed is not None:
        return f"the same network as in {packed}, which it carries"
    assert evaluation.measurement is not None, "what was trained was measured before"
    if export.latency["device"] != evaluation.measurement.latency.device:
        return "left out: it was measured on another device than the study's"
    batch = results.begun().hardware["batch_size"]
    if export.latency["batch_size"] != batch:
        return (
            f"left out: it was measured with {export.latency['batch_size']} images at a time, the "
            f"study's members with {batch}"
        )
    return None


def _dominating(
    rivals: list[Export], trained: dict[int, Evaluation], objectives: list[Objective]
) -> dict[tuple[int, str, str], str]:
    """Return one that dominates it for each artifact that is not on the front, for people."""
    if not rivals:
        return {}
    columns = [o.losses([_value(e, trained[e.trial], o) for e in rivals]) for o in objectives]
    losses = np.stack(columns, axis=1)
    found = {}
    on_front = np.flatnonzero(front_mask(losses))
    for i, export in enumerate(rivals):
        better = [
            k for k in on_front if (losses[k] <= losses[i]).all() and (losses[k] < losses[i]).any()
        ]
        if better:
            first = rivals[better[0]]
            found[export.identity] = f"trial {first.trial} as {first.format}"
    return found


def _value(export: Export, evaluation: Evaluation, objective: Objective) -> float:
    """Return an objective of an artifact: its own where it was measured, else its network's."""
    if not objective.is_known:
        assert export.metric is not None, "what was made was scored"
        return export.metric
    if objective.name == "latency_ms":
        assert export.latency is not None, "what was not measured is left out"
        return float(export.latency["p50_ms"])
    if objective.name == "size_mb" and export.size_mb is not None:
        return export.size_mb
    return objective.value(evaluation)
