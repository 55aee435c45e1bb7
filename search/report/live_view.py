"""The live view of a study in a terminal: the lines of what ended, and below them what goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from archfront.search.front.members import Baseline, FrontMember, build_front
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.events import (
    EpochFinished,
    Event,
    FilesSent,
    RungFinished,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialPromoted,
    TrialProposed,
    TrialsStopped,
    WeightsFetched,
)
from archfront.search.records.objectives import Objective
from archfront.search.records.seconds import active_seconds, full_trainings
from archfront.search.report.front_table import front_table
from archfront.search.report.terminal import PlainView
from archfront.search.results import stats
from archfront.search.results.baselines import best_baseline
from archfront.trainers.words import count_of, duration

if TYPE_CHECKING:
    from archfront.search.config.schema import BudgetConfig

COLORS = {
    "trained": "green",
    "rejected": "yellow",
    "failed": "red",
    "waiting": "cyan",
    "stopped": "blue",
}
# Rows of the front that the live view shows; the rest is counted.
SHOWN = 8


class LiveView(PlainView):
    """The lines of ``PlainView``, and below them what goes on now."""

    def __init__(
        self,
        console: Console,
        budget: BudgetConfig,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(console)
        self._budget, self._clock = budget, clock
        self._started, self._earlier_s = clock(), 0.0
        self._evaluations: list[Evaluation] = []
        self._objectives: Sequence[Objective] = ()
        self._members: list[FrontMember] = []
        self._baseline: Baseline | None = None
        self._now: dict[int, str] = {}
        self._waiting: set[int] = set()
        self._rungs: Sequence[int] = (1,)
        self._size = 0
        self._since: dict[int, float] = {}
        self._sent: dict[str, tuple[float, float]] = {}
        self._is_open = False
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self.render)

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case StudyStarted():
                self._evaluations = list(event.evaluations)
                self._waiting = set(event.waiting)
                self._earlier_s = active_seconds(self._evaluations)
                self._started = self._clock()
                self._rungs, self._size = event.header.rungs, event.header.space.size
                self._objectives = event.header.objectives
                self._baseline = best_baseline(event.header)
                self._members = self._front()
                self._is_open = True
                self._live.start()
            case TrialProposed(trial, candidate):
                self._since[trial] = self._clock()
                self._now[trial] = f"measuring {self._named(candidate)}"
            case TrialMeasured(trial, candidate, measurement):
                latency = measurement.latency.p50_ms
                self._now[trial] = f"training {self._named(candidate)}, {latency:.3g} ms"
            case WeightsFetched(trial, backbone, mb, of_mb):
                doing = "training" if mb >= of_mb else "fetching the weights of"
                done = "" if mb >= of_mb else f", {mb:.0f} of {of_mb:.0f} MB"
                self._now[trial] = f"{doing} {backbone}{done}"
            case FilesSent(node, mb, of_mb):
                self._sent[node] = mb, of_mb
                if mb >= of_mb:
                    del self._sent[node]
            case EpochFinished(trial, epoch, metrics):
                start = self._now.get(trial, "training").split("  ", 1)[0]
                value = metrics.get(self._metric, float("nan"))
                self._now[trial] = f"{start}  epoch {epoch} of {self._rungs[-1]}, {value:.4f}"
            case TrialPromoted(trial, candidate, rung):
                self._since[trial] = self._clock()
                self._now[trial] = f"training {self._named(candidate)} on, to rung {rung + 1}"
            case TrialsStopped(trials):
                self._waiting.difference_update(trials)
            case RungFinished(evaluation) | TrialFinished(evaluation):
                self._waiting.add(evaluation.trial)
                self._now.pop(evaluation.trial, None)
                self._evaluations.append(evaluation)
                self._members = self._front()
            case StudyFinished():
                self.close()
            case _:
                pass
        super().__call__(event)

    def _front(self) -> list[FrontMember]:
        return build_front(self._evaluations, self._objectives, baseline=self._baseline)

    def render(self) -> Group:
        """Return what is shown below the lines; nothing when the view is not open.

        Called on a thread of the display's own as well, while events come in.
        """
        if not self._is_open:
            return Group()
        counts = Text("  ")
        for kind, count in stats.counts(self._evaluations, self._waiting).items():
            counts.append(f"{count} {kind}   ", style=COLORS[kind])
        seconds = self._earlier_s + self._clock() - self._started
        counts.append(", ".join([f"{duration(seconds)} used", *self._left(seconds)]))
        parts: list[Any] = [counts, *self._bars(seconds)]
        parts += [self._line(trial, words) for trial, words in list(self._now.items())]
        members = self._members
        if members:
            hidden = max(0, len(members) - SHOWN)
            title = "Front so far" + (f" (and {hidden} faster ones)" if hidden else "")
            costs = [objective.name for objective in self._objectives[1:]]
            table = front_table(members, self._metric, title=title, shown=SHOWN, costs=costs)
            parts.append(table)
        return Group(*parts)

    def close(self) -> None:
        """Take the live part off the screen; its lines stay."""
        self._is_open = False  # so that the last rendering, when it stops, is empty
        self._live.stop()

    def _named(self, candidate: Candidate) -> str:
        words = candidate.recipe_text(self._axes)
        return f"{candidate.label}, {words}" if words else candidate.label

    def _line(self, trial: int, words: str) -> Text:
        """Return what a trial does and for how long, in one row."""
        spent = self._clock() - self._since.get(trial, self._clock())
        words += f", for {duration(spent)}" if spent >= 1 else ""
        return Text(f"  trial {trial}: {words}", no_wrap=True, overflow="ellipsis")

    def _left(self, seconds: float) -> list[str]:
        """Return the time and the full trainings that are left, as far as they can be told.

        What the trainings so far took tells how many the time holds, and what others will take.
        """
        trials, minutes = self._budget.trials, self._budget.minutes
        pace = self._trainings() / seconds if seconds > 0 else 0.0
        trainings, left_s = math.inf, math.inf
        if trials is not None:
            counts = stats.counts(self._evaluations, self._waiting)
            n_open = self._size - sum(counts.values()) + counts.get("waiting", 0)
            trainings = max(0.0, min(trials - self._trainings(), n_open))
        if minutes is not None:
            left_s = max(0.0, 60 * minutes - seconds)
        if pace > 0:
            trainings, left_s = min(trainings, pace * left_s), min(left_s, trainings / pace)
        words = [f"about {duration(left_s)} left"] if left_s < math.inf else []
        if trainings < math.inf:
            words.append(f"about {count_of(float(f'{trainings:.2g}'), 'full training')} left")
        return words

    def _trainings(self) -> float:
        trained = [e for e in self._evaluations if e.kind == "trained"]
        return full_trainings(trained, self._rungs)

    def _bars(self, seconds: float) -> list[Table]:
        bars = []
        if self._budget.trials is not None:
            bars.append(_bar("trials", self._trainings(), self._budget.trials, "trained"))
        if self._budget.minutes is not None:
            bars.append(_bar("time", seconds / 60, self._budget.minutes, "min"))
        sent = sorted(self._sent.copy().items())
        return bars + [_bar(f"files to {node}", mb, of, "MB") for node, (mb, of) in sent]


def _bar(name: str, done: float, total: float, unit: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row(
        f"  {name:<6}",
        ProgressBar(total=total, completed=min(done, total), width=40),
        f"{round(done, 1):g} of {total:g} {unit}",
    )
    return row
