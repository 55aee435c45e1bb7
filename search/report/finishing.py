"""The last step of a study: its report and MLflow's runs, written from its records.

A process that is killed after its study is recorded as finished leaves this step undone. So what
is still to be written is noted beside the records, and ``archfront run`` or ``archfront report``
takes the step up. To write everything once more changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.profile.profile_cache import read_profile
from archfront.search.records.paths import StudyPaths
from archfront.search.report import pages
from archfront.search.report.pages import Unwritten, reported
from archfront.search.results.results import Results
from archfront.trainers.files import write_whole

if TYPE_CHECKING:
    from archfront.search.tracking.tracker import Tracker

REPORT, MLFLOW = "report", "MLflow"
BOTH = frozenset({REPORT, MLFLOW})
Tell = Callable[[Unwritten], None]


def note(paths: StudyPaths, lacking: Sequence[str]) -> None:
    """Note which parts of the last step are still to be done."""
    write_whole(paths.finishing, json.dumps({"lacking": list(lacking)}) + "\n")


def outstanding(paths: StudyPaths) -> frozenset[str]:
    """Return which parts of the last step are still to be done.

    Where nothing is noted, as of an earlier version's study, those whose files are missing are.
    """
    try:
        return frozenset(json.loads(paths.finishing.read_text(encoding="utf-8"))["lacking"])
    except FileNotFoundError:
        return frozenset() if paths.report.is_file() else BOTH
    except (OSError, ValueError, TypeError, KeyError):  # a damaged note
        return BOTH


def finish(results: Results, open_tracker: Callable[[], Tracker], tell: Tell) -> list[Path]:
    """Write the report and MLflow's runs, note what could not be written, return the files.

    The caller holds the study's lock. Each part is written for itself.

    Args:
        results: The study, which no driver runs.
        open_tracker: Opens MLflow.
        tell: Takes each thing that could not be written.
    """
    lacking: dict[str, None] = {}

    def telling(part: str) -> Tell:
        def noted(unwritten: Unwritten) -> None:
            lacking[part] = None
            tell(unwritten)

        return noted

    note(results.paths, [REPORT, MLFLOW])
    files = pages.write(results, telling(REPORT))
    with reported("the end of the study in MLflow", telling(MLFLOW)):
        _track(results, open_tracker(), files, telling(MLFLOW))
    note(results.paths, list(lacking))
    return files


def _track(results: Results, tracker: Tracker, files: Sequence[Path], tell: Tell) -> None:
    """Bring MLflow's runs of a study to what is recorded, and end the study's own run."""
    tracker.write_study(results.paths.study, results.begun(), results.evaluations)
    figures: dict[str, float] = {}
    with reported("the key figures of the study in MLflow", tell):
        figures = pages.key_figures(results)
    with reported("the profile of the data in MLflow", tell):
        profile = read_profile(results.paths.profile)
        if profile is not None:
            figures |= {f"profile.{name}": v for name, v in profile.meta_features().items()}
            files = [*files, results.paths.profile]
    for path in [*files, results.paths.config]:
        with reported(f"{path.name} in MLflow", tell):
            tracker.attach(path)
    tracker.finish(results.state, figures)
