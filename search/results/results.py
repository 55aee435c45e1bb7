"""What a study gives: its front and report, made from the records at any time."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archfront.search.front.intervals import tie_test
from archfront.search.front.members import FrontMember, build_front, front_hypervolume
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.objectives import Objective, Reference
from archfront.search.records.paths import StudyPaths
from archfront.search.records.seconds import active_seconds
from archfront.search.records.store import StudyStore
from archfront.search.report.document import StudyRecord, render
from archfront.search.results import rung_stats, stats
from archfront.trainers.files import write_whole
from archfront.trainers.tasks import TASKS


@dataclass(frozen=True)
class Results:
    """A study's records, read at one moment.

    Attributes:
        places: Where its files lie.
        header: What was stored when it started; empty before.
        state: ``running``, ``finished``, ``interrupted`` or ``failed``.
        reason: Why it ended, in words.
        evaluations: Everything recorded.
        scores: Test metrics of front members, by trial.
        waiting: Trials that have not ended: those that wait at a rung may be trained further.
    """

    places: StudyPaths
    header: dict[str, Any]
    state: str
    reason: str
    evaluations: list[Evaluation]
    scores: dict[int, dict[str, float]]
    waiting: frozenset[int] = frozenset()

    @classmethod
    def read(cls, store: StudyStore, places: StudyPaths) -> Results:
        """Return what is recorded now."""
        state = store.state
        return cls(
            places=places,
            header=store.header or {},
            state=state["state"],
            reason=state["reason"],
            evaluations=store.evaluations(),
            scores=store.scores,
            waiting=store.open_trials(),
        )

    @property
    def objectives(self) -> list[Objective]:
        """Return the objectives, the metric first."""
        return [Objective(**content) for content in self.header.get("objectives", [])]

    @property
    def rungs(self) -> list[int]:
        """Return the epochs at which candidates compete; one rung where none are stored."""
        epochs: list[int] = self.header.get("rungs") or [self.header["config"]["task"]["epochs"]]
        return epochs

    def front(self) -> list[FrontMember]:
        """Return the members of the front, fastest first."""
        if not self.header:
            return []
        config = self.header["config"]
        task, metric = TASKS[config["task"]["name"]], config["task"]["metric"]
        is_tie = tie_test(self.places.folder, task, metric, seed=config["seed"])
        return build_front(self.evaluations, self.objectives, is_tie=is_tie)

    def counts(self) -> dict[str, int]:
        """Return the number of trials by outcome; those below the top where there are any."""
        return stats.counts(self.evaluations, self.waiting)

    def seconds(self) -> dict[str, float]:
        """Return wall seconds by what they were spent on; of parallel trainings, each counts."""
        training = sum(
            e.outcome.seconds for e in self.evaluations if isinstance(e.outcome, Trained)
        )
        measuring = sum(
            e.measurement.seconds
            for e in self.evaluations
            if e.rung == 0
            and e.measurement is not None
            and e.measurement.latency.source == "measured"
        )
        idle = max(0.0, active_seconds(self.evaluations) - training - measuring)
        return {"training": training, "measuring": measuring, "idle": idle}

    def figures(self) -> dict[str, float]:
        """Return the figures of the study that one compares: counts, seconds, hypervolume."""
        figures: dict[str, float] = {f"n_{k}": float(v) for k, v in self.counts().items()}
        figures |= {f"{name}_s": value for name, value in self.seconds().items()}
        figures["hypervolume"] = front_hypervolume(
            self.evaluations, self.objectives, Reference(self.header["reference"])
        )
        if len(self.rungs) > 1:
            figures["rungs_saved_s"] = rung_stats.saved(self.evaluations, self.rungs).seconds
            figures |= {
                f"rank_correlation_{row.low}_{row.high}": row.tau
                for row in rung_stats.agreements(self.evaluations)
                if row.tau is not None
            }
        return figures

    def rows(self) -> list[dict[str, Any]]:
        """Return the front as flat rows of plain values."""
        return [
            {**member.as_row(), "test": self.scores.get(member.trial)} for member in self.front()
        ]

    def record(self) -> StudyRecord:
        """Return what the report shows."""
        from archfront.search.results import (
            export_results,
            refit_results,
            variant_results,  # which read results themselves
        )

        header, config = self.header, self.header["config"]
        ends = [e.started + e.seconds for e in self.evaluations]
        words = f"{self.state}: {self.reason}" if self.reason else self.state
        members = self.front()
        refit = refit_results.summary(self)
        return StudyRecord(
            name=self.places.study,
            state=words,
            task=config["task"]["name"],
            device=header["environment"]["device"],
            objectives=self.objectives,
            limits=config["hardware"]["limits"],
            reference=Reference(header["reference"]),
            evaluations=self.evaluations,
            members=members,
            data=config["data"]["root"] or config["data"]["name"] or config["data"]["reader"],
            dataset=header["dataset"],
            environment=header["environment"],
            config=config,
            command=self.command(),
            space_size=header["space"]["size"],
            started=header["started"],
            finished=max(ends) if ends and self.state != "running" else None,
            seconds=self.seconds(),
            test_scores=self.scores,
            galleries=self.galleries({member.trial for member in members}),
            rungs=self.rungs,
            refit=refit,
            variants=variant_results.summary(self),
            exports=export_results.summary(self, refit),
            waiting=self.waiting,
        )

    def galleries(self, trials: Container[int]) -> dict[int, bytes]:
        """Return the pictures of predictions that were drawn of some trials, PNG by trial."""
        files = {
            e.trial: self.places.gallery(e.outcome.predictions)
            for e in self.evaluations
            if e.trial in trials and e.is_top and isinstance(e.outcome, Trained)
        }
        return {trial: file.read_bytes() for trial, file in files.items() if file.is_file()}

    def command(self) -> str:
        """Return the command that runs the same study again under another name."""
        return (
            f"archfront run --config {shlex.quote(str(self.places.config))} "
            f"study={self.places.study}-again"
        )

    def write(self) -> list[Path]:
        """Write front.json, front.html, front.png and report.html into the study's folder."""
        # matplotlib keeps its list of fonts below the root too, not in the home folder.
        os.environ.setdefault("MPLCONFIGDIR", str(self.places.matplotlib))
        from archfront.search.report import figures, front_png

        record, folder = self.record(), self.places.folder
        files = [folder / name for name in ("front.json", "report.html")]
        write_whole(files[0], json.dumps(self.rows(), indent=2) + "\n")
        write_whole(files[1], render(record))
        if record.members:
            page = folder / "front.html"
            write_whole(page, figures.to_html(figures.front_figure(record.picture)))
            image = folder / "front.png"
            front_png.write_png(record.picture, image)
            files += [page, image]
        return files
