"""The files of a study's report: read from its results, written into its folder."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Container
from pathlib import Path

from archfront.search.front.members import final_evaluations, front_hypervolume
from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.report.document import StudyRecord, render
from archfront.search.results import (
    export_results,
    refit_results,
    rung_stats,
    variant_results,
)
from archfront.search.results.results import Results
from archfront.trainers.files import write_whole


def write(results: Results) -> list[Path]:
    """Write front.json, report.html and, of a front, front.html and front.png; return them."""
    # matplotlib keeps its list of fonts below the root too, not in the home folder.
    os.environ.setdefault("MPLCONFIGDIR", str(results.paths.matplotlib))
    from archfront.search.report import figures, front_png

    shown, folder = record(results), results.paths.folder
    files = [folder / name for name in ("front.json", "report.html")]
    write_whole(files[0], json.dumps(results.rows(), indent=2) + "\n")
    write_whole(files[1], render(shown))
    if shown.members:
        page = folder / "front.html"
        write_whole(page, figures.to_html(figures.front_figure(shown.picture)))
        image = folder / "front.png"
        front_png.write_png(shown.picture, image)
        files += [page, image]
    return files


def record(results: Results) -> StudyRecord:
    """Return what the report of a study shows."""
    header = results.begun()
    ends = [e.started + e.seconds for e in results.evaluations]
    words = f"{results.state}: {results.reason}" if results.reason else results.state
    members = results.front()
    refit = refit_results.summary(results)
    return StudyRecord(
        name=results.paths.study,
        state=words,
        task=header.task,
        device=header.environment.device,
        objectives=results.objectives,
        limits=header.limits,
        reference=header.reference,
        evaluations=results.evaluations,
        members=members,
        data=header.data,
        dataset=header.dataset,
        environment=header.environment,
        config=header.config,
        command=command(results.paths),
        space_size=header.space.size,
        started=header.started,
        finished=max(ends) if ends and results.state != "running" else None,
        seconds=results.seconds(),
        test_scores=results.scores,
        galleries=galleries(results, {member.trial for member in members}),
        rungs=results.rungs,
        refit=refit,
        variants=variant_results.summary(results),
        exports=export_results.summary(results, refit),
        waiting=results.waiting,
    )


def galleries(results: Results, trials: Container[int]) -> dict[int, bytes]:
    """Return the drawn predictions of some trials, PNG by trial; those without are left out."""
    files = {
        e.trial: results.paths.gallery(e.outcome.predictions)
        for e in final_evaluations(results.evaluations)
        if e.trial in trials and isinstance(e.outcome, Trained)
    }
    return {trial: file.read_bytes() for trial, file in files.items() if file.is_file()}


def command(paths: StudyPaths) -> str:
    """Return the command that runs the same study again under another name."""
    return f"archfront run --config {shlex.quote(str(paths.config))} study={paths.study}-again"


def key_figures(results: Results) -> dict[str, float]:
    """Return the numbers that studies are compared by: counts, seconds, hypervolume."""
    numbers: dict[str, float] = {f"n_{k}": float(v) for k, v in results.counts().items()}
    numbers |= {f"{name}_s": value for name, value in results.seconds().items()}
    numbers["hypervolume"] = front_hypervolume(
        results.evaluations, results.objectives, results.begun().reference
    )
    if len(results.rungs) > 1:
        numbers["rungs_saved_s"] = rung_stats.saved(results.evaluations, results.rungs).seconds
        numbers |= {
            f"rank_correlation_{row.low}_{row.high}": row.tau
            for row in rung_stats.agreements(results.evaluations)
            if row.tau is not None
        }
    return numbers
