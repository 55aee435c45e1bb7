"""What a person sees of a study: lines that stay, and a part below them that goes."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from archfront.search.commands.consoles import print_table
from archfront.search.config.schema import BudgetConfig
from archfront.search.front.members import build_front
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.events import (
    DataRead,
    EpochFinished,
    Event,
    Noticed,
    RungFinished,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialProposed,
    TrialsStopped,
    WeightsFetched,
)
from archfront.search.records.header import Environment, SpaceFacts, StudyHeader
from archfront.search.report.fitted_table import Column, FittedTable
from archfront.search.report.front_table import front_table
from archfront.search.report.live_view import SHOWN, LiveView
from archfront.search.report.terminal import (
    PlainView,
    outcome_line,
    study_lines,
)
from archfront.trainers.dataset_summary import DatasetSummary, SplitSummary
from tests.support.recorded_study import (
    LIMITS,
    OBJECTIVES,
    candidate,
    failed,
    measurement,
    rejected,
    study,
    trained,
)
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


def test_weights_that_are_fetched_show_how_far_they_are_and_stay_as_a_line() -> None:
    view, to, _ = live()
    view(StudyStarted("digits", header(rungs=(1, 3, 8)), (), True))
    view(TrialProposed(0, candidate()))
    view(WeightsFetched(0, "resnet18", 12.5, 46.8))
    assert "trial 0: fetching the weights of resnet18, 12 of 47 MB" in shown(view)
    assert "fetched" not in printed(to)
    view(WeightsFetched(0, "resnet18", 46.8, 46.8))
    assert "trial 0: training resnet18" in shown(view)
    view.close()
    assert "fetched   the weights of resnet18, 47 MB" in printed(to)


def test_a_trial_waits_until_it_is_told_that_it_stopped() -> None:
    view, _, _ = live()
    first, second = (replace(trained(i, 0.5, 2.5), n_rungs=3) for i in range(2))
    view(StudyStarted("digits", header(rungs=(1, 3, 8)), (first,), True, frozenset({0})))
    view(RungFinished(second))
    assert "2 waiting" in shown(view)
    view(TrialsStopped((0,)))
    assert "1 waiting   1 stopped" in shown(view)
    view(TrialFinished(replace(second, rung=2)))
    assert "1 trained" in shown(view)
    assert "waiting" not in shown(view)
    view.close()


# ------------------------------------------------------------------ lines


def test_a_trained_trial_is_told_with_metric_interval_latency_and_time() -> None:
    assert outcome_line(trained(7, 0.9321, 2.5), "accuracy") == (
        "trial   7  trained   resnet18@32 avg                   "
        "accuracy 0.9321 [0.9221, 0.9401]  2.5 ms  14 s"
    )


def test_a_rejected_trial_is_told_with_its_limit_and_a_failed_one_in_one_line() -> None:
    assert outcome_line(rejected(12, 5.0), "accuracy").endswith("latency_ms 5 is over 4 by 25%")
    line = outcome_line(failed(3, "the loss is nan\nTraceback: a long one"), "accuracy")
    assert line.endswith("  diverged: the loss is nan")


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_lines_of_a_terminal_take_one_row_and_keep_their_numbers(width: int, metric: str) -> None:
    """Lines of trials with recipes took two rows of a terminal with 100 columns."""
    of = candidate("efficientnetv2_rw_t", "fpn yolo w64 d2", 224)
    one = replace(trained(7, 0.9321, 2.5, of=of), n_rungs=3)
    to = console(width, is_terminal=True)
    event = started()
    event.header.config["space"]["recipe"] = {"lr": [0.003, 0.01], "augment": ["none", "light"]}
    event = replace(event, header=replace(event.header, config=event.header.config))
    event.header.config["task"]["metric"] = metric
    view = PlainView(to)
    view(event)
    before = len(printed(to).splitlines())
    view(RungFinished(one))
    view(TrialFinished(rejected(8, 5.0, of=of)))
    lines = printed(to).splitlines()[before:]
    assert [len(line) <= width for line in lines] == [True, True]
    assert (f"{metric} 0.9321" in lines[0]) is (width > 80)
    assert "  0.9321" in lines[0] or width > 80
    assert "0.003, light" in lines[0] or width > 80
    assert "  2.5 ms  14 s" in lines[0]
    assert ("[0.9221, 0.9401]" in lines[0]) is (width == 120 and metric == "accuracy")
    to = console(width)
    view = PlainView(to)
    view(event)
    view(RungFinished(one))
    assert "efficientnetv2_rw_t@224 fpn yolo w64 d2  lr 0.003, augment light" in printed(to)


def test_a_failure_is_told_whole_in_a_narrow_terminal() -> None:
    message = "the loss is nan after 3 steps; a smaller learning rate may help, or frozen norms"
    assert outcome_line(failed(3, message), "accuracy", width=60).endswith(f"diverged: {message}")


def test_the_seconds_of_a_trial_stand_beside_its_waiting() -> None:
    one = replace(trained(7, 0.9321, 2.5), seconds=75.0)
    assert outcome_line(one, "accuracy").endswith("  2.5 ms  14 s (waited 1 min 2 s)")
    assert outcome_line(replace(one, rung=1), "accuracy").endswith("  12 s (waited 1 min 3 s)")


def test_lines_tell_the_axes_on_which_recipes_differ() -> None:
    event = started()
    event.header.config["space"]["recipe"] = {
        "lr": [0.003, 0.01],
        "batch_size": [64],
        "augment": ["none", "light"],
    }
    to = console()
    view = PlainView(to)
    view(event)
    view(TrialFinished(trained(7, 0.9321, 2.5)))
    recipe = trained(7, 0.9321, 2.5).candidate.recipe
    line = printed(to).splitlines()[-1]
    label = f"  resnet18@32 avg                   lr {recipe.lr}, augment {recipe.augment}  "
    assert label in line
    assert "batch" not in line
    now, _, _ = live()
    now(event)
    now(TrialProposed(8, candidate()))
    words = f"lr {recipe.lr}, augment {recipe.augment}"
    assert f"trial 8: measuring resnet18@32 avg, {words}\n" in shown(now)
    now(TrialMeasured(8, candidate(), measurement(2.5)))
    assert f"training resnet18@32 avg, {words}, 2.5 ms" in shown(now)
    now.close()


def test_plain_lines_tell_what_ended_and_nothing_else() -> None:
    to = console()
    view = PlainView(to)
    read = DataRead("digits", "digits", header().dataset)
    for event in (read, started(), *SEQUENCE, StudyFinished("finished", "4 trials")):
        view(event)
    view.close()
    view.close()
    lines = printed(to).splitlines()
    assert lines[:6] == [
        "study     digits",
        "data      digits: 3 classes, 1,600 train, 600 val",
        "space     4,800 candidates: 1,200 architectures x 4 recipes; weights none",
        "device    Some CPU, 2 cores",
        "runtime   onnxruntime, threads 1, batch 1",
        "limits    latency p50 at most 4 ms",
    ]
    assert [line.split("  ")[0] for line in lines[6:]] == [
        "trial",
        "trial",
        "note: trial 1 was close",
        "trial",
    ]
    assert "\x1b" not in printed(to)


def test_the_beginning_tells_what_is_unusual() -> None:
    to = console()
    dropped = tuple(f"net_{i}: no file" for i in range(7))
    event = started(
        trained(0, 0.9, 1.0),
        isolates=False,
        space=replace(header().space, dropped=dropped),
    )
    PlainView(to)(event)
    text = printed(to)
    assert "resumed   1 trial is finished already" in text
    assert "engine    inline: a candidate that crashes or hangs ends the study" in text
    assert "left out  7 backbones or sizes of them: net_0: no file; " in text
    assert "net_4: no file; ...\n" in text
    assert "net_5" not in text


def test_no_limits_and_a_folder_of_data_are_told() -> None:
    config = header().config
    config["data"] = {"root": "/data/flowers", "name": None, "reader": "folder"}
    config["hardware"] = {**config["hardware"], "limits": dict.fromkeys(LIMITS)}
    lines = study_lines(header(config=config))
    assert lines[0].startswith("data      /data/flowers: 3 classes")
    assert lines[-1] == "limits    none"


def test_words_in_brackets_are_no_markup() -> None:
    to = console()
    PlainView(to)(Noticed("[red]as it stands[/red] [/]"))
    assert printed(to) == "note: [red]as it stands[/red] [/]\n"


@pytest.mark.parametrize("width", [40, 120])
def test_a_long_line_is_not_wrapped_so_that_logs_can_be_searched(width: int) -> None:
    to = console(width)
    PlainView(to)(TrialFinished(trained(0, 0.9, 2.5, of=candidate(LONG))))
    assert len(printed(to).splitlines()) == 1


# ------------------------------------------------------------------ table


def test_the_front_table_has_a_row_a_member_with_what_it_is() -> None:
    members = build_front(study(), OBJECTIVES, is_tie=lambda a, b: {a.trial, b.trial} == {20, 21})
    to = console(160)
    to.print(front_table(members, "balanced_accuracy"))
    text = printed(to)
    lines = text.splitlines()
    assert lines[0].strip() == "Pareto front, fastest first"
    assert "balanced accuracy" in text
    rows = [line for line in lines if re.match(r"│\s+\d", line)]
    assert [int(row.split("│")[1]) for row in rows] == [m.trial for m in members]
    assert "fastest" in rows[0]
    assert sum("knee" in row for row in rows) == 1
    best = max(range(len(members)), key=lambda i: members[i].metric)
    assert "best" in rows[best]
    for member, row in zip(members, rows, strict=True):
        assert f"{member.metric:.4f}" in row
        assert f"{member.latency_ms:.3f}" in row
        assert ("ties with" in row) is bool(member.ties)


def test_test_scores_get_a_column_when_there_are_any() -> None:
    members = build_front(study(), OBJECTIVES)
    to = console(160)
    to.print(front_table(members, "accuracy", {members[0].trial: {"accuracy": 0.12345}}))
    assert " test " in printed(to)
    assert printed(to).count("0.1235") + printed(to).count("0.1234") == 1
    without = console(160)
    without.print(front_table(members, "accuracy"))
    assert " test " not in printed(without)


def test_axes_on_which_recipes_differ_get_a_column() -> None:
    members = build_front(study(), OBJECTIVES)
    to = console(160)
    to.print(front_table(members, "accuracy"))
    assert " lr " not in printed(to)
    other = replace(members[-1].candidate, recipe=replace(members[-1].candidate.recipe, lr=0.0123))
    to = console(160)
    to.print(front_table([*members[:-1], replace(members[-1], candidate=other)], "accuracy"))
    assert " lr " in printed(to)
    assert " augment " not in printed(to)
    assert printed(to).count("0.0123") == 1
    assert printed(to).count(f" {members[0].candidate.recipe.lr} ") == len(members) - 1


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_numbers_of_a_front_can_be_read_at_any_width(width: int) -> None:
    """No number could be read at 80 columns, and with recipes not even at 160."""
    names = ["efficientnetv2_rw_t", "vit_base_patch16_clip_quickgelu_224", "resnet18"]
    members = [
        replace(
            member,
            candidate=replace(
                candidate(names[i % 3], "fpn yolo w64 d2", 224),
                recipe=replace(member.candidate.recipe, lr=0.001 * (i + 1), batch_size=2**i),
            ),
            ties=(20, 21, 22) if i == 1 else (),
        )
        for i, member in enumerate(build_front(study(), OBJECTIVES))
    ]
    to = console(width)
    to.print(front_table(members, "balanced_accuracy", costs=["latency_ms", "size_mb"]))
    lines = printed(to).splitlines()
    assert max(map(len, lines)) <= width
    rows = [line for line in lines if re.match(r"│\s+\d", line)]
    for member, row in zip(members, rows, strict=True):
        cells = [cell.strip() for cell in row.strip("│").split("│")]
        assert {f"{member.metric:.4f}", f"{member.latency_ms:.3f}"} < set(cells)
        assert f"{member.size_mb:.4g}" in cells
        start, _, end = cells[1].partition("…")
        backbone = member.candidate.architecture.backbone
        assert backbone.startswith(start)
        assert backbone.endswith(end)
        assert len(cells[1]) >= min(len(backbone), 22)
    hidden = " ".join(lines).partition("Not shown at this width: ")[2]
    assert ("params M" in hidden, "interval" in hidden) == (width < 160, width == 80)


def test_a_table_in_a_pipe_has_all_of_its_columns() -> None:
    to = console(40)
    print_table(to, front_table(build_front(study(), OBJECTIVES), "accuracy"))
    assert "params M" in printed(to)
    assert "Not shown" not in printed(to)
    narrow = console(40, is_terminal=True)
    print_table(narrow, front_table(build_front(study(), OBJECTIVES), "accuracy"))
    assert "params M │" not in printed(narrow)


def test_an_empty_front_is_an_empty_table() -> None:
    to = console()
    to.print(front_table([], "accuracy"))
    assert "backbone" in printed(to)


@pytest.mark.parametrize("width", [20, 60, 120])
def test_a_table_of_many_members_with_long_names_fits_its_width(width: int) -> None:
    to = console(width)
    to.print(front_table(build_front(long_front(20), OBJECTIVES), "accuracy"))
    assert all(len(line) <= width for line in printed(to).splitlines())


def long_front(n: int) -> list[Evaluation]:
    """Return a front of n members, the slower the better, with long names."""
    return [trained(i, 0.5 + i / 100, 1.0 + i / 10, of=candidate(LONG)) for i in range(n)]


# ------------------------------------------------------------------ live


def test_the_live_part_follows_a_trial() -> None:
    view, _, clock = live()
    view(started(replace(trained(9, 0.8, 3.0), seconds=60.0)))
    assert "1 trained   0 rejected   0 failed   1 min used" in shown(view)
    assert "1 of 4 trained" in shown(view)
    assert "1 of 10 min" in shown(view)
    steps = [
        "trial 0: measuring resnet18@32 avg",
        "trial 0: training resnet18@32 avg, 2.5 ms",
        "trial 0: training resnet18@32 avg, 2.5 ms  epoch 1 of 3, 0.5000",
    ]
    for event, words in zip(SEQUENCE, steps, strict=False):
        view(event)
        assert words in [line.strip() for line in shown(view).splitlines()]
    view(EpochFinished(0, 2, {"accuracy": 0.625}))
    assert "2.5 ms  epoch 2 of 3, 0.6250" in shown(view)
    for event in SEQUENCE[3:]:
        view(event)
    clock.now += 30
    assert "2 trained   1 rejected   1 failed   1 min 30 s used" in shown(view)
    assert "trial 0:" not in shown(view)
    assert "Front so far" in shown(view)
    view.close()


def test_lines_stay_and_the_live_part_goes() -> None:
    """The last state of the live part once stayed on the screen, above the final table."""
    view, to, _ = live()
    plain_to = console()
    plain = PlainView(plain_to)
    for event in (started(), *SEQUENCE):
        view(event)
        view._live.refresh()
        plain(event)
    on_screen = Screen(printed(to)).text
    assert "1 trained   1 rejected   1 failed" in on_screen
    assert "Front so far" in on_screen
    view(StudyFinished("finished", "all done"))
    view.close()
    view.close()
    assert Screen(printed(to)).text == printed(plain_to).rstrip()
    assert printed(to).rindex("\x1b[?25h") > printed(to).rindex("\x1b[?25l")  # the cursor is back


def test_the_live_part_tells_the_time_and_the_trainings_that_are_left() -> None:
    view, _, clock = live(trials=4, minutes=10)
    view(started())
    assert "0 s used, about 10 min left, about 4 full trainings left" in shown(view)
    view(TrialProposed(0, candidate()))
    clock.now += 60
    assert "trial 0: measuring resnet18@32 avg, for 1 min" in shown(view)
    view(TrialFinished(trained(0, 0.9, 2.5)))
    assert "1 min used, about 3 min left, about 3 full trainings left" in shown(view)
    clock.now += 8.5 * 60
    assert "about 30 s left, about 0.053 full trainings left" in shown(view)
    view.close()
    view, _, clock = live(trials=40, minutes=None)
    view(started(space=replace(header().space, size=3)))
    assert "0 s used, about 3 full trainings left" in shown(view)
    clock.now += 60
    view(TrialFinished(trained(0, 0.9, 2.5)))
    assert "1 min used, about 2 min left, about 2 full trainings left" in shown(view)
    view.close()


def test_a_study_without_trials_or_budget_is_shown() -> None:
    view, _, _ = live(trials=None, minutes=None)
    view(started())
    assert "0 trained   0 rejected   0 failed   0 s used\n" in shown(view)
    assert "Front" not in shown(view)
    view.close()


def test_a_view_that_never_began_closes() -> None:
    view, to, _ = live()
    view.close()
    view.close()
    assert Screen(printed(to)).text == ""


def test_of_a_long_front_the_slowest_are_shown_and_the_rest_is_counted() -> None:
    """The fastest one shown was once called the fastest of all."""
    view, _, _ = live()
    view(started(*long_front(20)))
    text = shown(view, 160)
    assert f"Front so far (and {20 - SHOWN} faster ones)" in text
    rows = [line for line in text.splitlines() if re.match(r"│\s+\d", line)]
    assert [int(row.split("│")[1]) for row in rows] == list(range(20 - SHOWN, 20))
    assert "fastest" not in rows[0]
    assert "best" in rows[-1]
    view.close()


def test_more_trials_than_the_budget_fill_the_bar_and_no_more() -> None:
    view, _, clock = live(trials=2, minutes=1)
    view(started(*long_front(5)))
    clock.now += 600
    assert "5 of 2 trained" in shown(view)
    assert "of 1 min" in shown(view)
    view.close()


def test_a_narrow_terminal_shows_what_it_can() -> None:
    view, to, _ = live(width=30)
    for event in (started(*long_front(20)), *SEQUENCE):
        view(event)
        view._live.refresh()
    view(StudyFinished("interrupted", "from the keyboard"))
    assert "Front so far" not in Screen(printed(to)).text


def test_keys_are_never_cut_and_remarks_are_broken_between_words() -> None:
    columns = [
        Column("study", kind="key"),
        Column("state", kind="words"),
        Column("started", 1),
    ]
    table = FittedTable("Studies", columns)
    table.add_row(
        "a-study-with-a-name-of-thirty-nine-char", "stopped: the disk is full", "2026-11-29"
    )
    to = console(62)
    to.print(table)
    text = printed(to)
    assert "a-study-with-a-name-of-thirty-nine-char" in text
    assert "stopped: the" in text
    assert "disk is full" in text
    assert "2026" not in text
    assert text.endswith("Not shown at this width: started.\n")
    assert max(map(len, text.splitlines())) <= 62
    whole = console(table.full_width)
    whole.print(table)
    assert "Not shown" not in printed(whole)
