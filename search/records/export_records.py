"""The records of exported artifacts, and what they say together: the front of what can ship."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from archfront.search.records.difference import SEVERAL, difference_note
from archfront.search.records.files import read_rows, write_rows
from archfront.search.records.paths import StudyPaths

RECORD = "exports.json"


@dataclass(frozen=True)
class Export:
    """One artifact of one member, or why it could not be made.

    Attributes:
        trial: Number of the trial.
        candidate_id: What was trained.
        weights: SHA-256 of its weights.
        kind: Of the weights: ``proxy`` or ``refit``.
        format: Key of ``search.formats.formats.FORMATS``.
        created: UTC, as in the manifest.
        folder: Where it was written.
        reason: Why it could not be made; None where it was, as nothing of the rest is then.
        metric: The study's metric of the artifact on the validation split.
        lost: Share of it that was lost against the checkpoint.
        parity: As in the manifest.
        latency: As ``search.records.evaluation.Latency``; None where it was not measured.
        size_mb: Of all its files, in 10^6 bytes.
        marks: What is wrong with it, in words.
    """

    trial: int
    candidate_id: str
    weights: str
    kind: str
    format: str
    created: str
    folder: str
    reason: str | None = None
    metric: float | None = None
    lost: float | None = None
    parity: float | None = None
    latency: dict[str, Any] | None = None
    size_mb: float | None = None
    marks: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[int, str, str]:
        """Return what a later export of the same replaces."""
        return self.trial, self.weights, self.format


def read(paths: StudyPaths) -> list[Export]:
    """Return the recorded artifacts of a study, in the order in which they were made.

    Raises:
        StudyError: If the file is none of this version.
    """
    remedy = f"'archfront export {paths.study}' records what it makes anew"
    return read_rows(paths.folder / RECORD, Export, remedy)


def add(paths: StudyPaths, exports: Iterable[Export]) -> None:
    """Write artifacts into the record of a study, in the place of earlier ones of the same."""
    known = {export.identity: export for export in read(paths)}
    for export in exports:
        known.pop(export.identity, None)
        known[export.identity] = export
    write_rows(paths.folder / RECORD, known.values())


@dataclass(frozen=True)
class Shipped:
    """An artifact among all of a study.

    Attributes:
        export: Its record.
        label: Of the candidate, for people.
        is_on_front: Whether it may be shipped and no other that may be dominates it.
        verdict: What became of it, in words.
    """

    export: Export
    label: str
    is_on_front: bool
    verdict: str

    @property
    def name(self) -> str:
        """Return it for people, as ``trial 3 as onnx-int8``."""
        return f"trial {self.export.trial} as {self.export.format}"

    @property
    def latency_ms(self) -> float | None:
        """Return its p50; None where it was not measured."""
        return None if self.export.latency is None else float(self.export.latency["p50_ms"])


@dataclass(frozen=True)
class ExportSummary:
    """What the artifacts of a study say together.

    Attributes:
        metric: Name of the study's metric.
        artifacts: The fastest first; those without a latency last.
        lacking: Trials of the front of which nothing was exported.
    """

    metric: str
    artifacts: tuple[Shipped, ...]
    lacking: tuple[int, ...]

    @property
    def sentences(self) -> list[str]:
        """Return what is on the final front, what is left out and what is not there yet."""
        found = [one for one in self.artifacts if one.is_on_front]
        names = _joined([one.name for one in found]) or "nothing"
        said = [f"The final front, of the files themselves: {names}."]
        marked = [one for one in self.artifacts if one.export.marks]
        if marked:
            words = _joined([f"{one.name} ({one.export.lost:.2%})" for one in marked])
            metric = self.metric.replace("_", " ")
            said.append(f"Left out, since more of the {metric} is lost than is allowed: {words}.")
        far = [one for one in self.artifacts if difference_note(one.export.parity)]
        if far:
            words = _joined([f"{one.name} ({one.export.parity:.2g})" for one in far])
            said.append(
                f"Marked, since the outputs differ from PyTorch's by more than {SEVERAL:g} times "
                f"their spread, whatever the metric says: {words}."
            )
        if self.lacking:
            trials = _joined([str(trial) for trial in self.lacking])
            said.append(f"Nothing was exported yet of these members of the front: {trials}.")
        return said


def _joined(words: Sequence[str]) -> str:
    return ", ".join(words)
