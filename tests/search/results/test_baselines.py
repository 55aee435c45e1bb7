"""What needs no image, and the members that are not better than it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.dummy import DummyClassifier

from archfront.search.front.intervals import score
from archfront.search.front.members import Baseline, build_front, named_members
from archfront.search.records.evaluation import Evaluation, Fidelity
from archfront.search.records.store import reading
from archfront.search.report import pages
from archfront.search.report.document import render
from archfront.search.report.figures import front_figure
from archfront.search.report.front_png import write_png
from archfront.search.report.front_table import front_table
from archfront.search.report.plot_data import FrontPlot
from archfront.search.results.baselines import (
    baseline_line,
    baselines,
    best_baseline,
    warnings,
)
from archfront.search.results.results import Results
from archfront.search.results.select_members import aliases, chosen_trials
from archfront.trainers.dataset_summary import SplitSummary
from archfront.trainers.tasks import TASKS
from tests.support import recorded_store
from tests.support.recorded_study import LIMITS, OBJECTIVES, record, trained

COMMONEST = Baseline("the commonest class", 0.5)


def members(baseline: Baseline | None = COMMONEST):
    """Return a front whose fastest member is not better than the commonest class."""
    return build_front(evaluations(), OBJECTIVES, baseline=baseline)


def evaluations() -> list[Evaluation]:
    return [trained(0, 0.505, 1.0), trained(1, 0.7, 1.5), trained(2, 0.8, 2.5)]


@pytest.mark.parametrize("metric", TASKS["classification"].metrics)
def test_baselines_of_labels_are_those_of_dummy_classifiers(metric: str) -> None:
    counts = [600, 300, 90, 10, 0]  # no image shows the last class
    labels = np.repeat(np.arange(5), counts)
    found = TASKS["classification"].baselines(metric, counts, 1000)
    constant = np.zeros(1000, dtype=int)
    assert found["the commonest class"] == pytest.approx(score(metric, labels, constant))
    drawn = []
    for seed in range(60):
        dummy = DummyClassifier(strategy="stratified", random_state=seed).fit(labels, labels)
        drawn.append(score(metric, labels, dummy.predict(labels)))
    assert found["a draw by class shares"] == pytest.approx(np.mean(drawn), abs=0.01)


@pytest.mark.parametrize("metric", TASKS["multilabel"].metrics)
def test_baselines_of_label_sets_are_those_of_drawn_labels(metric: str) -> None:
    rng, counts = np.random.default_rng(0), [320, 80, 16]
    shown = np.zeros((400, 3))
    for label, count in enumerate(counts):
        shown[rng.permutation(400)[:count], label] = 1
    drawn = []
    for _ in range(60):
        named = np.stack([rng.permutation(column) for column in shown.T], axis=1)
        value_of = TASKS["multilabel"].resampled(
            metric, {"probabilities": named, "labels": shown, "images": np.arange(400)}
        )
        drawn.append(value_of(np.ones((1, 400)))[0])
    found = TASKS["multilabel"].baselines(metric, counts, 400)
    assert found["a draw by class shares"] == pytest.approx(np.mean(drawn), abs=0.02)
    assert found["the best constant answer"] >= found["a draw by class shares"] - 1e-9


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_baselines_from_counts(task: str) -> None:
    for metric in TASKS[task].metrics:
        found = TASKS[task].baselines(metric, [5, 3, 0], 8)
        assert found
        assert all(0 <= value < 1 for value in found.values())


def test_what_is_not_better_is_marked_and_gets_no_name() -> None:
    first, *others = members()
    assert first.not_better_than == "the commonest class"
    assert all(not member.not_better_than for member in others)
    assert {name: m.trial for name, m in named_members([first, *others]).items()} == {
        "fastest": 1,
        "knee": 2,
        "best": 2,
    }
    assert {m.trial for m in named_members(members(None)).values()} == {0, 1, 2}


def test_what_was_stopped_when_it_had_hardly_learned_gets_no_name() -> None:
    """A network of .14 after two of its 27 epochs was called the fastest beside one of .88."""
    every = [trained(0, 0.14, 0.1), trained(1, 0.71, 0.4), trained(2, 0.88, 1.3)]

    def named(epochs: int) -> dict[str, int]:
        early = replace(every[0].outcome, fidelity=Fidelity(epochs, 27, 1.0, epochs))
        front = build_front([replace(every[0], outcome=early), *every[1:]], OBJECTIVES)
        assert [member.trial for member in front] == [0, 1, 2]
        return {name: member.trial for name, member in named_members(front).items()}

    assert named(2) == {"fastest": 1, "knee": 2, "best": 2}
    assert named(27)["fastest"] == 0


def test_a_metric_that_equals_a_baseline_but_for_single_precision_is_not_better() -> None:
    """Balanced accuracies of one class for everything are 1/6 in every resample."""
    sixth = float(np.float32(1 / 6))
    assert sixth > 1 / 6
    [evaluation] = evaluations()[:1]
    outcome = replace(evaluation.outcome, metric=sixth, metric_low=sixth, metric_high=sixth)
    constant = replace(evaluation, outcome=outcome)
    [member] = build_front([constant], OBJECTIVES, baseline=Baseline("one class", 1 / 6))
    assert member.not_better_than == "one class"


def test_where_nothing_is_better_nothing_has_a_name_but_something_can_be_taken() -> None:
    """Two members that said the commonest class to everything were fastest, knee and best."""
    poor = build_front(
        [trained(0, 0.5, 1.0), trained(1, 0.501, 2.0)], OBJECTIVES, baseline=COMMONEST
    )
    assert named_members(poor) == {}
    assert aliases(poor)["fastest"] == 0
    assert aliases(poor)["best"] == 1
    assert len(warnings(poor)) == 2
    assert warnings(poor)[0] == (
        "warning: trial 0 is not better than the commonest class: its interval 0.4900 to 0.5080 "
        "does not lie above it."
    )
    assert warnings(members(None)) == []


def test_table_picture_and_report_show_it(tmp_path: Path) -> None:
    values = {"the commonest class": 0.5, "a draw by class shares": 0.2}
    console = Console(width=160, file=io.StringIO(), _environ={})
    with console.capture() as printed:
        console.print(front_table(members(), "accuracy"))
    rows = [line for line in printed.get().splitlines() if line.startswith("│")]
    assert [row.split("│")[-2].strip() for row in rows] == [
        "not better than the commonest class",
        "fastest",
        "knee, best",
    ]
    assert baseline_line(values, "macro_f1") == (
        "Without looking at an image, macro f1: the commonest class 0.5000 and a draw by class "
        "shares 0.2000."
    )
    picture = FrontPlot("digits", evaluations(), members(), OBJECTIVES, LIMITS, values)
    assert picture.named() == {1: "fastest", 2: "knee, best"}
    names = {trace.name: trace for trace in front_figure(picture).data}
    line = names["the commonest class (0.500)"]
    assert (line.line.dash, list(line.y)) == ("dash", [0.5, 0.5])
    assert "a draw by class shares (0.200, below the picture)" in names
    write_png(picture, tmp_path / "front.png")
    assert (tmp_path / "front.png").stat().st_size > 10_000
    page = render(record(members=members(), evaluations=evaluations(), baselines=values))
    assert '<span class="mark">not better than the commonest class</span>' in page
    assert baseline_line(values, "accuracy") in page


def test_they_follow_from_the_header_of_any_study(tmp_path: Path) -> None:
    paths = recorded_store.write(tmp_path)
    results = Results.read(reading(paths, None), paths)
    header = results.begun()
    assert list(baselines(header).values()) == sorted(baselines(header).values(), reverse=True)
    assert best_baseline(header) is not None
    assert pages.record(results).baselines == baselines(header)
    bare = replace(header, dataset=replace(header.dataset, splits={"val": SplitSummary(9)}))
    assert baselines(bare) == {}
    assert best_baseline(bare) is None


def test_all_leaves_out_what_is_not_better(tmp_path: Path) -> None:
    paths = recorded_store.write(tmp_path)
    results = Results.read(reading(paths, None), paths)
    front = results.front()
    lows = sorted((member.metric_low, member.trial) for member in front)
    n_commonest = round(5000 * (lows[0][0] + lows[1][0]))
    split = SplitSummary(10_000, {"a": n_commonest, "b": 10_000 - n_commonest})
    header = results.begun()
    dull = replace(header, dataset=replace(header.dataset, splits={"val": split}))
    chosen = chosen_trials(replace(results, header=dull), ["all"])
    assert chosen == [member.trial for member in front if member.trial != lows[0][1]]
    split = SplitSummary(10_000, {"a": 9_999, "b": 1})
    dull = replace(header, dataset=replace(header.dataset, splits={"val": split}))
    chosen = chosen_trials(replace(results, header=dull), ["all"])
    assert chosen == [member.trial for member in front]  # nothing is better: all there is
