"""What a person sees of a study, as text: lines, tables and the screen of a terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

from rich.console import Console

from archfront.search.config.schema import BudgetConfig
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.events import (
    EpochFinished,
    Event,
    Noticed,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialProposed,
)
from archfront.search.records.header import Environment, SpaceFacts, StudyHeader
from archfront.search.report.live_view import LiveView
from archfront.trainers.dataset_summary import DatasetSummary, SplitSummary
from tests.support.recorded_study import LIMITS, candidate, failed, measurement, rejected, trained
from tests.support.study_headers import study_header

LONG = "tf_efficientnet_of_a_name_that_is_longer_than_any_line_should_be_" * 3


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """A terminal's screen in small: lines, carriage return, cursor up, erase line."""

    def __init__(self, text: str) -> None:
        self.lines, self.row, self.column = [""], 0, 0
        for part in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|[\r\n]|[^\x1b\r\n]+", text):
            self._take(part)

    def _take(self, part: str) -> None:
        if part == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
        elif part == "\r":
            self.column = 0
        elif part.endswith("A") and part.startswith("\x1b"):
            self.row = max(0, self.row - int(part[2:-1]))
        elif part == "\x1b[2K":
            self.lines[self.row] = ""
        elif not part.startswith("\x1b"):
            line = self.lines[self.row].ljust(self.column)
            end = self.column + len(part)
            self.lines[self.row] = line[: self.column] + part + line[end:]
            self.column = end

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


def header(**changes: Any) -> StudyHeader:
    config = {
        "task": {"metric": "accuracy"},
        "data": {"root": None, "name": None, "reader": "digits"},
        "hardware": {
            "runtime": "onnxruntime",
            "threads": 1,
            "batch_size": 1,
            "limits": LIMITS,
        },
        "space": {"weights": "none", "recipe": {"lr": [0.003], "augment": ["light"]}},
    }
    whole = study_header(
        config,
        dataset=DatasetSummary(
            class_names=("0", "1", "2"),
            splits={"train": SplitSummary(1600), "val": SplitSummary(600)},
        ),
        space=SpaceFacts(4800, 1200, 4, "abc", ()),
        environment=Environment({}, "Some CPU, 2 cores"),
    )
    return replace(whole, **changes)


def started(*evaluations: Evaluation, isolates: bool = True, **changes: Any) -> StudyStarted:
    return StudyStarted("digits", header(**changes), evaluations, isolates)


def console(width: int = 120, *, is_terminal: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        height=50,
        force_terminal=is_terminal,
        color_system=None,
        legacy_windows=False,
        _environ={},
    )


def printed(of: Console) -> str:
    assert isinstance(of.file, io.StringIO)
    return of.file.getvalue()


def live(
    *, trials: int | None = 4, minutes: float | None = 10, width: int = 120
) -> tuple[LiveView, Console, HandClock]:
    """Return a live view whose screen refreshes only when it prints."""
    budget = BudgetConfig(
        trials=trials,
        minutes=minutes,
        trial_minutes=None,
        rungs=None,
        max_rejections=9,
        max_failures=9,
        folds=0,
    )
    to, clock = console(width, is_terminal=True), HandClock()
    view = LiveView(to, budget, clock=clock)
    view._live.auto_refresh = False
    return view, to, clock


def shown(view: LiveView, width: int = 120) -> str:
    """Return what stands below the lines."""
    to = console(width)
    to.print(view.render())
    return printed(to)


SEQUENCE: tuple[Event, ...] = (
    TrialProposed(0, candidate()),
    TrialMeasured(0, candidate(), measurement(2.5)),
    EpochFinished(0, 1, {"accuracy": 0.5}),
    TrialFinished(trained(0, 0.9, 2.5)),
    TrialFinished(rejected(1, 5.0)),
    Noticed("trial 1 was close"),
    TrialFinished(failed(2, "the loss is nan\nTraceback: a long one")),
)


def long_front(n: int) -> list[Evaluation]:
    """Return a front of n members, the slower the better, with long names."""
    return [trained(i, 0.5 + i / 100, 1.0 + i / 10, of=candidate(LONG)) for i in range(n)]
