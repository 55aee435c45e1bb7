"""A study with its progress, its MLflow runs and its files: the loop with its followers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from archfront.search.commands.consoles import print_lines, print_table
from archfront.search.config.schema import Config
from archfront.search.errors import DatabaseError, StudyLockedError, StudyStoppedError
from archfront.search.prepare.study_profile import keep_profile
from archfront.search.records.driver_lock import driver_lock
from archfront.search.records.events import (
    Event,
    EventLog,
    FilesSent,
    Follower,
    Noticed,
    RungFinished,
    StudyFinished,
    StudyStarted,
    TrialFinished,
)
from archfront.search.records.paths import StudyPaths, default_root
from archfront.search.records.storage_urls import hide_password
from archfront.search.records.store import reading
from archfront.search.report import finishing
from archfront.search.report.front_table import front_table
from archfront.search.report.live_view import LiveView
from archfront.search.report.pages import Unwritten, reported
from archfront.search.report.terminal import PlainView
from archfront.search.results import stats
from archfront.search.results.baselines import baseline_line, baselines
from archfront.search.results.results import Results
from archfront.search.study import study
from archfront.search.study.study import FrontState, StudyResult

if TYPE_CHECKING:
    from archfront.search.tracking.tracker import Tracker

# The events after which something of a training is recorded.
ENDS = (RungFinished, TrialFinished, StudyFinished)


def launch(config: Config, console: Console, *, is_plain: bool = False) -> StudyResult:
    """Run a study with its views, MLflow and files, and return how it ended.

    Args:
        config: The study.
        console: Where its progress and its front are shown.
        is_plain: Whether lines are printed in a terminal too, instead of a live view.
    """
    paths = StudyPaths(Path(config.tracking.root), config.study)
    is_live = console.is_terminal and not is_plain
    view = LiveView(console, config.budget) if is_live else PlainView(console)
    tracking = _Tracking(paths, config, lambda lacking: print_lines(console, [str(lacking)]))

    def end(event: Event) -> None:
        if isinstance(event, StudyFinished):  # the driver still holds the study's lock
            view.close()
            tracking.finish()

    tracking.look()
    followers: list[Follower] = [EventLog(paths.events), tracking, view, end]
    try:
        result = _run(config, followers, console, is_live=is_live)
    finally:
        view.close()
    if result.was_finished and finishing.outstanding(paths):
        # A process that finished the study was killed before it wrote the rest.
        with suppress(StudyLockedError), driver_lock(paths, config.tracking.storage_url):
            tracking.finish()
    return replace(result, front=_print_end(console, config, paths, result))


def _run(
    config: Config,
    followers: list[Follower],
    console: Console,
    *,
    is_live: bool,
) -> StudyResult:
    """Run the study, with a bar while its images are read, and one for each node they go to."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_live) as bar:
        task = bar.add_task("reading images", total=None)
        nodes: dict[str, TaskID] = {}

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        def show_sent(event: Event) -> None:
            """Show what nodes have of the files that they get, until the study itself is told."""
            if isinstance(event, FilesSent):
                if event.node not in nodes:
                    nodes[event.node] = bar.add_task(f"MB to node {event.node}")
                done, total = round(event.mb), round(event.of_mb)
                bar.update(nodes[event.node], completed=done, total=total)
            elif not isinstance(event, Noticed):
                bar.stop()

        return study.run(config, followers=[show_sent, *followers], progress=progress)


class _Tracking:
    """The MLflow follower; never for a study that has ended.

    A server of the user's may refuse, so it is opened when the study starts. The database of the
    root is opened when the first training has ended: it takes seconds of the only core of a small
    machine, by which the first member of the front would be late. Whether its file is damaged is
    told before the study starts. One that cannot be opened does not end the study, whose end tries
    again. Nothing is opened in a thread: MLflow's imports do
    not bear others of the same modules beside them.
    """

    def __init__(
        self, paths: StudyPaths, config: Config, tell: Callable[[Unwritten], None]
    ) -> None:
        self._paths, self._config, self._tell = paths, config, tell
        self._tracker: Tracker | None = None
        self._is_started = self._is_refused = self._is_behind = False
        self._waiting: list[Event] = []
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:  # events of other threads come after those that wait
            if isinstance(event, StudyStarted):
                self._is_started = True
                finishing.note(self._paths, [finishing.REPORT, finishing.MLFLOW])
            if not self._is_started:
                return
            self._waiting.append(event)
            if self._config.tracking.mlflow_uri is not None or self._tracker is not None:
                self._catch_up(self._opened())
            elif isinstance(event, ENDS) and not self._is_refused:
                self._is_refused = True
                with reported("the study in MLflow", self._fail):
                    self._catch_up(self._opened())

    def look(self) -> None:
        """Tell now of a database that cannot be used; the end of the study tries again."""
        from archfront.search.tracking.mlflow_database import check_database

        if self._config.tracking.mlflow_uri is None:
            with reported("the study in MLflow", self._refuse):
                check_database(self._paths.root)

    def _refuse(self, lacking: Unwritten) -> None:
        self._is_refused = True
        self._fail(lacking)

    def _catch_up(self, tracker: Tracker) -> None:
        """Give MLflow the events that waited for it."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            with reported(f"{type(event).__name__} in MLflow", self._fail):
                tracker(event)

    def _fail(self, lacking: Unwritten) -> None:
        """Tell of the first event that MLflow did not take; the end of the study tries again."""
        if not self._is_behind:
            self._tell(lacking)
        self._is_behind = True

    def _opened(self) -> Tracker:
        from archfront.search.tracking.tracker import Tracker

        if self._tracker is None:
            settings = self._config.tracking
            self._tracker = Tracker(self._paths, settings.mlflow_uri, settings.experiment)
        return self._tracker

    def finish(self) -> None:
        """Write the study's files and runs from its records; the caller holds its lock."""
        with reported("the profile of the data", self._tell):
            keep_profile(self._config, self._paths.profile)
        finishing.finish(_read(self._paths, self._config), self._opened_once, self._tell)

    def _opened_once(self) -> Tracker:
        with self._lock:
            tracker = self._opened()
            self._catch_up(tracker)
            return tracker


def _read(paths: StudyPaths, config: Config) -> Results:
    return Results.read(reading(paths, config.tracking.storage_url), paths)


def _print_end(
    console: Console, config: Config, paths: StudyPaths, result: StudyResult
) -> FrontState:
    """Print how a run ended, the front and where its files are; return the state of the front."""
    try:
        results = _read(paths, config)
    except DatabaseError as error:
        if result.state != "stopped":
            raise
        raise StudyStoppedError(result.reason) from error
    members = results.front()
    if result.was_finished:
        lines = [
            f"The study {config.study!r} is finished: {result.reason}. Nothing was done.",
            "A larger space is another study."
            if result.is_exhausted
            else "A larger budget extends it, as budget.minutes=60 or budget.trials=50.",
        ]
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in results.counts().items())
        reason = result.reason.rstrip(".")
        lines = [f"The study {config.study!r} is {result.state}: {reason}. {counts}."]
    print_lines(console, ["", *lines, ""])
    if members:
        with reported(
            "the table of the front", lambda lacking: print_lines(console, [str(lacking)])
        ):
            costs = [objective.name for objective in results.objectives[1:]]
            table = front_table(members, results.begun().metric, results.scores, costs=costs)
            print_table(console, table)
        line = baseline_line(baselines(results.begun()), results.begun().metric)
        print_lines(console, filter(None, [line, stats.provisional_sentence(members)]))
    else:
        console.print("No candidate is trained, so there is no front.")
    print_lines(console, _where(config, paths, result))
    if not members:
        return "empty"
    return "full" if any(member.is_full for member in members) else "provisional"


def _where(config: Config, paths: StudyPaths, result: StudyResult) -> list[str]:
    root = "" if paths.root == default_root() else f" --root '{paths.root}'"
    uri = config.tracking.mlflow_uri
    if uri is not None:
        root += f" --mlflow-uri '{hide_password(uri)}'"
    files = {"report": paths.report, "figure": paths.folder / "front.png"}
    lines = ["", *(f"{name:<9} {file}" for name, file in files.items() if file.is_file())]
    lines.append(f"MLflow    archfront ui{root}")
    if result.state in ("interrupted", "stopped"):
        lines.append("go on     the same command again")
    return lines
