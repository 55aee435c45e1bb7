"""The files of a study's report: read from its results, written into its folder."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from archfront.search.front.members import FrontMember, final_evaluations, front_hypervolume
from archfront.search.profile.profile_cache import read_profile
from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.report.document import StudyRecord, render
from archfront.search.results import (
    export_results,
    refit_results,
    rung_stats,
    variant_results,
)
from archfront.search.results.baselines import baselines
from archfront.search.results.results import Results
from archfront.search.results.select_members import best_member, evaluation_of
from archfront.trainers.files import write_whole

logger = logging.getLogger(__name__)

Part = TypeVar("Part")


@dataclass(frozen=True)
class Unwritten:
    """Something that could not be written, though the records that it is made of are whole."""

    what: str
    error: Exception

    def __str__(self) -> str:
        """Return it in one line."""
        reason = (str(self.error).splitlines() or [""])[0]
        return f"Not written: {self.what} ({type(self.error).__name__}: {reason})."


def write(results: Results, tell: Callable[[Unwritten], None] = logger.warning) -> list[Path]:
    """Write front.json, report.html and, of a front, front.html and front.png.

    Each is written for itself: that one cannot be written takes none of the others away.

    Args:
        results: The study.
        tell: Takes each file that could not be written.

    Returns:
        The files that were written.
    """
    # matplotlib keeps its list of fonts below the root too, not in the home folder.
    os.environ.setdefault("MPLCONFIGDIR", str(results.paths.matplotlib))
    folder, files = results.paths.folder, []
    with reported(str(folder / "front.json"), tell):
        _write_rows(results, folder / "front.json")
        files.append(folder / "front.json")
    writers: dict[str, Callable[[StudyRecord, Path], None]] = {"report.html": _write_report}
    with reported(f"the report and the figures of {results.paths.study!r}", tell):
        shown = record(results, tell)
        if shown.members:
            writers |= {"front.html": _write_page, "front.png": _write_image}
        for name, writer in writers.items():
            with reported(str(folder / name), tell):
                writer(shown, folder / name)
                files.append(folder / name)
    return files


@contextmanager
def reported(what: str, tell: Callable[[Unwritten], None]) -> Iterator[None]:
    """Report what could not be written and why, instead of an exception.

    Args:
        what: What is written, in words.
        tell: Takes it.
    """
    try:
        yield
    # Drawing, templates and databases raise whatever they like; none of it ends a study.
    except Exception as error:
        logger.debug("%s was not written", what, exc_info=True)
        tell(Unwritten(what, error))


def _write_rows(results: Results, path: Path) -> None:
    write_whole(path, json.dumps(results.rows(), indent=2) + "\n")


def _write_report(shown: StudyRecord, path: Path) -> None:
    write_whole(path, render(shown))


def _write_page(shown: StudyRecord, path: Path) -> None:
    from archfront.search.report.figures import front_figure
    from archfront.search.report.page_figure import to_html

    write_whole(path, to_html(front_figure(shown.picture)))


def _write_image(shown: StudyRecord, path: Path) -> None:
    from archfront.search.report import front_png

    front_png.write_png(shown.picture, path)


def record(results: Results, tell: Callable[[Unwritten], None] = logger.warning) -> StudyRecord:
    """Return what the report of a study shows.

    Args:
        results: The study.
        tell: Takes each part that cannot be read from its file; the report then says so.
    """
    header = results.begun()
    unread: list[Unwritten] = []

    def read(what: str, part: Callable[[], Part]) -> Part | None:
        with reported(what, unread.append):
            return part()
        return None

    ends = [e.started + e.seconds for e in results.evaluations]
    words = f"{results.state}: {results.reason}" if results.reason else results.state
    members = results.front()
    refit = read("the full trainings", lambda: refit_results.summary(results))
    variants = read("the variants", lambda: variant_results.summary(results))
    exports = read("the exports", lambda: export_results.summary(results, refit))
    pictures = read(
        "the drawn predictions", lambda: galleries(results, {m.trial for m in members})
    )
    of_best = read("the details of the best member", lambda: _of_best(results, members))
    profile = read("the profile of the data", lambda: read_profile(results.paths.profile))
    for unwritten in unread:
        tell(unwritten)
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
        galleries=pictures or {},
        rungs=results.rungs,
        rules=header.space.rules,
        refit=refit,
        variants=variants,
        exports=exports,
        waiting=results.waiting,
        baselines=baselines(header),
        profile=profile,
        unread=[str(unwritten) for unwritten in unread],
        **(of_best or {}),
    )


def _of_best(results: Results, members: Sequence[FrontMember]) -> dict[str, Any]:
    """Return what was written about the predictions of the best member, where it was."""
    best = best_member(members)
    if best is None:
        return {}
    outcome = evaluation_of(results, best.trial).outcome
    assert isinstance(outcome, Trained)
    details = results.paths.details(outcome.predictions)
    mistakes = results.paths.mistakes(outcome.predictions)
    return {
        "details": json.loads(details.read_text("utf-8")) if details.is_file() else None,
        "mistakes": mistakes.read_bytes() if mistakes.is_file() else None,
    }


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
    if len(results.rungs) > 1 and any(e.is_top for e in results.evaluations):
        numbers["rungs_saved_s"] = rung_stats.saved(results.evaluations, results.rungs).seconds
        numbers |= {
            f"rank_correlation_{row.low}_{row.high}": row.tau
            for row in rung_stats.agreements(results.evaluations)
            if row.tau is not None
        }
    return numbers
