"""The lines of a study that stay on the screen and in logs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archfront.search.records.events import (
    DataRead,
    Noticed,
    RungFinished,
    StudyFinished,
    TrialFinished,
    TrialMeasured,
    TrialProposed,
)
from archfront.search.report.terminal import PlainView, outcome_line, study_lines
from tests.support.recorded_study import LIMITS, candidate, failed, measurement, rejected, trained
from tests.support.study_screen import (
    LONG,
    SEQUENCE,
    console,
    header,
    live,
    printed,
    shown,
    started,
)


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
